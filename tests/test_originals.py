"""The original prototxt files: all build at their own size; train and deploy run both ways at a small one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import read_net
from tests.conftest import SHARED, shared_files

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frees_nets")]

FILES = [path for path in shared_files("original/*/*.prototxt") if "solver" not in path.name]
SMALL = [path for path in FILES if path.name in ("train.prototxt", "deploy.prototxt")]
needs_originals = pytest.mark.skipif(not FILES, reason=f"no original files at {SHARED}")
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
each_small = pytest.mark.parametrize("path", SMALL, ids=lambda path: f"{path.parent.name}/{path.stem}")

SIZE = 65
"""A crop with the originals' property that every reduced size is a whole number of pixels: 8k + 1."""
CLASSES = 21
RATES = [f"{part}_LR{i}" for part in ("CRF", "EMBS", "FINAL", "MAINSCALE", "MAIN") for i in (1, 2, 3)]
VARIABLES = dict.fromkeys(RATES, "1") | {
    "BATCH_SIZE": "1",
    "NUM_LABELS": str(CLASSES),
    "MASK_SIZE": "3",
    "MASK_PAD": "1",
    "MASK_DILATION": "1",
    "MASK2_SIZE": "3",
    "MASK2_PAD": "2",
    "MASK2_DILATION": "2",
    "MASK3_SIZE": "3",
    "MASK3_PAD": "5",
    "MASK3_DILATION": "5",
    "NET_ID": "net",
    "DATASET": "set",
    "EXP": "exp",
    "DATA_ROOT": "data",
    "FEATURE_DIR": "features",
    "TRAIN_SET": "train",
    "TEST_SET": "val",
}


def _read(path: Path, folder: Path) -> caffe_pb2.NetParameter:
    """The net of a file, its data layers reading generated images, its sinks writing below ``folder``."""
    crop = 321 if "train" in path.stem else 513
    net = read_net(path, VARIABLES | {"CROP_SIZE": str(crop), "HALF_SIZE": str((crop + 1) // 2)}).message
    rng = np.random.default_rng(1)
    smooth = cv2.resize(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8), (80, 60))
    cv2.imwrite(str(folder / "image.png"), smooth)
    cv2.imwrite(
        str(folder / "label.png"),
        np.kron(rng.integers(0, CLASSES, (6, 8)).astype(np.uint8), np.ones((10, 10), np.uint8)),
    )
    (folder / "ids.txt").write_text("item\n")
    for layer in net.layer:
        if layer.HasField("image_data_param"):
            second = "0" if layer.type == "ImageData" else "label.png"
            images = layer.image_data_param
            if layer.type == "ImageSegData" and images.label_type == caffe_pb2.ImageDataParameter.NONE:
                second = ""
            (folder / "list.txt").write_text(f"image.png {second}\n")
            images.source, images.root_folder = str(folder / "list.txt"), f"{folder}/"
        if layer.HasField("mat_write_param"):
            layer.mat_write_param.source = str(folder / "ids.txt")
            layer.mat_write_param.prefix = str(folder / "features") + "/"
    return net


def _shrink(net: caffe_pb2.NetParameter) -> None:
    """Replace the net's image size, and what is 3/4, 1/2 and 1/8 of it, by those of ``SIZE``."""
    full = _sizes(_declared(net))
    new = dict(zip(full, _sizes(SIZE), strict=True))
    for layer in net.layer:
        for shape in (*layer.input_param.shape, *layer.dummy_data_param.shape):
            shape.dim[:] = [*shape.dim[:2], *(new.get(dim, dim) for dim in shape.dim[2:])]
        for message, name in (
            (layer.interp_param, "height"),
            (layer.interp_param, "width"),
            (layer.transform_param, "crop_size"),
            (layer.tile_param, "tiles"),
        ):
            if getattr(message, name) in new:
                setattr(message, name, new[getattr(message, name)])


WIDTHS = {64 << i for i in range(6)}
"""Channels of the originals' trunks and embeddings."""


def narrow(net: caffe_pb2.NetParameter) -> None:
    """A quarter of the channels, for what does not depend on how many there are: a sixteenth of weights and work."""
    for layer in net.layer:
        for message, name in ((layer.convolution_param, "num_output"), (layer.tile_param, "tiles")):
            if getattr(message, name) in WIDTHS:
                setattr(message, name, getattr(message, name) // 4)


def _declared(net: caffe_pb2.NetParameter) -> int:
    crops = [layer.transform_param.crop_size for layer in net.layer]
    dims = [dim for layer in net.layer for shape in layer.input_param.shape for dim in shape.dim]
    return max(crops + dims)


def _sizes(size: int) -> list[int]:
    return [(size - 1) * 8 // 8 + 1, (size - 1) * 6 // 8 + 1, (size - 1) * 4 // 8 + 1, (size - 1) // 8 + 1]


def _fill(net: Net) -> None:
    """Give the weights normal values: some of the files name no filler, which means 0."""
    rng = np.random.default_rng(2)
    for layer in net.layers:
        if layer.type == "BatchNorm":
            for blob, value in zip(layer.blobs, (0, 1, 1), strict=True):
                blob.data[...] = value
        for blob in layer.blobs:
            if layer.type == "Convolution" and blob.ndim == 4:
                # Embeddings stay small: they are scaled by 200 in front of a softmax, which would have no gradient.
                scale = 1e-3 if layer.name == "emb" else 1.0
                blob.data[...] = scale * rng.standard_normal(blob.shape) / np.sqrt(np.prod(blob.shape[1:]))


def _feed(net: Net) -> None:
    """Put images, positions and labels into the inputs of a deploy net."""
    rng = np.random.default_rng(3)
    for name in net.inputs:
        blob = net.blobs[name]
        blob.data[...] = rng.integers(0, CLASSES, blob.shape) if name == "label" else rng.normal(0, 50, blob.shape)


def _finite(arrays: Iterable[np.ndarray]) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


@needs_originals
def test_there_are_19_net_files() -> None:
    assert len(FILES) == 19


@needs_originals
@each_file
def test_builds_at_its_own_size(path: Path, tmp_path: Path) -> None:
    net = Net(_read(path, tmp_path), caffe_pb2.TRAIN if "train" in path.stem else caffe_pb2.TEST)
    assert len(net.layers) > 25
    assert max(blob.shape[-1] for blob in net.blobs.values() if blob.ndim == 4) >= 161


@needs_originals
@each_small
def test_forward_and_backward_at_a_small_crop(path: Path, tmp_path: Path) -> None:
    param = _read(path, tmp_path)
    _shrink(param)
    narrow(param)
    training = path.stem == "train"
    param.force_backward = not training
    net = Net(param, caffe_pb2.TRAIN if training else caffe_pb2.TEST)
    _fill(net)
    _feed(net)
    outputs = net.forward()
    assert _finite(outputs.values())
    if training:
        assert net.loss > 0
    else:
        for name in net.outputs:
            net.blobs[name].diff[...] = 1 / net.blobs[name].count
    net.clear_param_diffs()
    net.backward()
    learnt = [blob for blob, rate in zip(net.learnable_params, net.params_lr, strict=True) if rate]
    assert _finite(blob.diff for blob in learnt)
    assert sum(bool(blob.diff.any()) for blob in learnt) > 0.9 * len(learnt)
