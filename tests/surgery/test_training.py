"""Nets that were made segmentation-aware learn: their loss falls, and lambda and embeddings get gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import segcaffe
from segcaffe.recipes.layers import layer
from segcaffe.surgery import Crf, Guide, Masking, Subject, segawarify
from tests.surgery.nets import NETS

SCORES = {"vgg16": "fc8_interp", "resnet50": "fc10", "lenet": "ip2", "fcn": "score", "plain": "scores"}
TARGETS = {
    "vgg16": (1, 5, 41, 49),
    "resnet50": (1, 10),
    "lenet": (4, 10),
    "fcn": (1, 4, 33, 39),
    "plain": (1, 3, 145, 145),
}
SOLVER = """net: "{}" type: "Adam" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" max_iter: 99
snapshot_after_train: false snapshot_prefix: "s" random_seed: 1"""


@pytest.mark.parametrize("name", ["lenet", "fcn", "vgg16", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_the_loss_falls(name: str, tmp_path: Path) -> None:
    dims = " ".join(f"dim: {extent}" for extent in TARGETS[name])
    target = f'dummy_data_param {{ shape {{ {dims} }} data_filler {{ type: "constant" value: 2 }} }}'
    text = NETS[name]().replace("dim: 64", "dim: 4") + layer("DummyData", "target", body=target)
    text += layer("EuclideanLoss", "loss", [SCORES[name], "target"])
    crf = Crf(SCORES[name]) if name == "fcn" else None
    made = segawarify(Subject.parse(text), Guide.recipe("tiny"), Masking(sharpness=0.05), crf)
    (tmp_path / "net.prototxt").write_text(made.text)
    (tmp_path / "solver.prototxt").write_text(SOLVER.format(tmp_path / "net.prototxt"))
    solver = segcaffe.get_solver(str(tmp_path / "solver.prototxt"))
    net = solver.net
    rng, image = np.random.default_rng(0), net.blobs["data"].data
    image[...] = rng.uniform(-1, 1, image.shape)
    for blob in (blob for blobs in net.params.values() for blob in blobs if not blob.data.any()):
        blob.data[...] = rng.uniform(-0.1, 0.1, blob.shape)
    losses, before = [], {one.layer: float(net.params[f"{one.layer}_sharpness"][0].data) for one in made.masked}
    for _ in range(8):
        solver.step(1)
        losses.append(float(net.blobs["loss"].data))
    assert losses[-1] < 0.95 * losses[0]
    assert any(net.params[f"{name}_sharpness"][0].data != value for name, value in before.items())
    assert np.any(net.params["emb"][0].diff)
