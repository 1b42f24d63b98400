"""Small nets in the manner of those that scripts for OpenCV read, with weights and inputs by rule."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import segcaffe as caffe

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


class Case(NamedTuple):
    """A prototxt, and for each input the shapes that are set one after the other."""

    text: str
    inputs: dict[str, list[Shape]]


def _input(name: str, *shape: int) -> str:
    dims = " ".join(f"dim: {extent}" for extent in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def layer(name: str, kind: str, bottoms: str, tops: str, options: str = "") -> str:
    ends = "".join(f'bottom: "{bottom}" ' for bottom in bottoms.split())
    ends += "".join(f'top: "{top}" ' for top in tops.split())
    return f'layer {{ name: "{name}" type: "{kind}" {ends}{options} }}\n'


def conv(name: str, bottom: str, outputs: int, kernel: int, options: str = "", top: str = "") -> str:
    text = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {options} }}"
    return layer(name, "Convolution", bottom, top or name, text)


def in_place(kind: str, blob: str, options: str = "") -> str:
    return layer(f"{blob}_{kind.lower()}", kind, blob, blob, options)


_IMAGE = _input("data", 1, 3, 8, 8)
_MAX = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
_SCALE = "scale_param { bias_term: true }"
_SSD_HEAD = (
    layer("loc_perm", "Permute", "loc", "loc_perm", "permute_param { order: 0 order: 2 order: 3 order: 1 }")
    + layer("loc_flat", "Flatten", "loc_perm", "loc_flat")
    + layer("conf_perm", "Permute", "conf", "conf_perm", "permute_param { order: 0 order: 2 order: 3 order: 1 }")
    + layer("conf_flat", "Flatten", "conf_perm", "conf_flat")
    + layer("priors", "PriorBox", "feature data", "priors",
            "prior_box_param { min_size: 6 max_size: 9 aspect_ratio: 2 flip: true clip: true "
            "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }")
    + layer("conf_rows", "Reshape", "conf_flat", "conf_rows",
            "reshape_param { shape { dim: 0 dim: -1 dim: 3 } }")
    + layer("conf_softmax", "Softmax", "conf_rows", "conf_softmax", "softmax_param { axis: 2 }")
    + layer("conf_all", "Flatten", "conf_softmax", "conf_all", "flatten_param { axis: 1 }")
)  # fmt: skip


def _detection(threshold: float) -> str:
    options = (
        "detection_output_param { num_classes: 3 share_location: true background_label_id: 0 code_type: CENTER_SIZE "
        f"keep_top_k: 7 confidence_threshold: {threshold} nms_param {{ nms_threshold: 0.4 top_k: 20 }} }}"
    )
    return (
        _input("data", 1, 3, 16, 16)
        + conv("feature", "data", 4, 3, "stride: 4")
        + in_place("ReLU", "feature")
        + conv("loc", "feature", 16, 1)
        + conv("conf", "feature", 12, 1)
        + _SSD_HEAD
        + layer("detections", "DetectionOutput", "loc_flat conf_all priors", "detections", options)
    )


CASES = {
    "classifier": Case(
        _IMAGE
        + conv("conv1", "data", 4, 3, "pad: 1")
        + in_place("BatchNorm", "conv1")
        + in_place("Scale", "conv1", _SCALE)
        + in_place("ReLU", "conv1")
        + layer("pool1", "Pooling", "conv1", "p1", _MAX)
        + in_place("Dropout", "p1")
        + conv("side", "p1", 2, 1, top="side_top")
        + layer("fc", "InnerProduct", "p1", "fc", "inner_product_param { num_output: 5 }")
        + layer("prob", "Softmax", "fc", "prob"),
        {"data": [(1, 3, 8, 8), (3, 3, 8, 8)]},
    ),
    "old notation": Case(
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9\n'
        'layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" '
        "convolution_param { num_output: 4 kernel_size: 3 group: 1 } }\n"
        'layers { name: "r" type: RELU bottom: "c" top: "c" }\n'
        'layers { name: "n" type: LRN bottom: "c" top: "n" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }\n',
        {"data": [(1, 3, 9, 9), (1, 3, 7, 12)]},
    ),
    "fully convolutional": Case(
        _IMAGE
        + conv("a", "data", 6, 3, "pad: 1 stride: 2")
        + in_place("PReLU", "a")
        + conv("b", "a", 6, 3, "pad: 1 group: 3 bias_term: false")
        + layer("up", "Deconvolution", "b", "up", "convolution_param { num_output: 2 kernel_size: 4 stride: 2 pad: 1 }")
        + layer("cut", "Crop", "up data", "cut", "crop_param { axis: 2 offset: 0 }")
        + layer("edges", "Sigmoid", "cut", "edges"),
        {"data": [(1, 3, 8, 8), (1, 3, 11, 6), (1, 3, 8, 8)]},
    ),
    "inception": Case(
        _IMAGE
        + conv("one", "data", 2, 1)
        + in_place("ReLU", "one")
        + conv("three", "data", 3, 3, "pad: 1")
        + in_place("ReLU", "three")
        + layer("pooled", "Pooling", "data", "pooled", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
        + conv("projected", "pooled", 2, 1)
        + layer("output", "Concat", "one three projected", "output")
        + layer("mean", "Pooling", "output", "mean", "pooling_param { pool: AVE global_pooling: true }")
        + layer("loss3", "InnerProduct", "mean", "loss3", "inner_product_param { num_output: 4 }")
        + layer("prob", "Softmax", "loss3", "prob"),
        {"data": [(2, 3, 8, 8)]},
    ),
    "two stages": Case(
        _IMAGE
        + conv("L1", "data", 2, 3, "pad: 1", top="stage1_L1")
        + conv("L2", "data", 3, 3, "pad: 1", top="stage1_L2")
        + layer("joined", "Concat", "stage1_L1 stage1_L2 data", "joined", "concat_param { axis: 1 }")
        + conv("L1_2", "joined", 2, 3, "pad: 1", top="stage2_L1")
        + in_place("ReLU", "stage2_L1")
        + layer("maps", "Concat", "stage2_L1 stage1_L2", "net_output"),
        {"data": [(1, 3, 8, 8), (1, 3, 5, 9)]},
    ),
    "two inputs": Case(
        _IMAGE
        + _input("other", 1, 3, 8, 8)
        + layer("sum", "Eltwise", "data other", "sum", "eltwise_param { operation: SUM coeff: 1 coeff: -0.5 }")
        + layer("log", "TanH", "sum", "log"),
        {"data": [(1, 3, 8, 8)], "other": [(1, 3, 8, 8)]},
    ),
    "sliced": Case(
        _input("data", 1, 4, 6, 6)
        + layer("parts", "Slice", "data", "left right", "slice_param { axis: 1 slice_point: 1 }")
        + layer("left_abs", "AbsVal", "left", "left_abs")
        + layer("right_elu", "ELU", "right", "right_elu"),
        {"data": [(1, 4, 6, 6)]},
    ),
    "named alike": Case(
        _IMAGE
        + layer("a", "Power", "data", "b", "power_param { scale: -2 shift: 1 }")
        + layer("b", "ReLU", "b", "c")
        + layer("a", "Sigmoid", "c", "c")
        + layer("c", "TanH", "c", "a"),
        {"data": [(1, 3, 8, 8)]},
    ),
    "convolution of two": Case(
        _IMAGE
        + _input("other", 1, 3, 8, 8)
        + layer("both", "Convolution", "data other", "x y", "convolution_param { num_output: 2 kernel_size: 3 }")
        + layer("difference", "Eltwise", "x y", "z", "eltwise_param { operation: PROD }"),
        {"data": [(1, 3, 8, 8)], "other": [(1, 3, 8, 8)]},
    ),
    "over the input": Case(
        _IMAGE
        + in_place("ReLU", "data")
        + layer("s", "Sigmoid", "data", "t")
        + layer("flat", "Flatten", "t", "flat")
        + layer("line", "Reshape", "flat", "line", "reshape_param { shape { dim: -1 } }"),
        {"data": [(1, 3, 8, 8)]},
    ),
    "detector": Case(_detection(0.2), {"data": [(1, 3, 16, 16), (2, 3, 16, 16)]}),
    "detector that finds nothing": Case(_detection(0.999), {"data": [(1, 3, 16, 16)]}),
}


def weights(case: str, folder: Path) -> tuple[str, str]:
    """Write a case's prototxt and its weights, which follow from the names; returns the paths."""
    files = folder / "net.prototxt", folder / "net.caffemodel"
    files[0].write_text(CASES[case].text)
    net = caffe.Net(str(files[0]), caffe.TEST)
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            random = np.random.RandomState(zlib.crc32(f"{case}/{name}/{index}".encode()))
            statistics = net.layer_dict[name].type == "BatchNorm"
            blob.data[...] = random.uniform(0.5 if statistics else -0.5, 1 if statistics else 0.5, blob.shape)
    net.save(files[1])
    return str(files[0]), str(files[1])


def inputs(case: str) -> list[dict[str, Array]]:
    """The inputs of a case, one set after the other."""
    shapes = CASES[case].inputs
    return [
        {
            name: np.random.RandomState(zlib.crc32(f"{case}/{name}/{turn}".encode())).randn(*of[turn]).astype("f4")
            for name, of in shapes.items()
        }
        for turn in range(len(next(iter(shapes.values()))))
    ]
