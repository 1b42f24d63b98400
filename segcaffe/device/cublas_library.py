"""cuBLAS, called directly: CuPy refuses its own calls of it while a stream records a CUDA graph.

The functions carry CuPy's names and take what CuPy's take, so that either may stand for the other. The handle is our
own, with scratch memory of our own: without it cuBLAS allocates some for every graph that it is recorded in.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from segcaffe.device import mode
from segcaffe.errors import DeviceError

_NUMBER, _STEP, _ADDRESS = ctypes.c_int, ctypes.c_longlong, ctypes.c_void_p
_GEMM = [_ADDRESS, *[_NUMBER] * 5, _ADDRESS, _ADDRESS, _NUMBER, _ADDRESS, _NUMBER, _ADDRESS, _ADDRESS, _NUMBER]
_BATCHED = [
    _ADDRESS, *[_NUMBER] * 5, _ADDRESS, _ADDRESS, _NUMBER, _STEP, _ADDRESS, _NUMBER, _STEP, _ADDRESS, _ADDRESS,
    _NUMBER, _STEP, _NUMBER,
]  # fmt: skip
_FUNCTIONS: dict[str, tuple[str, list[Any]]] = {
    "create": ("cublasCreate_v2", [ctypes.POINTER(_ADDRESS)]),
    "setStream": ("cublasSetStream_v2", [_ADDRESS, _ADDRESS]),
    "setWorkspace": ("cublasSetWorkspace_v2", [_ADDRESS, _ADDRESS, ctypes.c_size_t]),
    "setMathMode": ("cublasSetMathMode", [_ADDRESS, _NUMBER]),
    "sgemm": ("cublasSgemm_v2", _GEMM),
    "dgemm": ("cublasDgemm_v2", _GEMM),
    "sgemmStridedBatched": ("cublasSgemmStridedBatched", _BATCHED),
    "dgemmStridedBatched": ("cublasDgemmStridedBatched", _BATCHED),
}
_ALLOC_FAILED = 3
_ERRORS = {1: "not initialized", 7: "invalid value", 8: "architecture mismatch", 13: "execution failed"}


class Library:
    """cuBLAS's functions by CuPy's names; a call that fails raises.

    Raises
    ------
    MemoryError
        cuBLAS found no memory.
    DeviceError
        It failed otherwise.
    """

    def __init__(self, shared: ctypes.CDLL) -> None:
        for name, (symbol, types) in _FUNCTIONS.items():
            function = getattr(shared, symbol)
            function.argtypes, function.restype = types, ctypes.c_int
            setattr(self, name, functools.partial(_checked, function, symbol))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"cuBLAS's {name} is not among those that are called")


@functools.cache
def library() -> Library:
    """The library that CuPy loaded: the symbols of its module's dependencies."""
    return Library(ctypes.CDLL(mode.xp().cuda.cublas.__file__))


class Handle:
    """A device's handle, its scratch memory, and the stream it was told last."""

    def __init__(self, blas: Any, device_id: int) -> None:
        gpu = mode.xp()
        address = _ADDRESS()
        blas.create(ctypes.byref(address))
        self.address = address.value
        self._blas = blas
        self._stream: int | None = None
        # What NVIDIA advises: 32 MiB from Hopper on, 4 MiB before.
        modern = int(gpu.cuda.Device(device_id).compute_capability) >= 90
        self._scratch = gpu.empty((32 if modern else 4) << 20, "uint8")

    def on(self, stream: int) -> Any:
        """The handle, working on a stream from now on."""
        if stream != self._stream:
            self._blas.setStream(self.address, stream)
            # Choosing a stream takes the scratch memory away.
            self._blas.setWorkspace(self.address, self._scratch.data.ptr, self._scratch.nbytes)
            self._stream = stream
        return self.address


def address() -> Any:
    """The current device's handle, working on CuPy's current stream."""
    return _handle(mode.current_device()).on(mode.xp().cuda.get_current_stream().ptr)


@functools.cache
def _handle(device_id: int) -> Handle:
    return Handle(library(), device_id)


def _checked(function: Any, symbol: str, *arguments: Any) -> None:
    status = function(*arguments)
    if status == _ALLOC_FAILED:
        raise MemoryError(f"{symbol} found no memory")
    if status:
        raise DeviceError(f"{symbol} failed with status {status} ({_ERRORS.get(status, 'unknown')}).")
