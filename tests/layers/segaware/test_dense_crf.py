"""DenseCRF against dense filter matrices; padding; options."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import DataError, ShapeError
from segcaffe.testing import LayerCase
from tests.layers.segaware.test_multi_stage_meanfield import normalised_matrix, positions

Shapes = tuple[object, ...]
SIZES = np.array([[4, 5], [3, 4]], np.float32).reshape(2, 2, 1, 1)
BOTTOMS: Shapes = ((2, 3, 4, 5), SIZES, (2, 3, 4, 5))
OPTIONS = "max_iter: 3 pos_w: 2 pos_xy_std: 1.3 pos_w: 0.5 pos_xy_std: 2.1 bi_w: 1.5 bi_xy_std: 3.1 bi_rgb_std: 1.7"


def case(options: str, bottoms: Shapes = BOTTOMS) -> LayerCase:
    return LayerCase("DenseCRF", f"dense_crf_param {{ {options} }}", bottoms=bottoms)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(0))
    return e / e.sum(0)


@pytest.mark.parametrize("probability", [True, False])
def test_equals_dense_filters_inside_each_size(probability: bool) -> None:
    layer, bottom, top = case(f"{OPTIONS} output_probability: {str(probability).lower()}").build(np.float64)
    layer.forward(bottom, top)
    for n, (h, w) in enumerate(((4, 5), (3, 4))):
        scores = bottom[0].data[n, :, :h, :w].reshape(3, -1)
        colors = bottom[2].data[n, :, :h, :w].reshape(3, -1).T / 1.7
        filters = [
            (2.0, normalised_matrix(positions(h, w, 1.3))),
            (0.5, normalised_matrix(positions(h, w, 2.1))),
            (1.5, normalised_matrix(np.hstack([positions(h, w, 3.1), colors]))),
        ]
        p = softmax(scores)
        for _ in range(3):
            p = softmax(scores + sum(weight * p @ matrix.T for weight, matrix in filters))
        expected = np.zeros((3, 4, 5))
        expected[:, :h, :w] = (p if probability else np.log(p)).reshape(3, h, w)
        np.testing.assert_allclose(top[0].data[n], expected, rtol=1e-4, atol=1e-5)


def test_no_iterations_is_a_softmax() -> None:
    layer, bottom, top = case("max_iter: 0", ((1, 3, 4, 5), SIZES[:1])).build()
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data[0].reshape(3, -1), softmax(bottom[0].data[0].reshape(3, -1)), rtol=1e-5)


def test_a_size_beyond_the_scores_means_a_crop() -> None:
    results = []
    for size in ((9, 9), (4, 5), (9, 5)):
        sizes = np.array(size, np.float32).reshape(1, 2, 1, 1)
        layer, bottom, top = case(OPTIONS, ((1, 3, 4, 5), sizes, (1, 3, 4, 5))).build()
        layer.forward(bottom, top)
        results.append(top[0].data.copy())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[2], results[1])


def test_logarithms_stay_finite() -> None:
    scores = np.zeros((1, 2, 3, 3), np.float32)
    scores[:, 0] = 1000
    options = "max_iter: 1 pos_w: 1 pos_xy_std: 1 output_probability: false"
    layer, bottom, top = case(options, (scores, np.full((1, 2, 1, 1), 3.0))).build()
    layer.forward(bottom, top)
    assert np.isfinite(top[0].data).all()
    assert top[0].data[0, 1].max() < -80


@pytest.mark.parametrize(
    ("options", "bottoms", "rule"),
    [
        ("max_iter: -1", BOTTOMS[:2], "max_iter must be 0 or more"),
        ("pos_w: 1", BOTTOMS[:2], "pos_w, pos_xy_std must be given equally often"),
        ("bi_w: 1 bi_xy_std: 1", BOTTOMS, "bi_w, bi_xy_std, bi_rgb_std must be given equally often"),
        ("pos_w: 1 pos_xy_std: 0", BOTTOMS[:2], "standard deviations must be positive"),
        ("pos_w: 1 pos_xy_std: 1", BOTTOMS, "an image needs bilateral potentials"),
        (OPTIONS, BOTTOMS[:2], "need an image as the third bottom"),
        (OPTIONS, (*BOTTOMS[:2], (2, 1, 4, 5)), "the image must have 3 channels"),
        (OPTIONS, (BOTTOMS[0], (2, 1, 1, 1), BOTTOMS[2]), "a height and a width for each image"),
        (OPTIONS, ((2, 3, 4), *BOTTOMS[1:]), "4 axes"),
    ],
)
def test_options_that_cannot_be(options: str, bottoms: Shapes, rule: str) -> None:
    with pytest.raises(ShapeError, match=rule):
        case(options, bottoms).build()


@pytest.mark.parametrize("size", [0, np.nan])
def test_a_size_of_0_is_an_error(size: float) -> None:
    layer, bottom, top = case("max_iter: 1", ((1, 3, 4, 5), np.full((1, 2, 1, 1), size))).build()
    with pytest.raises(ShapeError, match="the sizes must be positive"):
        layer.forward(bottom, top)


@pytest.mark.parametrize(("value", "rule"), [(np.nan, "Received: NaN"), (1e9, "Received: [1-9]")])
def test_an_image_without_a_place_on_the_lattice_is_an_error(value: float, rule: str) -> None:
    image = np.full((1, 3, 4, 5), value)
    layer, bottom, top = case(OPTIONS, ((1, 3, 4, 5), np.array([4, 5]).reshape(1, 2, 1, 1), image)).build()
    with pytest.raises(DataError, match=rule):
        layer.forward(bottom, top)
