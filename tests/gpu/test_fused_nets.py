"""Fused nets on a device: absorbed and lazy layers give what layers by themselves give, replayed or not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from segcaffe import device
from segcaffe.fusion.running import Absorbed, Lazy
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests import fake_gpu
from tests.fusion import test_fold as folding
from tests.fusion import test_running as running

pytestmark = pytest.mark.usefixtures("host_device")
NETS = {"learning": (folding.LEARNING, caffe_pb2.TRAIN), "masked": (running.TEXT, caffe_pb2.TEST)}


@pytest.fixture(autouse=True)
def no_replay_afterwards() -> Iterator[None]:
    yield
    device.configure(graphs=False)


def _passes(text: str, phase: int, fuse: bool) -> tuple[Net, list[dict[str, np.ndarray]]]:
    """A net and what is in its blobs after each of five passes, gradients too where it learns."""
    net = Net(parse(text, caffe_pb2.NetParameter(), "net"), phase, dtype=np.float64, fuse=fuse)
    rng = np.random.default_rng(3)
    for layer in net.layers:
        for blob in layer.blobs:
            blob.data[...] = rng.uniform(0.5, 1.5, blob.shape)
    found = []
    for _ in range(5):
        for name in net.inputs:
            net.blobs[name].data[...] = rng.standard_normal(net.blobs[name].shape)
        net.forward()
        net.clear_param_diffs()
        net.backward()
        values = {name: blob.data.copy() for name, blob in net.blobs.items()}
        params = {name: blobs[0].diff.copy() for name, blobs in net.params.items() if any(net.layer_needs_backward)}
        found.append(values | {f"gradient of {name}": grad for name, grad in params.items()})
    return net, found


@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_passes_equal_those_of_layers_by_themselves(name: str, replayed: bool) -> None:
    device.configure(graphs=replayed)
    launches = fake_gpu._Graph.launches
    net, ours = _passes(*NETS[name], fuse=True)
    assert {type(layer) for layer in net.layer_list} & {Absorbed, Lazy}
    assert (fake_gpu._Graph.launches > launches) == replayed
    device.configure(graphs=False)
    _, plain = _passes(*NETS[name], fuse=False)
    for k, (received, expected) in enumerate(zip(ours, plain, strict=True)):
        for what, values in expected.items():
            np.testing.assert_allclose(received[what], values, rtol=1e-11, atol=1e-11, err_msg=f"pass {k}: {what}")
