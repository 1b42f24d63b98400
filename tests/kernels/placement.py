"""Arguments for the test of placement: every kernel's cases, and short ones, whose arrays can lie very close."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from segcaffe.kernels import permutohedral
from segcaffe.kernels.distance.registry import L1
from segcaffe.window import Window
from tests.gpu.cases import KernelCase, empty, inference_arguments, normal

Array = np.ndarray[Any, Any]
Axes = dict[int, int]

LENGTHS = (9, 16, 21, 33, 60)
"""Of the rows of short arrays: the compiler asks for a distance of up to 256 bytes, or 64 numbers."""
_FLAT = ("activation", "elementwise", "optimizer", "sigmoid_loss", "difference_loss", "dist_loss")
"""Packages whose large arrays are treated element by element: any part of them will do."""
_AXES: dict[str, tuple[Axes, ...]] = {
    "channelwise": ({3: 1, 7: 1, 45: -1}, {3: 1, 7: -1, 45: 1}, {3: -1, 7: 1, 45: 1}),
    "batch_norm": ({3: 1, 7: 1, 45: -1}, {3: 1, 7: -1, 45: 1}, {3: -1, 7: 1, 45: 1}),
    "softmax": ({5: 1, 9: -1}, {2: 1, 21: 1, 111: -1}),
    "softmax_loss": ({5: 1, 9: -1}, {2: 1, 21: 2, 111: -1}),
    "accuracy": ({5: 1, 9: -1}, {5: -1}),
    "confusion": ({5: 1, 9: -1}, {5: -1}),
    "arg_max": ({5: 1, 9: -1}, {2: 1, 21: 4, 111: -1}),
    "group_max": ({6: 1, 71: -1},),
    "copy": ({3: 1, 5: 2, 7: -1},),
    "lrn": ({2: 1, 7: -1, 9: 1, 13: 1}, {2: 1, 7: 1, 9: 1, 13: -1}),
    "pixel_norm": ({3: 1, 7: -1, 611: 1}, {3: 1, 7: 1, 611: -1}),
    "regions": ({7: -1},),
    "unpool": ({5: 1, 31: -1}, {5: 1, 42: -1}),
    "embed": ({41: 2, 13: -1}, {41: -1, 13: 1}),
}
"""The lengths of a case's axes that are changed, and to what: -1 stands for each of `LENGTHS`."""
_TAPS = Window((1, 3), (1, 1), (0, 1), (1, 1))
"""The window of one row of pixels."""


def small(case: KernelCase, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The case with other lengths, where that is possible: values are repeated or left out."""
    arrays = {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}
    largest = max(array.size for array in arrays.values())
    for n in LENGTHS:
        if case.package in _FLAT:
            yield _changed(arguments, {name: (n,) for name, array in arrays.items() if array.size == largest})
        for axes in _AXES.get(case.package, ()):
            shapes = {name: tuple(_length(axes, k, n) for k in array.shape) for name, array in arrays.items()}
            if any(set(axes) <= set(array.shape) for array in arrays.values()):
                yield _changed(arguments, shapes)


def _length(axes: Axes, old: int, n: int) -> int:
    new = axes.get(old, old)
    return n if new == -1 else new


def _changed(arguments: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """The arguments with arrays of other shapes; those that are one array stay one."""
    changed = {id(arguments[name]): np.resize(arguments[name], shape) for name, shape in shapes.items()}
    return {name: changed.get(id(value), value) for name, value in arguments.items()}


def _whole(n: int) -> Window:
    return Window((1, n), (1, 1), (0, 0), (1, 1))


def lattice(rng: np.random.Generator, dtype: Any, points: int) -> dict[str, Any]:
    """Arguments of ``permutohedral.build``."""
    sizes = {"vertices": (points, 3), "neighbours": (3, 3 * points, 2)}
    arrays = {name: np.zeros(shape, np.int32) for name, shape in sizes.items()}
    weights, count = np.zeros((points, 3), dtype), np.zeros(1, np.int64)
    return {"features": normal(rng, np.float32, points, 2), **arrays, "weights": weights, "count": count}


def row_cases(rng: np.random.Generator, dtype: Any, n: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Package, function and arguments of what works on images, on one row of n pixels; of the others, on n numbers."""

    def row(lines: int = 1) -> Array:
        return normal(rng, dtype, 1, lines, 1, n)

    def out(lines: int = 1) -> Array:
        return empty(dtype, 1, lines, 1, n)

    window = {"window": _TAPS}
    mask = np.maximum(np.arange(n, dtype=np.int32) - 1, 0).reshape(1, 1, 1, n)
    yield "pooling", "max_forward", {"image": row(), "top": out(), "mask": np.zeros_like(mask), **window}
    yield "pooling", "max_values", {"image": row(), "top": out(), **window}
    yield "pooling", "average_forward", {"image": row(), "top": empty(dtype, 1, 1, 1, 1), "window": _whole(n)}
    yield "pooling", "scatter", {"top_grad": row(), "mask": mask, "image_grad": out(), **window}
    yield "pooling", "average_forward", {"image": row(), "top": out(), **window}
    yield "pooling", "average_backward", {"top_grad": row(), "image_grad": out(), **window}
    yield "pooling", "weighted_forward", {"image": np.abs(row()), "top": out(), **window}
    given = {"image": np.abs(row()), "top": row(), "top_grad": row()}
    yield "pooling", "weighted_backward", {**given, "image_grad": out(), **window}
    for l1 in (False, True):
        yield "im2dist", "forward", {"image": row(), "dist": out(3), **window, "l1": l1}
        yield "im2dist", "backward", {"image": row(), "dist_grad": row(3), "image_grad": out(), **window, "l1": l1}
    yield "distance", "forward", {"image": row(), "dist": out(3), **window, "distance": L1}
    yield "distance", "backward", {"image": row(), "dist_grad": row(3), "image_grad": out(), **window, "distance": L1}
    yield "im2parity", "forward", {"label": np.round(row()), "parity": out(3), **window, "ignore_label": None}
    yield "meanfield", "add_weight_grad", {"values": row(), "out_grad": row(), "weight_grad": row(3), **window}
    for transposed in (False, True):
        given = {"values": row(), "weights": row(3), "out": out()}
        yield "meanfield", "filter_classes", {**given, **window, "transposed": transposed}
    inference = inference_arguments(rng, dtype, (1, 2, 1, n), (_TAPS,))
    yield "window_meanfield", "forward", inference
    yield "window_meanfield", "backward", inference
    yield from _convolutions(rng, dtype, n)
    edges = {"weights": rng.random((2, 1, 1, n)).astype(dtype), "sizes": np.array([[1, n]])}
    yield "domain_transform", "forward", {"image": row(), **edges}
    grads = {"grad": row(), "weight_grad": empty(dtype, 2, 1, 1, n)}
    yield "domain_transform", "backward", {"image": row(), **edges, **grads}
    places = np.linspace(0, n - 1, n, dtype=np.float32)
    tables = {"low_y": np.zeros(1, np.int32), "weight_y": np.zeros(1, np.float32)}
    tables |= {"low_x": places.astype(np.int32), "weight_x": np.float32(0.3) * (places < n - 1).astype(np.float32)}
    yield "interp", "forward", {"image": row(), "top": out(), **tables}
    yield "interp", "backward", {"top_grad": row(), "image_grad": out(), **tables}
    yield "norm_conv", "softmax", {"distances": np.abs(normal(rng, dtype, 1, n, 1, 1)), "scale": 0.7}
    areas = rng.integers(0, 3, n)
    yield "components", "number", {"labels": areas.reshape(1, 1, n), "found": np.zeros((1, 1, n), np.int64)}
    chain = np.stack([np.arange(n - 1), np.arange(1, n)])
    tree = {"ends": chain, "order": rng.permutation(n - 1), "labels": areas}
    yield "malis", "joined", {**tree, "pairs": np.zeros((2, n - 1), np.int64)}
    spelled = {"scores": normal(rng, dtype, n, 1, 3), "labels": areas[None, : n // 3].clip(1), "blank": 0}
    lengths = np.array([[n], [n // 3]])
    results = {"losses": np.zeros(1), "grad": empty(dtype, n, 1, 3)}
    yield "ctc", "forward", {**spelled, "lengths": lengths, "merges": False, **results}
    corners = np.sort(rng.random((n, 2, 2)), axis=1).astype(dtype).reshape(n, 4)
    yield "nms", "suppress", {"boxes": corners, "overlap": 0.3, "eta": 0.9, "stays": np.zeros(n, bool)}
    pair = {"weights": np.abs(row()), "weight_grad": row()}
    yield "norm_conv", "softmax_backward", {**pair, "factor": -0.3}
    for height, width in ((1, n), (n, 1)):
        vectors = {name: normal(rng, dtype, width) for name in ("bias", "scale")}
        yield "matmul", "finish", {"out": normal(rng, dtype, height, width), **vectors, "negative_slope": 0.1}
        factors = {"a": normal(rng, dtype, height, width), "b": normal(rng, dtype, width, height)}
        yield "matmul", "gemm", {**factors, "out": empty(dtype, height, height)}
    rows = {"a": normal(rng, dtype, 3, n), "b": normal(rng, dtype, 9, n)}
    yield "matmul", "gemm", {**rows, "trans_b": True, "out": empty(dtype, 3, 9)}
    halves = {"a": rows["a"], "b": rows["b"].astype(np.float16)}
    yield "matmul", "gemm", {**halves, "trans_b": True, "out": empty(dtype, 3, 9)}
    points = lattice(rng, dtype, n)
    yield "permutohedral", "build", points
    permutohedral.build(**points)
    used = {name: points[name] for name in ("vertices", "weights")}
    used["neighbours"] = points["neighbours"][:, : points["count"][0]].copy()
    yield "permutohedral", "apply", {"values": row()[0, 0], **used, "out": empty(dtype, 1, n), "reverse": False}
    factors = {name: normal(rng, dtype, 1, n) for name in ("before", "after")}
    lines = {"values": normal(rng, dtype, 9, n), "out": normal(rng, dtype, 9, n)}
    yield "permutohedral", "apply", {**lines, **used, **factors, "reverse": True, "adds": True}


def _convolutions(rng: np.random.Generator, dtype: Any, n: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Three taps on a row of n pixels, one channel in and out (and two out), plain, masked and normalised."""

    def row(lines: int = 1) -> Array:
        return normal(rng, dtype, 1, lines, 1, n)

    out, mask, window = empty(dtype, 1, 1, 1, n), empty(dtype, 1, 3, 1, n), {"window": _TAPS}
    weight, weight_grad, bias = (normal(rng, dtype, *shape) for shape in ((1, 1, 1, 3), (1, 1, 1, 3), (1,)))
    for outputs in (1, 2):
        kernels, biases = normal(rng, dtype, outputs, 1, 1, 3), normal(rng, dtype, outputs)
        result, grads = empty(dtype, 1, outputs, 1, n), {"grad_weight": kernels.copy(), "grad_bias": biases.copy()}
        yield "convolution", "forward", {"x": row(), "weight": kernels, "bias": biases, "out": result, **window}
        yield "convolution", "backward_data", {"grad_out": row(outputs), "weight": kernels, "grad_x": out, **window}
        yield "convolution", "backward_weight", {"x": row(), "grad_out": row(outputs), **grads, **window}
    # So many channels and outputs that panels of weights pay.
    wide = {"weight": normal(rng, dtype, 21, 30, 1, 1), "bias": normal(rng, dtype, 21), "negative_slope": 0.1}
    single = Window((1, 1), (1, 1), (0, 0), (1, 1))
    yield "convolution", "forward", {"x": row(30), "out": empty(dtype, 1, 21, 1, n), "window": single, **wide}
    yield "convolution", "backward_bias", {"grad_out": row(), "grad_bias": bias}
    for package, masks, weights in (("segaware_conv", "mask", "weight"), ("norm_conv", "weights", "filters")):
        given = {"x": row(), masks: row(3), weights: weight, **window}
        if package == "segaware_conv":
            yield package, "forward", {**given, "bias": bias, "out": out}
            yield package, "backward_data", {**given, "grad_out": row(), "grad_x": out, "grad_mask": mask}
            given.pop(weights)
            yield package, "backward_weight", {**given, "grad_out": row(), **grads}
        else:
            yield package, "convolve", {**given, "out": out}
            grads_here = {"x_grad": out, "filters_grad": weight_grad}
            yield package, "convolve_backward", {**given, "out_grad": row(), **grads_here}
            given.pop(masks)
            yield package, "convolve_backward_weights", {**given, "out_grad": row(), "weight_grad": mask}
    sizes = {name: getattr(_TAPS, name) for name in ("kernel", "stride", "pad", "dilation")}
    yield "im2col", "forward", {"x": row(), "columns": mask, **sizes}
    yield "im2col", "backward", {"columns": row(3), "x": out, **sizes}
