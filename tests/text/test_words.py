"""Numbers and their nouns."""

from __future__ import annotations

import pytest

from segcaffe.text.words import counted


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(0, "layer", "0 layers"), (1, "layer", "1 layer"), (2, "layer", "2 layers"), (1, "class", "1 class"),
     (3, "class", "3 classes"), (2, "batch", "2 batches")],
)  # fmt: skip
def test_singular_and_plural(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words
