from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.testing import LayerCase

SHAPES = ((2, 3, 6, 10), (2, 3, 6, 10), (2, 2, 6, 10))


def augment(options: str, shift: bool = True) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Bottoms and tops; without ``shift`` the first change is one by no pixel."""
    still = "" if shift else "min_translation: 0 max_translation: 0"
    case = LayerCase("Augmentation", f"aug_param {{ {options} {still} }}", SHAPES, 4)
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    return [blob.data for blob in bottom], [blob.data for blob in top]


@pytest.mark.parametrize("pixels", [2, -3, 0])
def test_a_shift(pixels: int) -> None:
    fraction = (pixels + 0.5 * np.sign(pixels)) / 10
    bottom, top = augment(f"num_transformations: 1 min_translation: {fraction} max_translation: {fraction}")
    expected = [np.zeros_like(values) for values in bottom]
    expected[2][:, 0] = 1
    mask = np.ones((2, 1, 6, 10))
    for i in range(6):
        for j in range(10):
            if 0 <= i + pixels < 6 and 0 <= j + pixels < 10:
                mask[:, :, i, j] = 0
                for values, source in zip(expected, bottom, strict=True):
                    values[:, :, i, j] = source[:, :, i + pixels, j + pixels]
    expected[2][:, 0] *= 10 / (10 - abs(pixels))
    expected[2][:, 1] *= 6 / (6 - abs(pixels))
    for found, wanted in zip(top, [*expected, mask], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_both_images_and_all_channels_get_the_same_noise() -> None:
    bottom, top = augment("num_transformations: 4 min_gaussian: 0.1 max_gaussian: 0.5", shift=False)
    noise = [top[i] - bottom[i] for i in (0, 1)]
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-6)
    np.testing.assert_allclose(noise[0][:, :1] + np.zeros((2, 3, 6, 10)), noise[0], atol=1e-6)
    assert noise[0].std() > 0.05
    np.testing.assert_array_equal(top[2], bottom[2])
    assert not top[3].any()


def test_colour_and_contrast() -> None:
    plain = "min_gaussian: 0 max_gaussian: 0"
    bottom, top = augment(f"num_transformations: 5 {plain}", shift=False)
    factor = top[0] / bottom[0]
    np.testing.assert_allclose(factor, factor[:, :, :1, :1] + np.zeros_like(factor), rtol=1e-4)
    assert 0.5 <= factor.min() < factor.max() <= 2
    bottom, top = augment(
        f"num_transformations: 6 {plain} min_mcc: 1 max_mcc: 1 min_contrast: 0.3 max_contrast: 0.3", shift=False
    )
    np.testing.assert_allclose(top[1], 0.3 * (bottom[1] - 0.5) + 0.5, atol=1e-5)


def test_a_shift_must_leave_something() -> None:
    with pytest.raises(ShapeError, match=r"must leave part of the image.*a shift of 9 pixels"):
        augment("num_transformations: 1 min_translation: 0.95 max_translation: 0.95")


def test_shapes_must_fit() -> None:
    with pytest.raises(ShapeError, match="needs flow of shape"):
        LayerCase("Augmentation", "", (SHAPES[0], SHAPES[1], (2, 3, 6, 10)), 4).build()
