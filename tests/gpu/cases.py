"""Calls of every kernel: small arrays of awkward shapes."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.kernels import permutohedral
from segcaffe.kernels.lrn import Response
from segcaffe.kernels.optimizer import Step
from segcaffe.kernels.pixel_norm import Epsilon
from segcaffe.kernels.softmax_loss import NO_IGNORE
from segcaffe.kernels.window_meanfield import Arrays, Filter, Inference
from segcaffe.window import Window

Array = np.ndarray[Any, Any]
Make = Callable[[np.random.Generator, Any], dict[str, Any]]


@dataclass(frozen=True)
class KernelCase:
    """One call: ``make(generator, dtype)`` gives the arguments; pairs in ``same`` are one array (in-place)."""

    package: str
    function: str
    make: Make
    suffix: str = ""
    same: tuple[tuple[str, str], ...] = ()
    tolerance: float = 2e-5

    @property
    def id(self) -> str:
        return "-".join(part for part in (self.package, self.function, self.suffix) if part)

    def arguments(self, dtype: Any) -> dict[str, Any]:
        arguments = self.make(np.random.default_rng(zlib.crc32(self.id.encode())), dtype)
        for one, other in self.same:
            arguments[one] = arguments[other]
        return arguments


KERNEL_CASES: list[KernelCase] = []


def move_arrays(value: Any, move: Callable[[Array], Any]) -> Any:
    """The value with each array in it, also in tuples, lists and dictionaries, replaced; inferences start anew."""
    if isinstance(value, np.ndarray) or device.is_device_array(value):
        return move(value)
    if isinstance(value, dict):
        return {name: move_arrays(one, move) for name, one in value.items()}
    if isinstance(value, Arrays):
        return Arrays(*(move_arrays(one, move) for one in value))
    if type(value) in (tuple, list):
        return type(value)(move_arrays(one, move) for one in value)
    return Inference(value.filters, value.iterations) if isinstance(value, Inference) else value


def arrays_of(value: Any) -> list[Array]:
    """All arrays in it."""
    found: list[Array] = []
    move_arrays(value, lambda array: found.append(array) or array)
    return found


def add(package: str, function: str, suffix: str = "", **options: Any) -> Callable[[Make], Make]:
    """Decorator: a function that makes arguments becomes a case."""

    def take(make: Make) -> Make:
        KERNEL_CASES.append(KernelCase(package, function, make, suffix, **options))
        return make

    return take


def normal(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def empty(dtype: Any, *shape: int) -> Array:
    """An output: what it held must not matter."""
    return np.full(shape, 7, dtype)


# --- elementwise ---


def _elementwise(function: str, inputs: str, output: str, positive: bool = False, **scalars: Any) -> None:
    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        arrays = {name: normal(rng, dtype, 3, 7, 61) for name in inputs.split()}
        if positive:
            arrays = {name: np.abs(values) + dtype(0.1) for name, values in arrays.items()}
        return {**arrays, **scalars, output: empty(dtype, 3, 7, 61)}

    KERNEL_CASES.append(KernelCase("elementwise", function, make))
    KERNEL_CASES.append(KernelCase("elementwise", function, make, "in-place", same=((output, inputs.split()[0]),)))


_elementwise("linear", "x", "y", scale=1.5, shift=-0.5)
_elementwise("linear_multiply", "x dy", "dx", scale=1.5, shift=-0.5)
_elementwise("combine", "a b", "y", scale_a=0.3, scale_b=-2.0)
_elementwise("multiply", "a b", "y", scale=0.3)
_elementwise("multiply_sign", "a x", "y", scale=0.3)
_elementwise("divide_multiply", "a b c", "y", positive=True)
_elementwise("absolute", "x", "y")
_elementwise("relu", "x", "y", slope=0.0)
_elementwise("relu", "x", "y", slope=0.1)
_elementwise("relu_grad", "x dy", "dx", slope=0.1)
_elementwise("elu", "x", "y", alpha=0.7)
_elementwise("elu_grad", "x dy", "dx", alpha=0.7)
_elementwise("exponential", "x", "y", inner=-0.7, outer=2.0)
_elementwise("logarithm", "x", "y", positive=True, scale=2.0, shift=1.0, outer=0.5)
_elementwise("reciprocal_grad", "x dy", "dx", positive=True, scale=2.0, shift=1.0, outer=0.5)
_elementwise("power", "x", "y", scale=2.0, shift=1.0, exponent=3.0)
_elementwise("power", "x", "y", positive=True, scale=2.0, shift=1.0, exponent=-0.75)
_elementwise("sigmoid", "x", "y")
_elementwise("sigmoid_grad", "y dy", "dx")
_elementwise("tanh", "x", "y")
_elementwise("tanh_grad", "y dy", "dx")
_elementwise("swish", "x", "y", beta=1.3)
_elementwise("swish_grad", "x dy", "dx", beta=1.3)
_elementwise("softplus", "x", "y")
_elementwise("softplus_grad", "x dy", "dx")
_elementwise("clip", "x", "y", low=-0.5, high=0.75)
_elementwise("clip_grad", "x dy", "dx", low=-0.5, high=0.75)
_elementwise("threshold", "x", "y", limit=0.25)
_elementwise("dropout", "x", "y", seed=0x123456789ABCDEF, ratio=0.3)


@add("elementwise", "maximum", "first")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    a = normal(rng, dtype, 5, 101)
    b = np.where(rng.random(a.shape) < 0.1, a, normal(rng, dtype, 5, 101))
    return {"a": a, "b": b, "index": 1, "y": empty(dtype, 5, 101), "mask": empty(np.uint8, 5, 101)}


@add("elementwise", "maximum", "next", same=(("y", "a"),))
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    a, b = normal(rng, dtype, 5, 101), normal(rng, dtype, 5, 101)
    return {"a": a, "b": b, "index": 3, "y": a, "mask": empty(np.int32, 5, 101)}


@add("elementwise", "select")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    mask = rng.integers(0, 3, (5, 101)).astype(np.uint8)
    return {"a": normal(rng, dtype, 5, 101), "mask": mask, "index": 2, "y": empty(dtype, 5, 101)}


# --- channelwise ---

_CHANNEL_SHAPES = {"": (3, 7, 45), "wide": (2, 3, 4111), "rows": (37, 11, 1)}


def _channelwise(function: str, arrays: str, vectors: str, output: str, sums: bool) -> None:
    for suffix, shape in _CHANNEL_SHAPES.items():

        def make(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = shape) -> dict[str, Any]:
            given = {name: normal(rng, dtype, *shape) for name in arrays.split()}
            given |= {name: normal(rng, dtype, shape[1]) for name in vectors.split()}
            return {**given, output: empty(dtype, shape[1]) if sums else empty(dtype, *shape)}

        KERNEL_CASES.append(KernelCase("channelwise", function, make, suffix))


_channelwise("affine", "x", "scale bias", "y", sums=False)
_channelwise("rectified_affine", "x", "scale bias slope", "y", sums=False)
_channelwise("prelu", "x", "slope", "y", sums=False)
_channelwise("prelu_grad", "x dy", "slope", "dx", sums=False)
for _slope in (0.0, 0.3):

    def _make(rng: np.random.Generator, dtype: Any, slope: float = _slope) -> dict[str, Any]:
        given = {name: normal(rng, dtype, 3, 7, 45) for name in ("y", "dy")}
        return {**given, "scale": normal(rng, dtype, 7), "slope": slope, "dx": empty(dtype, 3, 7, 45)}

    KERNEL_CASES.append(KernelCase("channelwise", "rectified_affine_grad", _make, f"{_slope:g}"))
_channelwise("channel_sum", "x", "", "out", sums=True)
_channelwise("channel_dot", "a b", "", "out", sums=True)
_channelwise("prelu_slope_grad", "x dy", "", "out", sums=True)


# --- copy ---


@add("copy", "copy")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return {"source": normal(rng, dtype, 3, 1, 7), "target": empty(dtype, 3, 5, 7)}


@add("copy", "sum_copies")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return {"source": normal(rng, dtype, 3, 5, 7), "out": empty(dtype, 3, 7)}


@add("copy", "repeat")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return {"source": normal(rng, dtype, 3, 7), "target": empty(dtype, 3, 5, 7, 5)}


# --- windows ---


def _sizes(spatial: tuple[int, ...], kernel: Any, stride: Any, pad: Any, dilation: Any) -> tuple[dict[str, Any], Any]:
    window = Window(kernel, stride, pad, dilation)
    return {"kernel": kernel, "stride": stride, "pad": pad, "dilation": dilation}, window.output_shape(spatial)


_SPATIAL: dict[str, tuple[Any, ...]] = {
    "1d": ((23,), (3,), (2,), (1,), (2,)),
    "2d": ((9, 11), (3, 2), (2, 1), (1, 0), (1, 3)),
    "3d": ((4, 5, 6), (2, 3, 1), (1, 2, 1), (0, 1, 0), (2, 1, 1)),
}

for _suffix, _geometry in _SPATIAL.items():

    @add("im2col", "forward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, geometry: Any = _geometry) -> dict[str, Any]:
        options, out = _sizes(*geometry)
        taps = int(np.prod(geometry[1]))
        return {"x": normal(rng, dtype, 2, 5, *geometry[0]), "columns": empty(dtype, 2, 5 * taps, *out), **options}

    @add("im2col", "backward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, geometry: Any = _geometry) -> dict[str, Any]:
        options, out = _sizes(*geometry)
        taps = int(np.prod(geometry[1]))
        return {"columns": normal(rng, dtype, 2, 5 * taps, *out), "x": empty(dtype, 2, 5, *geometry[0]), **options}


WINDOWS = {
    "3x3": Window((3, 3), (1, 1), (2, 2), (2, 2)),
    "even": Window((2, 4), (1, 2), (1, 1), (1, 3)),
    "overpadded": Window((3, 5), (2, 1), (4, 3), (1, 1)),
    "long": Window((11, 3), (1, 1), (10, 1), (2, 1)),
}
IMAGE = (9, 13)

for _suffix, _window in WINDOWS.items():
    for _l1 in (False, True):
        for _remove in (False, True):

            @add("im2dist", "forward", f"{_suffix}-{'L1' if _l1 else 'L2'}{'-removed' * _remove}")
            def _(
                rng: np.random.Generator, dtype: Any, window: Any = _window, l1: bool = _l1, remove: bool = _remove
            ) -> dict[str, Any]:
                dist = empty(dtype, 2, window.taps, *window.output_shape(IMAGE))
                image = normal(rng, dtype, 2, 11, *IMAGE)
                options = {"remove_center": remove, "remove_bounds": remove}
                return {"image": image, "dist": dist, "window": window, "l1": l1, **options}

        @add("im2dist", "backward", f"{_suffix}-{'L1' if _l1 else 'L2'}")
        def _(rng: np.random.Generator, dtype: Any, window: Any = _window, l1: bool = _l1) -> dict[str, Any]:
            grad = normal(rng, dtype, 2, window.taps, *window.output_shape(IMAGE))
            image, out = normal(rng, dtype, 2, 11, *IMAGE), empty(dtype, 2, 11, *IMAGE)
            return {"image": image, "dist_grad": grad, "image_grad": out, "window": window, "l1": l1}

    for _ignore in (None, 2):

        @add("im2parity", "forward", f"{_suffix}{'' if _ignore is None else '-ignore'}")
        def _(rng: np.random.Generator, dtype: Any, window: Any = _window, ignore: Any = _ignore) -> dict[str, Any]:
            label = rng.integers(0, 4, (2, 2, *IMAGE)).astype(dtype)
            parity = empty(dtype, 2, window.taps, *window.output_shape(IMAGE))
            return {"label": label, "parity": parity, "window": window, "ignore_label": ignore}


for _ignore in (None, 2):

    @add("dist_loss", "forward", "" if _ignore is None else "ignore")
    def _(rng: np.random.Generator, dtype: Any, ignore: Any = _ignore) -> dict[str, Any]:
        parity = rng.integers(0, 3, (2, 9, 31, 17)).astype(dtype)
        dist, loss = normal(rng, dtype, *parity.shape) + dtype(1), empty(dtype)
        return {"dist": dist, "parity": parity, "loss": loss, "alpha": 0.5, "beta": 2.0, "ignore_label": ignore}

    @add("dist_loss", "backward", "" if _ignore is None else "ignore")
    def _(rng: np.random.Generator, dtype: Any, ignore: Any = _ignore) -> dict[str, Any]:
        parity = rng.integers(0, 3, (2, 9, 31, 17)).astype(dtype)
        dist, out = normal(rng, dtype, *parity.shape) + dtype(1), empty(dtype, *parity.shape)
        loss_grad = np.full((), 300, dtype)
        margins = {"alpha": 0.5, "beta": 2.0, "ignore_label": ignore}
        return {"dist": dist, "parity": parity, "loss_grad": loss_grad, "dist_grad": out, **margins}


# --- pooling ---

POOLS = {
    "2x2": Window((2, 2), (2, 2), (0, 0), (1, 1)),
    "overlapping": Window((3, 3), (2, 1), (1, 2), (1, 1)),
    "gaps": Window((1, 2), (3, 4), (0, 1), (1, 1)),
    "dilated": Window((2, 3), (2, 1), (1, 2), (3, 2)),
    "sides": Window((3, 3), (2, 2), (1, 2), (1, 1), behind=(0, 1)),
}
_PLANE = (2, 3, 9, 13)


def _pooled(window: Window) -> tuple[int, ...]:
    """Output size of a pooling layer: rounded up."""
    spatial = zip(_PLANE[2:], window.extent, window.stride, window.paddings, strict=True)
    return (*_PLANE[:2], *[-(-(n + sum(p) - e) // s) + 1 - (p[0] > 0) for n, e, s, p in spatial])


for _suffix, _window in POOLS.items():

    @add("pooling", "max_forward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, window: Window = _window) -> dict[str, Any]:
        image = np.round(normal(rng, dtype, *_PLANE) * 2)
        image[0, 1, :4, :4] = np.nan
        shape = _pooled(window)
        return {"image": image, "top": empty(dtype, *shape), "mask": empty(np.int32, *shape), "window": window}

    @add("pooling", "max_values", _suffix)
    def _(rng: np.random.Generator, dtype: Any, window: Window = _window) -> dict[str, Any]:
        image = normal(rng, dtype, *_PLANE)
        return {"image": image, "top": empty(dtype, *_pooled(window)), "window": window}

    @add("pooling", "scatter", _suffix)
    def _(rng: np.random.Generator, dtype: Any, window: Window = _window) -> dict[str, Any]:
        from segcaffe.kernels import pooling

        shape, image = _pooled(window), normal(rng, dtype, *_PLANE)
        top, mask = empty(dtype, *shape), empty(np.int32, *shape)
        pooling.max_forward(image, top, mask, window)
        return {
            "top_grad": normal(rng, dtype, *shape),
            "mask": mask,
            "image_grad": empty(dtype, *_PLANE),
            "window": window,
        }

    @add("pooling", "average_forward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, window: Window = _window) -> dict[str, Any]:
        return {"image": np.abs(normal(rng, dtype, *_PLANE)), "top": empty(dtype, *_pooled(window)), "window": window}

    @add("pooling", "average_backward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, window: Window = _window) -> dict[str, Any]:
        grad = normal(rng, dtype, *_pooled(window))
        return {"top_grad": grad, "image_grad": empty(dtype, *_PLANE), "window": window}

    @add("pooling", "average_forward", f"{_suffix}_pixels")
    def _(rng: np.random.Generator, dtype: Any, window: Window = _window) -> dict[str, Any]:
        image, top = normal(rng, dtype, *_PLANE), empty(dtype, *_pooled(window))
        return {"image": image, "top": top, "window": window, "pixels_only": True}

    @add("pooling", "average_backward", f"{_suffix}_pixels")
    def _(rng: np.random.Generator, dtype: Any, window: Window = _window) -> dict[str, Any]:
        grad = normal(rng, dtype, *_pooled(window))
        return {"top_grad": grad, "image_grad": empty(dtype, *_PLANE), "window": window, "pixels_only": True}


for _suffix, _window in POOLS.items():
    # The stochastic ones have no dilation.
    if set(_window.dilation) != {1}:
        continue

    @add("pooling", "weighted_forward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, window: Window = _window) -> dict[str, Any]:
        return {"image": np.abs(normal(rng, dtype, *_PLANE)), "top": empty(dtype, *_pooled(window)), "window": window}

    @add("pooling", "weighted_backward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, window: Window = _window) -> dict[str, Any]:
        top, grad = (normal(rng, dtype, *_pooled(window)) for _ in range(2))
        image = np.abs(normal(rng, dtype, *_PLANE)) + dtype(0.1)
        return {"image": image, "top": top, "top_grad": grad, "image_grad": empty(dtype, *_PLANE), "window": window}


@add("pooling", "stochastic_forward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    shape, window = _pooled(POOLS["2x2"]), POOLS["2x2"]
    outputs = {"top": empty(dtype, *shape), "mask": empty(np.int32, *shape), "window": window}
    return {"image": np.abs(normal(rng, dtype, *_PLANE)), "chance": rng.random(shape).astype(dtype), **outputs}


# --- interp ---


def _places(size: int, out: int) -> tuple[Array, Array]:
    place = np.arange(out, dtype=np.float32) * np.float32((size - 1) / max(out - 1, 1))
    low = np.minimum(place.astype(np.int32), size - 1)
    return low, (place - low).astype(np.float32)


for _suffix, _size in {"up": (17, 40), "down": (4, 5), "mixed": (9, 1)}.items():

    @add("interp", "forward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, size: tuple[int, int] = _size) -> dict[str, Any]:
        (low_y, weight_y), (low_x, weight_x) = (_places(n, out) for n, out in zip(IMAGE, size, strict=True))
        tables = {"low_y": low_y, "weight_y": weight_y, "low_x": low_x, "weight_x": weight_x}
        return {"image": normal(rng, dtype, 2, 3, *IMAGE), "top": empty(dtype, 2, 3, *size), **tables}

    @add("interp", "backward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, size: tuple[int, int] = _size) -> dict[str, Any]:
        (low_y, weight_y), (low_x, weight_x) = (_places(n, out) for n, out in zip(IMAGE, size, strict=True))
        tables = {"low_y": low_y, "weight_y": weight_y, "low_x": low_x, "weight_x": weight_x}
        return {"top_grad": normal(rng, dtype, 2, 3, *size), "image_grad": empty(dtype, 2, 3, *IMAGE), **tables}


# --- lrn ---

for _across in (True, False):

    @add("lrn", "forward", "across" if _across else "within")
    def _(rng: np.random.Generator, dtype: Any, across: bool = _across) -> dict[str, Any]:
        response = Response(5, 0.3, 0.75, 1.5, across)
        bottom = normal(rng, dtype, 2, 7, *IMAGE)
        return {
            "bottom": bottom,
            "scale": empty(dtype, *bottom.shape),
            "top": empty(dtype, *bottom.shape),
            "response": response,
        }

    @add("lrn", "backward", "across" if _across else "within")
    def _(rng: np.random.Generator, dtype: Any, across: bool = _across) -> dict[str, Any]:
        bottom, top, grad = (normal(rng, dtype, 2, 7, *IMAGE) for _ in range(3))
        scale = 1 + np.abs(normal(rng, dtype, *bottom.shape))
        arrays = {
            "bottom": bottom,
            "scale": scale,
            "top": top,
            "top_grad": grad,
            "bottom_grad": empty(dtype, *bottom.shape),
        }
        return {**arrays, "response": Response(3, 0.3, 0.75, 1.5, across)}


# --- softmax and losses ---

_CLASSES = {"columns": (2, 21, 111), "rows": (5, 9, 1), "long": (3, 301, 2)}

for _suffix, _shape in _CLASSES.items():

    @add("softmax", "forward", _suffix)
    @add("softmax", "forward", f"{_suffix}-in-place", same=(("out", "x"),))
    def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape) -> dict[str, Any]:
        return {"x": 10 * normal(rng, dtype, *shape), "out": empty(dtype, *shape)}

    @add("softmax", "backward", _suffix)
    @add("softmax", "backward", f"{_suffix}-in-place", same=(("out", "grad"),))
    def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape) -> dict[str, Any]:
        return {
            "prob": rng.random(shape).astype(dtype),
            "grad": normal(rng, dtype, *shape),
            "out": empty(dtype, *shape),
        }

    @add("softmax_loss", "forward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape) -> dict[str, Any]:
        outer, classes, inner = shape
        label = rng.integers(0, classes, (outer, inner)).astype(dtype)
        label[0, :5] = 255
        weight = rng.random(classes).astype(dtype)
        outputs = {"prob": empty(dtype, *shape), "totals": empty(np.float64, 3)}
        return {
            "x": 3 * normal(rng, dtype, *shape),
            "label": label,
            "weight": weight,
            "ignore": 255,
            "floor": 1e-20,
            **outputs,
        }

    @add("softmax_loss", "backward", _suffix)
    def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape) -> dict[str, Any]:
        outer, classes, inner = shape
        label = rng.integers(0, classes, (outer, inner)).astype(dtype)
        label[0, :5] = 255
        prob, weight = rng.random(shape).astype(dtype), rng.random(classes).astype(dtype)
        return {
            "prob": prob,
            "label": label,
            "weight": weight,
            "ignore": 255,
            "scale": 0.7,
            "out": empty(dtype, *shape),
        }


@add("softmax_loss", "forward", "bad label")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    label = np.zeros((3, 40), dtype)
    label[1, 7] = 5
    arrays = {"x": normal(rng, dtype, 3, 4, 40), "label": label, "weight": np.ones(4, dtype)}
    return {
        **arrays,
        "ignore": NO_IGNORE,
        "floor": 1e-20,
        "prob": empty(dtype, 3, 4, 40),
        "totals": empty(np.float64, 3),
    }


@add("sigmoid_loss", "forward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    x, target = 5 * normal(rng, dtype, 4111), rng.integers(-1, 2, 4111).astype(dtype)
    return {"x": x, "target": target, "ignore": -1, "totals": empty(np.float64, 2)}


@add("sigmoid_loss", "backward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    x, target = 5 * normal(rng, dtype, 4111), rng.integers(-1, 2, 4111).astype(dtype)
    return {"x": x, "target": target, "ignore": -1, "scale": 0.3, "out": empty(dtype, 4111)}


# --- statistics, counts ---

for _suffix, _shape in {"": (3, 7, 45), "wide": (2, 3, 4111), "rows": (37, 11, 1)}.items():

    @add("batch_norm", "moments", _suffix)
    def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape) -> dict[str, Any]:
        moments = {"mean": empty(np.float64, shape[1]), "variance": empty(np.float64, shape[1])}
        return {"x": normal(rng, dtype, *shape) + dtype(3), **moments}

    @add("batch_norm", "normalize", _suffix)
    @add("batch_norm", "normalize", f"{_suffix}-in-place", same=(("out", "x"),))
    def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape) -> dict[str, Any]:
        vectors = {"mean": normal(rng, np.float64, shape[1]), "scale": normal(rng, np.float64, shape[1])}
        return {"x": normal(rng, dtype, *shape), **vectors, "out": empty(dtype, *shape)}

    @add("batch_norm", "backward", _suffix)
    @add("batch_norm", "backward", f"{_suffix}-in-place", same=(("out", "grad"),))
    def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape) -> dict[str, Any]:
        vectors = {"mean": normal(rng, np.float64, shape[1]), "scale": rng.random(shape[1])}
        return {
            "x": normal(rng, dtype, *shape),
            **vectors,
            "grad": normal(rng, dtype, *shape),
            "out": empty(dtype, *shape),
        }


def _scores(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    label = rng.integers(0, shape[1], (shape[0], shape[2])).astype(dtype)
    label[0, :5] = 255
    return {"x": np.round(2 * normal(rng, dtype, *shape)), "label": label, "bad": empty(np.int64, 1)}


for _suffix, _shape in _CLASSES.items():

    @add("accuracy", "count", _suffix)
    def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape) -> dict[str, Any]:
        return {**_scores(rng, dtype, shape), "top_k": 3, "ignore": 255, "counts": empty(np.int64, 2, shape[1])}

    @add("confusion", "count", _suffix)
    def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape) -> dict[str, Any]:
        counts = empty(np.int64, shape[1], shape[1])
        return {**_scores(rng, dtype, shape), "ignore": np.array([255, 1]), "counts": counts}

    for _k in (1, 4):

        @add("arg_max", "arg_max", f"{_suffix}-{_k}")
        def _(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...] = _shape, k: int = _k) -> dict[str, Any]:
            out = (shape[0], k, shape[2])
            return {"x": _scores(rng, dtype, shape)["x"], "values": empty(dtype, *out), "indices": empty(dtype, *out)}


@add("accuracy", "count", "bad label")
@add("confusion", "count", "bad label")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    given = _scores(rng, dtype, (2, 4, 33))
    given["label"][:] = 0
    given["label"][1, 3] = -1
    return {**given, "ignore": np.array([1]), "counts": empty(np.int64, 4, 4)}


KERNEL_CASES.remove(next(case for case in KERNEL_CASES if case.id == "accuracy-count-bad label"))


# --- updates ---


def _optimizer(function: str, histories: str, **factors: float) -> None:
    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        arrays = {name: np.abs(normal(rng, dtype, 5, 267)) for name in histories.split()}
        step = Step(rate=0.1, scale=0.5, l2=0.01, l1=0.02)
        given = {name: normal(rng, dtype, 5, 267) for name in ("weight", "grad")}
        return {**given, **arrays, "step": step, **factors}

    KERNEL_CASES.append(KernelCase("optimizer", function, make))


_optimizer("sgd", "history", momentum=0.9)
_optimizer("nesterov", "history", momentum=0.9)
_optimizer("ada_grad", "history", delta=1e-3)
_optimizer("rms_prop", "history", rms_decay=0.98, delta=1e-3)
_optimizer("ada_delta", "history updates", momentum=0.9, delta=1e-3)
_optimizer("adam", "mean square", beta1=0.9, beta2=0.999, delta=1e-3)


# --- products, recurrent ---


@add("embed", "add_rows")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    index = rng.integers(0, 7, 41).astype(dtype)
    return {"rows": normal(rng, dtype, 41, 13), "index": index, "table": normal(rng, dtype, 9, 13)}


for _trans_a in (False, True):
    for _trans_b in (False, True):

        @add("matmul", "gemm", f"{_trans_a}-{_trans_b}")
        def _(rng: np.random.Generator, dtype: Any, ta: bool = _trans_a, tb: bool = _trans_b) -> dict[str, Any]:
            a = normal(rng, dtype, *((5, 7) if ta else (7, 5)))
            b = normal(rng, dtype, *((3, 5) if tb else (5, 3)))
            factors = {"alpha": 0.5, "beta": 2.0, "trans_a": ta, "trans_b": tb}
            return {"a": a, "b": b, "out": normal(rng, dtype, 7, 3), **factors}


@add("matmul", "finish")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    vectors = {name: normal(rng, dtype, 5) for name in ("bias", "scale")}
    return {"out": normal(rng, dtype, 7, 5), **vectors, "negative_slope": 0.0}


@add("matmul", "finish", "slopes")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return {"out": normal(rng, dtype, 7, 5), "negative_slope": normal(rng, dtype, 5)}


@add("lstm", "forward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    steps, streams, cells = 4, 3, 11
    cont = (rng.random((steps, streams)) > 0.3).astype(dtype)
    state = {name: normal(rng, dtype, steps + 1, streams, cells) for name in ("cell", "hidden")}
    gates, weight = normal(rng, dtype, steps, streams, 4 * cells), normal(rng, dtype, 4 * cells, cells)
    return {"cont": cont, "weight": weight, "gates": gates, **state}


@add("lstm", "backward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    steps, streams, cells = 4, 3, 11
    cont = (rng.random((steps, streams)) > 0.3).astype(dtype)
    gates = rng.random((steps, streams, 4 * cells)).astype(dtype)
    arrays = {
        "cell": normal(rng, dtype, steps + 1, streams, cells),
        "grad_hidden": normal(rng, dtype, steps, streams, cells),
    }
    return {
        "cont": cont,
        "weight": normal(rng, dtype, 4 * cells, cells),
        "gates": gates,
        **arrays,
        "grad_gates": empty(dtype, *gates.shape),
    }


# --- masked and plain convolution ---


def _masked(rng: np.random.Generator, dtype: Any, window: Window, group: int) -> dict[str, Any]:
    out = window.output_shape(IMAGE)
    arrays = {"x": normal(rng, dtype, 2, 6, *IMAGE), "mask": rng.random((2, window.taps, *out)).astype(dtype)}
    return {**arrays, "window": window, "group": group}


for _suffix, _window in WINDOWS.items():
    for _group in (1, 2):

        @add("segaware_conv", "forward", f"{_suffix}-{_group}")
        def _(rng: np.random.Generator, dtype: Any, window: Window = _window, group: int = _group) -> dict[str, Any]:
            given, out = _masked(rng, dtype, window, group), window.output_shape(IMAGE)
            weight = normal(rng, dtype, 4, 6 // group, *window.kernel)
            bias, slope = (normal(rng, dtype, 4), 0.25) if group == 1 else (None, normal(rng, dtype, 4))
            ending = {"bias": bias, "negative_slope": slope}
            return {**given, "weight": weight, **ending, "out": empty(dtype, 2, 4, *out)}

        @add("segaware_conv", "backward_data", f"{_suffix}-{_group}")
        def _(rng: np.random.Generator, dtype: Any, window: Window = _window, group: int = _group) -> dict[str, Any]:
            given = _masked(rng, dtype, window, group)
            weight = normal(rng, dtype, 4, 6 // group, *window.kernel)
            grad_out = normal(rng, dtype, 2, 4, *window.output_shape(IMAGE))
            grads = {"grad_x": empty(dtype, *given["x"].shape), "grad_mask": empty(dtype, *given["mask"].shape)}
            return {**given, "weight": weight, "grad_out": grad_out, **grads}

        @add("segaware_conv", "backward_weight", f"{_suffix}-{_group}")
        def _(rng: np.random.Generator, dtype: Any, window: Window = _window, group: int = _group) -> dict[str, Any]:
            given = _masked(rng, dtype, window, group)
            grad_out = normal(rng, dtype, 2, 4, *window.output_shape(IMAGE))
            grad_weight = normal(rng, dtype, 4, 6 // group, *window.kernel)
            return {**given, "grad_out": grad_out, "grad_weight": grad_weight, "grad_bias": normal(rng, dtype, 4)}

        @add("norm_conv", "convolve", f"{_suffix}-{_group}")
        def _(rng: np.random.Generator, dtype: Any, window: Window = _window, group: int = _group) -> dict[str, Any]:
            given = _masked(rng, dtype, window, group)
            filters, out = normal(rng, dtype, 4, 6 // group, *window.kernel), window.output_shape(IMAGE)
            arrays = {"x": given["x"], "weights": given["mask"], "filters": filters}
            return {**arrays, "out": empty(dtype, 2, 4, *out), "window": window}

        @add("norm_conv", "convolve_backward", f"{_suffix}-{_group}")
        def _(rng: np.random.Generator, dtype: Any, window: Window = _window, group: int = _group) -> dict[str, Any]:
            given = _masked(rng, dtype, window, group)
            filters, out = normal(rng, dtype, 4, 6 // group, *window.kernel), window.output_shape(IMAGE)
            arrays = {"x": given["x"], "weights": given["mask"], "filters": filters}
            grads = {"x_grad": empty(dtype, 2, 6, *IMAGE), "filters_grad": normal(rng, dtype, *filters.shape)}
            return {**arrays, "out_grad": normal(rng, dtype, 2, 4, *out), **grads, "window": window}

        @add("norm_conv", "convolve_backward_weights", f"{_suffix}-{_group}")
        def _(rng: np.random.Generator, dtype: Any, window: Window = _window, group: int = _group) -> dict[str, Any]:
            given = _masked(rng, dtype, window, group)
            filters, out = normal(rng, dtype, 4, 6 // group, *window.kernel), window.output_shape(IMAGE)
            arrays = {"x": given["x"], "filters": filters, "out_grad": normal(rng, dtype, 2, 4, *out)}
            return {**arrays, "weight_grad": empty(dtype, *given["mask"].shape), "window": window}


@add("norm_conv", "softmax")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    distances = 3 * np.abs(normal(rng, dtype, 2, 9, 7, 11))
    distances[0, 3:6] = 3.4e36
    distances[1, :, 2, 3] = 3.4e36
    return {"distances": distances, "scale": 0.7}


@add("norm_conv", "softmax_backward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    weights, grad = rng.random((2, 9, 7, 11)).astype(dtype), normal(rng, dtype, 2, 9, 7, 11)
    return {"weights": weights, "weight_grad": grad, "factor": -0.3}


for _suffix in ("3x3", "long"):
    for _transposed in (False, True):

        @add("meanfield", "filter_classes", f"{_suffix}{'-transposed' * _transposed}")
        def _(
            rng: np.random.Generator, dtype: Any, window: Window = WINDOWS[_suffix], transposed: bool = _transposed
        ) -> dict[str, Any]:
            values, weights = normal(rng, dtype, 2, 11, *IMAGE), normal(rng, dtype, 2, window.taps, *IMAGE)
            out = empty(dtype, 2, 11, *IMAGE)
            return {"values": values, "weights": weights, "out": out, "window": window, "transposed": transposed}

    @add("meanfield", "add_weight_grad", _suffix)
    def _(rng: np.random.Generator, dtype: Any, window: Window = WINDOWS[_suffix]) -> dict[str, Any]:
        arrays = {"values": normal(rng, dtype, 2, 11, *IMAGE), "out_grad": normal(rng, dtype, 2, 11, *IMAGE)}
        return {**arrays, "weight_grad": normal(rng, dtype, 2, window.taps, *IMAGE), "window": window}


def _edges(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    sizes = np.array([[9, 13], [4, 6]])
    return {
        "image": normal(rng, dtype, 2, 5, *IMAGE),
        "weights": rng.random((3, 2, *IMAGE)).astype(dtype),
        "sizes": sizes,
    }


@add("domain_transform", "forward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return _edges(rng, dtype)


@add("domain_transform", "backward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    grads = {"grad": normal(rng, dtype, 2, 5, *IMAGE), "weight_grad": empty(dtype, 3, 2, *IMAGE)}
    return {**_edges(rng, dtype), **grads}


_CONVOLUTIONS: dict[str, tuple[Any, ...]] = {
    **_SPATIAL,
    "product": ((9, 11), (1, 1), (1, 1), (0, 0), (1, 1)),
    "strided product": ((9, 11), (1, 1), (2, 2), (0, 0), (1, 1)),
}

for _suffix, _geometry in _CONVOLUTIONS.items():
    for _group in (1, 2):

        def _convolution(
            rng: np.random.Generator, dtype: Any, geometry: Any = _geometry, group: int = _group
        ) -> dict[str, Any]:
            window = Window(*geometry[1:])
            weight = normal(rng, dtype, 4, 6 // group, *window.kernel)
            out = window.output_shape(geometry[0])
            x, y = normal(rng, dtype, 2, 6, *geometry[0]), normal(rng, dtype, 2, 4, *out)
            return {"x": x, "weight": weight, "y": y, "window": window, "group": group}

        @add("convolution", "forward", f"{_suffix}-{_group}")
        def _(
            rng: np.random.Generator, dtype: Any, make: Any = _convolution, bias: bool = _group == 1
        ) -> dict[str, Any]:
            given = make(rng, dtype)
            epilogue = {"scale": normal(rng, dtype, 4), "negative_slope": 0.0} if bias else {"negative_slope": 0.2}
            epilogue["bias"] = normal(rng, dtype, 4) if bias else None
            epilogue["addend"] = normal(rng, dtype, *given["y"].shape) if bias else None
            return {**given, **epilogue, "out": empty(dtype, *given["y"].shape)}

        @add("convolution", "backward_data", f"{_suffix}-{_group}")
        def _(rng: np.random.Generator, dtype: Any, make: Any = _convolution) -> dict[str, Any]:
            given = make(rng, dtype)
            epilogue = {name: normal(rng, dtype, 6) for name in ("bias", "scale", "negative_slope")}
            return {**given, **epilogue, "grad_out": given["y"], "grad_x": empty(dtype, *given["x"].shape)}

        @add("convolution", "backward_weight", f"{_suffix}-{_group}")
        def _(rng: np.random.Generator, dtype: Any, make: Any = _convolution) -> dict[str, Any]:
            given = make(rng, dtype)
            grads = {"grad_weight": normal(rng, dtype, *given["weight"].shape), "grad_bias": normal(rng, dtype, 4)}
            return {**given, "grad_out": given["y"], **grads}


@add("convolution", "backward_bias")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return {"grad_out": normal(rng, dtype, 3, 5, 7, 9), "grad_bias": normal(rng, dtype, 5)}


# --- lattice ---


def _lattice(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    """A lattice of 201 points with three features, and values of 7 channels."""
    features = rng.normal(0, 2, (201, 3)).astype(np.float32)
    vertices, weights = np.zeros((201, 4), np.int32), np.zeros((201, 4), dtype)
    neighbours, count = np.zeros((4, 804, 2), np.int32), np.zeros(1, np.int64)
    permutohedral.build(features, vertices, weights, neighbours, count)
    lattice = {"vertices": vertices, "weights": weights, "neighbours": neighbours[:, : count[0]].copy()}
    return {"values": normal(rng, dtype, 7, 201), **lattice}


for _reverse in (False, True):

    @add("permutohedral", "apply", "reverse" * _reverse)
    def _(rng: np.random.Generator, dtype: Any, reverse: bool = _reverse) -> dict[str, Any]:
        return {**_lattice(rng, dtype), "out": empty(dtype, 7, 201), "reverse": reverse}

    @add("permutohedral", "apply", "factors" + ", reverse" * _reverse)
    def _(rng: np.random.Generator, dtype: Any, reverse: bool = _reverse) -> dict[str, Any]:
        given = _lattice(rng, dtype)
        factors = {name: normal(rng, dtype, 1, 201) for name in ("before", "after")}
        return {**given, "out": normal(rng, dtype, 7, 201), "reverse": reverse, **factors, "adds": True}


# --- differences, groups ---

for _with in (True, False):

    @add("difference_loss", "absolute", "" if _with else "alone")
    def _(rng: np.random.Generator, dtype: Any, both: bool = _with) -> dict[str, Any]:
        a, b = normal(rng, dtype, 3, 1111), normal(rng, dtype, 3, 1111) if both else None
        a[0, :5] = np.nan
        return {"a": a, "b": b, "plateau": 0.3, "slope": empty(dtype, 3, 1111), "totals": empty(np.float64, 2)}

    @add("difference_loss", "smooth", "weighted" * _with)
    def _(rng: np.random.Generator, dtype: Any, both: bool = _with) -> dict[str, Any]:
        a, b, inside, outside = (normal(rng, dtype, 3, 1111) for _ in range(4))
        weights = {"inside": inside, "outside": outside} if both else {"inside": None, "outside": None}
        options = {"totals": empty(np.float64, 1), "sharpness": 9.0 if both else 1.0}
        return {"a": a, "b": b, **weights, "slope": empty(dtype, 3, 1111), **options}


@add("difference_loss", "squares")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    a, b = normal(rng, dtype, 3, 1111), normal(rng, dtype, 3, 1111)
    return {"a": a, "b": b, "difference": empty(dtype, 3, 1111), "totals": empty(np.float64, 1)}


@add("group_max", "forward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    x = np.round(normal(rng, dtype, 6, 5, 71))
    return {"x": x, "y": empty(dtype, 6, 71), "first": empty(np.int32, 6, 71)}


@add("group_max", "backward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    first = rng.integers(0, 5, (6, 71)).astype(np.int32)
    return {"dy": normal(rng, dtype, 6, 71), "first": first, "dx": empty(dtype, 6, 5, 71)}


# --- mean-field inference with windows ---

TWO_WINDOWS = Window((3, 5), (1, 1), (2, 4), (2, 2)), Window((3, 3), (1, 1), (1, 1), (1, 1))


def inference_arguments(
    rng: np.random.Generator, dtype: Any, shape: tuple[int, ...], windows: tuple[Window, ...]
) -> dict[str, Any]:
    """Arguments of both functions of ``window_meanfield``."""

    def arrays(*channels: int) -> tuple[Array, ...]:
        return tuple(normal(rng, dtype, shape[0], count, *shape[2:]) for count in channels)

    classes, guides = shape[1], range(2, 2 + len(windows))
    filters = [Filter(window, 0.7, remove_center=True, remove_bounds=i > 0) for i, window in enumerate(windows)]

    def given() -> Arrays:
        matrices = tuple(normal(rng, dtype, classes, classes) for _ in range(len(windows) + 1))
        return Arrays(*arrays(classes, classes), arrays(*guides), matrices)

    (out_grad,) = arrays(classes)
    out = empty(dtype, *shape)
    return {"given": given(), "out": out, "out_grad": out_grad, "grads": given(), "inference": Inference(filters, 2)}


for _function in ("forward", "backward"):
    for _suffix, _shape in {"wide": (2, 3, 7, 33), "narrow": (1, 4, 9, 5)}.items():

        @add("window_meanfield", _function, _suffix)
        def _(rng: np.random.Generator, dtype: Any, shape: Any = _shape) -> dict[str, Any]:
            return inference_arguments(rng, dtype, shape, TWO_WINDOWS)


# --- activation ---


for _name, _numbers in {
    "scaled_elu": {"scale": 1.05, "alpha": 1.67},
    "mish": {},
    "hard_sigmoid": {"slope": 0.4, "shift": 0.5},
    "hard_swish": {"slope": 0.4, "shift": 0.5},
}.items():

    def _activation(rng: np.random.Generator, dtype: Any, numbers: Any = _numbers) -> dict[str, Any]:
        return {"x": 3 * normal(rng, dtype, 9_999), "y": empty(dtype, 9_999), **numbers}

    def _activation_grad(rng: np.random.Generator, dtype: Any, numbers: Any = _numbers) -> dict[str, Any]:
        arrays = {name: 3 * normal(rng, dtype, 9_999) for name in ("x", "dy")}
        return {**arrays, "dx": empty(dtype, 9_999), **numbers}

    KERNEL_CASES += [
        KernelCase("activation", _name, _activation),
        KernelCase("activation", _name, _activation, "in-place", same=(("y", "x"),)),
        KernelCase("activation", f"{_name}_grad", _activation_grad),
        KernelCase("activation", f"{_name}_grad", _activation_grad, "in-place", same=(("dx", "dy"),)),
    ]


# --- pixel_norm ---


def _pixel_norm(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    x, norm, y = normal(rng, dtype, 3, 7, 611), empty(dtype, 3, 611), empty(dtype, 3, 7, 611)
    return {"x": x, "scale": normal(rng, dtype, 7), "norm": norm, "y": y, "epsilon": Epsilon(1e-3, 0.1)}


def _pixel_norm_backward(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    x, dy, dx = (normal(rng, dtype, 3, 7, 611) for _ in range(3))
    norm = 1 + np.abs(normal(rng, dtype, 3, 611))
    return {"x": x, "scale": normal(rng, dtype, 7), "norm": norm, "dy": dy, "dx": dx}


def _pixel_norm_scale(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    arguments = _pixel_norm_backward(rng, dtype)
    return {name: arguments[name] for name in ("x", "norm", "dy")} | {"out": empty(dtype, 7)}


KERNEL_CASES += [
    KernelCase("pixel_norm", "forward", _pixel_norm),
    KernelCase("pixel_norm", "forward", _pixel_norm, "in-place", same=(("y", "x"),)),
    KernelCase("pixel_norm", "backward", _pixel_norm_backward),
    KernelCase("pixel_norm", "backward", _pixel_norm_backward, "in-place", same=(("dx", "dy"),)),
    KernelCase("pixel_norm", "scale_grad", _pixel_norm_scale),
]


from tests.gpu import cases_regions  # noqa: E402, F401 (it adds its own)
