"""MultiStageMeanfield against dense filter matrices taken from a lattice in a dictionary."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.blob.blob import Blob
from segcaffe.errors import SegcaffeError, ShapeError
from segcaffe.layers.base import Layer
from segcaffe.layers.registry import layer_class
from segcaffe.proto import caffe_pb2
from segcaffe.testing import LayerCase
from tests.kernels.test_permutohedral import naive

SHAPES = ((2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5))


def case(options: str, shapes: tuple[tuple[int, ...], ...] = SHAPES) -> LayerCase:
    return LayerCase("MultiStageMeanfield", f"multi_stage_meanfield_param {{ {options} }}", bottoms=shapes)


def normalised_matrix(features: np.ndarray) -> np.ndarray:
    """(P, P): the filter of features (P, D), each row divided by its sum."""
    matrix = naive(np.eye(len(features)), features).T
    return matrix / matrix.sum(1, keepdims=True)


def positions(height: int, width: int, deviation: float) -> np.ndarray:
    rows, columns = np.divmod(np.arange(height * width), width)
    return np.stack([columns, rows], 1) / deviation


@pytest.mark.parametrize("iterations", [2, 4])
def test_equals_dense_filters(iterations: int) -> None:
    layer, bottom, top = case(f"num_iterations: {iterations} theta_alpha: 2.3 theta_beta: 1.7 theta_gamma: 1.3").build(
        np.float64
    )
    layer.forward(bottom, top)
    spatial_w, bilateral_w, compat = (blob.data[0, 0] for blob in layer.blobs)
    spatial = normalised_matrix(positions(4, 5, 1.3))
    for n in range(2):
        colors = bottom[2].data[n].reshape(3, -1).T / 1.7
        bilateral = normalised_matrix(np.hstack([positions(4, 5, 2.3), colors]))
        unary, q = bottom[0].data[n].reshape(3, -1), bottom[1].data[n].reshape(3, -1)
        for _ in range(iterations):
            p = np.exp(q) / np.exp(q).sum(0)
            q = unary - compat @ (spatial_w @ p @ spatial.T + bilateral_w @ p @ bilateral.T)
        np.testing.assert_allclose(top[0].data[n].reshape(3, -1), q, rtol=1e-4, atol=1e-5)


def test_diagonals_of_the_filters_weights_are_given() -> None:
    layer = set_up('spatial_filter_weights_str: "3 2.5 -1"')
    assert layer.blobs[0].data[0, 0].tolist() == [[3, 0, 0], [0, 2.5, 0], [0, 0, -1]]
    assert layer.blobs[1].data[0, 0].tolist() == np.eye(3).tolist()
    assert layer.blobs[2].data[0, 0].tolist() == (-np.eye(3)).tolist()
    for text in ("3 3", "3 3 3 3", "3 a 3", "", "1 nan 1"):
        with pytest.raises(SegcaffeError, match="bilateral_filter_weights_str must be 3 numbers, one for each class"):
            set_up(f'bilateral_filter_weights_str: "{text}"')


def set_up(options: str) -> Layer:
    """The layer with the parameters it starts with."""
    layer = layer_class("MultiStageMeanfield")(
        case(f"num_iterations: 2 {options}").layer_param(), caffe_pb2.TEST, np.float32
    )
    layer.setup([Blob(shape) for shape in SHAPES], [Blob(())])
    return layer


def test_a_new_size_gets_a_new_lattice() -> None:
    options = "num_iterations: 2 theta_gamma: 2"
    layer, bottom, top = case(options).build()
    other = tuple((1, 3, 5, 4) for _ in range(3))
    fresh, fresh_bottom, fresh_top = case(options, other).build()
    for mine, theirs in zip([*bottom, *layer.blobs], [*fresh_bottom, *fresh.blobs], strict=True):
        mine.reshape(*theirs.shape)
        mine.data[...] = theirs.data
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    fresh.forward(fresh_bottom, fresh_top)
    np.testing.assert_array_equal(top[0].data, fresh_top[0].data)


@pytest.mark.parametrize(
    ("options", "shapes", "rule"),
    [
        ("num_iterations: 1", SHAPES, "num_iterations must be 2 or more"),
        ("num_iterations: 2 theta_beta: 0", SHAPES, "theta_beta must be positive"),
        ("num_iterations: 2 theta_gamma: -1", SHAPES, "theta_gamma must be positive"),
        ("num_iterations: 2", (*SHAPES[:2], (2, 1, 4, 5)), "the image must have 3 channels"),
        ("num_iterations: 2", (*SHAPES[:2], (2, 3, 5, 5)), "height and width of the unary scores"),
        ("num_iterations: 2", (SHAPES[0], (2, 4, 4, 5), SHAPES[2]), "unary scores and first q"),
    ],
)
def test_options_that_cannot_be(options: str, shapes: tuple[tuple[int, ...], ...], rule: str) -> None:
    with pytest.raises(ShapeError, match=rule):
        case(options, shapes).build()
