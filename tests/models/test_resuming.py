"""Training of the old nets goes on from the original's solver states, and their solver files run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import read_solver
from segcaffe.snapshot.caffemodel import load_weights
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from tests.data.leveldb_files import write_database
from tests.models.mnist import write_lmdb


@pytest.fixture
def models(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The old nets; the working directory has their data where they expect it (noise instead of CIFAR-10)."""
    folder = shared / "models" / "v1_mnist_cifar"
    mnist, cifar = tmp_path / "examples" / "mnist", tmp_path / "examples" / "cifar10"
    mnist.mkdir(parents=True)
    cifar.mkdir()
    for path in folder.glob("*.prototxt"):
        shutil.copy(path, cifar if path.name.startswith("cifar") else mnist)
    write_lmdb(shared, mnist / "mnist_test_lmdb")
    shutil.copytree(mnist / "mnist_test_lmdb", mnist / "mnist_train_lmdb")
    shutil.copy(shared / "models" / "hdf5_cifar10" / "mean.binaryproto", cifar)
    _write_noise(cifar / "cifar10_train_leveldb")
    _write_noise(cifar / "cifar10_test_leveldb")
    monkeypatch.chdir(tmp_path)
    return folder


def _write_noise(folder: Path) -> None:
    rng = np.random.default_rng(0)
    entries = []
    for number in range(100):
        image = rng.integers(0, 256, (3, 32, 32), dtype=np.uint8)
        datum = caffe_pb2.Datum(channels=3, height=32, width=32, data=image.tobytes(), label=number % 10)
        entries.append((f"{number:05d}".encode(), number, datum.SerializeToString()))
    write_database(folder, [], [entries])


def _without_snapshots(path: str) -> caffe_pb2.SolverParameter:
    param = read_solver(path)
    param.solver_mode = caffe_pb2.SolverParameter.CPU
    param.snapshot = 0
    return param


def _assert_like_the_file(solver: Solver, weights: Path) -> None:
    for layer in load_weights(weights).layer:
        for blob, stored in zip(solver.net.params.get(layer.name, ()), layer.blobs, strict=False):
            np.testing.assert_array_equal(blob.data.reshape(-1), np.array(stored.data, np.float32))


@pytest.mark.slow
def test_lenet_goes_on(models: Path) -> None:
    solver = get_solver(_without_snapshots("examples/mnist/lenet_solver.prototxt"))
    shutil.copy(models / "lenet_iter_10000.caffemodel", "examples/mnist")
    solver.restore(models / "lenet_iter_10000.solverstate")
    assert solver.iter == 10000
    _assert_like_the_file(solver, models / "lenet_iter_10000.caffemodel")
    history = {tuple(blob.shape): float(np.abs(blob.data).max()) for blob in solver.history}
    assert set(history) == {tuple(blob.shape) for blob in solver.net.learnable_params}
    assert all(history.values())
    losses = []
    for _ in range(10):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert solver.iter == 10010
    assert solver.lr == pytest.approx(0.01 * (1 + 1e-4 * 10009) ** -0.75, rel=1e-6)
    assert np.mean(losses) < 0.05, "a trained net stays one"


@pytest.mark.slow
def test_cifar_goes_on(models: Path) -> None:
    solver = get_solver(_without_snapshots("examples/cifar10/cifar10_full_solver.prototxt"))
    # The files were renamed since: the weights are those beside the state that are called like it.
    solver.restore(models / "cifar10_full_iter_70000.solverstate")
    assert solver.iter == 70000
    _assert_like_the_file(solver, models / "cifar10_full_iter_70000.caffemodel")
    before = [blob.data.copy() for blob in solver.net.learnable_params]
    moved = [blob.data.copy() for blob in solver.history]
    solver.step(1)
    assert solver.iter == 70001
    assert solver.lr == pytest.approx(0.001)
    for blob, old, history, old_history in zip(solver.net.learnable_params, before, solver.history, moved, strict=True):
        np.testing.assert_allclose(blob.data, old - history.data, rtol=1e-5, atol=1e-9)
        assert not np.array_equal(history.data, old_history)


@pytest.mark.slow
def test_solver_with_nets_inside_and_stages(models: Path) -> None:
    param = _without_snapshots("examples/mnist/lenet_consolidated_solver.prototxt")
    param.test_iter[:] = [2, 3]
    solver = get_solver(param)
    solver.net.copy_from(models / "lenet_iter_10000.caffemodel")
    assert [len(net.layers) for net in solver.test_nets] == [len(solver.test_nets[0].layers)] * 2
    assert float(solver.test(0)["accuracy"]) > 0.97
    solver.step(1)
    assert float(solver.test(1)["accuracy"]) > 0.97


@pytest.mark.slow
def test_autoencoder_trains(models: Path) -> None:
    param = _without_snapshots("examples/mnist/mnist_autoencoder_solver.prototxt")
    param.test_iter[:] = [1, 1]
    solver = get_solver(param)
    solver.step(1)
    first = sum(float(solver.net.blobs[name].data) for name in ("cross_entropy_loss", "l2_error"))
    solver.step(20)
    assert sum(float(solver.net.blobs[name].data) for name in ("cross_entropy_loss", "l2_error")) < first
