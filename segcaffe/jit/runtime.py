"""The part of Numba that compiled functions call while they run: counting references to arrays.

Numba makes these few functions anew in every process, for which LLVM's code generator is read from disk: 20 ms, and 20
MB of a process that otherwise only loads what is kept. So they are kept like kernels.
"""

from __future__ import annotations

from typing import Any

from numba.core import config
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime import nrtdynmod, rtsys

from segcaffe.jit import kept


@global_compiler_lock  # type: ignore[untyped-decorator]
def start(target_context: Any) -> None:
    """Make it ready; does nothing where it is."""
    making = nrtdynmod.compile_nrt_functions
    if not config.DEBUG_NRT:  # With that the functions print what they do.
        nrtdynmod.compile_nrt_functions = _functions
    try:
        rtsys.initialize(target_context)
    finally:
        nrtdynmod.compile_nrt_functions = making


def _functions(target_context: Any) -> Any:
    """Numba's library of these functions, as it was kept, or made and kept."""
    codegen = target_context.codegen()
    key = ("runtime", codegen.magic_tuple())
    path = kept.path_of("runtime", key)
    stored = kept.read(path, key)
    if stored is not None:
        return codegen.unserialize_library(stored)
    module, library = nrtdynmod.create_nrt_module(target_context)
    library.enable_object_caching()
    library.add_ir_module(module)
    library.finalize()
    kept.write(path, key, library.serialize_using_object_code())
    return library
