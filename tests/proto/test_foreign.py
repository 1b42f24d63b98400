"""Types of other Caffes that are not built: none of them is, and each is told of in a sentence."""

from __future__ import annotations

import pytest

from segcaffe.proto.foreign import _INSTEAD, _ORIGINS, is_unknown, origin_of


def test_none_is_built() -> None:
    assert [name for name in _ORIGINS if not is_unknown(name)] == []
    assert set(_INSTEAD) <= set(_ORIGINS)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("TopK", "It comes from a Caffe for documents (binarization), and is not part of segcaffe."),
        (
            "Pushin",
            "It comes from a Caffe of dropout's variants, and is not part of segcaffe. On a GPU it is Dropout; make it "
            "one.",
        ),
        ("Convolution", ""),
    ],
)
def test_what_is_told(name: str, told: str) -> None:
    assert origin_of(name) == told
