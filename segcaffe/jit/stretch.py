"""Many calls of compiled functions as one, without the interpreter between them.

Numba calls a compiled function from Python through a wrapper that looks at the type of every argument and takes each
array apart into its address, extents and strides. Where a call is repeated with the same arguments that is done once:
they are written down as machine words, in the order in which Numba passes the fields of arrays and tuples, beside the
function's address. A few instructions, generated for each list of argument types, load the words and make the call; a
loop goes over a table of such calls. Nothing of a function is compiled anew.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm
from numba.core import types
from numba.core.dispatcher import Dispatcher
from numba.core.types.containers import BaseTuple

from segcaffe.jit import kept

Function = Callable[..., Any]
_LARGE = 1 << 31
"""Numbers below this are of one type."""
_WORD = "i64"
_lock = threading.RLock()
_LOOP = """
define {LINKAGE} i64 @{NAME}(i64* %table, i64 %count) {
begin:
  br label %test
test:
  %i = phi i64 [ 0, %begin ], [ %next, %made ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %make, label %end
make:
  %row = shl i64 %i, 1
  %place = getelementptr i64, i64* %table, i64 %row
  %following = getelementptr i64, i64* %place, i64 1
  %code = load i64, i64* %place
  %words = load i64, i64* %following
  %call = inttoptr i64 %code to i32 (i64)*
  %status = call i32 %call(i64 %words)
  %failed = icmp ne i32 %status, 0
  br i1 %failed, label %end, label %made
made:
  %next = add i64 %i, 1
  br label %test
end:
  ret i64 %i
}
"""


class Stretch:
    """Calls of compiled functions, made by one call; it holds their arguments.

    Parameters
    ----------
    calls:
        Functions with arguments for which `is_compiled` holds.
    """

    def __init__(self, calls: Sequence[tuple[Function, tuple[Any, ...]]]) -> None:
        self._calls = tuple(calls)
        self._table, self._words = table_of(self._calls)
        self._arguments = self._table.ctypes.data, len(self._calls)
        self._play = _player()

    def __call__(self) -> None:
        """Make the calls; what one raises is raised."""
        made = self._play(*self._arguments)
        if made < len(self._calls):
            # The failing call once more, through Numba's wrapper, which makes an exception of its status.
            for function, arguments in self._calls[made:]:
                function(*arguments)


class Lookup:
    """Finds functions as compiled for arguments; for a call like the last one of its function at once.

    A pass that threads divide makes thousands of such calls.
    """

    def __init__(self) -> None:
        self._last: dict[Function, tuple[Any, Any]] = {}

    def __call__(self, function: Function, arguments: tuple[Any, ...]) -> Any:
        """Numba's record; None where there is none."""
        last = self._last.get(function)
        if last is not None and _is_alike(arguments, last[0]):
            return last[1]
        found = _overload(function, arguments)
        self._last[function] = arguments, found
        return found


def _is_alike(value: Any, other: Any) -> bool:
    """Whether Numba takes two values as of the same type, as far as is soon seen."""
    kind = type(value)
    if value is other or kind is not type(other):
        return value is other
    if kind is np.ndarray:
        return (value.dtype, value.ndim, value.flags.num) == (other.dtype, other.ndim, other.flags.num)
    if isinstance(value, tuple):
        return len(value) == len(other) and all(map(_is_alike, value, other))
    return kind is int and -_LARGE < value < _LARGE and -_LARGE < other < _LARGE


def table_of(
    calls: Sequence[tuple[Function, tuple[Any, ...]]], look_up: Lookup | None = None
) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """Rows for generated code, a call each: code, and the address of its words; and the words, to be kept."""
    found = list(itertools.starmap(look_up or Lookup(), calls))
    words = [np.array(_words_of_call(each, given), np.int64) for each, (_, given) in zip(found, calls, strict=True)]
    entries = [_entry(each.fndesc, each.target_context) for each in found]
    rows = [(entry, each.ctypes.data) for entry, each in zip(entries, words, strict=True)]
    return np.array(rows, np.int64).reshape(len(words), 2), words


def loop_code(name: str, linkage: str = "") -> str:
    """A function, in LLVM's assembly, that makes the calls of a table's rows in order.

    It takes the table's address and length, and returns how many calls went well before one failed.
    """
    return _LOOP.replace("{LINKAGE}", linkage).replace("{NAME}", name)


def is_compiled(function: Function, arguments: tuple[Any, ...]) -> bool:
    """Whether a call is of a function of Numba's that is compiled for just such arguments."""
    return _overload(function, arguments) is not None


def _overload(function: Function, arguments: tuple[Any, ...]) -> Any:
    """Numba's record of the function as compiled for the arguments; None where there is none that takes them as is."""
    if not isinstance(function, Dispatcher) or sys.byteorder != "little":
        # A value shorter than a word is read at the word's beginning.
        return None
    given = tuple(map(numba.typeof, arguments))
    exact = function.overloads.get(given)
    if exact is None:
        fits = (result for taken, result in function.overloads.items() if _all_fit(given, taken))
        exact = next(fits, None)
    known = exact is not None and exact.fndesc.restype == types.none and all(map(_is_known, exact.fndesc.argtypes))
    return exact if known else None


def _all_fit(given: Sequence[types.Type], taken: Sequence[types.Type]) -> bool:
    return len(given) == len(taken) and all(map(_fits, given, taken))


def _fits(given: types.Type, taken: types.Type) -> bool:
    """Whether a value of one type can be passed as the other unchanged: an array as one of any layout."""
    if isinstance(given, types.Array) and isinstance(taken, types.Array):
        same = (given.dtype, given.ndim) == (taken.dtype, taken.ndim)
        return same and taken.layout in ("A", given.layout) and not (taken.mutable and not given.mutable)
    return bool(given == taken)


def _is_known(kind: types.Type) -> bool:
    """Whether `_words` can write values of a type down."""
    if isinstance(kind, BaseTuple):
        return all(map(_is_known, kind))
    return isinstance(kind, (types.Array, types.Integer, types.Boolean)) or kind in (types.float32, types.float64)


def _words_of_call(result: Any, arguments: tuple[Any, ...]) -> list[int]:
    """The function's address, and its arguments."""
    words = [result.library.get_pointer_to_function(result.fndesc.llvm_func_name)]
    for kind, value in zip(result.fndesc.argtypes, arguments, strict=True):
        words += _words(kind, value)
    return [_signed(word) for word in words]


def _words(kind: types.Type, value: Any) -> Iterable[int]:
    """An argument as Numba passes it, a word for each field; arrays without an owner, whom the caller keeps."""
    if isinstance(kind, BaseTuple):
        return [word for field, part in zip(kind, value, strict=True) for word in _words(field, part)]
    if isinstance(kind, types.Array):
        return [0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides]
    if isinstance(kind, types.Float):
        return [int.from_bytes(struct.pack("=f" if kind == types.float32 else "=d", value).ljust(8, b"\0"), "little")]
    return [int(value)]


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


@functools.cache
def _entry(description: Any, target_context: Any) -> int:
    """The address of the code that makes calls of a function from their words."""
    packer = target_context.get_arg_packer(description.argtypes)
    return _code(tuple(str(kind) for kind in packer.argument_types))


@functools.cache
def _code(kinds: tuple[str, ...]) -> int:
    """The address of code that loads the words of arguments of these types and calls the function before them.

    Numba's functions take, before the arguments, where to put a result and where to put an exception.
    """
    passed = [_WORD if kind.endswith("*") else kind for kind in kinds]
    name = f"call_{hashlib.sha256(repr(kinds).encode()).hexdigest()[:16]}"
    lines = [f"define i32 @{name}({_WORD} %words) {{", f" %result = alloca {_WORD}", f" %error = alloca {_WORD}"]
    lines += [f" %from = inttoptr {_WORD} %words to {_WORD}*", f" %code = load {_WORD}, {_WORD}* %from"]
    for i, kind in enumerate(passed):
        lines += [
            f" %at{i} = getelementptr {_WORD}, {_WORD}* %from, {_WORD} {i + 1}",
            f" %typed{i} = bitcast {_WORD}* %at{i} to {kind}*",
            f" %value{i} = load {kind}, {kind}* %typed{i}",
        ]
    types_of_all = ", ".join([f"{_WORD}*", f"{_WORD}*", *passed])
    values = [f"{_WORD}* %result", f"{_WORD}* %error", *(f"{kind} %value{i}" for i, kind in enumerate(passed))]
    lines.append(f" %function = inttoptr {_WORD} %code to i32 ({types_of_all})*")
    lines += [f" %status = call i32 %function({', '.join(values)})", " ret i32 %status", "}"]
    return add_code("\n".join(lines), name)[0]


@functools.cache
def _player() -> Any:
    made = add_code(loop_code("make_calls"), "make_calls")
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(*made)


@functools.cache
def _engine() -> Any:
    """What holds the code."""
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())


def _machine() -> Any:
    """What turns the generated instructions into code; they are too few to be worth optimizing."""
    return llvm.Target.from_default_triple().create_target_machine(opt=0)


def add_code(assembly: str, *names: str) -> list[int]:
    """Compile a module, which stays for the life of the process; returns the addresses of functions in it.

    Its functions have names that no other module's have. What is made is kept, so that another process need not read
    LLVM's code generator from disk.
    """
    key = ("instructions", llvm.get_default_triple(), assembly)
    path = kept.path_of("instructions", key)
    with _lock:
        engine = _engine()
        code = kept.read(path, key)
        if code is None:
            code = _machine().emit_object(llvm.parse_assembly(assembly))
            kept.write(path, key, code)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return [int(engine.get_function_address(name)) for name in names]
