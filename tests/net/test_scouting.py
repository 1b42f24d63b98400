"""Kernels that a net needs are known before its pass, and compiled several at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.net.net import Net
from segcaffe.net.scouting import calls_of
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.threads.recording import Scout, recording

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
LIGHT_NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "exp" type: "Exp" bottom: "x" top: "exp" }
layer { name: "sum" type: "Eltwise" bottom: "exp" bottom: "x" top: "sum" }
layer { name: "sigmoid" type: "Sigmoid" bottom: "sum" top: "sigmoid" }
layer { name: "tanh" type: "TanH" bottom: "sigmoid" top: "tanh" }
"""
COUNTS = """
import json, sys
from numba.core import event
from segcaffe.jit import ahead, cache_folder
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
ahead._WORTH_A_PROCESS = 1
net = Net(parse(sys.argv[1], caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST)
net.blobs["x"].data[...] = 0.5
progress = []
with event.install_recorder("numba:compile") as compilations, ahead.progress_told(lambda *both: progress.append(both)):
    values = float(net.forward()["tanh"].sum())
print(json.dumps({
    "compiled": sorted({str(e.data["dispatcher"].py_func.__qualname__) for _, e in compilations.buffer if e.is_start}),
    "kept": sorted(path.name for path in cache_folder.folder().glob("kernels.*")),
    "value": values,
    "progress": progress,
}))
"""


def _net() -> Net:
    net = Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST)
    net.blobs["x"].data[...] = np.random.default_rng(0).random(net.blobs["x"].shape)
    return net


def test_a_net_tells_its_calls_and_nothing_is_written() -> None:
    net = _net()
    scores = net.forward()["prob"].copy()
    before = {name: blob.data.tobytes() for name, blob in net.blobs.items()}
    names = {call.function.__name__ for call in calls_of(net._parts.steps)}
    assert {"maxima_2_apart", "multiply", "_forward_rows"} <= names
    assert any("pack" in name for name in names), "what is made of the weights is among them"
    assert {name: blob.data.tobytes() for name, blob in net.blobs.items()} == before
    assert net.forward()["prob"].tolist() == scores.tolist()


@pytest.mark.parametrize(
    ("channels", "size", "options"),
    [
        (64, 56, "kernel_size: 3 pad: 1"),
        (256, 7, "kernel_size: 3 pad: 1"),
        (64, 56, "kernel_size: 1"),
        (256, 14, "kernel_size: 1 stride: 2"),
        (3, 64, "kernel_size: 7 pad: 3 stride: 2"),
        (64, 28, "kernel_size: 3 pad: 2 dilation: 2"),
        (64, 14, "kernel_size: 3 pad: 1 group: 64"),
        (64, 6, "kernel_size: 6"),
    ],
)
def test_every_convolution_tells_its_calls(channels: int, size: int, options: str) -> None:
    """Also those by which it packs its weights."""
    shape = f"dim: 1 dim: {channels} dim: {size} dim: {size}"
    text = f"""layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}
        layer {{ name: "y" type: "Convolution" bottom: "x" top: "y"
                 convolution_param {{ num_output: 64 {options} }} }}"""
    net = Net(parse(text, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST)
    scout = Scout()
    with recording(scout):
        net.layer_dict["y"].forward(*([net.blobs[name]] for name in ("x", "y")))
    assert scout.calls


def _counted(folder: Path, threads: int) -> Any:
    unset = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment = unset | {"XDG_CACHE_HOME": str(folder), "SEGCAFFE_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", COUNTS, LIGHT_NET]
    run = subprocess.run(command, env=environment, cwd=Path.cwd(), text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_two_processes_compile_and_the_next_run_compiles_nothing(tmp_path: Path) -> None:
    first = _counted(tmp_path, 2)
    assert first["compiled"]
    done, count = first["progress"][-1]
    assert done == count == len(first["kept"])
    again = _counted(tmp_path, 2)
    assert (again["compiled"], again["progress"]) == ([], [])
    assert (again["kept"], again["value"]) == (first["kept"], first["value"])
