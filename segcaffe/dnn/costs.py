"""Floating-point operations of layers, counted as OpenCV 4.14 counts them, which leaves groups out of account."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from segcaffe.layers.base import Layer
from segcaffe.window import Window

Shape = tuple[int, ...]


class Case(NamedTuple):
    """A layer with the shapes of its bottoms and tops."""

    layer: Layer
    bottoms: tuple[Shape, ...]
    tops: tuple[Shape, ...]

    @property
    def made(self) -> int:
        """Values that the first top has."""
        return math.prod(self.tops[0])


_PER_VALUE = {
    "AbsVal": 1, "BatchNorm": 3, "BNLL": 5, "Clip": 1, "ELU": 2, "Exp": 3, "Log": 3, "PReLU": 1, "ReLU": 1, "ReLU6": 2,
    "Scale": 2, "Sigmoid": 3, "Softmax": 4, "TanH": 1,
}  # fmt: skip


def flops(layer: Layer, bottoms: tuple[Shape, ...], tops: tuple[Shape, ...]) -> int:
    """Operations of one forward pass; 0 for types that only move values, and for those that OpenCV does not have."""
    case = Case(layer, bottoms, tops)
    count = _COUNTS.get(layer.type)
    if count is not None:
        return count(case)
    return _PER_VALUE.get(layer.type, 0) * case.made if tops else 0


def _convolution(case: Case) -> int:
    weight = case.layer.blobs[0].shape
    return case.made * (2 * case.bottoms[0][1] * math.prod(weight[2:]) + 1)


def _deconvolution(case: Case) -> int:
    weight = case.layer.blobs[0].shape
    return 2 * weight[0] * math.prod(weight[2:]) * math.prod(case.bottoms[0])


def _inner_product(case: Case) -> int:
    return 3 * case.made * case.layer.blobs[0].count // case.tops[0][-1]


def _pooling(case: Case) -> int:
    param = case.layer.param.pooling_param
    window = Window.from_pooling(param, case.bottoms[0][2:], case.layer.where)
    return case.made * (math.prod(window.kernel) + (param.pool == param.AVE))


def _lrn(case: Case) -> int:
    param, (num, channels, *image) = case.layer.param.lrn_param, case.bottoms[0]
    size, plane = param.local_size, math.prod(image)
    if param.norm_region == param.WITHIN_CHANNEL:
        return case.made * (2 * size * size + 2)
    half = (size - 1) // 2
    count = num * (min(half, channels) * 2 + channels * 4) * plane
    return count + (size + 2 * (channels - size)) * plane if half < channels else count


def _mvn(case: Case) -> int:
    axes = 2 if case.layer.param.mvn_param.normalize_variance else 1
    return 6 * case.made + 3 * math.prod(case.bottoms[0][:axes])


def _power(case: Case) -> int:
    return case.made * (10 if case.layer.param.power_param.power != 1 else 2)


_COUNTS: dict[str, Callable[[Case], int]] = {
    "Convolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Deconvolution": _deconvolution,
    "Eltwise": lambda case: case.made * len(case.bottoms),
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "MVN": _mvn,
    "Pooling": _pooling,
    "Power": _power,
}
