"""Layers that other Caffes fuse, against the same layers written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.errors import SegcaffeError

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }'
OTHER = 'layer { name: "o" type: "Input" top: "o" input_param { shape { dim: 2 dim: 4 dim: 7 dim: 6 } } }'
CONV = "num_output: 4 kernel_size: 3"


def _layer(kind: str, options: str, bottoms: str = "x", top: str = "y", name: str = "one") -> str:
    blobs = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {blobs} top: "{top}" {options} }}'


def _relu(slope: float = 0, blob: str = "y") -> str:
    return _layer("ReLU", f"relu_param {{ negative_slope: {slope} }}", blob, blob, "relu")


def _plain(options: str = "", top: str = "y") -> str:
    return _layer("Convolution", f"convolution_param {{ {CONV} {options} }}", top=top)


def _sum(operation: str = "SUM") -> str:
    return _layer("Eltwise", f"eltwise_param {{ operation: {operation} }}", "z o", "y", "two")


FUSED = {
    "relu": (_plain("relu: true"), _plain() + _relu()),
    "slope": (_plain("relu: true negative_slope: 0.25"), _plain() + _relu(0.25)),
    "slope of the layer": (
        _layer("Convolution", f"convolution_param {{ {CONV} relu: true }} relu_param {{ negative_slope: 0.5 }}"),
        _plain() + _relu(0.5),
    ),
    "sum": (
        _layer("Convolution", f"convolution_param {{ {CONV} fusion_type: SUM_FUSION relu: true }}", "x o"),
        _plain(top="z") + _sum() + _relu(),
    ),
    "sum alone": (_layer("Convolution", f"convolution_param {{ {CONV} }}", "x o"), _plain(top="z") + _sum()),
    "Greentea": (
        _plain("fuse_type: FUSED_CONV_RELU relu_param { negative_slope: 0.1 }"),
        _plain() + _relu(0.1),
    ),
    "Greentea's product": (
        _layer(
            "Convolution",
            f"convolution_param {{ {CONV} fuse_type: FUSED_CONV_ELTWISE_RELU eltwise_param {{ operation: PROD }} }}",
            "x o",
        ),
        _plain(top="z") + _sum("PROD") + _relu(),
    ),
    "inner product": (
        _layer("InnerProduct", "inner_product_param { num_output: 5 relu: true negative_slope: 0.25 }"),
        _layer("InnerProduct", "inner_product_param { num_output: 5 }") + _relu(0.25),
    ),
    "normalization": (
        _layer("BatchNorm", "batch_norm_param { relu: true use_global_stats: false }"),
        _layer("BatchNorm", "batch_norm_param { use_global_stats: false }") + _relu(),
    ),
    "normalization and maxima": (
        _layer(
            "LRN", "lrn_param { local_size: 3 fuse_type: FUSED_POOL_MAX pooling_param { kernel_size: 3 stride: 2 } }"
        ),
        _layer("LRN", "lrn_param { local_size: 3 }", top="z")
        + _layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 }", "z", name="two"),
    ),
    "rows": (
        _layer("Concat", "concat_param { per_fla_fuse: true }", "x o"),
        "".join(
            _layer("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", b, f"p{b}", f"p{b}")
            + _layer("Flatten", "", f"p{b}", f"f{b}", f"f{b}")
            for b in "xo"
        )
        + _layer("Concat", "", "fx fo"),
    ),
}


def _net(folder: Path, text: str) -> caffe.Net:
    path = folder / "net.prototxt"
    path.write_text(f"force_backward: true {INPUT} {OTHER} {text}")
    net = caffe.Net(str(path), caffe.TRAIN)
    rng = np.random.default_rng(0)
    for name in ("x", "o"):
        net.blobs[name].data[...] = rng.standard_normal(net.blobs[name].data.shape)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.standard_normal(blob.data.shape)
    return net


@pytest.mark.parametrize("what", FUSED)
def test_the_parts_do_the_same(tmp_path: Path, what: str) -> None:
    fused, plain = (_net(tmp_path, text) for text in FUSED[what])
    assert fused.params.keys() <= {"one"}
    for net in (fused, plain):
        net.forward()
        net.blobs["y"].diff[...] = np.random.default_rng(1).standard_normal(net.blobs["y"].data.shape)
        net.backward()
    np.testing.assert_array_equal(fused.blobs["y"].data, plain.blobs["y"].data)
    assert (fused.blobs["y"].data != 0).any()
    for name in ("x", "o"):
        np.testing.assert_array_equal(fused.blobs[name].diff, plain.blobs[name].diff)
    for own, other in zip(fused.params.values(), plain.params.values(), strict=True):
        for blob, same in zip(own, other, strict=True):
            np.testing.assert_array_equal(blob.diff, same.diff)


def test_weights_and_losses_find_their_layer(tmp_path: Path) -> None:
    text = _layer("Convolution", f"convolution_param {{ {CONV} relu: true }} loss_weight: 2")
    net = _net(tmp_path, text)
    net.save(str(tmp_path / "x.caffemodel"))
    again = _net(tmp_path, text)
    again.params["one"][0].data[...] = 0
    again.copy_from(str(tmp_path / "x.caffemodel"))
    np.testing.assert_array_equal(again.params["one"][0].data, net.params["one"][0].data)
    assert again.blob_loss_weights["y"] == 2
    assert list(net._layer_names) == ["x", "o", "one", "one_relu"]


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (_plain("fusion_type: SUM_FUSION"), "takes 2 bottoms. Received: 1"),
        (_plain("fuse_type: FUSED_CONV_MAX_POOLING_RELU"), "not built here"),
        (_plain("coeff: 2"), "not built here"),
        (
            'layer { name: "one" type: "Convolution" bottom: "x" bottom: "x" top: "y" top: "z" '
            f"convolution_param {{ {CONV} relu: true }} }}",
            "has 1 top. Received: 2",
        ),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, layer: str, told: str) -> None:
    with pytest.raises(SegcaffeError, match=told):
        _net(tmp_path, layer)


def test_detection_output_of_a_yolo(tmp_path: Path) -> None:
    """gklz1982's caffe-yolov2 has its own layer of SSD's name."""
    options = "num_classes: 1 num_box: 2 confidence_threshold: 0.3 biases: [1, 2, 3, 4]"
    grid = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 12 dim: 3 dim: 3 } } }'
    found = []
    for kind in ("detection_output", "yolo_detection_output"):
        name = kind.title().replace("_", "")
        (tmp_path / "net.prototxt").write_text(f"{grid} {_layer(name, f'{kind}_param {{ {options} }}')}")
        net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
        net.blobs["x"].data[...] = np.random.default_rng(0).standard_normal(net.blobs["x"].shape)
        found.append(net.forward()["y"].copy())
    assert found[0].shape[2] > 2
    assert (found[0] == found[1]).all()
    text = f"{grid} {_layer('DetectionOutput', f'detection_output_param {{ {options} keep_top_k: 3 }}')}"
    (tmp_path / "net.prototxt").write_text(text)
    with pytest.raises(SegcaffeError, match=r"that of a YOLO, which has no detection_output_param\.keep_top_k"):
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
