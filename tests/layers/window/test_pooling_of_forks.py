"""Pooling's options of other Caffes against loops over every pixel of every window, written from their layers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.testing import LayerCase

SIZE = (7, 10)


class Options(NamedTuple):
    """Kernel, stride, padding in front and behind and dilation for (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    front: tuple[int, int]
    behind: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    floor: bool = False

    def text(self) -> str:
        (kh, kw), (sh, sw), (t, left), (b, r), (dh, dw), _ = self
        window = f"kernel_h: {kh} kernel_w: {kw} stride_h: {sh} stride_w: {sw} pad_t: {t} pad_l: {left} pad_b: {b}"
        more = f"pad_r: {r} dilation: [{dh}, {dw}] ceil_mode: {'false' if self.floor else 'true'}"
        return f"{window} {more}"

    def counts(self) -> list[int]:
        """Windows along each axis: the last one begins inside the image or in the padding before it."""
        counts = []
        for n, k, s, front, behind, d in zip(SIZE, *self[:5], strict=True):
            room = (n + front + behind - (d * (k - 1) + 1)) / s
            count = (math.floor(room) if self.floor else math.ceil(room)) + 1
            if any((*self.front, *self.behind)) and (count - 1) * s >= n + front:
                count -= 1
            counts.append(count)
        return counts

    def taps(self, axis: int, o: int) -> tuple[list[int], int]:
        """The pixels of window o that lie in the image, and how many lie in it or in its padding."""
        start = o * self.stride[axis] - self.front[axis]
        places = [start + t * self.dilation[axis] for t in range(self.kernel[axis])]
        inside = [place for place in places if 0 <= place < SIZE[axis]]
        return inside, sum(place < SIZE[axis] + self.behind[axis] for place in places)


CASES = [
    Options((3, 3), (2, 2), (1, 0), (0, 1)),
    Options((3, 2), (2, 3), (0, 1), (2, 1)),
    Options((2, 2), (2, 2), (0, 0), (1, 1)),
    Options((3, 3), (2, 2), (0, 0), (1, 1), floor=True),
    Options((3, 3), (2, 2), (1, 1), (1, 1)),
    Options((2, 3), (1, 1), (0, 0), (0, 0), (3, 2)),
    Options((2, 2), (2, 1), (1, 2), (2, 1), (2, 3)),
    Options((3, 3), (1, 2), (2, 1), (2, 1), (2, 1), floor=True),
]


def windows(options: Options) -> Iterator[tuple[tuple[int, ...], Any, int, int]]:
    """Each window's place in the output, its pixels, and its sizes with and without padding."""
    for o in itertools.product(*map(range, options.counts())):
        (rows, down), (columns, across) = (options.taps(axis, at) for axis, at in enumerate(o))
        yield o, np.ix_(rows, columns), down * across, len(rows) * len(columns)


def run(options: Options, pool: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The top, its gradient, and the gradient of the image."""
    case = LayerCase("Pooling", f"pooling_param {{ pool: {pool} {options.text()} }}", (image.shape,))
    layer, bottom, top = case.build(np.float64, [image])
    layer.forward(bottom, top)
    top[0].diff[...] = np.linspace(-1, 1, top[0].count).reshape(top[0].shape)
    bottom[0].diff[...] = np.nan
    layer.backward(top, [True], bottom)
    assert top[0].shape[2:] == tuple(options.counts())
    return top[0].data, top[0].diff, bottom[0].diff


@pytest.mark.parametrize("pool", ["AVE", "AVE_EXC_PAD", "AVE_TF", "AVE avg_include_pad: false"])
@pytest.mark.parametrize("options", CASES)
def test_averages(options: Options, pool: str) -> None:
    image = np.random.default_rng(0).standard_normal((2, 3, *SIZE))
    top, grad, gradient = run(options, pool, image)
    expected = np.zeros(image.shape)
    for o, part, padded, inside in windows(options):
        size = padded if pool == "AVE" else inside
        here = (slice(None), slice(None), *o)
        wanted = image[:, :, part[0], part[1]].sum((2, 3)) / size if inside else 0
        np.testing.assert_allclose(top[here], wanted, atol=1e-12)
        if inside:
            expected[:, :, part[0], part[1]] += grad[here][:, :, None, None] / size
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize("options", CASES)
def test_maxima(options: Options) -> None:
    image = np.random.default_rng(0).permutation(6 * math.prod(SIZE)).reshape(2, 3, *SIZE).astype(float)
    top, grad, gradient = run(options, "MAX", image)
    expected = np.zeros(image.shape)
    for o, part, _, inside in windows(options):
        if not inside:
            continue
        for n, c in itertools.product(range(2), range(3)):
            values = image[n, c][part]
            assert top[(n, c, *o)] == values.max()
            expected[n, c][image[n, c] == values.max()] += grad[(n, c, *o)]
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3])
def test_pad_type_1_keeps_the_size(kernel: int, stride: int) -> None:
    image = np.random.default_rng(0).standard_normal((1, 2, *SIZE))
    options = f"pooling_param {{ pool: AVE_EXC_PAD kernel_size: {kernel} stride: {stride} pad_type: 1 }}"
    layer, bottom, top = LayerCase("Pooling", options, (image.shape,)).build(np.float64, [image])
    layer.forward(bottom, top)
    assert top[0].shape[2:] == tuple(-(-n // stride) for n in SIZE)
    total = [max((count - 1) * stride + kernel - n, 0) for count, n in zip(top[0].shape[2:], SIZE, strict=True)]
    first = image[0, 0, : kernel - total[0] // 2, : kernel - total[1] // 2]
    assert top[0].data[0, 0, 0, 0] == pytest.approx(first.mean())


def test_equal_values_are_one() -> None:
    for sizes, shape in (("kernel_size_nd: [2, 2, 2] stride_nd: [2, 2, 2]", (3, 4)), ("kernel_size_nd: 2", (5, 7))):
        _, _, top = LayerCase("Pooling", f"pooling_param {{ {sizes} }}", ((1, 2, 6, 8),)).build()
        assert top[0].shape[2:] == shape


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ("ceil_mode: false", (1, 1, 2, 4)),
        ("ceil_mode: true", (1, 1, 3, 4)),
        ("ceil_mode: false round_mode: CEIL", (1, 1, 3, 4)),
        ("round_mode: FLOOR", (1, 1, 2, 4)),
    ],
)
def test_round_mode_prevails_over_ceil_mode(options: str, shape: tuple[int, ...]) -> None:
    case = LayerCase("Pooling", f"pooling_param {{ kernel_size: 2 stride: 2 {options} }}", ((1, 1, 5, 8),))
    assert case.build()[2][0].shape == shape


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("kernel_size: 3 pad: 1 pad_l: 1", "either pad or pad_t, pad_l, pad_b, pad_r may be given"),
        ("kernel_size: 3 pad: 1 pad_type: 1", "pad_type 1 finds the padding itself"),
        ("kernel_size: 3 dilation: 2 kstride: 2", "the dilation may be given under one name"),
        ("kernel_size: 2 pad_t: 3", "pad must be smaller than kernel_size"),
        ("pool: STOCHASTIC kernel_size: 2 kstride: 2", "takes no padding and no dilation"),
        ("pool: LOWRES kernel_size: 2", "pool is MAX, AVE, AVE_EXC_PAD or STOCHASTIC. Received: LOWRES"),
    ],
)
def test_errors(options: str, expected: str) -> None:
    with pytest.raises(ShapeError, match=expected.replace("(", r"\(")):
        LayerCase("Pooling", f"pooling_param {{ {options} }}", ((1, 1, 5, 8),)).build()


@pytest.mark.parametrize("pool", ["MAX", "AVE", "AVE_EXC_PAD"])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "dilation"),
    [((2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 1, 1)), ((3, 2, 3), (1, 2, 2), (1, 0, 1), (1, 1, 1)),
     ((2, 2, 2), (1, 1, 2), (1, 1, 0), (2, 3, 2))],
)  # fmt: skip
def test_volumes(pool: str, kernel: Any, stride: Any, pad: Any, dilation: Any) -> None:
    size = (4, 5, 6)
    image = np.random.default_rng(0).permutation(2 * 3 * math.prod(size)).reshape(2, 3, *size).astype(float)
    given = {"kernel_size": kernel, "stride": stride, "pad": pad, "dilation": dilation}
    text = " ".join(f"{name}: {value}" for name, values in given.items() for value in values)
    layer, bottom, top = LayerCase("Pooling", f"pooling_param {{ pool: {pool} {text} }}", (image.shape,)).build(
        np.float64, [image]
    )
    layer.forward(bottom, top)
    top[0].diff[...] = grad = np.random.default_rng(1).standard_normal(top[0].shape)
    layer.backward(top, [True], bottom)
    expected = np.zeros(image.shape)
    for o in itertools.product(*map(range, top[0].shape[2:])):
        taps = [[o[a] * stride[a] - pad[a] + t * dilation[a] for t in range(kernel[a])] for a in range(3)]
        inside = [[place for place in taps[a] if 0 <= place < size[a]] for a in range(3)]
        padded = math.prod(sum(place < size[a] + pad[a] for place in taps[a]) for a in range(3))
        part = (slice(None), slice(None), *np.ix_(*inside))
        for n, c in itertools.product(range(2), range(3)):
            values = image[n, c][part[2:]]
            if pool == "MAX":
                assert top[0].data[(n, c, *o)] == values.max()
                expected[n, c][image[n, c] == values.max()] += grad[(n, c, *o)]
                continue
            count = padded if pool == "AVE" else values.size
            assert top[0].data[(n, c, *o)] == pytest.approx(values.sum() / count)
            expected[n, c][part[2:]] += grad[(n, c, *o)] / count
    np.testing.assert_allclose(bottom[0].diff, expected, atol=1e-9)
