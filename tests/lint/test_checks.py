"""Each check on a net or solver that has the mistake, and on one that has not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from segcaffe.blob.proto import from_array
from segcaffe.cli.main import main
from segcaffe.lint.finding import Finding
from segcaffe.lint.run import is_solver, lint
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, NetParameter

INPUT = """layer {{ name: "data" type: "Input" top: "data" top: "label"
  input_param {{ shape: {{ dim: {batch} dim: 3 dim: 9 dim: 9 }} shape: {{ dim: {batch} }} }} }}"""
IP = 'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } %s }'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" %s }'
TWO_IMAGES = """layer { name: "data" type: "TwoImageData" top: "data" top: "label"
  image_data_param { source: "absent.txt" batch_size: 1 } transform_param { crop_size: 9 } }"""
SEGMENT = """layer { name: "data" type: "ImageSegData" top: "data" top: "label" top: "dim"
  image_data_param { source: "absent.txt" %s } }"""
FULL = 'layer { name: "ip" type: "Convolution" bottom: "data" top: "ip" convolution_param { num_output: 3 %s } }'
NORM = 'layer { name: "bn" type: "BatchNorm" bottom: "ip" top: "bn" %s }'
SCALE = 'layer { name: "%s" type: "Scale" bottom: "ip" top: "%s" %s }'

PARITIES = """layer { name: "par" type: "Im2parity" bottom: "label" top: "par"
  convolution_param { kernel_size: 3 pad: 1 } %s }
"""
DISTANCES = """layer { name: "dist" type: "Im2dist" bottom: "data" top: "dist"
  convolution_param { kernel_size: 3 pad: 1 } }
layer { name: "loss" type: "DistLoss" bottom: "dist" bottom: "par"
  dist_loss_param { alpha: 1 beta: 2 ignore_label: 255 } }
"""


def found(folder: Path, text: str, phase: int | None = TRAIN, name: str = "net.prototxt") -> list[Finding]:
    (folder / name).write_text(text)
    return lint(folder / name, phase=phase).findings


def net(*parts: str, batch: int = 1) -> str:
    return "\n".join([INPUT.format(batch=batch), *parts])


CASES = {
    "label-type": (SEGMENT % "", SEGMENT % "label_type: PIXEL"),
    "resized-labels": (
        SEGMENT % "label_type: PIXEL new_height: 5 new_width: 5",
        SEGMENT % "label_type: NONE new_height: 5 new_width: 5",
    ),
    "batch-norm": (
        net(FULL % "", NORM % "", LOSS % ""),
        net(FULL % "", NORM % "batch_norm_param { use_global_stats: true }", LOSS % ""),
    ),
    "shrinking-map": (
        net(FULL % "kernel_size: 3 dilation: 5 pad: 1", LOSS % ""),
        net(FULL % "kernel_size: 3 dilation: 5 pad: 5", LOSS % ""),
    ),
    "loss-without-weight": (net(IP % "", LOSS % "loss_weight: 0"), net(IP % "", LOSS % "loss_weight: 0.5")),
    "no-loss": (net(IP % ""), net(IP % "", LOSS % "")),
    "nothing-learns": (
        net(IP % "param { lr_mult: 0 } param { lr_mult: 0 }", LOSS % ""),
        net(IP % "param { lr_mult: 0 }", LOSS % ""),
    ),
    "ignored-label": (
        TWO_IMAGES + FULL % "kernel_size: 1" + LOSS % "loss_param { ignore_label: 11 }",
        TWO_IMAGES + FULL % "kernel_size: 1" + LOSS % "loss_param { ignore_label: 255 }",
    ),
    "not-built": (net(IP % "", LOSS.replace("label", "lable") % ""), net(IP % "", LOSS % "")),
    "unread-blob": (
        SEGMENT % "label_type: PIXEL" + FULL % "kernel_size: 1" + LOSS % "",
        SEGMENT % "label_type: PIXEL"
        + FULL % "kernel_size: 1"
        + LOSS % ""
        + 'layer { name: "s" type: "Silence" bottom: "dim" }',
    ),
    "ignored-parity": (
        net(PARITIES % "", DISTANCES),
        net(PARITIES % "im2parity_param { ignore_label: 255 }", DISTANCES),
    ),
    "same-name": (net(IP % "", IP % "", LOSS % ""), net(IP % "", LOSS % "")),
    "scale-gradient": (
        net(FULL % "kernel_size: 1", *(SCALE % (n, n, 'param { name: "shared" }') for n in "ab"), LOSS % ""),
        net(FULL % "kernel_size: 1", *(SCALE % (n, n, f'param {{ name: "{n}" }}') for n in "ab"), LOSS % ""),
    ),
}


@pytest.mark.parametrize("check", CASES)
def test_mistake_is_found_and_its_absence_is_not(check: str, tmp_path: Path) -> None:
    wrong, right = CASES[check]
    findings = [finding for finding in found(tmp_path, wrong) if finding.check == check]
    assert findings
    for finding in findings:
        assert str(tmp_path / "net.prototxt") in finding.where
        assert all((finding.what, finding.why, finding.write))
    assert [finding.check for finding in found(tmp_path, right)] == []


def test_batch_norm_of_a_larger_batch_or_a_test_is_fine(tmp_path: Path) -> None:
    assert found(tmp_path, net(FULL % "", NORM % "", LOSS % "", batch=2)) == []
    assert found(tmp_path, net(FULL % "", NORM % ""), phase=None, name="test.prototxt") == []


def test_layers_that_ignore_different_labels(tmp_path: Path) -> None:
    accuracy = 'layer { name: "%s" type: "Accuracy" bottom: "ip" bottom: "label" accuracy_param { ignore_label: %d } }'
    text = net(IP % "", LOSS % "loss_param { ignore_label: 255 }", accuracy % ("a", 255), accuracy % ("b", 0))
    (finding,) = found(tmp_path, text)
    assert finding.check == "ignored-label"
    assert 'layer "b" (Accuracy)' in finding.where
    assert finding.write == "ignore_label: 255."


SOLVERS = {
    "adam-momentum": ('type: "Adam"', 'type: "Adam" momentum: 0.9'),
    "nesterov-momentum": ('type: "Nesterov"', 'type: "Nesterov" momentum: 0.9'),
    "adadelta-momentum": ('type: "AdaDelta"', 'type: "AdaDelta" momentum: 0.95'),
    "rate-policy": ('lr_policy: "step" stepsize: 9', 'lr_policy: "step" stepsize: 9 gamma: 0.1'),
    "rms-decay": ('type: "RMSProp"', 'type: "RMSProp" rms_decay: 0.9'),
    "never-tested": ("test_interval: 100", "test_interval: 5"),
    "no-snapshot": ("snapshot_after_train: false", "snapshot_after_train: false snapshot: 5"),
}


@pytest.mark.parametrize("check", SOLVERS)
def test_solvers(check: str, tmp_path: Path) -> None:
    base = "base_lr: 0.1 max_iter: 10 "
    wrong, right = SOLVERS[check]
    assert [finding.check for finding in found(tmp_path, base + wrong)] == [check]
    assert found(tmp_path, base + right) == []


def test_a_net_that_is_not_tested_on_purpose(tmp_path: Path) -> None:
    assert found(tmp_path, "base_lr: 0.1 max_iter: 10 test_iter: 0 test_interval: 1000000") == []


def test_a_net_in_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"Stra\xdfe")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    (folder / "n.prototxt").write_text('layer { name: "l" type: "DummyData" top: "l" loss_weight: 1 '
                                       "dummy_data_param { shape { dim: 1 } } }")  # fmt: skip
    solver = f'net: "{tmp_path}/Stra\\337e/n.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 10 type: "SGD"'
    assert "no-net" not in [finding.check for finding in found(tmp_path, solver)]


def test_rates_and_lengths_of_zero(tmp_path: Path) -> None:
    checks = [finding.check for finding in found(tmp_path, 'lr_policy: "fixed" type: "SGD"')]
    assert checks == ["zero-rate", "no-iterations"]


def test_solver_looks_at_its_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(net(FULL % "kernel_size: 1", SCALE % ("s", "s", ""), LOSS % ""))
    text = 'net: "net.prototxt" base_lr: 1 max_iter: 5 iter_size: 4'
    (finding,) = found(tmp_path, text, name="solver.prototxt")
    assert (finding.check, finding.where) == ("scale-gradient", 'net.prototxt:4: layer "s" (Scale)')
    Path("solver.prototxt").write_text(text.replace("iter_size: 4", ""))
    assert lint("solver.prototxt").findings == []
    Path("solver.prototxt").write_text(text.replace("net.prototxt", "absent.prototxt"))
    (finding,) = lint("solver.prototxt").findings
    assert finding.check == "no-net"
    assert "there is no file absent.prototxt" in finding.what
    Path("solver.prototxt").write_text(text.replace("net.prototxt", "${WHERE}.prototxt"))
    report = lint("solver.prototxt")
    assert report.findings == []
    assert any("its name has a template without a value" in remark for remark in report.remarks)


STAGED = 'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" include { stage: "deploy" } %s }'


@pytest.mark.parametrize(
    ("solver", "what"),
    [
        ("", 'its include rule (stage: "deploy") leaves it out of this net, which has phase TRAIN and no stage.'),
        ('train_state { stage: "deploy" } test_iter: 1 test_interval: 1', "phase TEST and no stage."),
        (
            'train_state { stage: "deploy" } test_state { stage: "deploy" } test_iter: 1',
            "with test nets, test_interval must be positive.",
        ),
        ('train_state { stage: "deploy" } test_iter: 1 test_interval: 1 test_state { stage: "deploy" }', ""),
        ('train_state { stage: "deploy" } train_net: "net.prototxt"', "exactly one of net, net_param"),
    ],
)
def test_solvers_whose_nets_cannot_be_built(tmp_path: Path, solver: str, what: str) -> None:
    (tmp_path / "net.prototxt").write_text(net(STAGED % "inner_product_param { num_output: 3 }", LOSS % ""))
    text = f'net: "net.prototxt" base_lr: 1 max_iter: 5 {solver}'
    findings = found(tmp_path, text, name="solver.prototxt")
    assert [finding.check in ("not-built", "no-net") for finding in findings] == [True] * bool(what)
    assert all(what in finding.what for finding in findings)


def test_a_net_of_a_solver_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text("layer { kind: 1 }")
    (finding,) = found(tmp_path, 'net: "net.prototxt" base_lr: 1 max_iter: 5', name="solver.prototxt")
    assert finding.check == "not-built"
    assert "LayerParameter has no such field" in finding.what
    assert finding.where.endswith("net.prototxt:1:9")


def test_a_net_that_cannot_be_built_is_found_at_the_layer(tmp_path: Path) -> None:
    text = 'layer { name: "in" type: "Input" top: "x" }\nlayer { name: "a" bottom: "y" top: "z" }'
    (finding,) = found(tmp_path, text)
    assert finding.where.endswith(".prototxt:2")
    assert finding.what.startswith('layer "a" ()')


HED = """input: "data" input_shape { dim: 1 dim: 3 dim: 60 dim: 80 }
layer { name: "conv1_1" type: "Convolution" bottom: "data" top: "conv1_1"
  convolution_param { num_output: 4 pad: 35 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv1_1" top: "conv1_1" }
layer { name: "pool" type: "Pooling" bottom: "conv1_1" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "up" type: "Deconvolution" bottom: "pool" top: "up"
  convolution_param { num_output: 1 kernel_size: 4 stride: 2 } }
layer { name: "crop" type: "Crop" bottom: "%s" bottom: "data" top: "out" %s }
"""


@pytest.mark.parametrize(
    ("cropped", "options", "expected"),
    [
        ("conv1_1", "", 34),
        ("up", "", 35),
        ("up", "crop_param { offset: 19 offset: 35 }", 35),
        ("conv1_1", "crop_param { offset: 34 }", None),
        ("up", "crop_param { offset: 35 offset: 35 }", None),
        ("pool", "", None),
    ],
)
def test_crops_beside_their_place(tmp_path: Path, cropped: str, options: str, expected: int | None) -> None:
    findings = found(tmp_path, HED % (cropped, options), phase=TEST)
    assert [finding.check for finding in findings] == ["crop-offset"] * (expected is not None)
    if expected is not None:
        assert f'the first pixel of "data" lies at {expected} of "{cropped}"' in findings[0].what
        assert f"crop_param {{ offset: {expected} }}" in findings[0].write


def test_what_is_a_solver(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text, expected in (
        ('net_param { layers { name: "a" } } base_lr: 1', True),
        ('train_net: "x" # layer { }', True),
        ('name: "base_lr" layer { name: "a" }', False),
        ('layer < name: "max_iter: 5" >', False),
    ):
        path.write_text(text)
        assert is_solver(path) == expected


def test_templates_without_values(tmp_path: Path) -> None:
    (tmp_path / "train.prototxt").write_text(net(FULL % "kernel_size: ${K} dilation: ${D} pad: 1", LOSS % ""))
    report = lint(tmp_path / "train.prototxt")
    assert report.findings == []
    assert "K, D have no values" in report.remarks[0]
    (finding,) = lint(tmp_path / "train.prototxt", {"K": "3", "D": "4"}).findings
    assert finding.write == "pad: 4."


def _images(folder: Path, labels: list[int]) -> str:
    import cv2

    lines = []
    for number, label in enumerate(labels):
        cv2.imwrite(str(folder / f"{number}.png"), np.zeros((5, 5, 3), np.uint8))
        cv2.imwrite(str(folder / f"{number}_label.png"), np.full((5, 5), label, np.uint8))
        lines.append(f"{folder}/{number}.png {folder}/{number}_label.png\n")
    (folder / "list.txt").write_text("".join(lines))
    return f"""layer {{ name: "data" type: "TwoImageData" top: "data" top: "label" include {{ phase: TRAIN }}
      image_data_param {{ source: "{folder}/list.txt" batch_size: 1 }} }}"""


def test_labels_of_the_data(tmp_path: Path) -> None:
    source = _images(tmp_path, [0, 1, 11])
    learner = FULL % "kernel_size: 1"
    (finding,) = found(tmp_path, source + learner + LOSS % "loss_param { ignore_label: 255 }")
    assert finding.check == "label-range"
    assert "has 3 classes and ignores label 255, but the labels of the first images are 0, 1, 11" in finding.what
    assert found(tmp_path, source + learner + LOSS % "loss_param { ignore_label: 11 }") == []
    source = _images(tmp_path, [0, 1, 2])
    (finding,) = found(tmp_path, source + learner + LOSS % "loss_param { ignore_label: 255 }")
    assert finding.check == "ignored-label"
    assert found(tmp_path, source + learner + LOSS % "") == []


def test_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net(FULL % "kernel_size: 1", (FULL % "").replace('"ip"', '"other"'), LOSS % ""))
    stored = NetParameter()
    layer = stored.layer.add(name="ip", type="Convolution")
    layer.blobs.extend(from_array(np.zeros(shape, np.float32)) for shape in ((4, 3, 1, 1), (4,)))
    stored.layer.add(name="extra").blobs.append(from_array(np.zeros(2, np.float32)))
    weights = tmp_path / "weights.caffemodel"
    weights.write_bytes(stored.SerializeToString())
    findings = {finding.check: finding for finding in lint(path, weights_path=weights, phase=TRAIN).findings}
    assert set(findings) == {"keeps-filler", "unused-weights", "other-shape"}
    assert ": other." in findings["keeps-filler"].what
    assert ": extra." in findings["unused-weights"].what
    assert findings["other-shape"].write.startswith("num_output: 4")
    stored.layer[0].name = "strange"
    weights.write_bytes(stored.SerializeToString())
    (finding,) = lint(path, weights_path=weights, phase=TRAIN).findings
    assert finding.check == "no-name-shared"


def test_test_net_beside_the_net_that_was_trained(tmp_path: Path) -> None:
    features = (FULL % "kernel_size: 1").replace('"ip"', '"features"')
    head = (IP % "").replace('bottom: "data"', 'bottom: "features"')
    (tmp_path / "train.prototxt").write_text(net(features, head, LOSS % ""))
    test = tmp_path / "test.prototxt"
    test.write_text(net(features, head))
    report = lint(test)
    assert report.findings == []
    assert "was compared with" in report.remarks[0]
    test.write_text(net(features, head.replace('name: "ip"', 'name: "ip_new"')))
    assert [finding.check for finding in lint(test).findings] == ["untrained"]
    test.write_text(net(features, head.replace('bottom: "features"', 'bottom: "data"')))
    (finding,) = lint(test).findings
    assert finding.check == "other-input"
    assert '"data", comes from data' in finding.what
    assert "from features" in finding.what
    test.write_text(net(features.replace("kernel_size: 1", "kernel_size: 3 pad: 1"), head))
    (finding,) = lint(test).findings
    assert finding.check == "other-options"
    assert "convolution_param.pad, convolution_param.kernel_size" in finding.what
    other = tmp_path / "other.prototxt"
    test.rename(other)
    assert [f.check for f in lint(other, trained=tmp_path / "train.prototxt").findings] == ["other-options"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_text('base_lr: 0.1 max_iter: 10 type: "Adam"')
    assert main(["lint", str(path)]) == 1
    output = capsys.readouterr().out
    assert "[adam-momentum]" in output
    assert "write: momentum: 0.9." in output
    assert output.endswith("1 finding.\n")
    path.write_text('base_lr: 0.1 max_iter: 10 type: "SGD"')
    assert main(["lint", str(path)]) == 0
    assert main(["lint", str(tmp_path / "absent")]) == 2
