"""Numba's dispatcher, made quicker at compiling what kernels are made of.

Numba makes machine code of every compiled function that another one calls, with wrappers for Python and for C, and then
makes it again as part of the caller. Here a function that is compiled for a caller stays in LLVM's form, which is
linked into the caller and inlined there; only what Python calls becomes machine code.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numba.core import errors, sigutils, types
from numba.core.caching import NullCache
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher
from numba.core.types.misc import unliteral

from segcaffe.jit import missed


class KernelDispatcher(CPUDispatcher):  # type: ignore[misc]
    """A function that Python calls; called by compiled functions it hands them its twin.

    Attributes
    ----------
    declared:
        The only signatures that it has, each compiled when it is first needed; empty where the arguments decide.
    """

    declared: tuple[Any, ...] = ()
    _twin: LinkedDispatcher | None = None

    def declare(self, signatures: Sequence[str]) -> None:
        """Take arguments that can be converted to those of a signature, and no others."""
        self.declared = tuple(map(sigutils.normalize_signature, signatures))

    def compile(self, sig: Any) -> Any:
        """The function as Python calls it for a signature, compiled where it is not yet."""
        wanted = self._declared_for(sig) if self.declared else sig
        if missed.listeners.tell is not None and self.is_missing(wanted):
            missed.tell(self, wanted)
        with _no_garbage_collection():
            entry = super().compile(wanted)
        if self.declared:
            self._take_at_once(sig, wanted, entry)
        return entry

    def _take_at_once(self, sig: Any, wanted: Any, entry: Any) -> None:
        """Call the function for a declared signature without another look at arguments of these types.

        Taking them from Python converts them. Else Numba asks anew at each call, for 160 microseconds.
        """
        given, _ = sigutils.normalize_signature(sig)
        taken, _ = sigutils.normalize_signature(wanted)
        if tuple(given) != tuple(taken):
            self._insert([kind._code for kind in given], entry, False)

    def is_missing(self, sig: Any) -> bool:
        """Whether a signature is neither compiled in this process nor kept from another one."""
        arguments, _ = sigutils.normalize_signature(sig)
        if tuple(arguments) in self.overloads:
            return False
        return isinstance(self._cache, NullCache) or not self._cache.has_overload(sig, self.targetctx)

    def wanted(self, arguments: tuple[Any, ...]) -> Any:
        """The signature that a call with such arguments needs."""
        given = tuple(map(self.typeof_pyval, arguments))
        return self._declared_for(given) if self.declared else given

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """What a compiled caller learns of the function, by argument types."""
        return self._within().get_call_template(args, kws)

    def get_overload(self, sig: Any) -> Any:
        """What stands for the function in a compiled caller."""
        return self._within().get_overload(sig)

    def add_overload(self, cres: Any) -> None:
        """Take a compiled version; functions that were linked into it find their environments."""
        super().add_overload(cres)
        for environment in cres._find_referenced_environments():
            cres.codegen.set_env(environment.env_name, environment)

    def _within(self) -> LinkedDispatcher:
        if self._twin is None:
            self._twin = LinkedDispatcher(self.py_func, self.locals, dict(self.targetoptions), pipeline_class=_Linked)
        return self._twin

    def _declared_for(self, sig: Any) -> Any:
        given, _ = sigutils.normalize_signature(sig)
        for arguments, result in self.declared:
            if len(arguments) == len(given) and all(map(self._converts, given, arguments)):
                return arguments if result is None else result(*arguments)
        raise TypeError(f"{self.__name__}: has no signature for arguments ({', '.join(map(str, given))}).")

    def _converts(self, given: types.Type, taken: types.Type) -> bool:
        return self.typingctx.can_convert(given, taken) is not None


class LinkedDispatcher(CPUDispatcher):  # type: ignore[misc]
    """A function as compiled functions call it."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """What the caller learns; of constants the types alone, where those will do, for one version for all calls."""
        plain = tuple(map(unliteral, args))
        try:
            return super().get_call_template(plain, {name: unliteral(kind) for name, kind in kws.items()})
        except errors.TypingError:
            return super().get_call_template(args, kws)

    def add_overload(self, cres: Any) -> None:
        """Take a version, which has no entry for Python: an object stands for it in tables that want one."""
        entry = _Entry()
        cres.target_context.insert_user_function(entry, cres.fndesc, [cres.library])
        self.overloads[tuple(cres.signature.args)] = cres._replace(entry_point=entry)


class _Entry:
    """Stands for a function that Python cannot call."""


class _Linked(Compiler):  # type: ignore[misc]
    """Numba's compiler, up to what a caller links."""

    def __init__(
        self, typingctx: Any, targetctx: Any, library: Any, args: Any, return_type: Any, flags: Any, locals: Any
    ) -> None:
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.no_compile = True
        library = _LinkedLibrary(targetctx.codegen(), "linked")
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)


class _LinkedLibrary(CPUCodeLibrary):  # type: ignore[misc]
    """What a caller links: no machine code, and optimized as far as it pays to link less; the caller's is, in full."""

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager(
            loop_vectorize=False, slp_vectorize=False, opt=0, cost="cheap"
        )
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Compiling makes so many objects that looking for cycles among them takes a tenth of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
