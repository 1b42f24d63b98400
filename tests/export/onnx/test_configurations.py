"""The nets of configs/, and the original's where they are there, in ONNX Runtime: masks, mean fields, detections."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from segcaffe.export.source import Source, Wishes, read_source
from segcaffe.net.net import Net
from tests.export.onnx.running import check, model_of

ROOT = Path(__file__).parents[3]
SIZES = {"HEIGHT": "65", "WIDTH": "65", "HALF_HEIGHT": "33", "HALF_WIDTH": "33", "NUM_LABELS": "5", "DATASET": "set"}
SMALLER = {"321": "65", "513": "129", "385": "97", "257": "65", "65": "17"}
"""Sides of the original's images, and those that tests take for them."""
ORIGINALS = {
    "config_embs/deploy_nodilate.prototxt": {},
    "config_vgg16/deploy.prototxt": SMALLER,
}


def fill(net: Net) -> None:
    """Give every layer values that keep those of the net in range."""
    for layer in net.layer_list:
        if "Meanfield" in layer.type:
            continue
        for index, blob in enumerate(layer.blobs):
            rng = np.random.default_rng(zlib.crc32(f"{layer.name}/{index}".encode()))
            values = rng.standard_normal(blob.shape)
            if layer.type in ("BatchNorm", "BN", "Scale"):
                values = 1 + 0.1 * values if (index + (layer.type == "BatchNorm")) % 2 == 0 else 0.1 * values
            elif blob.ndim > 1:
                values *= (2 / np.prod(blob.shape[1:])) ** 0.5
            else:
                values *= 0.05
            blob.data[...] = np.abs(values) if layer.type == "BatchNorm" else values


def compare(path: Path, variables: Mapping[str, str]) -> Source:
    source = read_source(path, wishes=Wishes(variables=variables, allow_partial=True))
    fill(source.net)
    rng = np.random.default_rng(0)
    inputs = {}
    for name in source.net.inputs:
        shape = source.net.blobs[name].shape
        labels = len(shape) == 4 and shape[1] == 1
        # Not so large that scores of boxes become 1, alike.
        values = rng.integers(0, 3, shape) if labels else 0.3 * rng.standard_normal(shape)
        inputs[name] = values.astype(np.float32)
    check(source.net, model_of(source), inputs)
    return source


@pytest.mark.parametrize("name", ["tiny/segaware_crf", "tiny/segaware", "ssd/", "embs/"])
def test_configurations(name: str) -> None:
    file = ROOT / "configs" / f"{name}_deploy.prototxt".replace("/_", "/")
    compare(file, {**SIZES, "HEIGHT": "33", "WIDTH": "41"})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "resnet", "enet", "segnet"])
def test_large_configurations(name: str) -> None:
    compare(ROOT / "configs" / name / "deploy.prototxt", SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ORIGINALS)
def test_the_original_s_nets(name: str, tmp_path: Path) -> None:
    file = ROOT.parent / "shared/original" / name
    if not file.exists():
        pytest.skip("the original's prototxt files are not here")
    sizes, small = ORIGINALS[name], tmp_path / "deploy.prototxt"
    sides = re.compile(r"(dim|height|width): *(\d+)")
    small.write_text(sides.sub(lambda found: f"{found[1]}: {sizes.get(found[2], found[2])}", file.read_text()))
    compare(small, {})
