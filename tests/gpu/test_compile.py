"""Every CUDA source compiles for the devices it is meant for; no driver is needed for that."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest

from segcaffe.kernels.cuda import compile as cuda_source


def _compile(core: ModuleType, name: str, architecture: str, dtype: str, wide: bool) -> bytes:
    macros = [option[2:].split("=") for option in cuda_source.options(dtype, wide) if option.startswith("-D")]
    options = core.ProgramOptions(
        std="c++17", arch=architecture, ftz=True, define_macro=[(key, value) for key, value in macros]
    )
    return bytes(core.Program(cuda_source.source(name), "c++", options).compile("cubin").code)


@pytest.mark.parametrize("name", cuda_source.names())
def test_compiles_for_both_architectures(name: str, core: ModuleType) -> None:
    # Each dtype and each width of indices with one of them: half the time of all combinations.
    jobs = [("sm_80", "float32", False), ("sm_90", "float32", False), ("sm_80", "float64", True)]
    with ThreadPoolExecutor(2) as pool:
        binaries = list(pool.map(lambda job: _compile(core, name, *job), jobs))
    for binary in binaries:
        assert binary[:4] == b"\x7fELF"
        for function in cuda_source.signatures(name):
            assert b"\0" + function.encode() + b"\0" in binary or b".text." + function.encode() in binary


@pytest.mark.parametrize("name", cuda_source.names())
def test_declarations_are_readable(name: str) -> None:
    """Each function of a source is found, with types that a launch can convert to."""
    source = cuda_source.source(name)
    assert len(cuda_source.signatures(name)) == source.count("\nKERNEL ")
    known = {"REAL", "INDEX", "int", "unsigned", "unsigned char", "long long", "double", "float"}
    for function, parameters in cuda_source.signatures(name).items():
        assert {p.type for p in parameters} <= known, function


def test_options_choose_types() -> None:
    assert "-DREAL=double" in cuda_source.options(np.float64)
    assert "-DINDEX=long long" in cuda_source.options(np.float32, wide=True)
