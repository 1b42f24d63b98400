"""What is wrong in the published configurations is found, and nothing is in those of well-kept models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segcaffe.lint.run import lint
from tests.conftest import shared_files

MODELS = [path for path in shared_files("models/*/*.prototxt") if "autoencoder" not in path.name]


@pytest.mark.parametrize("name", ["solver.prototxt", "solver_coco_trainval.prototxt"])
def test_momentum_of_the_embeddings_solver(shared: Path, name: str) -> None:
    findings = lint(shared / "original" / "config_embs" / name).findings
    assert "adam-momentum" in [finding.check for finding in findings]


@pytest.mark.parametrize("name", ["test.prototxt", "test_voc_val.prototxt", "test_voc_test.prototxt"])
def test_scales_of_the_vgg_test_net_that_nobody_trained(shared: Path, name: str) -> None:
    findings = lint(shared / "original" / "config_vgg16" / name).findings
    layers = [re.findall(r'layer "(\w+)"', finding.where)[0] for finding in findings]
    assert layers == [f"weighted_emb_dist{i}" for i in range(1, 6)]
    assert {finding.check for finding in findings} == {"untrained"}
    assert "weighted_emb_dist1_1, weighted_emb_dist1_2" in findings[0].what


def test_other_guide_of_the_resnet_deploy_net(shared: Path) -> None:
    (finding,) = lint(shared / "original" / "config_resnet" / "deploy.prototxt").findings
    assert finding.check == "other-input"
    assert '"crf" (NormConvMeanfield)' in finding.where
    assert "data_res05" in finding.what
    assert '"embxy", from emb, xy' in finding.what


def test_windows_of_the_embeddings_net_that_shrink(shared: Path) -> None:
    findings = lint(shared / "original" / "config_embs" / "train_coco_trainval.prototxt").findings
    shrinking = [finding.write for finding in findings if finding.check == "shrinking-map"]
    assert shrinking == ["pad: 2.", "pad: 2.", "pad: 5.", "pad: 5."]


def test_ignored_labels_of_the_embeddings_net_that_never_come(shared: Path) -> None:
    findings = lint(shared / "original" / "config_embs" / "train_coco_trainval.prototxt").findings
    never = [finding for finding in findings if finding.check == "ignored-parity"]
    assert len(never) == 3
    assert {finding.check for finding in findings} == {"ignored-parity", "shrinking-map"}
    assert "ignores 255" in never[0].what


@pytest.mark.parametrize("path", MODELS or [None], ids=[f"{p.parent.name}-{p.name}" for p in MODELS] or ["absent"])
def test_nothing_is_found_in_published_models(shared: Path, path: Path) -> None:
    assert lint(path).findings == []


def test_weights_of_another_net(shared: Path) -> None:
    models = shared / "models"
    weights = models / "mtcnn" / "det1.caffemodel"
    findings = lint(models / "ultraface" / "RFB-320.prototxt", weights_path=weights).findings
    assert [finding.check for finding in findings] == ["no-name-shared"]
    lenet = models / "lenet_mnist"
    assert lint(lenet / "lenet.prototxt", weights_path=lenet / "lenet_basic_iter_5000.caffemodel").findings == []
    old = models / "v1_mnist_cifar"
    assert lint(old / "lenet.prototxt", weights_path=old / "lenet_iter_10000.caffemodel").findings == []
    h5 = models / "hdf5_cifar10"
    assert lint(h5 / "cifar10_quick.prototxt", weights_path=next(h5.glob("*.h5"))).findings == []
