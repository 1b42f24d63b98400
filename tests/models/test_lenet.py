"""LeNet as the original trained it: its scores on MNIST, printed in its log, in all digits."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.solver.registry import get_solver
from tests.conftest import ROOT
from tests.models.mnist import images_and_labels, write_lmdb


def _logged(log: str, iteration: int) -> tuple[str, str]:
    """Accuracy and loss that the original printed when it tested at an iteration."""
    tested = log[log.index(f"Iteration {iteration}, Testing net (#0)") :]
    accuracy = re.search(r"accuracy = (\S+)", tested)
    loss = re.search(r"loss = (\S+)", tested)
    assert accuracy is not None
    assert loss is not None
    return accuracy[1], loss[1]


@pytest.fixture
def database(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the test images where the original's files expect them."""
    for kind in ("train", "test"):
        folder = tmp_path / "examples" / "mnist" / f"mnist_{kind}_lmdb"
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_lmdb(shared, folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("iteration", [5000, 10000])
def test_scores_are_those_of_the_log(shared: Path, database: Path, iteration: int) -> None:
    folder = shared / "models" / "lenet_mnist"
    weights = folder / f"lenet_basic_iter_{iteration}.caffemodel"
    net = Net(folder / "lenet_train_test.prototxt", phase=caffe_pb2.TEST, weights=weights)
    sums = np.zeros(2)
    for _ in range(100):
        scores = net.forward()
        sums += float(scores["accuracy"]), float(scores["loss"])
    accuracy, loss = (f"{total / 100:.6g}" for total in sums)
    assert (accuracy, loss) == _logged((folder / "log.txt").read_text(), iteration)


@pytest.mark.slow
def test_the_original_solver_file_tests_and_trains(
    shared: Path, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shared / "models" / "lenet_mnist"
    (database / "examples/mnist/lenet_train_test.prototxt").write_text(
        (folder / "lenet_train_test.prototxt").read_text()
    )
    solver = get_solver(folder / "lenet_solver.prototxt")
    solver.net.copy_from(folder / "lenet_basic_iter_5000.caffemodel")
    with caplog.at_level("INFO", "segcaffe"):
        solver.test_all()
        solver.step(2)
    accuracy, loss = _logged((folder / "log.txt").read_text(), 5000)
    assert f"    Test net output #0: accuracy = {accuracy}" in caplog.messages
    assert f"    Test net output #1: loss = {loss} (* 1 = {loss} loss)" in caplog.messages
    assert "Iteration 0, lr = 0.01" in caplog.messages


def test_the_deploy_file_classifies_digits_without_options(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = images_and_labels(shared)
    for number in range(64):
        cv2.imwrite(str(tmp_path / f"{number:03d}.jpg"), images[number], [cv2.IMWRITE_JPEG_QUALITY, 100])
    weights = shared / "models" / "lenet_mnist" / "lenet_basic_iter_10000.caffemodel"
    options = ["--model_def", str(ROOT / "configs/tiny/lenet_deploy.prototxt"), "--pretrained_model", str(weights)]
    assert main(["classify", str(tmp_path), str(tmp_path / "out.npy"), *options]) == 0
    assert (np.load(tmp_path / "out.npy").argmax(axis=1) == labels[:64]).mean() > 0.98
    told = capsys.readouterr().out.splitlines()
    best = told[told.index(str(tmp_path / "000.jpg")) + 1]
    assert best.split()[1:] == ["class", str(labels[0]), str(labels[0])]


SOLVERS = {
    "SGD": "base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005",
    "Nesterov": "base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005",
    "AdaGrad": "base_lr: 0.01 weight_decay: 0.0005",
    "RMSProp": "base_lr: 0.001 rms_decay: 0.98 weight_decay: 0.0005",
    "AdaDelta": "base_lr: 1.0 momentum: 0.95 delta: 1e-6 weight_decay: 0.0005",
    "Adam": "base_lr: 0.001 momentum: 0.9 weight_decay: 0.0005",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOLVERS)
def test_lenet_learns_from_scratch(shared: Path, database: Path, kind: str) -> None:
    net = shared / "models" / "lenet_mnist" / "lenet_train_test.prototxt"
    (database / "solver.prototxt").write_text(
        f'net: "{net}" type: "{kind}" {SOLVERS[kind]} lr_policy: "inv" gamma: 0.0001 power: 0.75 random_seed: 1 '
        "test_iter: 20 test_interval: 1000 test_initialization: false max_iter: 150"
    )
    solver = get_solver(database / "solver.prototxt")
    losses = []
    for _ in range(150):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert np.mean(losses[:3]) > 1.5
    assert np.mean(losses[-20:]) < 0.6
    assert float(solver.test(0)["accuracy"]) > 0.85
