"""What `benchmarks/forks.py` times: layer types of the forks at sizes of the nets that they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as fn

from benchmarks.fork_peers import Array, Case, Draw, Node
from segcaffe.proto import caffe_pb2

IMAGE = (1, 64, 161, 161)
FEATURES = (1, 512, 38, 50)
"""The maps of VGG-16 of an image of 600 x 800."""
REGIONS = 300


def _regions(rng: np.random.Generator) -> Array:
    """Regions (R, 5) in an image of 600 x 800, some of them small."""
    low = rng.uniform(0, (700, 500), (REGIONS, 2))
    size = rng.uniform(16, 400, (REGIONS, 2))
    return np.concatenate([np.zeros((REGIONS, 1)), low, np.minimum(low + size, (799, 599))], axis=1)


def _places(rng: np.random.Generator) -> Array:
    """Where the maxima of 2 x 2 windows stood, as (1, 64, 90, 120) places in images of 180 x 240."""
    shape = (1, 64, 90, 120)
    row, column = (rng.integers(0, 2, shape) for _ in range(2))
    y, x = np.arange(90)[:, None], np.arange(120)
    return (2 * y + row) * 240 + 2 * x + column


def _priors(rng: np.random.Generator) -> Array:
    """The 8732 boxes of SSD300, all over the image, with their variances."""
    centre, size = rng.uniform(0, 1, (8732, 2)), rng.uniform(0.05, 0.4, (8732, 2))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1).clip(0, 1)
    return np.stack([boxes.reshape(-1), np.tile([0.1, 0.1, 0.2, 0.2], 8732)])[None]


def _confidences(classes: int) -> Draw:
    def draw(rng: np.random.Generator) -> Array:
        """Probabilities of classes of 8732 boxes: background nearly everywhere, clear objects at one in thirty."""
        scores = rng.standard_normal((8732, classes))
        scores[:, 0] += 7
        objects = rng.integers(0, 8732, 300)
        scores[objects, rng.integers(1, classes, 300)] += 8
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (scores / scores.sum(axis=1, keepdims=True)).reshape(1, -1)

    return draw


def _ssd(classes: int) -> Case:
    options = (
        f"num_classes: {classes} code_type: CENTER_SIZE confidence_threshold: 0.01 keep_top_k: 200 "
        "share_location: true background_label_id: 0 nms_param { nms_threshold: 0.45 top_k: 400 }"
    )
    bottoms = ((1, 4 * 8732), _confidences(classes), _priors)
    name = f"DetectionOutput, {classes} classes of 8732 boxes"
    return Case(name, "DetectionOutput", f"detection_output_param {{ {options} }}", bottoms, caffe=True)


def _grid(rng: np.random.Generator) -> Array:
    """The numbers of 13 x 13 cells of 5 boxes, few of which are likely to be objects."""
    numbers = rng.standard_normal((5, 25, 13, 13))
    numbers[:, 4] -= 4
    numbers[rng.integers(0, 5, 12), 4, rng.integers(0, 13, 12), rng.integers(0, 13, 12)] += 7
    return numbers.reshape(1, 125, 13, 13)


def _image_size(rng: np.random.Generator) -> Array:
    return np.array([[600.0, 800, 1]])


def _probabilities(shape: tuple[int, ...]) -> Draw:
    return lambda rng: rng.uniform(0, 1, shape)


def _small(shape: tuple[int, ...]) -> Draw:
    return lambda rng: rng.normal(0, 0.1, shape)


def _depthwise(channels: int, size: int, stride: int) -> Case:
    options = f"num_output: {channels} kernel_size: 3 pad: 1 stride: {stride}"
    attributes = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [1] * 4, "group": channels}
    return Case(
        f"ConvolutionDepthwise 3x3, {channels} x {size}², stride {stride}",
        "ConvolutionDepthwise",
        f"convolution_param {{ {options} }}",
        ((1, channels, size, size),),
        caffe=True,
        nodes=(Node("Conv", "x0,p0,p1", attributes),),
    )


MOBILENET = [
    _depthwise(*sizes)
    for sizes in (
        (32, 112, 1), (64, 112, 2), (128, 56, 1), (128, 56, 2), (256, 28, 1), (256, 28, 2), (512, 14, 1), (512, 14, 2),
        (1024, 7, 1),
    )
]  # fmt: skip
MAPS = 'norm_param { across_spatial: false channel_shared: false scale_filler { type: "constant" value: 20 } }'
PRIOR = "prior_box_param {{ min_size: 60 max_size: 111 {} flip: true variance: [0.1, 0.1, 0.2, 0.2] }}"
CRELU = """
layer { name: "n" type: "Power" bottom: "x0" top: "n" power_param { scale: -1 } }
layer { name: "c" type: "Concat" bottom: "x0" bottom: "n" top: "c" }
layer { name: "y" type: "ReLU" bottom: "c" top: "y" }
"""
ANCHORS = "ratio: [0.5, 1, 2] scale: [8, 16, 32] base_size: 16 feat_stride: 16 min_size: 16 nms_thresh: 0.7"
REGION = """
[net]
width=13
height=13
channels=125
[region]
anchors=1.08,1.19, 3.42,4.41, 6.63,11.38, 9.42,5.11, 16.62,10.52
classes=20
coords=4
num=5
softmax=1
thresh=0.3
"""
YOLO = (
    "yolo_detection_output_param { num_classes: 20 coords: 4 confidence_threshold: 0.3 nms_threshold: 0.45 "
    "biases: [1.08, 1.19, 3.42, 4.41, 6.63, 11.38, 9.42, 5.11, 16.62, 10.52] }"
)


def _neuron(type_name: str, node: Node | None, caffe: bool = True, function: Any = None, **more: Any) -> Case:
    nodes = (node,) if node is not None else ()
    return Case(type_name, type_name, "", (IMAGE,), caffe=caffe, nodes=nodes, torch=function, **more)


NEURONS = [
    _neuron("ReLU6", Node("Clip", "x0,low,high"), constants={"low": np.float32(0), "high": np.float32(6)}),
    _neuron("Mish", None, function=fn.mish),
    _neuron("HardSwish", Node("HardSwish", "x0")),
    _neuron("HardSigmoid", Node("HardSigmoid", "x0"), caffe=False),
    _neuron("SELU", Node("Selu", "x0"), caffe=False),
    Case(
        "CReLU", "CReLU", "", (IMAGE,), caffe=CRELU,
        nodes=(Node("Neg", "x0", outputs="n"), Node("Concat", "x0,n", {"axis": 1}, "c"), Node("Relu", "c")),
    ),
    Case(
        "SpatialDropout, TRAIN", "SpatialDropout", "", (IMAGE,), phase=caffe_pb2.TRAIN, agrees=False,
        torch=lambda x: fn.dropout2d(x, 0.5, training=True),
    ),
]  # fmt: skip
NORMALIZE = [
    Case("Normalize, pixels", "Normalize", MAPS, ((1, 512, 38, 38),), caffe=True),
    Case("Normalize, items", "Normalize", "", ((1, 512, 38, 38),), caffe=True),
    Case(
        "L2Normalization", "L2Normalization", "", ((64, 2048),), onnx_in_opencv=False,
        nodes=(Node("LpNormalization", "x0", {"axis": 1}),),
    ),
    Case(
        "BatchNorm with scale and shift", "BatchNorm", "batch_norm_param { scale_bias: true eps: 1e-5 }", (IMAGE,),
        nodes=(Node("BatchNormalization", "x0,p3,p4,p0,p1"),),
    ),
    Case(
        "BN, slope to variance", "BN", "bn_param { frozen: true slope_filler { value: 1 } }", (IMAGE,),
        nodes=(*(Node("Reshape", f"p{i},one", outputs=f"q{i}") for i in range(4)),
               Node("BatchNormalization", "x0,q0,q1,q2,q3")),
        constants={"one": np.array([-1])},
    ),
    Case(
        "Axpy", "Axpy", "", ((1, 256, 1, 1), (1, 256, 56, 56), (1, 256, 56, 56)), caffe=True, agrees=False,
    ),
    Case("GRN", "GRN", "", (IMAGE,), torch=lambda x: x / x.square().sum(1, keepdim=True).sqrt(), agrees=False),
]  # fmt: skip
SHAPES = [
    Case(
        f"Permute to channels last, {'x'.join(map(str, shape))}", "Permute",
        "permute_param { order: 0 order: 2 order: 3 order: 1 }", (shape,), caffe=True,
        nodes=(Node("Transpose", "x0", {"perm": [0, 2, 3, 1]}),),
    )
    for shape in ((1, 84, 38, 38), (1, 126, 19, 19), (1, 24, 10, 10), (1, 64, 161, 161))
] + [
    Case("ShuffleChannel", "ShuffleChannel", "shuffle_channel_param { group: 3 }", ((1, 240, 28, 28),), caffe=True),
    Case("Reorg, 64 x 104²", "Reorg", "reorg_param { stride: 2 }", ((1, 64, 104, 104),), caffe=True),
    Case("Reorg, 64 x 26²", "Reorg", "reorg_param { stride: 2 }", ((1, 64, 26, 26),), caffe=True),
    Case(
        "DepthToSpace", "DepthToSpace", "depth_to_space_param { block_size: 2 data_format: \"CRD\" }",
        ((1, 256, 80, 80),), nodes=(Node("DepthToSpace", "x0", {"blocksize": 2, "mode": "CRD"}),),
    ),
    Case(
        "SpaceToDepth", "SpaceToDepth", 'space_to_depth_param { block_size: 2 data_format: "NCHW" }',
        ((1, 64, 160, 160),), nodes=(Node("SpaceToDepth", "x0", {"blocksize": 2}),),
    ),
    Case(
        "Padding", "Padding", "padding_param { pad: 3 }", (IMAGE,), nodes=(Node("Pad", "x0,pads"),),
        constants={"pads": np.array([0, 0, 3, 3, 0, 0, 3, 3])},
    ),
    Case("Mul", "Mul", "", (IMAGE, (1, 64, 1, 1)), nodes=(Node("Mul", "x0,x1"),)),
    Case("Add", "Add", "", (IMAGE, (1, 64, 1, 1)), nodes=(Node("Add", "x0,x1"),)),
    Case("Reverse", "Reverse", "", ((50, 64, 512),), torch=lambda x: x.flip(0)),
]  # fmt: skip
WINDOWS = [
    *MOBILENET,
    Case("Interp, zoom 8", "Interp", "interp_param { zoom_factor: 8 }", ((1, 21, 41, 41),), caffe=True),
    Case("Interp, 60x60", "Interp", "interp_param { height: 60 width: 60 }", ((1, 512, 6, 6),), caffe=True),
    Case(
        "Upsample, nearest", "Upsample", "", ((1, 256, 26, 26),),
        nodes=(Node("Resize", "x0,,scales", {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                                             "nearest_mode": "floor"}),),
        constants={"scales": np.array([1, 1, 2, 2], np.float32)},
    ),
    Case(
        "Upsample, places of maxima", "Upsample", "", ((1, 64, 90, 120), _places), onnx_in_opencv=False,
        nodes=(Node("Cast", "x1", {"to": 7}, "at"), Node("Add", "at,planes", outputs="places"),
               Node("MaxUnpool", "x0,places", {"kernel_shape": [2, 2], "strides": [2, 2]})),
        constants={"planes": np.arange(64)[:, None, None] * 180 * 240},
    ),
    Case(
        "PoolingSK", "PoolingSK", "pooling_param { kernel_size: 2 kstride: 2 stride: 1 }", (IMAGE,),
        nodes=(Node("MaxPool", "x0", {"kernel_shape": [2, 2], "dilations": [2, 2], "strides": [1, 1]}),),
        onnx_in_opencv=False,
    ),
    Case(
        "SpatialPyramidPooling", "SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: [1, 2, 4] }",
        ((1, 512, 13, 13),), agrees=False,
        torch=lambda x: torch.cat([fn.adaptive_max_pool2d(x, n).flatten(1) for n in (1, 2, 4)], 1),
    ),
]  # fmt: skip
DETECTION = [
    Case(
        "PriorBox, 38x38 of 4 boxes", "PriorBox", PRIOR.format("aspect_ratio: 2"), ((1, 1, 38, 38), (1, 3, 300, 300)),
        caffe=True,
    ),
    Case(
        "PriorBox, 19x19 of 6 boxes", "PriorBox", PRIOR.format("aspect_ratio: 2 aspect_ratio: 3"),
        ((1, 1, 19, 19), (1, 3, 300, 300)), caffe=True,
    ),
    _ssd(21),
    _ssd(2),
    Case(
        "ROIPooling", "ROIPooling", "roi_pooling_param { pooled_h: 7 pooled_w: 7 spatial_scale: 0.0625 }",
        (FEATURES, _regions), caffe=True,
    ),
    Case(
        "PSROIPooling", "PSROIPooling", "psroi_pooling_param { output_dim: 21 group_size: 7 spatial_scale: 0.0625 }",
        ((1, 1029, 38, 50), _regions), caffe=True,
    ),
    Case(
        "ROIAlign", "ROIAlign", "roi_align_param { pooled_h: 7 pooled_w: 7 spatial_scale: 0.0625 }",
        ((1, 256, 38, 50), _regions), onnx_in_opencv=False, constants={"to": np.array([5]), "from": np.array([1]),
        "axis": np.array([1]), "first": np.zeros(REGIONS, np.int64)},
        nodes=(Node("Slice", "x1,from,to,axis", outputs="boxes"),
               Node("RoiAlign", "x0,boxes,first", {"output_height": 7, "output_width": 7, "spatial_scale": 0.0625,
                    "sampling_ratio": 2, "coordinate_transformation_mode": "output_half_pixel"})),
    ),
    Case(
        "Proposal", "Proposal", f"proposal_param {{ {ANCHORS} pre_nms_topn: 6000 post_nms_topn: 300 }}",
        (_probabilities((1, 18, 38, 50)), _small((1, 36, 38, 50)), _image_size), caffe=True,
    ),
    Case("YoloDetectionOutput, 13x13", "YoloDetectionOutput", YOLO, (_grid,), darknet=REGION, agrees=False),
]  # fmt: skip


def _ctc(x: Any, labels: Any) -> Any:
    """The loss with its gradient, which ours finds with it."""
    with torch.enable_grad():
        scores = x.requires_grad_()
        logs = fn.log_softmax(scores, 2)
        loss = fn.ctc_loss(logs, labels.long(), [100] * 16, [20] * 16, reduction="sum") / 16
        torch.autograd.grad(loss, scores)
    return loss.detach()


LOSSES = [
    Case(
        "CtcLoss with its gradient", "CtcLoss", "ctc_loss_param { blank_label: 0 }",
        ((100, 16, 64), lambda rng: rng.integers(1, 64, (16, 20))), torch=_ctc,
    ),
    Case("TripletLoss", "TripletLoss", "", ((256, 512),) * 3, torch=fn.triplet_margin_loss, agrees=False),
    Case("SmoothL1LossOHEM", "SmoothL1LossOHEM", "", ((300, 84),) * 2, torch=fn.smooth_l1_loss, agrees=False),
]  # fmt: skip
CASES = [*NEURONS, *NORMALIZE, *SHAPES, *WINDOWS, *DETECTION, *LOSSES]
MEMORY = "One pass over memory: both run at what the third-level cache gives."
LIMITS = {
    "PoolingSK": "Ours finds the places of the maxima too.",
    "SpatialPyramidPooling": "Ours finds the places of the maxima too.",
    "Permute to channels last, 1x24x10x10": "2400 numbers: a call from Python.",
    "YoloDetectionOutput": "30 calls of NumPy of a few microseconds each; suppression is in our time alone.",
    "SmoothL1LossOHEM": "Seven passes of NumPy over the differences, where one would do.",
    "TripletLoss": "Passes of NumPy, which keep the differences for the backward pass.",
}
"""What bounds the rows that are slower than a peer's, by the beginning of their names; others are bound by memory."""
