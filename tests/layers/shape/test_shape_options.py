"""Tops' shapes, and what is said where they cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase

X = (2, 3, 4, 5)


def shapes(kind: str, options: str, *bottoms: tuple[int, ...], tops: int = 1) -> list[tuple[int, ...]]:
    name = kind.lower()
    _, _, top = LayerCase(kind, f"{name}_param {{ {options} }}", bottoms, tops=tops).build()
    return [blob.shape for blob in top]


@pytest.mark.parametrize(
    ("options", "bottom", "expected"),
    [
        ("shape { dim: 0 dim: -1 dim: 5 }", X, (2, 12, 5)),
        ("shape { dim: 6 dim: 20 }", X, (6, 20)),
        ("shape { dim: -1 }", X, (120,)),
        ("shape { dim: -1 dim: 1 } axis: 1", X, (2, 60, 1)),
        ("shape { dim: 2 dim: 2 } axis: 2 num_axes: 1", X, (2, 3, 2, 2, 5)),
        ("shape { dim: 1 } axis: -1 num_axes: 0", X, (2, 3, 4, 5, 1)),
        ("shape { dim: 1 } axis: 0 num_axes: 0", (), (1,)),
        ("shape { }", (1, 1), ()),
        ("shape { dim: 0 dim: 0 dim: -1 }", (2, 3, 4, 5, 6), (2, 3, 120)),
        ("shape { dim: -1 } axis: -2", X, (2, 3, 4, 5)),
    ],
)
def test_reshape(options: str, bottom: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert shapes("Reshape", options, bottom) == [expected]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", (2, 60)),
        ("axis: 0", (120,)),
        ("axis: 1 end_axis: 2", (2, 12, 5)),
        ("axis: -2", (2, 3, 20)),
        ("axis: 3", X),
        ("axis: -3 end_axis: -2", (2, 12, 5)),
    ],
)
def test_flatten(options: str, expected: tuple[int, ...]) -> None:
    assert shapes("Flatten", options, X) == [expected]


@pytest.mark.parametrize(
    ("options", "tops", "expected"),
    [
        ("", 3, [(2, 1, 4, 5)] * 3),
        ("axis: 2 slice_point: 1", 2, [(2, 3, 1, 5), (2, 3, 3, 5)]),
        ("axis: -1 slice_point: 1 slice_point: 2", 3, [(2, 3, 4, 1), (2, 3, 4, 1), (2, 3, 4, 3)]),
        ("slice_dim: 0", 2, [(1, 3, 4, 5)] * 2),
    ],
)
def test_slice(options: str, tops: int, expected: list[tuple[int, ...]]) -> None:
    assert shapes("Slice", options, X, tops=tops) == expected


@pytest.mark.parametrize(
    ("kind", "options", "bottoms", "tops", "says"),
    [
        ("Reshape", "shape { dim: 7 dim: -1 }", (X,), 1, "do not divide the count"),
        ("Reshape", "shape { dim: 7 }", (X,), 1, "new shape (7,) must have as many elements"),
        ("Reshape", "shape { dim: -1 dim: -1 }", (X,), 1, "-1 (the rest), the last once at most. Received: [-1, -1]"),
        ("Reshape", "shape { dim: -2 }", (X,), 1, "each dim is positive"),
        ("Reshape", "shape { dim: 1 dim: 0 } axis: 3 num_axes: 0", (X,), 1, "copies an axis of the bottom"),
        ("Reshape", "shape { dim: 1 } axis: 5", (X,), 1, "must lie within the bottom's axes"),
        ("Reshape", "shape { dim: 1 } axis: 2 num_axes: 3", (X,), 1, "must lie within the bottom's axes"),
        ("Reshape", "shape { dim: 1 } num_axes: -2", (X,), 1, "num_axes must be -1"),
        ("Flatten", "axis: 4", (X,), 1, "axis must lie in [-4, 4)"),
        ("Flatten", "axis: 2 end_axis: 1", (X,), 1, "end_axis must not come before axis"),
        ("Flatten", "end_axis: 9", (X,), 1, "end_axis must lie in"),
        ("Concat", "axis: 1", (X, (2, 3, 4, 6)), 1, "may differ in axis 1 only"),
        ("Concat", "axis: 1", (X, (2, 3, 4)), 1, "may differ in axis 1 only"),
        ("Concat", "axis: 1 concat_dim: 1", (X, X), 1, "not both"),
        ("Concat", "axis: 7", (X, X), 1, "axis must lie in"),
        ("Slice", "", (X,), 2, "extent of 3 cannot be cut evenly for 2 tops"),
        ("Slice", "slice_point: 1", (X,), 3, "one fewer than there are tops. Received: 1 points for 3 tops"),
        ("Slice", "slice_point: 3", (X,), 2, "below the extent 3. Received: [3]"),
        ("Slice", "slice_point: 2 slice_point: 1", (X,), 3, "must increase"),
        ("Slice", "axis: 1 slice_dim: 1", (X,), 3, "not both"),
        ("Tile", "", (X,), 1, "needs tiles, 1 or more. Received: none"),
        ("Tile", "tiles: 0", (X,), 1, "needs tiles, 1 or more. Received: 0"),
        ("Tile", "axis: 4 tiles: 2", (X,), 1, "axis must lie in"),
        (
            "Eltwise",
            "",
            (X, (2, 3, 4, 1)),
            1,
            "or bottom 1 that of bottom 0 from axis 0 on. Received: (2, 3, 4, 5) for 0",
        ),
        ("Eltwise", "coeff: 1", (X, X), 1, "one for each bottom. Received: 1 coefficients for 2"),
        ("Eltwise", "operation: PROD coeff: 1 coeff: 1", (X, X), 1, "only operation SUM takes coefficients"),
        ("Reduction", "axis: 4", (X,), 1, "axis must lie in"),
        ("Parameter", "shape { dim: 0 }", (), 1, "at least 1"),
    ],
)
def test_what_does_not_fit_is_named(kind: str, options: str, bottoms: tuple, tops: int, says: str) -> None:
    with pytest.raises(SegcaffeError) as error:
        shapes(kind, options, *bottoms, tops=tops)
    assert f'layer "layer" ({kind}): ' in str(error.value)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("kind", "bottoms", "tops", "says"),
    [
        ("Filter", ((3, 2), (4,)), 1, "as many items as the selector"),
        ("Filter", ((3, 2), (3, 2)), 1, "selector must be (N,) or (N, 1, ...)"),
        ("Filter", ((3, 2), (3,)), 2, "a top for each bottom but the last"),
        ("BatchReindex", ((3, 2), (2, 1)), 1, "an index (M,)"),
    ],
)
def test_selectors_that_do_not_fit(kind: str, bottoms: tuple, tops: int, says: str) -> None:
    with pytest.raises(SegcaffeError, match=r'layer "layer"') as error:
        LayerCase(kind, bottoms=bottoms, tops=tops).build()
    assert says in str(error.value)


@pytest.mark.parametrize("index", [3, -1])
def test_batch_reindex_refuses_an_index_outside(index: int) -> None:
    layer, bottom, top = LayerCase("BatchReindex", bottoms=((3, 2), np.array([0, index]))).build()
    with pytest.raises(SegcaffeError, match=rf"in \[0, 3\).*Received: {index}"):
        layer.forward(bottom, top)


def test_old_options_reach_the_same_axis() -> None:
    assert shapes("Concat", "concat_dim: 2", X, X) == shapes("Concat", "axis: 2", X, X) == [(2, 3, 8, 5)]
