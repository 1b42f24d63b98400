"""NormConv: parameters, the missing scale, and options that cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.testing import LayerCase

BOTTOMS = ((1, 4, 6, 7), (1, 3, 6, 7))


def test_parameters_and_their_fillers() -> None:
    options = (
        "convolution_param { num_output: 6 group: 2 kernel_h: 3 kernel_w: 5 pad: 2 weight_filler { value: 2 } "
        "bias_filler { value: 3 } } norm_conv_param { scale_filler { value: 4 } }"
    )
    case = LayerCase("NormConv", options, bottoms=BOTTOMS)
    layer, bottom, top = case.build()
    assert [blob.shape for blob in layer.blobs] == [(6, 2, 3, 5), (6,), (1,)]
    layer.blobs.clear()
    layer.setup(bottom, top)
    assert [float(blob.data.flat[0]) for blob in layer.blobs] == [2, 3, 4]
    assert top[0].shape == (1, 6, 8, 7)


@pytest.mark.parametrize(("norm", "scale_term", "sign"), [("L2", "true", -1), ("L2", "false", 1), ("L1", "true", -1)])
def test_one_row_by_hand(norm: str, scale_term: str, sign: int) -> None:
    """Without a scale the weights rise with distance, as in the original."""
    x, e = np.array([1.0, 2.0, 5.0]), np.array([0.5, 1.0, -1.0])
    d = np.abs(e - 1.0)
    logits = sign * (d if norm == "L1" else 0.5 * d**2)
    expected = (np.exp(logits) * x).sum() / np.exp(logits).sum()
    options = (
        "convolution_param { num_output: 1 kernel_h: 1 kernel_w: 3 bias_term: false weight_filler { value: 1 } } "
        f"norm_conv_param {{ norm: {norm} scale_term: {scale_term} }}"
    )
    case = LayerCase(
        "NormConv",
        options,
        bottoms=(x.reshape(1, 1, 1, 3), e.reshape(1, 1, 1, 3)),
        params={0: np.ones((1, 1, 1, 3)), 1: np.ones(1)},
    )
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data.ravel(), [expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "bottoms", "rule"),
    [
        ("num_output: 4", BOTTOMS, "kernel_size must be given"),
        ("num_output: 0 kernel_size: 3", BOTTOMS, "num_output must be 1 or more"),
        ("num_output: 4 kernel_size: 3 group: 3", BOTTOMS, "group must divide"),
        ("num_output: 3 kernel_size: 3 group: 2", BOTTOMS, "group must divide"),
        ("num_output: 4 kernel_size: 3 stride: 0", BOTTOMS, "stride must be 1 or more"),
        ("num_output: 4 kernel_size: 9", BOTTOMS, "must fit into the padded input"),
        ("num_output: 4 kernel_size: 3 bottom_is_im2col: true", BOTTOMS, "bottom_is_im2col"),
        ("num_output: 4 kernel_size: 3 axis: 2", BOTTOMS, "channels must be axis 1"),
        ("num_output: 4 kernel_size: 3", ((1, 4, 6), (1, 3, 6, 7)), "4 axes"),
        ("num_output: 4 kernel_size: 3", ((1, 4, 6, 7), (1, 3, 6, 8)), "same batch size, height and width"),
        ("num_output: 4 kernel_size: 3", ((1, 4, 6, 7), (2, 3, 6, 7)), "same batch size, height and width"),
    ],
)
def test_options_that_cannot_be(options: str, bottoms: tuple[tuple[int, ...], ...], rule: str) -> None:
    with pytest.raises(ShapeError, match=rule):
        LayerCase("NormConv", f"convolution_param {{ {options} }}", bottoms=bottoms).build()


def test_channels_may_not_change() -> None:
    layer, bottom, top = LayerCase("NormConv", "convolution_param { num_output: 4 kernel_size: 3 }", BOTTOMS).build()
    bottom[0].reshape(1, 5, 6, 7)
    with pytest.raises(ShapeError, match=r"layer \"layer\" \(NormConv\): the values must have shape \(N, 4, H, W\)"):
        layer.reshape(bottom, top)
