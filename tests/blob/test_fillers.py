from __future__ import annotations

import numpy as np
import pytest

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.blob.buffer import BufferPart
from segcaffe.blob.fillers import fans, fill
from segcaffe.errors import ShapeError
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

WHERE = 'layer "conv" (Convolution)'


def filled(text: str, shape: tuple[int, ...], seed: int = 3, dtype: type = np.float32) -> np.ndarray:
    device.set_random_seed(seed)
    filler = caffe_pb2.FillerParameter()
    parse(text, filler, filename="test")
    blob = Blob(shape, dtype)
    fill(blob, filler, WHERE)
    return blob.data


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4, 5, 6)])
def test_constant_fills_blobs_of_any_rank(shape: tuple[int, ...]) -> None:
    assert np.array_equal(filled("value: 2.5", shape), np.full(shape, 2.5))


def test_an_empty_filler_gives_zero() -> None:
    assert not filled("", (4, 5)).any()


def test_zero_is_written_over_what_was_there() -> None:
    blob, part = Blob((2, 3)), Blob((3,))
    part.use_buffer("data", BufferPart(blob.buffer("data"), 3, 3))
    assert part.buffer("data").untouched
    blob.data = 5
    assert not part.buffer("data").untouched
    fill(part, caffe_pb2.FillerParameter(), WHERE)
    assert blob.data.tolist() == [[5, 5, 5], [0, 0, 0]]
    fill(blob, caffe_pb2.FillerParameter(), WHERE)
    assert not blob.data.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_lies_between_its_bounds_and_reaches_near_them(dtype: type) -> None:
    values = filled('type: "uniform" min: -2 max: 6', (50, 400), dtype=dtype)
    assert values.dtype == dtype
    assert -2 <= values.min() < -1.99
    assert 5.99 < values.max() <= 6
    assert abs(values.mean() - 2) < 0.1


def test_uniform_default_bounds_are_zero_and_one() -> None:
    values = filled('type: "uniform"', (100, 100))
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() <= 1


def test_gaussian_has_the_mean_and_deviation_asked_for() -> None:
    values = filled('type: "gaussian" mean: 3 std: 0.5', (100, 1000))
    assert abs(values.mean() - 3) < 0.01
    assert abs(values.std() - 0.5) < 0.01


def test_sparse_gaussian_keeps_that_many_weights_per_input_on_average() -> None:
    values = filled('type: "gaussian" std: 1 sparse: 15', (60, 2000))
    assert abs((values != 0).mean() - 0.25) < 0.01
    assert abs(values[values != 0].std() - 1) < 0.02


def test_sparse_zero_gives_zeros() -> None:
    assert not filled('type: "gaussian" sparse: 0', (6, 7)).any()


@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (5, 6), (7,)])
def test_positive_unitball_rows_are_positive_and_sum_to_one(shape: tuple[int, ...]) -> None:
    rows = filled('type: "positive_unitball"', shape).reshape(shape[0], -1)
    assert (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)


FAN_CASES = [
    ("", 200),
    ("variance_norm: FAN_IN", 200),
    ("variance_norm: FAN_OUT", 800),
    ("variance_norm: AVERAGE", 500),
]


@pytest.mark.parametrize(("norm", "divisor"), FAN_CASES)
def test_xavier_is_uniform_of_variance_one_over_the_fan(norm: str, divisor: int) -> None:
    values = filled(f'type: "xavier" {norm}', (80, 20, 2, 5))
    bound = np.sqrt(3 / divisor)
    assert np.abs(values).max() <= bound * 1.0001
    assert np.abs(values).max() > 0.99 * bound
    assert abs(values.std() / np.sqrt(1 / divisor) - 1) < 0.02


@pytest.mark.parametrize(("norm", "divisor"), FAN_CASES)
def test_msra_is_normal_of_variance_two_over_the_fan(norm: str, divisor: int) -> None:
    values = filled(f'type: "msra" {norm}', (80, 20, 2, 5))
    assert abs(values.std() / np.sqrt(2 / divisor) - 1) < 0.02
    assert np.abs(values).max() > 3 * values.std()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), (1, 1)), ((8,), (1, 8)), ((8, 4), (4, 8)), ((8, 4, 3), (12, 24)), ((2, 3, 1, 1, 5), (15, 10))],
)
def test_fans(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert fans(shape) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_bilinear_is_the_product_of_two_ramps(size: int) -> None:
    values = filled('type: "bilinear"', (2, 3, size, size))
    factor = int(np.ceil(size / 2))
    centre = (size - 1) / (2 * factor)
    for y in range(size):
        for x in range(size):
            expected = (1 - abs(x / factor - centre)) * (1 - abs(y / factor - centre))
            np.testing.assert_allclose(values[:, :, y, x], expected, rtol=1e-6)


def test_xy_gives_column_then_row_for_every_image() -> None:
    values = filled('type: "xy"', (2, 2, 3, 4))
    rows, columns = np.mgrid[:3, :4]
    for image in values:
        assert np.array_equal(image, np.stack([columns, rows]))


def test_the_same_seed_gives_the_same_values() -> None:
    first = filled('type: "msra"', (3, 4), seed=7).copy()
    assert np.array_equal(first, filled('type: "msra"', (3, 4), seed=7))
    assert not np.array_equal(first, filled('type: "msra"', (3, 4), seed=8))


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "xavier", "msra", "positive_unitball"])
def test_a_scalar_can_be_drawn(kind: str) -> None:
    assert np.isfinite(filled(f'type: "{kind}"', ()))


def test_an_empty_blob_is_left_alone() -> None:
    assert filled('type: "positive_unitball"', (0, 3)).size == 0


@pytest.mark.parametrize(
    ("text", "shape", "says"),
    [
        ('type: "xaver"', (2, 3), 'no filler of type "xaver". Did you mean "xavier"?'),
        ('type: "zzz"', (2, 3), "Known: constant, gaussian"),
        ('type: "bilinear"', (2, 3), "4 axes with a square kernel"),
        ('type: "bilinear"', (2, 3, 4, 5), "4 axes with a square kernel"),
        ('type: "xy"', (2, 3, 4, 5), "shape (N, 2, H, W)"),
        ('type: "uniform" min: 2 max: 1', (3,), "min <= max"),
        ('type: "gaussian" std: -1', (3,), "std >= 0"),
        ('type: "gaussian" sparse: 9', (3, 10), "0 to 3"),
        ('type: "gaussian" sparse: -2', (3, 10), "0 to 3"),
        ('type: "constant" sparse: 3', (3, 10), "only the gaussian filler can be sparse"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(ShapeError) as error:
        filled(text, shape)
    assert str(error.value).startswith(WHERE)
    assert says in str(error.value)
