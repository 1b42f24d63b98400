"""Detection: priors, what was found, and pooling over regions."""

from __future__ import annotations

import math
from typing import Any

from segcaffe.detection.anchors import base_anchors
from segcaffe.export.torch.names import call, number
from segcaffe.export.torch.registry import Lines, refuses, writes
from segcaffe.export.torch.site import Site
from segcaffe.layers.detection.roi_align import SAMPLES
from segcaffe.layers.python.enet import SpatialDropoutLayer
from segcaffe.layers.python.rcnn import ProposalLayer
from segcaffe.proto import caffe_pb2


def _numbers(values: Any) -> tuple[float, ...]:
    """Numbers by the digits that tell a float32."""
    return tuple(float(f"{value:.9g}") for value in values)


def _sizes(pairs: Any) -> str:
    return "[" + ", ".join(f"({number(w)}, {number(h)})" for w, h in map(_numbers, pairs)) + "]"


@writes("PriorBox", "PriorBoxClustered")
def _prior_box(site: Site) -> str:
    layer = site.layer
    image = str(_numbers(layer.image)) if layer.image else f"{site.bottoms[1]}.shape[2:]"
    step = str(_numbers(layer.step)) if layer.step else None
    options = {
        "step": step,
        "offset": layer.offset if layer.offset != 0.5 else None,
        "clip": None if layer.clip else False,
    }
    return call(site.piece("prior_boxes"), site.x, image, _sizes(layer.sizes), _numbers(layer.variance), **options)


@writes("DetectionOutput")
def _detection_output(site: Site) -> str:
    layer = site.layer
    nms = layer.suppression
    if len(site.bottoms) > 4 or site.param.detection_output_param.HasField("nbottom"):
        raise site.fail(
            "predictions in two stages, or a blob for each map, are not written. Join the blobs by Concat, or cut the "
            "net before it"
        )
    locations, confidences, priors = site.bottoms[:3]
    in_target = layer.coding.variance_in_target or None
    boxes = call(
        site.piece("decode_locations"), locations, priors, f'"{layer.coding.kind}"', variance_in_target=in_target
    )
    options = {
        "least": None if math.isinf(nms.score) else float(nms.score),
        "background": layer.background or None,
        "top_k": nms.top_k if nms.top_k > -1 else None,
        "keep_top_k": layer.keep_top_k if layer.keep_top_k > -1 else None,
        "eta": nms.eta if nms.eta != 1 else None,
    }
    return call(site.piece("best_boxes"), boxes, confidences, nms.overlap, **options)


@writes("YoloDetectionOutput")
def _yolo(site: Site) -> str:
    layer = site.layer
    given = list(site.bottoms), _sizes(layer.sizes), layer.least, layer.suppression.overlap
    return call(site.piece("yolo_detections"), *given)


@writes("Yolov3DetectionOutput")
def _yolov3(site: Site) -> str:
    layer = site.layer
    sizes = f"[{', '.join(_sizes(priors) for priors in layer.priors)}]"
    given = list(site.bottoms), sizes, layer.least, layer.suppression.overlap
    return call(site.piece("yolov3_detections"), *given)


@writes("ROIPooling")
def _roi_pooling(site: Site) -> str:
    return call(site.piece("roi_pool"), *site.bottoms, tuple(site.layer.pooled), site.layer.scale)


@writes("ROIAlign")
def _roi_align(site: Site) -> str:
    layer = site.layer
    if layer.samples < 1:
        raise site.fail(
            "as many samples as a bin has pixels are not written. Give sampling_ratio a number, or cut the net"
        )
    samples = layer.samples if layer.samples != SAMPLES else None
    pooled = call(site.piece("roi_align"), *site.bottoms, tuple(layer.pooled), layer.scale, count=samples)
    if not layer.sensitive:
        return pooled
    # Of all bins of all maps those that belong together.
    rows, columns = layer.pooled
    own = f"{pooled}.flatten(2).unflatten(1, (-1, {rows * columns})).diagonal(dim1=2, dim2=3)"
    return f"{own}.unflatten(2, ({rows}, {columns}))"


@writes("PSROIPooling")
def _psroi_pooling(site: Site) -> str:
    layer = site.layer
    return call(site.piece("psroi_pool"), *site.bottoms, layer.outputs, layer.pooled[0], layer.scale)


def _proposal_text(site: Site, anchors: Any, stride: int, numbers: tuple[float, ...]) -> Lines:
    rows = [_numbers(row) for row in anchors]
    text = call(site.piece("propose_regions"), *site.bottoms, rows, stride, *numbers)
    return text if len(site.top_shapes) == 2 else f"{text}[0]"


@writes("Proposal")
def _proposal(site: Site) -> Lines:
    layer, wanted = site.layer, site.layer.proposing
    return _proposal_text(site, layer.anchors, layer.stride, tuple(wanted))


@writes("BoxAnnotatorOHEM")
def _ohem(site: Site) -> str:
    layer = site.layer
    regions, *losses, label, weights = site.bottoms
    loss = " + ".join(f"{one}.flatten()" for one in losses) if len(losses) > 1 else losses[0]
    return call(site.piece("hardest_regions"), regions, loss, label, weights, layer.most, layer.ignore)


@writes("Python")
def _python(site: Site) -> Lines:
    """Of those that come with segcaffe the ones that a net needs when it is used."""
    user = site.layer
    if isinstance(user, SpatialDropoutLayer):
        text = call("F.dropout2d", site.x, user.ratio, training="True")
        return text if user.drops else f"{site.x} / {number(1 - user.ratio)}"
    if isinstance(user, ProposalLayer) and site.layer.phase == caffe_pb2.TEST and len(site.top_shapes) == 1:
        anchors = base_anchors(16, user.options["ratios"], user.options["scales"])
        return _proposal_text(site, anchors, user.options["feat_stride"], (16, 6000, 300, 0.7))
    raise site.fail(
        f"its code, {site.param.python_param.module}.{site.param.python_param.layer}, is not known here. Cut the net "
        "before it, and write the layer in PyTorch"
    )


refuses(
    "matching boxes with true ones is not said in plain PyTorch here. Train with it here, or cut the net before it and "
    "use a detection library's loss",
    "DetectionLoss",
    "MultiBoxLoss",
    "RegionLoss",
    "Yolov3",
)
refuses("the gradient of the original is not that of its loss. Cut the net before it", "YoloSeg")
refuses("it finds a box's place in the grid, which is not written. Use DetectionOutput", "DetectionOutputExtended")
refuses(
    "judging detections is no part of a module. Cut the net before it, and judge its boxes with segcaffe eval",
    "DetectionEvaluate",
    "EvalDetection",
)
refuses("it makes training images. Cut the net behind it, and augment images as your data set is read", "Augmentation")
