"""Choosing between a kernel's two implementations.

Each folder of ``kernels/`` holds one primitive. Its ``__init__.py`` declares functions with `kernel`: name, signature
and contract, no body. ``cpu.py`` and ``gpu.py`` beside it implement them under the same names and signatures; they are
imported when first needed. A kernel fills arrays that its caller made (named in ``writes``) and returns nothing.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import logging
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from segcaffe import device
from segcaffe.threads import recording

_log = logging.getLogger("segcaffe")
_announcements = logging.getLogger("segcaffe.compile")
F = TypeVar("F", bound=Callable[..., Any])


class HostFallbackWarning(UserWarning):
    """A kernel has no CUDA version yet: it ran on the host, with a copy there and back."""


def kernel(*, writes: tuple[str, ...]) -> Callable[[F], F]:
    """Declare a kernel: the decorated function gives its name, signature and contract.

    Parameters
    ----------
    writes:
        The parameters that the kernel writes to; all other arrays are only read.
    """

    def declare(contract: F) -> F:
        package, name = contract.__module__, contract.__name__
        code = contract.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        host_function: Callable[..., Any] | None = None

        @functools.wraps(contract)
        def call(*args: Any, **options: Any) -> None:
            nonlocal host_function
            if not any(map(device.is_device_array, args)) and not any(map(device.is_device_array, options.values())):
                if host_function is None:
                    host_function = getattr(_import_cpu(package), name)
                tape = recording.tape()
                if tape is None:
                    host_function(*args, **options)
                else:
                    tape.watch(host_function, args, options)
                return
            function = _gpu_function(package, name)
            if function is not None:
                function(*args, **options)
            else:
                _on_host(package, name, dict(zip(names, args, strict=False)) | options, writes)

        call.writes = writes  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return declare


def in_order(declared: Callable[..., None], arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Arguments in the order of the parameters, those given by name among them."""
    return inspect.signature(declared).bind(*arguments, **named).args if named else arguments


def _import_cpu(package: str) -> ModuleType:
    _announce_compilation()
    return importlib.import_module(f"{package}.cpu")


@functools.cache
def _announce_compilation() -> None:
    """Say so, once, when Numba begins to compile: the first run on a machine is slow, the next find its cache."""
    from numba.core import event

    class Announce(event.Listener):  # type: ignore[misc]
        """Hears of every kernel that is compiled, and logs the sentence for the first."""

        said = False

        def on_start(self, event: Any) -> None:
            """Log it, once in a process."""
            if not Announce.said:
                Announce.said = True
                _announcements.info("Compiling kernels for this machine; this is done once and kept.")

        def on_end(self, event: Any) -> None:
            """Nothing to say: compilation goes on kernel by kernel."""

    event.register("numba:compile", Announce())


def _gpu_function(package: str, name: str) -> Callable[..., Any] | None:
    if f"{package}.gpu" not in sys.modules and importlib.util.find_spec(f"{package}.gpu") is None:
        return None
    return getattr(importlib.import_module(f"{package}.gpu"), name, None)


@functools.cache
def _warn_once(package: str, name: str) -> None:
    short = package.rsplit(".", 1)[-1]
    message = f"Kernel {short}.{name} has no CUDA version yet; it runs on the host, with copies there and back."
    warnings.warn(message, HostFallbackWarning, stacklevel=4)


def _on_host(package: str, name: str, arguments: dict[str, Any], writes: tuple[str, ...]) -> None:
    _warn_once(package, name)
    hosted = {key: _hosted(value) for key, value in arguments.items()}
    getattr(_import_cpu(package), name)(**hosted)
    for key in writes:
        _copy_back(hosted[key], arguments[key])


def _hosted(value: Any) -> Any:
    """An argument with its device arrays, also those in tuples and lists, on the host."""
    if isinstance(value, (list, tuple)):
        inner = map(_hosted, value)
        return type(value)(*inner) if hasattr(value, "_fields") else type(value)(inner)
    return device.to_host(value) if device.is_device_array(value) else value


def _copy_back(hosted: Any, value: Any) -> None:
    """Put what a kernel wrote on the host into the device arrays that it stands for."""
    if isinstance(value, (list, tuple)):
        for inner, place in zip(hosted, value, strict=True):
            _copy_back(inner, place)
    elif device.is_device_array(value):
        value[...] = device.to_device(hosted)
