"""The segmentation-aware layers: columns, distances within windows, and what is weighted by them.

No operator of ONNX compares the pixels of a window. Shifted slices of the image do: one for each tap, compared or
weighted one after the other, so that distances never need all taps of all channels at once. Where the net itself asks
for columns (Im2col, or the weighted windows of NormConv) they exist, other than in segcaffe's own fused layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.export.onnx.taps import Taps, centers_inside, columns, taps_inside
from segcaffe.kernels.distance.registry import L1, L2
from segcaffe.kernels.im2dist import FAR
from segcaffe.layers.segaware.dist_loss import DistLoss
from segcaffe.layers.segaware.im2dist import Im2dist
from segcaffe.layers.segaware.im2parity import Im2parity
from segcaffe.layers.segaware.norm_conv import NormConv
from segcaffe.layers.segaware.norm_conv_meanfield import WindowMeanfield
from segcaffe.layers.window.im2col import Im2col
from segcaffe.window import Window

_FARTHEST = float(np.finfo(np.float32).max) / 4
"""Scaled distances are held within it, so that differences of two of them are finite."""


@maps("Im2col")
def im2col(layer: Im2col, emit: Emitter) -> str:
    """A slice for each tap, joined behind the channels."""
    shape = emit.shape()
    emit.static(*range(layer.axis, len(shape)))
    return emit.as_top(columns(emit, emit.input, shape[layer.axis], layer.window, shape[layer.axis + 1 :]))


@maps("Im2dist")
def im2dist(layer: Im2dist, emit: Emitter) -> str:
    """Tap by tap the squares, or the sizes, of the differences from the centre, summed over the channels."""
    image = _images(emit)
    return _from_images(emit, distances(emit, image, emit.shape()[-2:], layer.window, layer))


@maps("Im2parity")
def im2parity(layer: Im2parity, emit: Emitter) -> str:
    """Every tap's label compared with the centre's."""
    size = emit.shape()[-2:]
    labels = _images(emit)
    if emit.shape()[-3] > 1:
        labels = emit.slice(labels, [emit.shape()[-3] - 1], [emit.shape()[-3]], [1])
    taps = Taps(emit, emit.cast(emit.cast(labels, np.int32), np.float32), 2, layer.window, size)
    center, seen = taps[taps.center], emit.concat(list(taps), axis=1)
    parity = emit.cast(emit.node("Equal", center, seen), np.float32)
    ignored = float(layer.ignore_label or 0)
    if layer.ignore_label is not None:
        label = emit.number(ignored, "ignored")
        either = emit.node("Or", emit.node("Equal", center, label), emit.node("Equal", seen, label))
        parity = emit.where(either, label, parity)
    inside = _centers(layer.window, size)
    if not inside.all():
        counts = emit.mul(parity, emit.constant(inside[None, None].astype(np.float32), "inside"))
        parity = emit.add(counts, emit.constant((ignored * ~inside)[None, None].astype(np.float32), "outside"))
    return _from_images(emit, parity)


@maps("DistLoss")
def dist_loss(layer: DistLoss, emit: Emitter) -> str:
    """The mean of Relu(d - alpha) where the parity is not 0 and of Relu(beta - d) where it is."""
    dist, parity = emit.inputs[0], emit.cast(emit.inputs[1], np.int32)
    other = emit.node("Equal", parity, emit.constant(np.int32(0), "other"))
    apart, near = emit.sub(emit.number(layer.beta, "beta"), dist), emit.sub(dist, emit.number(layer.alpha, "alpha"))
    hinge = emit.node("Relu", emit.where(other, apart, near))
    if layer.ignore_label is not None:
        ignored = emit.node("Equal", parity, emit.constant(np.int32(layer.ignore_label), "ignored"))
        hinge = emit.where(ignored, emit.number(0, "nothing"), hinge)
    # Axis by axis: a single sum of millions of float32 loses digits.
    for axis in reversed(range(emit.ndim())):
        hinge = emit.reduce("ReduceMean", hinge, [axis], keepdims=False)
    return str(hinge)


@maps("NormConv")
def norm_conv(layer: NormConv, emit: Emitter) -> str:
    """Columns times the softmax of their distances, then a convolution of one pixel; its filters keep their values."""
    size, window, channels = emit.shape()[2:], layer.window, layer.channels
    emit.static(1, 2, 3)
    weights = _weights(emit, distances(emit, emit.inputs[1], size, window, layer), _scale(layer, emit))
    weights = emit.times(weights, float(layer.gain))
    weighted = emit.mul(columns(emit, emit.input, channels, window, size), emit.unsqueeze(weights, [1]))
    weighted = emit.reshape(weighted, [-1, channels * window.taps, *window.output_shape(size)])
    filters = emit.parameter_as(0, emit.values(0).reshape(len(emit.values(0)), -1, 1, 1))
    bias = [emit.parameter(1)] if layer.bias_term else []
    return str(emit.node("Conv", weighted, filters, *bias, kernel_shape=[1, 1], group=layer.group))


def _scale(layer: NormConv, emit: Emitter) -> str:
    """What distances are multiplied by; without scale_term the original does not negate them."""
    if not layer.scale_term:
        return emit.number(1, "scale")
    index = len(layer.blobs) - 1
    return emit.parameter_as(index, -emit.values(index))


@maps("NormConvMeanfield", "NospConvMeanfield")
def window_meanfield(layer: WindowMeanfield, emit: Emitter) -> str:
    """The iterations one after the other; the windows' weights are computed once."""
    emit.static(1, 2, 3)
    size, classes = emit.shape()[2:], layer.classes
    filters = zip(layer.guides, layer.windows, layer.scales, layer.remove_center, layer.remove_bounds, strict=True)
    weights = []
    for guide, window, scale, *removed in filters:
        dist = distances(emit, emit.inputs[guide], size, window, _Removed(*removed))
        weights.append(_weights(emit, dist, emit.number(-scale, "scale")))
    matrices = [emit.parameter_as(i, emit.values(i).reshape(classes, classes, 1, 1)) for i in range(len(layer.blobs))]
    unary, scores = emit.inputs[:2]
    for _ in range(layer.num_iterations):
        p = emit.softmax(scores, 1, 4)
        found = [_averaged(emit, p, own, window, size) for own, window in zip(weights, layer.windows, strict=True)]
        mixed = [emit.node("Conv", x, matrix) for x, matrix in zip(found, matrices, strict=False)]
        message = emit.node("Sum", *mixed) if len(mixed) > 1 else mixed[0]
        scores = emit.sub(unary, emit.node("Conv", message, matrices[-1]))
    return scores


class _Removed:
    """What counts for `distances`, of layers that have no such attributes."""

    distance = L2

    def __init__(self, center: bool, bounds: bool) -> None:
        self.remove_center, self.remove_bounds = center, bounds


def distances(
    emit: Emitter, image: str, size: Sequence[int], window: Window, options: Im2dist | NormConv | _Removed
) -> str:
    """Distances (N, taps, H', W') of the taps of each window from its centre, of an image (N, E, H, W).

    Parameters
    ----------
    options:
        Its ``distance``, ``remove_center`` and ``remove_bounds`` count, as those of Im2dist.
    """
    if options.distance not in (L1, L2):
        emit.refuse(f'distance "{options.distance.name}" is a function of this process, which a file does not hold')
    l1 = options.distance is L1
    taps = Taps(emit, image, 2, window, size)
    center = taps[taps.center]
    kind = "ReduceL1" if l1 else "ReduceSumSquare"
    dist = emit.concat([emit.reduce(kind, emit.sub(center, tap), [1]) for tap in taps], axis=1)
    dist = dist if l1 else emit.times(dist, 0.5)
    inside = [taps_inside(window, size, axis) for axis in (0, 1)]
    rows = np.repeat(inside[0], window.kernel[1], axis=0)[None, :, :, None]
    across = np.tile(inside[1], (window.kernel[0], 1))[None, :, None, :]
    far = np.full((1, window.taps, 1, 1), FAR if options.remove_bounds else 0, np.float32)
    if options.remove_center:
        middle = taps.places.index(taps.center)
        rows[:, middle], far[:, middle] = False, FAR
    if rows.all() and across.all():
        return dist
    # Masks are numbers: not every runtime takes constants of bool.
    valid = emit.mul(
        emit.constant(rows.astype(np.float32), "rows"), emit.constant(across.astype(np.float32), "columns")
    )
    dist = emit.mul(dist, valid)
    if not far.any():
        return dist
    outside, centers = emit.sub(emit.number(1, "one"), valid), _centers(window, size)
    if not centers.all():
        outside = emit.mul(outside, emit.constant(centers[None, None].astype(np.float32), "centers"))
    return emit.add(dist, emit.mul(outside, emit.constant(far, "far")))


def _weights(emit: Emitter, dist: str, scale: str) -> str:
    """The softmax over the taps of distances times a scale."""
    return emit.softmax(emit.clip(emit.mul(dist, scale), -_FARTHEST, _FARTHEST), 1, 4)


def _averaged(emit: Emitter, values: str, weights: str, window: Window, size: Sequence[int]) -> str:
    """The sum over each window of (N, C, H, W) times weights (N, taps, H, W)."""
    own = emit.split(weights, 1, [1] * window.taps)
    parts = [emit.mul(tap, weight) for tap, weight in zip(Taps(emit, values, 2, window, size), own, strict=True)]
    width, total = window.kernel[1], list[str]()
    # Row by row of the window, so that a runtime need not keep the parts of all taps.
    for first in range(0, len(parts), width):
        terms = [*total, *parts[first : first + width]]
        total = [emit.node("Sum", *terms) if len(terms) > 1 else terms[0]]
    return str(total[0])


def _centers(window: Window, size: Sequence[int]) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Which windows have their centre in the image: (H', W')."""
    rows, across = (centers_inside(window, size, axis) for axis in (0, 1))
    return np.asarray(rows[:, None] & across)


def _images(emit: Emitter) -> str:
    """The bottom as (N, C, H, W): all axes before those three as one."""
    emit.static(-3, -2, -1)
    return emit.input if emit.ndim() == 4 else emit.reshape(emit.input, [-1, *emit.shape()[-3:]])


def _from_images(emit: Emitter, images: str) -> str:
    """Back to the bottom's axes."""
    return images if emit.ndim() == 4 else emit.as_top(images)
