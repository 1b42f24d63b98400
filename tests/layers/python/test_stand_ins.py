"""Python layers of Faster R-CNN and ENet where their modules are not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.detection.anchors import all_anchors, base_anchors, shift
from segcaffe.detection.boxes import overlaps
from segcaffe.errors import SegcaffeError
from segcaffe.layers.python.stand_in import read_options

HEIGHT, WIDTH = 20, 30
INPUTS = {
    "score_6": (1, 12, HEIGHT, WIDTH),
    "delta_6": (1, 24, HEIGHT, WIDTH),
    "small": (1, 36, HEIGHT, WIDTH - 1),
    "pair": (2, 18, HEIGHT, WIDTH),
    "flat": (18, HEIGHT),
    "two": (1, 2),
    "six": (4, 6),
    "score": (1, 18, HEIGHT, WIDTH),
    "delta": (1, 36, HEIGHT, WIDTH),
    "gt": (3, 5),
    "info": (1, 3),
    "rois": (60, 5),
}
TRUE = np.array([[60, 80, 220, 190, 3], [250, 100, 400, 300, 7], [10, 10, 40, 44, 20]], float)


def _net(folder: Path, module: str, layer: str, bottoms: str, tops: int, text: str = "", phase: int = 0) -> caffe.Net:
    inputs = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ {' '.join(f'dim: {d}' for d in INPUTS[name])} }} }} }}"
        for name in bottoms.split()
    ]
    blobs = " ".join(f'bottom: "{name}"' for name in bottoms.split()) + " ".join(f' top: "t{i}"' for i in range(tops))
    python = f'python_param {{ module: "{module}" layer: "{layer}" param_str: "{text}" }}'
    (folder / "net.prototxt").write_text("\n".join([*inputs, f'layer {{ name: "p" type: "Python" {blobs} {python} }}']))
    net = caffe.Net(str(folder / "net.prototxt"), phase)
    values = {"gt": TRUE, "info": [[HEIGHT * 16, WIDTH * 16, 1]]}
    rng = np.random.default_rng(0)
    for name in bottoms.split():
        net.blobs[name].data[...] = values.get(name, rng.normal(0, 0.1, INPUTS[name]))
    return net


def test_proposals(tmp_path: Path) -> None:
    net = _net(tmp_path, "rpn.proposal_layer", "ProposalLayer", "score delta info", 1, "'feat_stride': 16", caffe.TEST)
    regions = net.forward()["t0"]
    assert 50 < len(regions) <= 300
    assert not regions[:, 0].any()
    assert regions[:, 1:].min() >= 0
    assert (regions[:, 3:] < [WIDTH * 16, HEIGHT * 16]).all()
    shared = overlaps(regions[:, 1:].astype(float), regions[:, 1:].astype(float), border=1)
    np.fill_diagonal(shared, 0)
    assert shared.max() <= 0.7 + 1e-6


def test_ratios_are_an_option(tmp_path: Path) -> None:
    text = "'ratios': [0.5, 2], 'scales': [8, 16, 32]"
    net = _net(tmp_path, "rpn.proposal_layer", "ProposalLayer", "score_6 delta_6 info", 1, text, caffe.TEST)
    net.blobs["delta_6"].data[...] = 0
    found = net.forward()["t0"][:, 1:]
    anchors = all_anchors(base_anchors(16, (0.5, 2), (8, 16, 32)), 16, HEIGHT, WIDTH)
    # Without deltas a box ends a pixel behind its anchor, within the image.
    cut = (anchors + np.array([0, 0, 1, 1])).clip(0, [WIDTH * 16 - 1, HEIGHT * 16 - 1] * 2)
    assert len(found) > 20
    assert all((np.abs(cut - box).max(axis=1) < 1e-3).any() for box in found)


def test_targets_of_anchors(tmp_path: Path) -> None:
    caffe.set_random_seed(1)
    net = _net(tmp_path, "rpn.anchor_target_layer", "AnchorTargetLayer", "score gt info", 4, "'feat_stride': 16")
    net.forward()
    labels = net.blobs["t0"].data.reshape(9, HEIGHT, WIDTH).transpose(1, 2, 0).reshape(-1)
    moves, inside, outside = (net.blobs[name].data[0].transpose(1, 2, 0).reshape(-1, 4) for name in ("t1", "t2", "t3"))
    anchors = all_anchors(base_anchors(16, (0.5, 1, 2), (8, 16, 32)), 16, HEIGHT, WIDTH)
    shared = overlaps(anchors, TRUE[:, :4], border=1)
    objects, background = labels == 1, labels == 0
    assert 1 < objects.sum() <= 128
    assert objects.sum() + background.sum() == 256
    assert shared[background].max() < 0.7
    assert (shared[objects].max(axis=1) >= 0.3).any()
    within = (anchors[:, :2] >= 0).all(axis=1) & (anchors[:, 2:] < [WIDTH * 16, HEIGHT * 16]).all(axis=1)
    assert within[labels >= 0].all()
    made = shift(anchors[objects], moves[objects].astype(float)) - [0, 0, 1, 1]
    np.testing.assert_allclose(made, TRUE[shared[objects].argmax(axis=1), :4], atol=1e-3)
    np.testing.assert_array_equal(inside, np.tile(objects[:, None], 4))
    np.testing.assert_allclose(outside.sum(), 4, rtol=1e-5)


def test_targets_of_proposals(tmp_path: Path) -> None:
    caffe.set_random_seed(1)
    net = _net(tmp_path, "rpn.proposal_target_layer", "ProposalTargetLayer", "rois gt", 5, "'num_classes': 21")
    rng = np.random.default_rng(2)
    near = TRUE[rng.integers(0, 3, 60), :4] + rng.normal(0, 12, (60, 4))
    net.blobs["rois"].data[...] = np.concatenate([np.zeros((60, 1)), near], axis=1)
    net.forward()
    regions, labels, moves, inside, outside = (net.blobs[f"t{i}"].data for i in range(5))
    shared = overlaps(regions[:, 1:].astype(float), TRUE[:, :4], border=1)
    objects = labels[:, 0] > 0
    assert 3 <= objects.sum() <= 32
    assert (shared[objects].max(axis=1) >= 0.5).all()
    assert (shared[~objects].max(axis=1) < 0.5).all()
    own = shared.argmax(axis=1)
    np.testing.assert_array_equal(labels[objects, 0], TRUE[own[objects], 4])
    column = labels[objects, 0].astype(int)
    picked = moves.reshape(len(moves), 21, 4)[np.flatnonzero(objects), column] * [0.1, 0.1, 0.2, 0.2]
    made = shift(regions[objects, 1:].astype(float), picked) - [0, 0, 1, 1]
    np.testing.assert_allclose(made, TRUE[own[objects], :4], atol=0.05)
    assert inside.sum() == 4 * objects.sum()
    np.testing.assert_array_equal(inside, outside)


def test_a_module_that_is_there_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rpn").mkdir()
    (tmp_path / "rpn" / "__init__.py").touch()
    (tmp_path / "rpn" / "proposal_layer.py").write_text(
        "import caffe\nclass ProposalLayer(caffe.Layer):\n    def reshape(self, bottom, top):\n"
        "        top[0].reshape(3)\n    def forward(self, bottom, top):\n        top[0].data[...] = 5\n"
    )
    monkeypatch.chdir(tmp_path)
    for name in ("rpn", "rpn.proposal_layer"):
        # What is imported here is gone afterwards.
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
        del sys.modules[name]
    net = _net(tmp_path, "rpn.proposal_layer", "ProposalLayer", "score delta info", 1)
    assert net.forward()["t0"].tolist() == [5, 5, 5]


def test_images_of_the_original_program(tmp_path: Path) -> None:
    net = _net(tmp_path, "roi_data_layer.layer", "RoIDataLayer", "", 3, "'num_classes': 21")
    assert net.blobs["t0"].data.shape == (1, 3, 600, 1000)
    with pytest.raises(SegcaffeError, match="Put Input layers for data, im_info and gt_boxes"):
        net.forward()


def test_images_of_the_original_program_for_fast_rcnn(tmp_path: Path) -> None:
    net = _net(tmp_path, "roi_data_layer.layer", "RoIDataLayer", "", 6, "'num_classes': 4")
    shapes = [net.blobs[f"t{i}"].data.shape for i in range(1, 6)]
    assert shapes == [(1, 5), (1,), (1, 16), (1, 16), (1, 16)]


def test_options() -> None:
    assert read_options("'feat_stride': 16") == {"feat_stride": 16}
    assert read_options("{'a': 1, 'scales': (8, 16),\n'b': 'x'}") == {"a": 1, "scales": (8, 16), "b": "x"}
    assert read_options("feat_stride: 8\nscales: [4, 8]\n") == {"feat_stride": 8, "scales": [4, 8]}
    assert read_options("'a': 16 \n'scales': !!python/tuple [4, 8]") == {"a": 16, "scales": [4, 8]}
    assert read_options("") == {}
    with pytest.raises(SegcaffeError, match="'feat_stride': 16"):
        read_options("'a': b c")


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_whole_channels_are_dropped_by_the_phase_of_param_str(tmp_path: Path, phase: str) -> None:
    caffe.set_random_seed(1)
    text = f"{{\\'phase\\': \\'{phase}\\', \\'p\\': \\'0.25\\'}}"
    net = _net(tmp_path, "spatial_dropout", "SpatialDropoutLayer", "delta", 1, text, caffe.TEST)
    x, y = net.blobs["delta"].data, net.forward()["t0"]
    kept = y.any(axis=(0, 2, 3))
    np.testing.assert_allclose(y, np.where(kept[:, None, None], x / 0.75, 0), rtol=1e-6)
    assert (15 < kept.sum() < 34) if phase == "TRAIN" else kept.all()
    net.blobs["t0"].diff[...] = 3
    net.layer_dict["p"].backward([net.blobs["t0"]], [True], [net.blobs["delta"]])
    assert np.array_equal(np.unique(net.blobs["delta"].diff[0, :, 0, 0]), [0, 4] if phase == "TRAIN" else [4])


@pytest.mark.parametrize("text", ["", "{\\'phase\\': \\'TRAIN\\', \\'p\\': 1}", "{\\'phase\\': \\'x\\', \\'p\\': 0.5}"])
def test_options_of_spatial_dropout_are_checked(tmp_path: Path, text: str) -> None:
    with pytest.raises(SegcaffeError, match="between 0 and 1"):
        _net(tmp_path, "spatial_dropout", "SpatialDropoutLayer", "delta", 1, text)


_PROPOSE, _ANCHOR, _TARGET = (
    (f"rpn.{name}_layer", f"{''.join(word.title() for word in name.split('_'))}Layer")
    for name in ("proposal", "anchor_target", "proposal_target")
)


@pytest.mark.parametrize(
    ("layer", "bottoms", "tops", "text", "told"),
    [
        (_PROPOSE, "score_6 delta info", 1, "", "the scores must have 18 channels.*3 'scales'.*1, 12, 20, 30"),
        (_PROPOSE, "score delta_6 info", 1, "", "the deltas must have 36 channels"),
        (_PROPOSE, "score delta info", 1, "'scales': [4, 8]", "must have 12 channels, for 3 'ratios' and 2 'scales'"),
        (_PROPOSE, "score small info", 1, "", "need one size"),
        (_PROPOSE, "pair delta info", 1, "", "one image at a time"),
        (_PROPOSE, "flat delta info", 1, "", r"must be \(1, C, H, W\)"),
        (_PROPOSE, "score delta two", 1, "", "height, width and scale"),
        (_PROPOSE, "score delta", 1, "", "takes exactly 3 bottoms"),
        (_PROPOSE, "score delta info", 3, "", "takes 1 to 2 tops"),
        (_PROPOSE, "score delta info", 1, "'ratios': [0.5, 2]", "must have 12 channels, for 2 'ratios' and 3 'scales'"),
        (_PROPOSE, "score delta info", 1, "'ratios': [0]", "'ratios' must be a list of numbers"),
        (_PROPOSE, "score delta info", 1, "'feat_stride': 0", "'feat_stride' must be a whole number from 1"),
        (_PROPOSE, "score delta info", 1, "'feat_stride': None", "'feat_stride' must be"),
        (_PROPOSE, "score delta info", 1, "'scales': []", "'scales' must be a list of numbers"),
        (_PROPOSE, "score delta info", 1, "'scales': [8, True]", "'scales' must be a list of numbers"),
        (_PROPOSE, "score delta info", 1, f"'scales': [1{400 * '0'}]", "'scales' must be a list of numbers"),
        (_ANCHOR, "flat gt info", 4, "", r"must be \(1, C, H, W\)"),
        (_ANCHOR, "score six info", 4, "", "gt_boxes must have rows of 5 numbers"),
        (_ANCHOR, "score gt info", 4, "'allowed_border': 'x'", "'allowed_border' must be a whole number"),
        (_ANCHOR, "score gt info", 5, "", "takes 1 to 4 tops"),
        (_TARGET, "six gt", 5, "", "the regions must have rows of 5 numbers"),
        (_TARGET, "rois", 5, "", "takes exactly 2 bottoms"),
        (_TARGET, "rois gt", 5, "'num_classes': 1.5", "'num_classes' must be a whole number"),
        (_TARGET, "rois gt", 5, "'fg_fraction': 2", "'fg_fraction' must be a number from 0 to 1"),
        (("roi_data_layer.layer", "RoIDataLayer"), "", 3, "'num_classes': -1", "'num_classes' must be"),
        (("spatial_dropout", "SpatialDropoutLayer"), "delta gt", 1, "", "takes exactly 1 bottom"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(
    tmp_path: Path, layer: tuple[str, str], bottoms: str, tops: int, text: str, told: str
) -> None:
    with pytest.raises(SegcaffeError, match=told) as found:
        _net(tmp_path, *layer, bottoms, tops, text.replace("'", "\\'"))
    assert 'layer "p" (Python): ' in str(found.value)
    assert "Traceback" not in str(found.value)


def test_labels_beyond_the_classes_are_told(tmp_path: Path) -> None:
    net = _net(tmp_path, "rpn.proposal_target_layer", "ProposalTargetLayer", "rois gt", 5, "'num_classes': 20")
    with pytest.raises(SegcaffeError, match=r"labels in gt_boxes must lie in 0\.\.19") as found:
        net.forward()
    assert "Traceback" not in str(found.value)
