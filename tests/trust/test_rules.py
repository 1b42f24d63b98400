"""What nets may do holds for every layer: what runs code says so, and what writes asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segcaffe.errors import DataError, GraphError
from segcaffe.layers import layer_class, layer_types
from segcaffe.proto.caffe_pb2 import LayerParameter
from segcaffe.trust.modules import Code
from segcaffe.trust.rules import Rules, apply, check_code, check_written, tell
from tests.conftest import ROOT

PACKAGE = ROOT / "segcaffe"
IMPORTING = {
    "__init__.py", "cli/main.py", "cli/plugins.py", "device/cudnn.py", "export/onnx/registry.py", "jit/worker.py",
    "kernels/dispatch.py", "kernels/vector/blas.py", "layers/python/python.py", "layers/registry.py",
    "pycaffe/__init__.py", "pycaffe/draw.py", "solver/registry.py", "wiring/aliases.py",
}  # fmt: skip
"""Modules that import what a string names: modules of ours, packages that stand there in so many words, or what the
command line names (--plugin)."""


def modules_with(pattern: str, folder: Path = PACKAGE) -> set[str]:
    expression = re.compile(pattern)
    return {
        path.relative_to(PACKAGE).as_posix() for path in folder.rglob("*.py") if expression.search(path.read_text())
    }


def test_rules_hold_while_they_are_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_written("here", tmp_path.parent / "x")
    with apply(Rules(python=False, anywhere=False, advice="Say please.")):
        with pytest.raises(DataError, match=r'here: writes ".*/x", outside of the current directory'):
            check_written("here", tmp_path.parent / "x")
        check_written("here", Path("deep/x"))
        with pytest.raises(GraphError, match=r'is Python code \(class C of the module "m", .*\).* Say please\.'):
            check_code("here", Code("m", "C"))
    check_written("here", tmp_path.parent / "x")
    check_code("here", Code("m", "C"))


def test_a_module_is_told_of_once_even_where_only_python_finds_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with apply(Rules()):
        check_code("here", Code("a_module_of_an_import_hook", "C"))
        assert caplog.text == ""
        tell("a_module_of_an_import_hook", "somewhere.py")
        check_code("here", Code("json", "C"))
        check_code("there", Code("json", "D"))
        tell("json", "json.py")
    assert [record.getMessage().split('"')[1] for record in caplog.records] == ["a_module_of_an_import_hook", "json"]


def test_python_is_the_only_type_that_is_code() -> None:
    assert [name for name in layer_types() if layer_class(name).code(LayerParameter(type=name))] == ["Python"]


def test_layers_that_write_files_ask_whether_they_may() -> None:
    writing = r"\b(write_\w+|replacing|mkdir|imwrite|savemat|save|File)\(|\.open\(\s*[\"'][wax]"
    writers = modules_with(writing, PACKAGE / "layers")
    assert {"layers/sink/hdf5_output.py", "layers/sink/mat_write.py"} <= writers
    assert writers - modules_with(r"check_written\(self\.(_layer\.)?where", PACKAGE / "layers") == set()


def test_nothing_else_imports_by_name_or_runs_text() -> None:
    assert modules_with(r"import_module\(|__import__\(") == IMPORTING
    assert modules_with(r"(?<![\w.])(exec|eval)\(|pickle\.(loads?|Unpickler)\b|allow_pickle=True") == {
        "jit/kept.py",  # What this user's processes compiled.
        "jit/worker.py",  # Orders of the process that started it.
        "export/torch/module.py",
    }
