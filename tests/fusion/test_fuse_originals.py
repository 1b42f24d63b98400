"""Fusion on the original prototxt files: which convolutions it finds, and that nothing but speed changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe import device
from segcaffe.fusion.lazy import LazyBlob
from segcaffe.fusion.masked_convolution import MaskedConvolution
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from tests import test_originals as originals

pytestmark = [pytest.mark.slow, originals.needs_originals, pytest.mark.usefixtures("frees_nets")]
TOLERANCE = 1e-9
FILES = [path for path in originals.FILES if "_voc" not in path.name and "_coco" not in path.name]
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")


def _nets(path: Path, folder: Path, backward: bool = True) -> list[Net]:
    """The net of a file at a small crop, fused and not, with equal weights and inputs."""
    nets = []
    training = "train" in path.stem
    for fuse in (True, False):
        param = originals._read(path, folder)
        originals._shrink(param)
        originals.narrow(param)
        param.force_backward = backward and path.stem == "deploy"
        phase = caffe_pb2.TRAIN if training else caffe_pb2.TEST
        device.set_random_seed(3)
        nets.append(Net(param, phase, fuse=fuse, dtype=np.float64))
        originals._fill(nets[-1])
        originals._feed(nets[-1])
    return nets


def _agree(what: str, found: np.ndarray, expected: np.ndarray, scale: float = 0.0) -> None:
    scale = max(float(np.abs(expected).max(initial=0)), scale, 1e-30)
    assert float(np.abs(found - expected).max(initial=0)) <= TOLERANCE * scale, what


@each_file
def test_values_and_gradients(path: Path, tmp_path: Path) -> None:
    ours, plain = _nets(path, tmp_path)
    count = sum(isinstance(layer, MaskedConvolution) for layer in ours.layers)
    assert count == (14 if path.parent.name == "config_vgg16" else 0)
    for net in (ours, plain):
        device.set_random_seed(3)
        net.forward()
    for name, blob in plain.blobs.items():
        _agree(f"blob {name}", ours.blobs[name].data, blob.data)
    if not any(plain.layer_needs_backward):
        return
    for net in (ours, plain):
        rng = np.random.default_rng(4)
        for name in net.outputs if path.stem == "deploy" else ():
            net.blobs[name].diff[...] = rng.standard_normal(net.blobs[name].shape)
        net.clear_param_diffs()
        net.backward()
    for name, blobs in plain.params.items():
        # Distances do not change with the embeddings' bias: its gradient is rounding only, next to the weight's.
        largest = max(float(np.abs(blob.diff).max(initial=0)) for blob in blobs)
        for i, blob in enumerate(blobs):
            _agree(f"gradient of {name}/{i}", ours.params[name][i].diff, blob.diff, largest)
    between = [name for name, blob in ours.blobs.items() if isinstance(blob, LazyBlob)]
    for name in (*between, *plain.inputs):
        _agree(f"gradient of {name}", ours.blobs[name].diff, plain.blobs[name].diff)


WITHOUT_LOSS = [path for path in FILES if path.stem == "deploy" and path.parent.name != "config_embs"]


@pytest.mark.parametrize("path", WITHOUT_LOSS, ids=lambda path: path.parent.name)
def test_folded_nets_give_the_same(path: Path, tmp_path: Path) -> None:
    ours, plain = _nets(path, tmp_path, backward=False)
    assert sum(map(len, ours.graph.absorbed.values())) >= 8
    for net in (ours, plain):
        net.forward()
    for name, blob in plain.blobs.items():
        _agree(f"blob {name}", ours.blobs[name].data, blob.data)
