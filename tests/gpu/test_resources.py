"""What the kernels that matter most take of a multiprocessor, as the assembler reports it; no driver is needed."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType

import pytest

from segcaffe.kernels.cuda import compile as cuda_source

SHARED_BYTES = 48 << 10
"""Of shared memory, what a block may have without asking for more."""
REGISTERS = 65536
"""Of a multiprocessor."""
_FUNCTION = re.compile(
    r"Function properties for (\w+)\n.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
    r".*?Used (\d+) registers(?:.*?(\d+) bytes smem)?"
)
FAST = ("segaware_conv", "meanfield", "im2dist", "norm_conv", "domain_transform", "im2col")
"""Sources whose kernels were made for speed."""


@dataclass(frozen=True)
class Resources:
    """Bytes that spill to memory, registers of a thread, bytes of shared memory of a block."""

    spilled: int
    registers: int
    shared: int


def resources(core: ModuleType, name: str, architecture: str, dtype: str) -> dict[str, Resources]:
    """What each function of a source takes."""
    macros = [option[2:].split("=") for option in cuda_source.options(dtype) if option.startswith("-D")]
    options = core.ProgramOptions(
        std="c++17", arch=architecture, ftz=True, define_macro=[(k, v) for k, v in macros], ptxas_options=["-v"]
    )
    log = io.StringIO()
    core.Program(cuda_source.source(name), "c++", options).compile("cubin", logs=log)
    found = _FUNCTION.findall(log.getvalue())
    return {f: Resources(max(map(int, memory)), int(used), int(shared or 0)) for f, *memory, used, shared in found}


@pytest.mark.parametrize("name", FAST)
def test_fast_kernels_keep_to_registers(name: str, core: ModuleType) -> None:
    """Nothing spills, and two blocks fit a multiprocessor, so that one computes while the other waits for memory."""
    with ThreadPoolExecutor(2) as pool:
        reports = list(
            pool.map(lambda architecture: resources(core, name, architecture, "float32"), ("sm_80", "sm_90"))
        )
    for report in reports:
        assert set(report) == set(cuda_source.signatures(name))
        for function, taken in report.items():
            assert taken.spilled == 0, function
            assert 2 * cuda_source.BLOCK * taken.registers <= REGISTERS, function
            assert taken.shared <= SHARED_BYTES, function


@pytest.mark.parametrize("name", FAST)
def test_double_precision_fits_shared_memory(name: str, core: ModuleType) -> None:
    for function, taken in resources(core, name, "sm_80", "float64").items():
        assert taken.shared <= SHARED_BYTES, function
