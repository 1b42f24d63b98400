"""The record beside an exported file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from segcaffe.errors import ExportError
from segcaffe.export.proof.described import describe_onnx
from segcaffe.export.proof.prove import Proof, prove
from segcaffe.export.proof.record import record_path, write_record
from segcaffe.export.runtimes import runtime
from tests.export.proof.exported import NET, change_node, source_of, written

SOURCES = {"net.prototxt": "12ab"}


def proof_of(file: Path, *names: str) -> Proof:
    return prove(source_of(NET).net, file, describe_onnx(file), [runtime(name) for name in names])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(source_of(NET), tmp_path / "net.onnx")


def record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(), parse_constant=pytest.fail)
    return found


def test_hashes_versions_and_seeds(file: Path) -> None:
    path = write_record(proof_of(file, "onnxruntime"), file, SOURCES)
    assert path == record_path(file) == file.with_name("net.onnx.proof.json")
    found = record(path)
    assert found["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found["sources"] == SOURCES
    (one,) = found["runtimes"]
    assert one["name"] == "onnxruntime"
    assert one["version"]
    assert all(isinstance(trial["seed"], int) for trial in one["inputs"])


def test_programs_come_together(file: Path) -> None:
    write_record(proof_of(file, "onnxruntime"), file, SOURCES)
    found = record(write_record(proof_of(file, "opencv"), file, SOURCES))
    assert [one["name"] for one in found["runtimes"]] == ["onnxruntime", "opencv"]


def test_what_is_known_of_other_files_goes(file: Path) -> None:
    write_record(proof_of(file, "onnxruntime"), file, SOURCES)
    written(source_of(NET), file, change_node("relu1", "Identity"))
    found = record(write_record(proof_of(file, "opencv"), file, SOURCES))
    assert [one["name"] for one in found["runtimes"]] == ["opencv"]
    assert not found["holds"]


def test_a_file_that_is_no_record_is_replaced(file: Path) -> None:
    record_path(file).write_text("[1, 2")
    assert record(write_record(proof_of(file, "onnxruntime"), file, SOURCES))["holds"]


def test_a_place_that_cannot_be_written(file: Path) -> None:
    record_path(file).mkdir()
    with pytest.raises(ExportError, match=r"net\.onnx\.proof\.json: the file cannot be written"):
        write_record(proof_of(file, "onnxruntime"), file, SOURCES)
