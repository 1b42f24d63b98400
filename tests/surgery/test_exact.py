"""With lambda 0 a net gives exactly what it gave; with another it does not, and its columns are never in memory."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, NetParameter
from segcaffe.surgery import Guide, Masking, SegAware, Subject, segawarify
from tests.surgery.nets import NETS

MASKED = {"vgg16": 14, "resnet50": 17, "lenet": 2, "fcn": 4, "plain": 5}
"""Convolutions of more than one tap."""


def with_weights(subject: Subject) -> tuple[Net, NetParameter]:
    """The net with random weights and statistics, and those in a message."""
    net = Net(subject.net, phase=TEST)
    rng = np.random.default_rng(3)
    for layer in net.layer_list:
        for index, blob in enumerate(layer.blobs):
            low = 0.5 if (layer.type, index) in (("BatchNorm", 1), ("Scale", 0)) else -0.3
            blob.data[...] = rng.uniform(low, low + 0.6, blob.shape)
        if layer.type == "BatchNorm":
            layer.blobs[2].data[...] = 1
    return net, net.to_proto()


def built(made: SegAware, stored: NetParameter) -> Net:
    net = Net(Subject.parse(made.text).net, phase=TEST)
    net.copy_trained_layers(made.weights(stored))
    return net


def again(net: Net, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a net gives when it has run before, and may have recorded how."""
    for _ in range(2):
        net.forward(**images)
    return {name: values.copy() for name, values in net.forward(**images).items()}


@pytest.mark.parametrize("name", NETS)
def test_lambda_0_changes_no_bit(name: str) -> None:
    subject = Subject.parse(NETS[name]())
    net, stored = with_weights(subject)
    rng = np.random.default_rng(0)
    images = {blob: rng.uniform(-1, 1, net.blobs[blob].shape).astype(np.float32) for blob in net.inputs}
    expected = again(net, images)
    for sharpness in (0.0, 0.3):
        made = segawarify(subject, Guide.recipe("tiny"), Masking(sharpness=sharpness), stored=stored)
        assert len(made.masked) == MASKED[name]
        assert made.text_kept
        masked = built(made, stored)
        runs = [type(layer).__name__ for layer in masked.layer_list]
        assert runs.count("MaskedConvolution") == MASKED[name]
        found = again(masked, images)
        for blob, values in expected.items():
            assert np.ptp(values) > 0
            assert np.array_equal(found[blob], values) == (sharpness == 0)
