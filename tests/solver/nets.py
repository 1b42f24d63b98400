"""Small solvers for tests: random and stored data, a train and a test net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver

NET = """
name: "small"
layer { name: "stored" type: "HDF5Data" top: "data" top: "target" include { phase: TRAIN }
  hdf5_data_param { source: "data.txt" batch_size: 4 shuffle: true } }
layer { name: "stored" type: "HDF5Data" top: "data" top: "target" include { phase: TEST }
  hdf5_data_param { source: "data.txt" batch_size: 3 } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" param { name: "w" }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip2" bottom: "target" top: "loss" }
layer { name: "noise" type: "DummyData" top: "noise" top: "noise_target" dummy_data_param {
  shape { dim: 4 dim: 6 } shape { dim: 4 dim: 5 } data_filler { type: "gaussian" } } }
layer { name: "ip3" type: "InnerProduct" bottom: "noise" top: "ip3" param { name: "w" }
  inner_product_param { num_output: 5 } }
layer { name: "noise_loss" type: "EuclideanLoss" bottom: "ip3" bottom: "noise_target" top: "noise_loss"
  loss_weight: 0.1 }
"""
OPTIONS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "",
    "RMSProp": "rms_decay: 0.9",
    "AdaDelta": "momentum: 0.9 delta: 1e-5",
    "Adam": "momentum: 0.9",
}
COMMON = (
    'base_lr: 0.05 lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 5 weight_decay: 0.001 '
    'random_seed: 7 snapshot_prefix: "snap" max_iter: 12 average_loss: 3 '
)


def write_small_net(folder: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(5)
    with h5py.File(folder / "data.h5", "w") as file:
        file["data"] = rng.standard_normal((22, 6)).astype(np.float32)
        file["target"] = rng.standard_normal((22, 3)).astype(np.float32)
    (folder / "data.txt").write_text("data.h5\n")
    (folder / "net.prototxt").write_text(NET)


def small_solver(type_name: str = "SGD", extra: str = "") -> Solver:
    """A solver on the small net in the working directory; the random stream starts anew."""
    text = f'net: "net.prototxt" type: "{type_name}" {OPTIONS[type_name]} {COMMON} {extra}'
    Path("solver.prototxt").write_text(text)
    return get_solver("solver.prototxt")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the small net and its data."""
    write_small_net(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
