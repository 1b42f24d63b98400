"""Compiled kernels are kept by content: other sources give other numbers, equal ones elsewhere compile nothing anew."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import event

import segcaffe
from segcaffe.jit import cache_folder, compiled

PACKAGE = Path(segcaffe.__file__).resolve().parent
USES_HELPERS = """
import json
import numpy as np
from numba.core import event
from segcaffe.kernels import elementwise
from segcaffe.jit import cache_folder
from segcaffe.kernels.convolution import loops
from segcaffe.kernels.matmul import cpu as matmul

with event.install_recorder("numba:compile") as compilations:
    x = np.arange(1, 65, dtype=np.float32) / 64
    y, product, packed = (np.zeros_like(x) for _ in range(3))
    elementwise.exponential(x, 1.0, 1.0, y)
    square, made = x.reshape(8, 8), product.reshape(8, 8)
    matmul._gemm(False, False, 1.0, square, square, 0.0, made)
    loops.pack_weights(x, packed, np.zeros(1, np.intp), loops.ROWS, 1, 0, 1, 0, 0, 1)
print(json.dumps({
    "compiled": sum(e.is_start for _, e in compilations.buffer),
    "folder": str(cache_folder.folder()),
    "values": [float(a.sum()) for a in (y, product, packed)],
}))
"""
EDITS = {
    "vector/vector_math.py": ("_C1 = np.float32(0.5)", "_C1 = np.float32(0.75)"),
    "vector/blas.py": ("floats[0], floats[1] = factors", "floats[0], floats[1] = 2 * factors[0], factors[1]"),
    "vector/tile.py": ("raw_memcpy(vectors.builder, to, come_from", "raw_memcpy(vectors.builder, to, to"),
}
"""Edits of helpers: none of the files whose functions call them is touched."""


def _copy(folder: Path) -> Path:
    shutil.copytree(PACKAGE, folder / "segcaffe", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _environment(package: Path, **places: str) -> dict[str, str]:
    unset = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return kept | {"PYTHONPATH": str(package), "SEGCAFFE_NUM_THREADS": "1"} | places


def _start(package: Path, cwd: Path, **places: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USES_HELPERS]
    environment = _environment(package, **places)
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, stdout=-1, stderr=-1)


def _finish(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out) | {"stderr": err}


@pytest.mark.slow
def test_two_versions_that_differ_in_helpers(tmp_path: Path) -> None:
    first, second, copy = (_copy(tmp_path / name) for name in ("first", "second", "copy"))
    for name, (old, new) in EDITS.items():
        path = second / "segcaffe" / "kernels" / name
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
    place = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    # Three processes at once find the cache empty.
    starts = [_start(package, tmp_path, **place) for package in (first, copy, second)]
    one, beside, other = map(_finish, starts)
    assert one["compiled"] > 0
    assert other["compiled"] > 0
    assert one["folder"] == beside["folder"] == other["folder"]
    assert one["values"] == beside["values"]
    assert all(a != b for a, b in zip(one["values"], other["values"], strict=True))
    again = [_finish(_start(package, tmp_path, **place)) for package in (first, second, copy)]
    assert [run["compiled"] for run in again] == [0, 0, 0]
    assert [run["values"] for run in again] == [one["values"], other["values"], one["values"]]


def test_no_place_at_all(tmp_path: Path) -> None:
    """No HOME, nothing writable: kernels are compiled, kept nowhere, and one sentence says so."""
    package = _copy(tmp_path / "package")
    (package / "segcaffe" / "kernels" / "__pycache__").write_text("not a folder")
    (tmp_path / f"segcaffe-{os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"segcaffe-{os.getuid()}").chmod(0o777)
    run = _finish(_start(package, tmp_path, HOME="/dev/null", TMPDIR=str(tmp_path), PYTHONDONTWRITEBYTECODE="1"))
    assert run["folder"] == "None"
    assert run["values"][0] == pytest.approx(float(np.exp(np.arange(1, 65) / 64).sum()), rel=1e-5)
    assert run["stderr"].count("\n") == 1
    assert "NUMBA_CACHE_DIR" in run["stderr"]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Home, package and temporary files in folders of the test."""
    for name in ("home", "tmp", "package/kernels"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(cache_folder, "_PACKAGE", tmp_path / "package")
    return tmp_path


def _folder() -> Path | None:
    return cache_folder.folder.__wrapped__()


def test_order_of_places(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = places / "tmp" / f"segcaffe-{os.getuid()}"
    assert cache_folder.KEY is not None
    monkeypatch.setattr("numba.config.CACHE_DIR", str(places / "named"))
    assert _folder() == places / "named" / "segcaffe" / cache_folder.KEY
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(places / "xdg"))
    assert _folder() == places / "xdg" / "segcaffe" / cache_folder.KEY
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert _folder() == places / "home" / ".cache" / "segcaffe" / cache_folder.KEY
    monkeypatch.setenv("HOME", "/dev/null")
    assert _folder() == places / "package" / "kernels" / "__pycache__" / "compiled" / cache_folder.KEY
    shutil.rmtree(places / "package" / "kernels" / "__pycache__")
    (places / "package" / "kernels" / "__pycache__").touch()
    assert _folder() == private / cache_folder.KEY
    assert private.stat().st_mode & 0o777 == 0o700


def test_folder_that_is_refused(
    places: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What NUMBA_CACHE_DIR names is passed over with a sentence; a temporary folder of others without."""
    monkeypatch.setattr("numba.config.CACHE_DIR", "/dev/null/cache")
    assert _folder() == places / "home" / ".cache" / "segcaffe" / str(cache_folder.KEY)
    assert [record.message.split(":")[0] for record in caplog.records] == ["NUMBA_CACHE_DIR"]
    monkeypatch.setenv("HOME", "/dev/null")
    (places / "package" / "kernels" / "__pycache__").touch()
    (places / "tmp" / f"segcaffe-{os.getuid()}").symlink_to(places / "home")
    assert _folder() is None


def test_files_that_nobody_loads_are_removed(places: Path) -> None:
    current = _folder()
    assert current is not None
    other = current.with_name("of other versions")
    other.mkdir()
    old, loaded, recent = (current / name for name in ("old", "loaded", "recent"))
    for path in (old, loaded, recent, other / "old"):
        path.touch()
    for path in (old, loaded, other / "old"):
        os.utime(path, (1, 1))
    cache_folder.mark_used(loaded)
    _folder()
    assert old.exists(), "looked at once a day only"
    os.utime(current / "swept", (1, 1))
    _folder()
    assert {path.name for path in current.iterdir()} == {"loaded", "recent", "swept"}
    assert not other.exists()


def _twice(x: float) -> float:
    return 2 * x


def _compilations(folder: Path | None, monkeypatch: pytest.MonkeyPatch, edited: bool = False) -> int:
    monkeypatch.setattr(cache_folder, "folder", lambda: folder)
    monkeypatch.setattr(cache_folder, "_state", lambda: None if edited else cache_folder._STATE_AT_START)
    with event.install_recorder("numba:compile") as compilations:
        assert compiled.njit(cache=True)(_twice)(1.5) == 3
    return sum(e.is_start for _, e in compilations.buffer)


def test_a_damaged_file_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [_compilations(tmp_path, monkeypatch) for _ in range(2)] == [1, 0]
    (kept,) = tmp_path.glob("*_twice*")
    kept.write_bytes(kept.read_bytes()[:1000])
    assert [_compilations(tmp_path, monkeypatch) for _ in range(2)] == [1, 0]


def test_an_edit_during_the_run_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [_compilations(tmp_path, monkeypatch, edited=True) for _ in range(2)] == [1, 1]
    assert not any(tmp_path.glob("*_twice*"))


def test_a_folder_that_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [_compilations(tmp_path / "gone", monkeypatch) for _ in range(2)] == [1, 0]
    shutil.rmtree(tmp_path / "gone")
    assert [_compilations(tmp_path / "gone", monkeypatch) for _ in range(2)] == [1, 0]


def test_a_full_disk_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert [_compilations(tmp_path / "file" / "below", monkeypatch) for _ in range(2)] == [1, 1]
    assert len(caplog.records) == 1


def test_closures_cannot_be_cached() -> None:
    factor = 2
    with pytest.raises(TypeError, match="closure"):
        compiled.njit(cache=True)(lambda x: factor * x)


def _imports(path: Path) -> set[str]:
    """What the parser says that a file imports: modules, perhaps names in them, and the packages around."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name.rsplit(".", end)[0] for name in found for end in range(name.count(".") + 1)}


def test_an_edit_reaches_all_that_import_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = _copy(tmp_path) / "segcaffe"
    monkeypatch.setattr(cache_folder, "_PACKAGE", package)
    before = cache_folder.contents()
    assert before == cache_folder.CONTENTS
    imports = {cache_folder._module(path): _imports(path) for path in cache_folder.sources()}
    for path in cache_folder.sources()[::4]:
        text = path.read_bytes()
        path.write_bytes(text + b"#")
        after = cache_folder.contents()
        path.write_bytes(text)
        reached = {cache_folder._module(path)}
        while more := {module for module, names in imports.items() if names & reached} - reached:
            reached |= more
        assert {module for module in before if after[module] != before[module]} == reached


def test_another_kernel_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = _copy(tmp_path) / "segcaffe"
    monkeypatch.setattr(cache_folder, "_PACKAGE", package)
    before = cache_folder.contents()
    (package / "kernels" / "new").mkdir()
    (package / "kernels" / "new" / "cpu.py").write_text("from segcaffe.kernels.vector import blas")
    after = cache_folder.contents()
    assert after.keys() - before.keys() == {"segcaffe.kernels.new.cpu"}
    assert {module: after[module] for module in before} == before


def test_functions_of_other_packages() -> None:
    """They have their own file and everything of ours for content."""
    assert cache_folder.content(_twice) not in cache_folder.CONTENTS.values()
    assert cache_folder.content(_twice) == cache_folder.content(_compilations)


def test_all_compiled_code_is_hashed() -> None:
    """Compiled functions are in files of the key and compiled by our njit; those files import only each other.

    What else they import takes no part in compiled code: the device, errors, digits, and windows, whose numbers are
    arguments.
    """
    hashed = {*cache_folder.sources()}
    others = {f"segcaffe{name}" for name in ("", ".device.mode", ".errors", ".text.digits", ".version", ".window")}
    others.add("segcaffe.data.varint")
    for path in PACKAGE.rglob("*.py"):
        imports = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.ImportFrom)]
        from_numba = {name.name for node in imports if node.module == "numba" for name in node.names}
        assert not from_numba & {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil"}, path
        if path not in hashed:
            assert not any(node.module == "segcaffe.jit.compiled" for node in imports), path
            continue
        for node in imports:
            module = node.module or ""
            if module.startswith("segcaffe") and module not in others:
                found = PACKAGE.parent.joinpath(*module.split("."))
                assert found.with_suffix(".py") in hashed or found / "__init__.py" in hashed, (path, module)
