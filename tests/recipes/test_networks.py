"""What the recipes' networks do where their originals do not do what they say."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.recipes import embs, resnet
from segcaffe.recipes.layers import layer

SIZE = 9


def _net(layers: list[str]) -> Net:
    return Net(parse("".join(layers), caffe_pb2.NetParameter()), caffe_pb2.TRAIN)


def _input(name: str, channels: int) -> str:
    shape = f"shape {{ dim: 1 dim: {channels} dim: {SIZE} dim: {SIZE} }}"
    return layer("Input", name, body=f"input_param {{ {shape} }}")


@pytest.mark.parametrize("dilation", embs.DILATIONS)
def test_embeddings_do_not_learn_from_void_pixels(dilation: int) -> None:
    """No pair of which one pixel is void moves either of them, all others do."""
    layers = [_input("label", 1), _input("weighted_avg", 4)]
    net = _net([*layers, "force_backward: true\n", *embs.distance_loss("", dilation, 0.5, 2)])
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (SIZE, SIZE))
    label[:, 4:] = embs.IGNORED
    net.blobs["label"].data[0, 0] = label
    net.blobs["weighted_avg"].data[...] = rng.normal(size=(1, 4, SIZE, SIZE))
    net.forward()
    net.backward()
    grad = net.blobs["weighted_avg_dist"].diff.reshape(9, SIZE, SIZE)
    assert not grad[:, :, 4:].any()
    assert not net.blobs["weighted_avg"].diff[..., 4:].any()
    assert net.blobs["weighted_avg"].diff[..., :4].any()


def test_resnet_deploy_ends_as_the_test_net_does() -> None:
    """The rounds of averaging by likeness of embeddings belong to both."""
    images = embs.Images("list.txt", "data/", 1, 65)
    tested = resnet.test(images, 33, 21, "voc12", "scores/", "ids.txt")
    deployed = resnet.deploy(resnet.Size.square(65, 33), 21, "voc12")
    nets = [parse(text, caffe_pb2.NetParameter()) for text in (tested, deployed)]
    names = ("halfsize", "two_halfsize", "crf_interp")
    ends = [[part for part in net.layer if part.name.startswith(names)] for net in nets]
    assert len(ends[0]) == 16
    assert [part.SerializeToString() for part in ends[0]] == [part.SerializeToString() for part in ends[1]]
