"""Nets that find boxes: how many shows only when they run, and which they are follows the layers to the letter."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest

from segcaffe.export.source import Source, build_source
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests.export.onnx.running import check, model_of, run

PRIORS, CLASSES = 40, 4


def source_of(text: str) -> Source:
    return build_source(parse(text, caffe_pb2.NetParameter()))


def detector(options: str, batch: int, own_boxes: bool) -> Source:
    """A DetectionOutput alone."""
    locations = 4 * PRIORS * (CLASSES if own_boxes else 1)
    inputs = (("loc", (batch, locations)), ("conf", (batch, PRIORS * CLASSES)), ("priors", (1, 2, 4 * PRIORS)))
    layers = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ {' '.join(f'dim: {extent}' for extent in shape)} }} }} }}"
        for name, shape in inputs
    ]
    layers.append(
        'layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "priors" top: "found" '
        f"detection_output_param {{ num_classes: {CLASSES} share_location: {str(not own_boxes).lower()} {options} }} }}"
    )
    return source_of("\n".join(layers))


def values(source: Source, rng: np.random.Generator) -> dict[str, Any]:
    """Boxes that overlap, some of which are inside out, and scores of which several are equal."""
    centers, sizes = rng.uniform(0.3, 0.7, (PRIORS, 2)), rng.uniform(0.1, 0.5, (PRIORS, 2))
    corners = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    priors = np.stack([corners, np.tile([0.1, 0.1, 0.2, 0.2], (PRIORS, 1))]).reshape(1, 2, -1)
    locations = rng.standard_normal(source.net.blobs["loc"].shape) * 2
    scores = rng.integers(0, 60, source.net.blobs["conf"].shape) / 60
    given = {"loc": locations, "conf": scores, "priors": priors}
    return {name: array.astype(np.float32) for name, array in given.items()}


OPTIONS = (
    "code_type: CENTER_SIZE nms_param { nms_threshold: 0.45 top_k: 20 } keep_top_k: 15 confidence_threshold: 0.1",
    "code_type: CORNER nms_param { nms_threshold: 0.3 } background_label_id: 2",
    "code_type: CORNER_SIZE nms_param { nms_threshold: 0.6 top_k: 400 } keep_top_k: 7 background_label_id: -1",
    "code_type: CENTER_SIZE variance_encoded_in_target: true nms_param { nms_threshold: 2 top_k: 5 } keep_top_k: 100",
    "code_type: CENTER_SIZE nms_param { nms_threshold: 0.9 eta: 0.8 top_k: 30 } keep_top_k: 25",
    "code_type: CENTER_SIZE nms_param { nms_threshold: 0 eta: 0.8 } confidence_threshold: 0.95",
    "code_type: CENTER_SIZE nms_param { nms_threshold: 0.4 } confidence_threshold: 2",
    "code_type: CENTER_SIZE nms_param { nms_threshold: 0.4 } keep_top_k: 0",
)


@pytest.mark.parametrize(("options", "own_boxes"), list(itertools.product(OPTIONS, (False, True))))
def test_detections_are_the_same_rows(options: str, own_boxes: bool) -> None:
    source = detector(options, 3, own_boxes)
    for opset in (11, 17):
        check(source.net, model_of(source, opset=opset), values(source, np.random.default_rng(opset)))


def test_the_number_of_detections_and_of_items_is_open() -> None:
    source = detector(OPTIONS[0], 2, False)
    model = model_of(source)
    assert [d.dim_param or d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == [
        1,
        1,
        "found_count",
        7,
    ]
    larger = detector(OPTIONS[0], 5, False)
    check(larger.net, model, values(larger, np.random.default_rng(0)))


PROPOSED = """
layer { name: "probabilities" type: "Input" top: "probabilities"
  input_param { shape { dim: 1 dim: 18 dim: 5 dim: 6 } } }
layer { name: "deltas" type: "Input" top: "deltas" input_param { shape { dim: 1 dim: 36 dim: 5 dim: 6 } } }
layer { name: "im_info" type: "Input" top: "im_info" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "rois" type: "PROPOSAL" bottom: "probabilities" bottom: "deltas" bottom: "im_info" top: "rois" OPTIONS }
"""
POOLED = """
layer { name: "maps" type: "Input" top: "maps" input_param { shape { dim: 1 dim: 8 dim: 5 dim: 6 } } }
layer { name: "pool" type: "ROIPooling" bottom: "maps" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.0625 } }
layer { name: "align" type: "ROIAlign" bottom: "maps" bottom: "rois" top: "align"
  roi_align_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.0625 } }
layer { name: "voted" type: "PSROIPooling" bottom: "maps" bottom: "rois" top: "voted"
  psroi_pooling_param { output_dim: 2 group_size: 2 spatial_scale: 0.0625 } }
layer { name: "score" type: "InnerProduct" bottom: "pool" top: "score"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.3 } } }
"""


@pytest.mark.parametrize(
    ("layer_type", "options"),
    [
        ("Proposal", "proposal_param { feat_stride: 16 pre_nms_topn: 60 post_nms_topn: 9 nms_thresh: 0.5 }"),
        ("Python", 'python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" }'),
        ("Proposal", "proposal_param { feat_stride: 8 min_size: 40 nms_thresh: 0.7 pre_nms_topn: 0 post_nms_topn: 0 }"),
    ],
)
def test_regions_go_through_the_second_stage(layer_type: str, options: str) -> None:
    source = source_of(PROPOSED.replace("PROPOSAL", layer_type).replace("OPTIONS", options) + POOLED)
    model = model_of(source)
    shapes = {
        info.name: [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
        for info in (*model.graph.value_info, *model.graph.output)
    }
    assert shapes["rois"] == ["rois_count", 5]
    assert shapes["pool"] == ["rois_count", 8, 3, 2]
    assert shapes["score"] == ["rois_count", 4]
    rng = np.random.default_rng(0)
    given = {name: rng.standard_normal(source.net.blobs[name].shape).astype(np.float32) for name in source.net.inputs}
    given["im_info"] = np.array([[80, 90, 1]], np.float32)
    check(source.net, model, given)
    assert source.net.blobs["score"].shape[0] > 5


def test_a_python_layer_of_ours_says_what_images_it_takes() -> None:
    options = 'python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" }'
    net = source_of(PROPOSED.replace("PROPOSAL", "Python").replace("OPTIONS", options)).net
    rng, bottom = np.random.default_rng(0), [net.blobs[name] for name in net.inputs]
    (layer,) = (layer for layer in net.layer_list if layer.name == "rois")
    np.testing.assert_array_equal(layer.example(2, bottom, rng), [[5 * 16, 6 * 16, 1]])
    assert layer.example(0, bottom, rng) is None


def test_regions_that_are_cut_bins_that_are_empty_and_halves() -> None:
    """ROIPooling rounds halves away from zero, and bins outside the maps are 0."""
    regions = 'layer { name: "rois" type: "Input" top: "rois" input_param { shape { dim: 200 dim: 5 } } }'
    source = source_of(regions + POOLED)
    rng = np.random.default_rng(1)
    corners = rng.integers(-40, 140, (200, 4)) * np.float32(4)
    rois = np.concatenate([np.zeros((200, 1)), corners], axis=1).astype(np.float32)
    maps = rng.standard_normal((1, 8, 5, 6)).astype(np.float32)
    check(source.net, model_of(source), {"rois": rois, "maps": maps})


def test_nothing_found_is_one_row_for_each_item() -> None:
    source = detector(OPTIONS[6], 3, False)
    found = run(model_of(source), values(source, np.random.default_rng(0)))["found"]
    np.testing.assert_array_equal(found[0, 0], [[item, *[-1] * 6] for item in range(3)])


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 4 does not read how parts are cut")
@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[6].replace("0.4 }", "0.4 top_k: 30 } keep_top_k: 20")])
def test_opencv_finds_the_same_boxes(options: str) -> None:
    """Where it finds nothing, too: an empty list of places is no place of a list to it."""
    source = detector(options, 2, False)
    given = values(source, np.random.default_rng(3))
    given["conf"] = np.random.default_rng(4).permutation(given["conf"].size).reshape(2, -1).astype(np.float32) / 400
    reader = cv2.dnn.readNetFromONNX(np.frombuffer(model_of(source).SerializeToString(), np.uint8))
    for name, array in given.items():
        source.net.blobs[name].data[...] = array
        reader.setInput(array, name)
    source.net.forward()
    np.testing.assert_allclose(reader.forward(), source.net.blobs["found"].data, rtol=0, atol=1e-5)
