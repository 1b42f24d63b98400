"""The arrays that functions are given: of NumPy, of CuPy, or of anything else that shares its memory by DLPack."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.errors import ShapeError
from segcaffe.functional.outputs import outputs

_CPU = 1
_CUDA = (2, 13)
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_NOT_SHARED = (RuntimeError, BufferError, TypeError, ValueError)


class Given(NamedTuple):
    """What a function was given, as contiguous arrays of one kind and dtype; and how its answers become the caller's.

    Attributes
    ----------
    arrays:
        In the order given, None where None was.
    back:
        Makes an array of ours one of the library that the first of the caller's arrays is from, without a copy.
    lends:
        Whether memory of answers comes from `outputs`: where another library holds what it is given.
    """

    arrays: list[Any]
    back: Callable[[Array], Any]
    lends: bool

    def empty(self, shape: Sequence[int]) -> Any:
        """An array for an answer, of the arrays' kind and dtype; it must go `back`."""
        first = next(array for array in self.arrays if array is not None)
        if self.lends:
            return outputs.empty(shape, first.dtype)
        return device.array_module(first).empty(shape, first.dtype)


def take(function: str, whole: str = "", **given: Any) -> Given:
    """Take a function's arrays; ``function`` and the names are for errors.

    The array called ``whole`` may be of whole numbers, which become of the dtype of the others, float32 if it is alone.

    Raises
    ------
    ShapeError
        One is not an array of real numbers; they are not all float32 or all float64, or not all on one device.
    """
    if any(type(value).__module__.split(".")[0] == "cupy" for value in given.values()):
        device.gpu_module()
    arrays = {name: None if value is None else _array(function, name, value) for name, value in given.items()}
    present = {name: array for name, array in arrays.items() if array is not None}
    if whole in present and present[whole].dtype.kind in "iub":
        dtype = next((array.dtype for array in present.values() if array.dtype in _FLOATS), _FLOATS[0])
        arrays[whole] = present[whole] = present[whole].astype(dtype)
    kinds = {device.is_device_array(array) for array in present.values()}
    if len(kinds) > 1:
        raise fail(function, "all arrays must be on one device", ", ".join(map(_kind, present.values())))
    dtypes = {name: array.dtype for name, array in present.items()}
    if set(dtypes.values()) not in ({_FLOATS[0]}, {_FLOATS[1]}):
        received = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise fail(function, "all arrays must be float32, or all float64", received)
    contiguous = [None if a is None else device.array_module(a).ascontiguousarray(a) for a in arrays.values()]
    first = next(value for value in given.values() if value is not None)
    back = _way_back(first)
    return Given(contiguous, back, back is not _same and kinds == {False})


def fail(function: str, rule: str, received: str) -> ShapeError:
    """An error about what a function was given."""
    return ShapeError(f"{function}: {rule}. Received: {received}.")


def check_images(function: str, **images: Array) -> None:
    """Check that each is (N, channels, H, W), not empty, and all of one N, H and W. Raises ShapeError."""
    received = ", ".join(f"{name} {tuple(image.shape)}" for name, image in images.items())
    if any(image.ndim != 4 or min(image.shape[1:]) < 1 for image in images.values()):
        raise fail(function, f"{' and '.join(images)} must have shape (N, channels, height, width)", received)
    if len({(image.shape[0], *image.shape[2:]) for image in images.values()}) > 1:
        raise fail(function, f"{' and '.join(images)} must have one batch size, height and width", received)


def _array(function: str, name: str, value: Any) -> Array:
    """The value as an array of NumPy or CuPy that shares its memory."""
    if device.is_device_array(value):
        return value
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        return _shared(function, name, value)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise fail(function, f"{name} must be an array of real numbers", f"{type(value).__name__} of {array.dtype}")
    return array


def _shared(function: str, name: str, value: Any) -> Array:
    try:
        kind = int(value.__dlpack_device__()[0])
    except _NOT_SHARED as error:
        raise fail(function, f"{name} cannot share its memory ({error})", type(value).__name__) from error
    if kind != _CPU and kind not in _CUDA:
        raise fail(function, f"{name} must be in the memory of the host or of a CUDA device", f"DLPack device {kind}")
    if getattr(value, "requires_grad", False):
        raise fail(
            function,
            f"{name} asks for a gradient, which functions on arrays don't record; use segcaffe.torch, or detach it",
            "requires_grad=True",
        )
    try:
        return np.from_dlpack(value) if kind == _CPU else device.gpu_module().from_dlpack(value)
    except _NOT_SHARED as error:
        received = f"{type(value).__name__} of {getattr(value, 'dtype', 'no dtype')}"
        raise fail(function, f"{name} cannot share its memory ({error})", received) from error


def _way_back(value: Any) -> Callable[[Array], Any]:
    """How an array of ours becomes one of the library that ``value`` is from."""
    if isinstance(value, np.ndarray) or device.is_device_array(value):
        return _same
    library = sys.modules.get(type(value).__module__.split(".")[0])
    convert: Callable[[Array], Any] = getattr(library, "from_dlpack", _same)
    return convert if hasattr(value, "__dlpack__") else _same


def _same(array: Array) -> Array:
    return array


def _kind(array: Array) -> str:
    return "device" if device.is_device_array(array) else "host"
