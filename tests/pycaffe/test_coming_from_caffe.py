"""The examples of the page for people who come from Caffe run, one after the other."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segcaffe
from segcaffe import as_caffe
from segcaffe.cli.main import COMMANDS
from tests.pycaffe.nets import write_lenet

PAGE = Path(__file__).parent.parent.parent / "docs" / "coming-from-caffe.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    write_lenet(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    as_caffe.uninstall()


def test_examples_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        if "safetensors" in block and importlib.util.find_spec("safetensors") is None:
            block = block.replace("from safetensors.numpy import save_file", "from numpy import savez")
            block = block.replace('save_file(arrays, "weights.safetensors")', "savez('weights.npz', **arrays)")
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["caffe"] is segcaffe
    assert names["scores"].shape == (4, 10)
    assert len(names["losses"]) == 3
    assert (folder / "net.caffemodel").exists()
    (weights,) = folder.glob("weights.*")
    again = segcaffe.Net("lenet.prototxt", segcaffe.TEST, weights=str(weights))
    for name, blobs in names["net"].params.items():
        for index, blob in enumerate(blobs):
            np.testing.assert_array_equal(again.params[name][index].data, blob.data)


def test_commands_of_the_table_exist() -> None:
    assert set(re.findall(r"`segcaffe (\w+)", PAGE.read_text())) <= set(COMMANDS)


def test_fields_of_messages_and_modules_are_there_too() -> None:
    as_caffe.install()
    try:
        import caffe.proto.caffe_pb2 as messages
    finally:
        as_caffe.uninstall()
    assert messages is segcaffe.proto.caffe_pb2
    assert "caffe" not in sys.modules
