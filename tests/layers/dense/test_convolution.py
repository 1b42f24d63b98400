"""Convolution, Deconvolution and Im2col against loops over every pixel and tap, and their messages."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.layers.registry import layer_class
from segcaffe.testing import LayerCase
from tests.cases import dense

TYPES = ("Convolution", "HoleConvolution", "Deconvolution", "Im2col")
PLAIN = [c for c in dense.CASES if c.type in TYPES and len(c.inputs()[0].shape) == 4 and "axis" not in c.suffix]


def _pairs(w, image, output):
    """(output pixel, tap's row and column, image pixel) wherever a tap meets the image."""
    for q in itertools.product(*map(range, output)):
        for t in itertools.product(*map(range, w.kernel)):
            p = tuple(a * s + b * d - o for a, s, b, d, o in zip(q, w.stride, t, w.dilation, w.pad, strict=True))
            if all(0 <= a < size for a, size in zip(p, image, strict=True)):
                yield q, t, p


def _convolve(layer, x, top_shape):
    window, group = layer.window, layer.group
    weight = layer.blobs[0].data.astype(np.float64)
    m, c = weight.shape[:2]
    out = np.zeros(top_shape)
    for g in range(group):
        rows, channels = slice(g * m // group, (g + 1) * m // group), slice(g * c, (g + 1) * c)
        if layer.param.convolution_param.bottom_is_im2col:
            taps = window.taps
            out[:, rows] += np.einsum(
                "mk,nkhw->nmhw", weight[rows].reshape(m // group, -1), x[:, g * c * taps : (g + 1) * c * taps]
            )
            continue
        for q, t, p in _pairs(window, x.shape[2:], top_shape[2:]):
            out[(slice(None), rows, *q)] += x[(slice(None), channels, *p)] @ weight[(rows, slice(None), *t)].T
    return out


def _deconvolve(layer, x, top_shape):
    window, group = layer.window, layer.group
    weight = layer.blobs[0].data.astype(np.float64)
    c, m = weight.shape[:2]
    out = np.zeros(top_shape)
    for g in range(group):
        channels, rows = slice(g * c // group, (g + 1) * c // group), slice(g * m, (g + 1) * m)
        for q, t, p in _pairs(window, top_shape[2:], x.shape[2:]):
            out[(slice(None), rows, *p)] += x[(slice(None), channels, *q)] @ weight[(channels, slice(None), *t)]
    return out


def _columns(layer, x, top_shape):
    n, c = x.shape[:2]
    out = np.zeros((n, c, *layer.window.kernel, *top_shape[2:]))
    for q, t, p in _pairs(layer.window, x.shape[2:], top_shape[2:]):
        out[(slice(None), slice(None), *t, *q)] = x[(slice(None), slice(None), *p)]
    return out.reshape(top_shape)


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.id)
def test_forward_equals_loops(case):
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    reference = {
        "Convolution": _convolve,
        "HoleConvolution": _convolve,
        "Deconvolution": _deconvolve,
        "Im2col": _columns,
    }[case.type]
    for x, y in zip(bottom, top, strict=True):
        expected = reference(layer, x.data.astype(np.float64), y.shape)
        if len(layer.blobs) == 2:
            expected += layer.blobs[1].data[:, None, None]
        np.testing.assert_allclose(y.data, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


def test_channels_on_another_axis_are_those_of_each_item():
    along = LayerCase("Convolution", "convolution_param { num_output: 3 kernel_size: 2 axis: 2 }", ((2, 4, 3, 4, 5),))
    flat = LayerCase("Convolution", "convolution_param { num_output: 3 kernel_size: 2 }", ((8, 3, 4, 5),))
    layer, bottom, top = along.build()
    layer2, bottom2, top2 = flat.build(inputs=[bottom[0].data.reshape(8, 3, 4, 5)])
    for mine, theirs in zip(layer2.blobs, layer.blobs, strict=True):
        mine.data[...] = theirs.data
    layer.forward(bottom, top)
    layer2.forward(bottom2, top2)
    assert top[0].shape == (2, 4, 3, 3, 4)
    np.testing.assert_array_equal(top[0].data.reshape(top2[0].shape), top2[0].data)


def test_convolving_columns_equals_convolving_the_image():
    options = "kernel_size: 3 stride: 2 pad: 1 dilation: 2"
    case = LayerCase("Convolution", f"convolution_param {{ num_output: 4 group: 2 {options} }}", ((2, 6, 9, 8),))
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    columns, image, wide = LayerCase("Im2col", f"convolution_param {{ {options} }}", ((2, 6, 9, 8),)).build(
        inputs=[bottom[0].data]
    )
    columns.forward(image, wide)
    again = LayerCase(
        "Convolution",
        "convolution_param { num_output: 4 group: 2 kernel_size: 3 bottom_is_im2col: true }",
        (wide[0].shape,),
    )
    layer2, bottom2, top2 = again.build(inputs=[wide[0].data])
    for mine, theirs in zip(layer2.blobs, layer.blobs, strict=True):
        mine.data[...] = theirs.data
    layer2.forward(bottom2, top2)
    np.testing.assert_allclose(top2[0].data, top[0].data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "case",
    [
        (dense.convolution("", "num_output: 4 kernel_size: 3 pad: 1 group: 2", (2, 6, 5, 7)), 2 * 5 * 7 * 4 * 3 * 9),
        (dense.deconvolution("", "num_output: 4 kernel_size: 3", (2, 6, 5, 7)), 2 * 5 * 7 * 6 * 4 * 9),
        (dense.inner_product("", "num_output: 5", (3, 4, 2)), 3 * 8 * 5),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_multiply_adds(case):
    layer, bottom, top = case[0].build()
    assert layer.multiply_adds(bottom, top) == case[1]


def test_unwanted_parameter_gradients_are_left_alone():
    case = dense.convolution("", "num_output: 4 kernel_size: 3")
    for wanted in ([True, False], [False, True], [False, False]):
        layer, bottom, top = case.build()
        layer.param_propagate_down = wanted
        layer.forward(bottom, top)
        top[0].diff[...] = 1
        layer.backward(top, [False], bottom)
        assert [bool(blob.diff.any()) for blob in layer.blobs] == wanted


ERRORS = [
    ("Convolution", "num_output: 4", (1, 3, 5, 5), "kernel_size must be given"),
    ("Convolution", "num_output: 4 kernel_size: 0", (1, 3, 5, 5), "kernel_size must be 1 or more"),
    ("Convolution", "num_output: 4 kernel_size: 3 stride: 0", (1, 3, 5, 5), "stride must be 1 or more"),
    ("Convolution", "num_output: 4 kernel_size: 3 dilation: 0", (1, 3, 5, 5), "dilation must be 1 or more"),
    ("Convolution", "kernel_size: 3", (1, 3, 5, 5), r"num_output must be 1 or more\. Received: 0"),
    ("Convolution", "num_output: 0 kernel_size: 3", (1, 3, 5, 5), "num_output must be 1 or more"),
    ("Convolution", "num_output: 4 kernel_size: 3 group: 0", (1, 3, 5, 5), "group must divide"),
    ("Convolution", "num_output: 4 kernel_size: 3 group: 2", (1, 3, 5, 5), "group must divide .* group 2, 3 channels"),
    ("Convolution", "num_output: 4 kernel_size: 3 group: 3", (1, 3, 5, 5), "group must divide .* num_output 4"),
    ("Convolution", "num_output: 4 kernel_size: 3 axis: 4", (1, 3, 5, 5), "axis must lie in"),
    ("Convolution", "num_output: 4 kernel_size: 3 axis: 3", (1, 3, 5, 5), "needs 1 to 3 spatial axes"),
    ("Convolution", "num_output: 4 kernel_size: 3", (1, 3, 2, 2, 2, 2), "needs 1 to 3 spatial axes"),
    ("Convolution", "num_output: 4 kernel_size: 6", (1, 3, 5, 5), "must fit into the padded input"),
    ("Convolution", "num_output: 4 kernel_size: 3 dilation: 3 pad: 0", (1, 3, 5, 5), "must fit into the padded input"),
    ("Convolution", "num_output: 4 kernel_size: 3 bottom_is_im2col: true", (1, 8, 5, 5), "multiple of the 9 taps"),
    ("Deconvolution", "num_output: 4 kernel_size: 3 group: 2", (1, 3, 5, 5), "group must divide"),
    ("Deconvolution", "num_output: 4 kernel_size: 3 pad: 9", (1, 3, 5, 5), "at least one pixel of the output"),
    ("Deconvolution", "num_output: 4 kernel_size: 3 bottom_is_im2col: true", (1, 9, 5, 5), "option of Convolution"),
    ("Im2col", "kernel_size: 6", (1, 3, 5, 5), "must fit into the padded input"),
    ("Im2col", "kernel_size: 3", (1, 3), "needs 1 to 3 spatial axes"),
    ("Im2col", "kernel_size: 3 axis: -5", (1, 3, 5, 5), "axis must lie in"),
]


@pytest.mark.parametrize(("type_name", "options", "shape", "message"), ERRORS)
def test_bad_options_are_explained(type_name, options, shape, message):
    case = LayerCase(type_name, f"convolution_param {{ {options} }}", (shape,))
    with pytest.raises(ShapeError, match=message) as error:
        case.build()
    assert str(error.value).startswith(f'layer "layer" ({type_name}): ')
    assert ".." not in str(error.value)


@pytest.mark.parametrize("type_name", ["Convolution", "Deconvolution"])
def test_other_channels_than_at_setup_are_explained(type_name):
    layer, bottom, top = LayerCase(type_name, "convolution_param { num_output: 2 kernel_size: 1 }").build()
    bottom[0].reshape(2, 4, 5, 6)
    with pytest.raises(ShapeError, match=r"was set up for 3 channels on axis 1\. Received"):
        layer.reshape(bottom, top)


def test_bottoms_of_different_channels_are_explained():
    with pytest.raises(ShapeError, match="all bottoms need the same number of axes and channels"):
        dense.convolution("", "num_output: 2 kernel_size: 1", (1, 2, 3, 3), (1, 3, 3, 3)).build()


def test_types_are_registered_under_their_names():
    assert [layer_class(name).__name__ for name in TYPES] == list(TYPES)
