"""A device that is not one: a module in CuPy's place whose arrays live on the host but refuse to meet host arrays.

`module` is given to ``segcaffe.device.compat.substitute_gpu_module``. As with CuPy, arrays of both kinds in one
operation are a TypeError, and nothing becomes a NumPy array but by ``asnumpy``. Every copy between "device" and host is
counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

DEVICES = 2


class _Tape:
    """What is asked of the device while a stream records: it is undone when the recording ends, and done when it runs.

    An operation on device arrays is known by what it does to memory: it writes to its outputs, or makes an array whose
    memory stays the same, as that of a graph's temporary arrays does.
    """

    def __init__(self) -> None:
        self.records: list[Callable[[], Any]] | None = None
        self._undo: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []

    def begin(self) -> None:
        self.records, self._undo = [], []

    def end(self) -> list[Callable[[], Any]]:
        assert self.records is not None
        records, self.records = self.records, None
        for array, before in reversed(self._undo):
            array[...] = before
        return records

    def wait(self, values: Any) -> Any:
        """Refuse to wait for a result while recording, as CUDA does."""
        if self.records is not None:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")
        return values

    def run(self, function: Callable[..., Any], args: Any, options: dict[str, Any]) -> Any:
        """Do an operation of NumPy's, and record it."""
        if self.records is None:
            return function(*args, **options)
        out = options.get("out")
        own = getattr(function, "__self__", None)
        targets = [a for a in (*(out if isinstance(out, tuple) else (out,)), own) if isinstance(a, np.ndarray)]
        self._undo += [(target, target.copy()) for target in targets]
        result = function(*args, **options)
        if isinstance(result, np.generic):
            result = np.asarray(result)
        made = result if isinstance(result, tuple) else (result,)
        fresh = [isinstance(a, np.ndarray) and a.base is None and all(a is not t for t in targets) for a in made]

        def again() -> None:
            values = function(*args, **options)
            for old, new, is_fresh in zip(made, values if isinstance(values, tuple) else (values,), fresh, strict=True):
                if is_fresh:
                    old[...] = new

        self.records.append(again)
        return result

    def launch(self, work: Callable[[], None], targets: list[np.ndarray[Any, Any]]) -> None:
        """Run a kernel that writes to ``targets``, or record it."""
        if self.records is None:
            work()
            return
        self._undo += [(target, target.copy()) for target in targets]
        work()
        self.records.append(work)


tape = _Tape()


class ndarray(NDArrayOperatorsMixin):
    """An array on the device."""

    __array_priority__ = 100

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self._values = values

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _wrap(tape.run(getattr(ufunc, method), _unwrap(inputs), _unwrap(options)), options.get("out"))

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return _wrap(tape.run(function, _unwrap(args), _unwrap(kwargs)), kwargs.get("out"))

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion of a device array to a NumPy array is not allowed; use asnumpy.")

    @property
    def data(self) -> Any:
        """Where the memory is, as CuPy tells it."""
        return SimpleNamespace(ptr=self._values.ctypes.data)

    def set(self, values: np.ndarray[Any, Any], stream: Any = None) -> None:
        """Copy from the host, on a stream."""
        _Stream.log.append(("copy", (stream, self)))
        module.copies["to device"] += 1
        self._values[...] = values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._values, name)
        return _wrapped(value) if callable(value) else _wrap(value)

    def __getitem__(self, key: Any) -> Any:
        return _wrap(tape.run(self._values.__getitem__, (_unwrap(key),), {}))

    def __setitem__(self, key: Any, value: Any) -> None:
        tape.run(self._values.__setitem__, (_unwrap(key), _unwrap(value)), {})

    def __len__(self) -> int:
        return len(self._values)

    def __float__(self) -> float:
        return float(tape.wait(self._values))

    def __int__(self) -> int:
        return int(tape.wait(self._values))

    def __bool__(self) -> bool:
        return bool(tape.wait(self._values))

    def __dlpack__(self, **options: Any) -> Any:
        return self._values.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __repr__(self) -> str:
        return f"fake_gpu.{self._values!r}"


class _Device:
    current = 0

    def __init__(self, number: int) -> None:
        self.id = number

    def use(self) -> None:
        _Device.current = self.id


class _Stream:
    """A stream that is always done; ``log`` holds what was asked of all streams, in order."""

    log: ClassVar[list[tuple[str, Any]]] = []
    ptr = 0

    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking

    def __enter__(self) -> _Stream:
        self._outer, module.main_stream = module.main_stream, self
        return self

    def __exit__(self, *_: object) -> None:
        module.main_stream = self._outer

    def begin_capture(self, mode: int) -> None:
        tape.begin()

    def end_capture(self) -> _Graph:
        return _Graph(tape.end())

    def synchronize(self) -> None:
        tape.wait(None)

    def wait_event(self, event: Any) -> None:
        assert event.recorded_on is not None, "the event was never recorded"
        self.log.append(("wait", (self, event)))


class _Graph:
    """What a stream recorded."""

    launches = 0

    def __init__(self, records: list[Callable[[], Any]]) -> None:
        self.records = records

    def launch(self) -> None:
        _Graph.launches += 1
        for record in self.records:
            record()


class _Event:
    """A point in a stream."""

    recorded_on: Any = None

    def __init__(self, disable_timing: bool = False) -> None:
        self.time = None if disable_timing else 0.0

    def record(self, stream: Any = None) -> None:
        self.recorded_on = stream or module.main_stream
        if self.time is not None:
            self.time = time.perf_counter()
        _Stream.log.append(("record", (stream, self)))

    def synchronize(self) -> None:
        assert self.recorded_on is not None


def _elapsed(first: _Event, last: _Event) -> float:
    """Milliseconds between two events, which were recorded and measure time."""
    assert first.recorded_on is not None
    assert last.recorded_on is not None
    return 1e3 * (last.time - first.time)


class _Random:
    """A generator whose numbers are born on the device."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        return _wrapped(getattr(self._generator, name))


class _Module(ModuleType):
    """The module: NumPy's functions on device arrays, and what CuPy has besides."""

    ndarray = ndarray

    def __init__(self) -> None:
        super().__init__("fake_gpu")
        self.copies = {"to device": 0, "to host": 0}
        self.main_stream = _Stream()
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                getDeviceCount=lambda: DEVICES, streamCaptureModeRelaxed=2, memGetInfo=lambda: (1 << 32, 1 << 33)
            ),
            Device=_Device,
            get_current_stream=lambda: self.main_stream,
            Stream=_Stream,
            Event=_Event,
            get_elapsed_time=_elapsed,
            alloc_pinned_memory=bytearray,
            MemoryPool=lambda: SimpleNamespace(malloc=None),
            using_allocator=lambda allocator: nullcontext(),
        )
        self.random = SimpleNamespace(default_rng=_Random)
        pool = SimpleNamespace(used_bytes=lambda: 1 << 20, total_bytes=lambda: 1 << 21, free_all_blocks=lambda: None)
        self.get_default_memory_pool = lambda: pool

    def asarray(self, values: Any, dtype: Any = None) -> ndarray:
        """Copy to the device, unless it is there."""
        if isinstance(values, ndarray):
            return values if dtype is None else ndarray(values._values.astype(dtype, copy=False))
        self.copies["to device"] += 1
        return ndarray(np.array(values, dtype=dtype))

    array = asarray

    def asnumpy(self, values: Any) -> np.ndarray[Any, Any]:
        """Copy to the host."""
        self.copies["to host"] += 1
        return np.array(tape.wait(values._values) if isinstance(values, ndarray) else values)

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        return value if isinstance(value, type) or not callable(value) else _wrapped(value)


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        return _wrap(tape.run(function, _unwrap(args), _unwrap(options)), options.get("out"))

    return call


def _unwrap(value: Any) -> Any:
    """The memory behind device arrays, in any nesting; host arrays are refused."""
    if isinstance(value, ndarray):
        return value._values
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type: a NumPy array meets a device array; move it with asarray first.")
    if isinstance(value, (tuple, list)):
        return type(value)(_unwrap(item) for item in value)
    if isinstance(value, dict):
        return {key: _unwrap(item) for key, item in value.items()}
    return value


def _wrap(value: Any, out: Any = None) -> Any:
    if out is not None and not isinstance(out, tuple):
        return out
    if isinstance(out, tuple) and len(out) == 1:
        return out[0]
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple):
        return tuple(_wrap(item) for item in value)
    return value


module = _Module()
