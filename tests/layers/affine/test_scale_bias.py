from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase

X = (2, 3, 4, 5)


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
@pytest.mark.parametrize(
    ("options", "bottoms", "says"),
    [
        ("axis: 4", (X,), "axis must lie in [-4, 4)"),
        ("axis: -5", (X,), "axis must lie in [-4, 4)"),
        ("axis: 2 num_axes: 3", (X,), "reach beyond the bottom's last axis"),
        ("num_axes: -2", (X,), "num_axes must be -1"),
        ("", (X, (4,)), "begin with the shape that is broadcast, (4,). Received: bottom of shape (2, 3, 4, 5)"),
        ("axis: 3", (X, (5, 2)), "begin with the shape that is broadcast"),
        ('filler { type: "unifrom" }', (X,), 'Did you mean "uniform"'),
    ],
)
def test_what_does_not_fit_is_named(kind: str, options: str, bottoms: tuple, says: str) -> None:
    with pytest.raises(SegcaffeError) as error:
        LayerCase(kind, f"{kind.lower()}_param {{ {options} }}", bottoms).build()
    assert f'layer "layer" ({kind}): ' in str(error.value)
    assert says in str(error.value)


def test_scale_refuses_a_bottom_of_other_channels() -> None:
    layer, bottom, top = LayerCase("Scale").build()
    bottom[0].reshape(2, 4, 5, 6)
    with pytest.raises(SegcaffeError, match=r"broadcast, \(3,\)"):
        layer.reshape(bottom, top)


def test_scale_refuses_a_second_bottom_that_outgrew_its_bias() -> None:
    layer, bottom, top = LayerCase("Scale", "scale_param { axis: 0 bias_term: true }", (X, (2, 3))).build()
    bottom[0].reshape(4, 3, 4, 5)
    bottom[1].reshape(4, 3)
    with pytest.raises(SegcaffeError, match="the bias has shape"):
        layer.reshape(bottom, top)


def test_parameters_are_one_and_zero_without_fillers() -> None:
    from segcaffe.layers import layer_class

    case = LayerCase("Scale", "scale_param { bias_term: true }", (X,))
    _, bottom, top = case.build()
    layer = layer_class("Scale")(case.layer_param(), 1)
    layer.setup(bottom, top)
    assert (layer.blobs[0].data == 1).all()
    assert (layer.blobs[1].data == 0).all()


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize(
    ("options", "shape", "view"),
    [
        ("", (3, 5, 101, 103), (1, 5, 1, 1)),
        ("num_axes: 0", (3, 5, 101, 103), ()),
        ("axis: 2 num_axes: 2", (3, 5, 101, 103), (1, 1, 101, 103)),
        ("axis: 1", (700, 301), (1, 301)),
        ("axis: -1", (3, 5, 101, 103), (1, 1, 1, 103)),
    ],
    ids=["channels", "scalar", "map", "table", "last"],
)
def test_blobs_divided_among_threads(options: str, shape: tuple, view: tuple, in_place: bool) -> None:
    layer, bottom, top = LayerCase("Scale", f"scale_param {{ bias_term: true {options} }}", (shape,)).build()
    top = bottom if in_place else top
    x = bottom[0].data.astype(np.float64)
    scale, bias = (blob.data.astype(np.float64).reshape(view) for blob in layer.blobs)
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, x * scale + bias, rtol=1e-5, atol=1e-5)
    dy = np.random.default_rng(1).standard_normal(shape)
    top[0].diff[...] = dy
    layer.backward(top, [True], bottom)
    axes = tuple(i for i in range(len(shape)) if not view or view[i] == 1)
    np.testing.assert_allclose(bottom[0].diff, dy * scale, rtol=1e-5, atol=1e-6)
    for blob, terms in zip(layer.blobs, (x * dy, dy), strict=True):
        expected = terms.sum(axis=axes).reshape(blob.shape)
        np.testing.assert_allclose(blob.diff, expected, rtol=1e-4, atol=1e-5 * np.abs(terms).sum() / blob.count)


def test_sums_are_the_same_from_run_to_run() -> None:
    layer, bottom, top = LayerCase("Scale", "scale_param { num_axes: 0 }", ((3, 5, 201, 203),)).build()
    layer.forward(bottom, top)
    top[0].diff[...] = np.random.default_rng(1).standard_normal(top[0].shape)
    sums = []
    for _ in range(5):
        layer.blobs[0].diff[...] = 0
        layer.backward(top, [True], bottom)
        sums.append(float(layer.blobs[0].diff))
    assert len(set(sums)) == 1
