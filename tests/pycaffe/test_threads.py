"""Several nets in several threads and processes give what they give alone."""

from __future__ import annotations

import multiprocessing
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import segcaffe as caffe
from tests.pycaffe.nets import lenet

ROUNDS = 6


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 1, 28, 28)).astype(np.float32)


def outputs(net: caffe.Net, seed: int) -> list[np.ndarray]:
    """Results of some passes, forward and backward."""
    results = []
    for step in range(ROUNDS):
        net.clear_param_diffs()
        results.append(net.forward(data=images(4, seed + step))["prob"].copy())
        net.blobs["prob"].diff[...] = images(4, seed)[:, 0, :1, :10].reshape(4, 10)
        results.append(net.backward()["data"].copy())
    return results


def assert_equal(received: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(received, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_nets_in_two_threads() -> None:
    nets = [caffe.Net(lenet(), caffe.TEST) for _ in range(2)]
    alone = [outputs(net, seed) for seed, net in enumerate(nets)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(outputs, nets, range(2)))
    for received, expected in zip(together, alone, strict=True):
        assert_equal(received, expected)


def test_one_set_of_weights_in_several_threads() -> None:
    owner = caffe.Net(lenet(), caffe.TEST)
    nets = [caffe.Net(lenet(), caffe.TEST) for _ in range(4)]
    for net in nets:
        net.share_with(owner)
    alone = [outputs(owner, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(outputs, nets, range(4)))
    for received, expected in zip(together, alone, strict=True):
        assert_equal(received, expected)


def test_nets_built_in_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        nets = list(pool.map(lambda _: caffe.Net(lenet(), caffe.TEST), range(4)))
    for net in nets[1:]:
        net.share_with(nets[0])
    expected = outputs(nets[0], 0)
    assert_equal(outputs(nets[3], 0), expected)


def test_training_beside_inference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.pycaffe.nets import write_lenet

    write_lenet(tmp_path)
    monkeypatch.chdir(tmp_path)

    def train() -> list[np.ndarray]:
        solver = caffe.SGDSolver("lenet_solver.prototxt")
        solver.net.params["score"][0].data[...] = 0.01
        for name in ("conv1", "conv2", "ip1"):
            solver.net.params[name][0].data[...] = (
                np.random.default_rng(0).random(solver.net.params[name][0].shape) - 0.5
            )
        solver.net.blobs["data"].data[...] = images(16, 1)
        solver.net.blobs["label"].data[...] = np.arange(16) % 10
        solver.step(ROUNDS)
        return [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]

    net = caffe.Net(lenet(), caffe.TEST)
    trained, inferred = train(), outputs(net, 5)
    with ThreadPoolExecutor(2) as pool:
        training, inference = pool.submit(train), pool.submit(outputs, net, 5)
        assert_equal(training.result(), trained)
        assert_equal(inference.result(), inferred)


def _forked(net: caffe.Net, seed: int, queue: multiprocessing.Queue) -> None:
    queue.put(outputs(net, seed))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_forked_workers_compute_as_their_parent() -> None:
    net = caffe.Net(lenet(), caffe.TEST)
    expected = outputs(net, 0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        # Python warns of forking a process with threads; that it works all the same is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        workers = [context.Process(target=_forked, args=(net, 0, queue)) for _ in range(2)]
        for worker in workers:
            worker.start()
    received = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    for results in received:
        assert_equal(results, expected)
