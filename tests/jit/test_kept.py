"""What is kept beside kernels: Numba's runtime, generated instructions; and what a kept function brings with it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core import environment

from segcaffe.jit import cache_folder, kept
from segcaffe.jit.stretch import add_code

START = """
import numpy as np
from numba.core.registry import cpu_target
from numba.core.runtime import nrtdynmod
made, make = [], nrtdynmod.create_nrt_module
nrtdynmod.create_nrt_module = lambda context: made.append(context) or make(context)
functions = nrtdynmod.compile_nrt_functions
from segcaffe.jit import runtime
for _ in range(2):
    runtime.start(cpu_target.target_context)
assert nrtdynmod.compile_nrt_functions is functions
import numba
assert numba.njit(lambda n: np.arange(n).sum())(5) == 10
print(len(made))
"""


def _start(folder: Path) -> int:
    places = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    places |= {"XDG_CACHE_HOME": str(folder)}
    run = subprocess.run([sys.executable, "-c", START], env=places, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_the_runtime_is_made_once(tmp_path: Path) -> None:
    """And again where its file is damaged; a function that is compiled on the spot is linked with what was kept."""
    assert [_start(tmp_path), _start(tmp_path)] == [1, 0]
    (path,) = tmp_path.rglob("runtime-*")
    path.write_bytes(path.read_bytes()[:100])
    assert _start(tmp_path) == 1


def test_instructions_are_kept_by_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "folder", lambda: tmp_path)
    for count, value in enumerate((7, 8), 1):
        name = f"test_of_instructions_{value}"
        (address,) = add_code(f"define i64 @{name}() {{ ret i64 {value} }}", name)
        assert ctypes.CFUNCTYPE(ctypes.c_int64)(address)() == value
        assert len(list(tmp_path.glob("instructions-*"))) == count


def test_what_is_read_is_of_the_key(tmp_path: Path) -> None:
    path = tmp_path / "file"
    kept.write(path, ("key",), np.arange(3))
    assert kept.read(path, ("key",)).tolist() == [0, 1, 2]
    assert kept.read(path, ("other",)) is None
    assert kept.read(tmp_path / "nowhere", ("key",)) is None
    assert kept.read(None, ("key",)) is None
    kept.write(None, ("key",), 1)


@pytest.mark.parametrize(("module", "imported"), [("numba.cuda.tests", False), ("json.tool", True)])
def test_modules_of_numba_are_not_imported_for_a_function(tmp_path: Path, module: str, imported: bool) -> None:
    sys.modules.pop(module, None)
    made = environment.Environment({"__name__": module})
    made.consts[:], made.env_name = ["a constant"], f"_ZN_test_of_{module}"
    kept.write(tmp_path / "file", ("key",), made)
    read = kept.read(tmp_path / "file", ("key",))
    assert (read.env_name, read.consts) == (made.env_name, made.consts)
    assert read.globals["__name__"] == module
    assert (module in sys.modules) is imported
    assert kept.read(tmp_path / "file", ("key",)) is read
