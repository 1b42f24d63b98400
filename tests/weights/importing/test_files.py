"""Files as they come: wrapped, in other types, quantized, damaged, with code in them."""

from __future__ import annotations

import os
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.errors import LimitError, WeightsError
from segcaffe.weights.importing.load import read
from segcaffe.weights.importing.map_file import read_map
from tests.weights.importing.files import conv, from_tensors, imported, net_of, values

TENSORS = {"q.weight": values(4, 3, 3, 3), "q.bias": values(4)}


@pytest.fixture
def net(tmp_path: Path) -> Any:
    return net_of(conv("c", "data", 4), tmp_path)


def _torch_tensors() -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    return {name: torch.from_numpy(array.copy()) for name, array in TENSORS.items()}


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_what_training_scripts_save(wrapper: str, net: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {f"module.{name}": tensor for name, tensor in _torch_tensors().items()}
    torch.save({"epoch": 3, wrapper: state, "optimizer": {"lr": 0.1}}, tmp_path / "w.pth")
    imported(net, tmp_path / "w.pth")
    assert np.array_equal(net.params["c"][0].data, TENSORS["q.weight"])


def test_files_of_old_pytorch(net: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(_torch_tensors(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    imported(net, tmp_path / "w.pth")
    assert np.array_equal(net.params["c"][1].data, TENSORS["q.bias"])


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_types_of_numbers(kind: str, net: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {name: tensor.to(getattr(torch, kind)) for name, tensor in _torch_tensors().items()}
    torch.save(state, tmp_path / "w.pt")
    from safetensors.torch import save_file

    save_file(state, str(tmp_path / "w.safetensors"))
    words = "rounded to single precision" if kind == "float64" else "kept exactly"
    for name in ("w.pt", "w.safetensors"):
        report = imported(net, tmp_path / name)
        assert np.array_equal(net.params["c"][0].data, state["q.weight"].float().numpy())
        assert re.search(f"2 tensors of {kind}: {words}", report.notes[0])


def test_whole_numbers_are_left_out(net: Any, tmp_path: Path) -> None:
    report = from_tensors(net, TENSORS | {"n.num_batches_tracked": np.array(3), "ids": np.arange(3)}, tmp_path)
    assert report.unused == {"ids": "whole numbers, which are no weights"}


@pytest.mark.filterwarnings("ignore")  # PyTorch, on tensors of this kind
def test_quantized_weights(net: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from_tensors_of_eight_bits = {"q.weight": (values(4, 3, 3, 3) * 10).astype(np.int8), "q.bias": values(4)}
    with pytest.raises(WeightsError, match="nothing in the file fits"):
        from_tensors(net, from_tensors_of_eight_bits, tmp_path)
    state = {"q.weight": torch.quantize_per_tensor(torch.ones(4, 3, 3, 3), 0.1, 0, torch.qint8)}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r'"q.weight" is quantized \(torch.qint8\).*dequantize'):
        imported(net, tmp_path / "w.pt")


def test_values_that_are_no_numbers(net: Any, tmp_path: Path) -> None:
    weight = TENSORS["q.weight"].copy()
    weight[0, 0, 0, :2] = np.nan, np.inf
    report = from_tensors(net, TENSORS | {"q.weight": weight}, tmp_path)
    assert report.notes == ("q.weight: 2 of 108 values are NaN or infinite.",)


class Harmless:
    """Would print, if it were unpickled as pickle does."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


def test_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"q.weight": torch.ones(2), "more": Harmless()}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"more than tensors.*torch\.save"):
        read(tmp_path / "w.pt", {})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [[1, 2], {"a": 1, "b": "c"}, 3.5])
def test_no_state_dict(content: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"no state dict, names with their tensors, was found\. Received: "):
        read(tmp_path / "w.pt", {})


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.safetensors", "w.onnx"])
def test_damaged_files(name: str, net: Any, tmp_path: Path) -> None:
    file = tmp_path / name
    if name.endswith("safetensors"):
        from_tensors(net, TENSORS, tmp_path)
        whole = (tmp_path / "weights.safetensors").read_bytes()
    elif name.endswith("onnx"):
        whole = b"\x08\x08" + bytes(range(200))
    else:
        pytest.importorskip("torch").save(_torch_tensors(), file)
        whole = file.read_bytes()
    for content in (b"", b"<html>", whole[: len(whole) // 2], whole[:-30]):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=re.escape(str(file))):
            read(file, {})


def test_a_header_that_claims_much(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    with pytest.raises(WeightsError, match="header is longer than the file"):
        read(file, {})


def test_an_archive_that_unfolds_to_much(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data/0", bytes(80 << 20))
    with pytest.raises(LimitError, match="--max-bytes"):
        read(tmp_path / "w.pt", {})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w.onnx"])
def test_pipes_are_not_opened(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(WeightsError, match="pipe"):
        read(tmp_path / name, {})


def test_files_of_other_kinds(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"\.safetensors, \.pt, .*Received: \.tflite"):
        read(tmp_path / "w.tflite", {})
    with pytest.raises(WeightsError, match="no-such"):
        read(tmp_path / "no-such.safetensors", {})


def test_maps(tmp_path: Path) -> None:
    file = tmp_path / "map.txt"
    file.write_text("# names\n\nconv1 = features.0 # first\nfc/0=classifier.weight\n")
    assert read_map(file) == {"conv1": "features.0", "fc/0": "classifier.weight"}
    for text, words in (("a = b\nc\n", r"map.txt:2: A line is LAYER = MODULE. Received: c"),
                        ("a = b\na = c\n", 'map.txt:2: "a" has a line already'), ("= b\n", "map.txt:1")):  # fmt: skip
        file.write_text(text)
        with pytest.raises(WeightsError, match=words):
            read_map(file)
