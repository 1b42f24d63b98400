"""What users get wrong, by family: each error names the layer, the option, the value received and the rule."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from segcaffe.errors import PrototxtError, SegcaffeError
from segcaffe.layers import layer_class, layer_types
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.testing import LayerCase

IMAGE = (2, 4, 6, 5)


class Bad(NamedTuple):
    """A layer that cannot be; what its error must contain: the option, the value, words of the rule."""

    family: str
    case: LayerCase
    option: str
    value: str
    rule: str


def _bad(type_name: str, options: str, option: str, value: str, rule: str, *bottoms: object, tops: int = 1) -> Bad:
    family = layer_class(type_name).__module__.split(".")[2]
    default = () if family == "source" else (IMAGE,)
    case = LayerCase(type_name, options, bottoms or default, tops=tops)  # type: ignore[arg-type]
    return Bad(family, case, option, value, rule)


def _run(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    layer.forward(bottom, top)


def _labels(*values: float) -> np.ndarray:
    return np.array(values, float)


BAD = [
    # neuron
    _bad("Exp", "exp_param { base: 0 }", "base", "0", "must be positive"),
    _bad("Log", "log_param { base: 1 }", "base", "1", "not 1"),
    _bad("Clip", "clip_param { min: 2 max: 1 }", "min", "min 2, max 1", "must not exceed"),
    _bad("Clip", "clip_param { min: 2 }", "max", "min: 2", "needs both"),
    _bad("Dropout", "dropout_param { dropout_ratio: 1 }", "dropout_ratio", "1", "less than 1"),
    _bad("Power", "power_param { scale: 0 power: -1 }", "power", "-1", "must be a number"),
    _bad("PReLU", "prelu_param { filler { type: 'gauss' } }", "filler", "gauss", "Did you mean"),
    _bad("PReLU", "", "channel", "(4,)", "needs a bottom (N, C", (4,)),
    # affine
    _bad("Scale", "scale_param { num_axes: -2 }", "num_axes", "-2", "0 (a scalar) or more"),
    _bad("Scale", "scale_param { axis: 3 num_axes: 2 }", "num_axes 2", str(IMAGE), "beyond the bottom's last axis"),
    _bad("Scale", "scale_param { axis: -5 }", "axis", "-5", "must lie in"),
    _bad("Bias", "bias_param { axis: 7 }", "axis", "7", "must lie in"),
    _bad("Bias", "", "axes", str(IMAGE), "must begin with the shape", IMAGE, (5,)),
    # normalize
    _bad("LRN", "lrn_param { local_size: 4 }", "local_size", "4", "must be odd"),
    _bad("BatchNorm", "batch_norm_param { moving_average_fraction: 2 }", "moving_average_fraction", "2", "must lie in"),
    _bad("BatchNorm", "batch_norm_param { eps: -1 }", "eps", "-1", "must not be negative"),
    _bad("MVN", "mvn_param { eps: -1 }", "eps", "-1", "must not be negative"),
    _bad("Softmax", "softmax_param { axis: 4 }", "axis", "4", "must lie in"),
    _bad("Softmax", "softmax_param { axis: -5 }", "axis", "-5", "must lie in"),
    # detection
    _bad("ROIAlign", "roi_align_param { pooled_h: 0 pooled_w: 2 }", "bins", "(0, 2)", "at least 1", IMAGE, (5, 5)),
    _bad(
        "DetectionEvaluate",
        "detection_evaluate_param { num_classes: 70000 }",
        "num_classes",
        "70000",
        "65536 at most",
        (1, 1, 2, 7),
        (1, 1, 2, 8),
    ),
    _bad(
        "MultiBoxLoss",
        "multibox_loss_param { num_classes: 2 neg_pos_ratio: inf }",
        "neg_pos_ratio",
        "inf",
        "above 0",
        (1, 8),
        (1, 4),
        (1, 2, 8),
        (1, 1, 1, 8),
    ),
    # window
    _bad("SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: 4096 }", "spatial_bin", "4096", "512"),
    _bad("Pooling", "pooling_param { kernel_size: 0 }", "kernel_size", "0x0", "must be 1 or more"),
    _bad("Pooling", "", "kernel_size", "no kernel_size", "must be given"),
    _bad("Pooling", "pooling_param { kernel_size: 2 pad: 2 }", "pad", "2x2", "must be smaller than kernel_size"),
    _bad("Pooling", "pooling_param { kernel_size: 2 stride: 0 }", "stride", "0x0", "must be 1 or more"),
    _bad("Pooling", "pooling_param { kernel_size: 9 }", "kernel_size", "(9, 9)", "smaller"),
    _bad("Pooling", "pooling_param { pool: AVE kernel_size: 2 }", "pool", "2 tops", "only pool: MAX", tops=2),
    _bad("Interp", "interp_param { height: 0 width: 3 }", "height", "height 0", "1 or more"),
    _bad("Interp", "interp_param { zoom_factor: 2 pad_beg: 1 }", "pad_beg", "pad_beg 1", "0 or less"),
    _bad("Interp", "interp_param { zoom_factor: 0 }", "zoom_factor", "zoom_factor 0", "1 or more"),
    _bad("Crop", "crop_param { axis: 5 }", "axis", "5", "must lie in", IMAGE, IMAGE),
    _bad("Crop", "crop_param { offset: 9 }", "offset", "offset 9", "must lie inside", IMAGE, IMAGE),
    _bad("Im2col", "convolution_param { kernel_size: 9 }", "kernel_size", "9x9", "must fit into the padded input"),
    _bad("SPP", "spp_param { pyramid_height: 0 }", "pyramid_height", "0", "1 or more"),
    # dense
    _bad("Convolution", "convolution_param { num_output: 4 kernel_size: 0 }", "kernel_size", "0x0", "1 or more"),
    _bad("Convolution", "convolution_param { kernel_size: 3 }", "num_output", "0", "1 or more"),
    _bad("Convolution", "convolution_param { num_output: 4 }", "kernel_size", "no kernel_size", "must be given"),
    _bad(
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 group: 3 }",
        "group",
        "group 3, 4 channels",
        "must divide",
    ),
    _bad("Convolution", "convolution_param { num_output: 4 kernel_size: 3 axis: -5 }", "axis", "-5", "must lie in"),
    _bad(
        "Convolution", "convolution_param { num_output: 4 kernel_size: 3 dilation: 0 }", "dilation", "0x0", "1 or more"
    ),
    _bad(
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 bottom_is_im2col: true }",
        "bottom_is_im2col",
        "4 channels",
        "must be a multiple of the 9 taps",
    ),
    _bad(
        "Deconvolution",
        "convolution_param { num_output: 4 kernel_size: 2 pad: 9 }",
        "pad",
        "pad 9x9",
        "leave at least one pixel",
    ),
    _bad("InnerProduct", "inner_product_param { num_output: 0 }", "num_output", "0", "1 or more"),
    _bad("InnerProduct", "inner_product_param { num_output: 2 axis: 4 }", "axis", "4", "must lie in"),
    _bad("Embed", "embed_param { num_output: 2 input_dim: 0 }", "input_dim", "0", "1 or more", (3,)),
    _bad(
        "Embed", "embed_param { num_output: 2 input_dim: 3 }", "input_dim", "to 3", "must lie in [0, 3)", _labels(0, 3)
    ),
    # shape
    _bad("Concat", "concat_param { axis: 4 }", "axis", "4", "must lie in", IMAGE, IMAGE),
    _bad("Concat", "concat_param { axis: 1 concat_dim: 1 }", "concat_dim", "1 and 1", "not both", IMAGE, IMAGE),
    _bad("Concat", "concat_param { axis: 2 }", "axis 2", "(2, 4, 6, 7)", "may differ in", IMAGE, (2, 4, 6, 7)),
    _bad("Slice", "slice_param { slice_point: 3 slice_point: 2 }", "slice_point", "[3, 2]", "must increase", tops=3),
    _bad("Slice", "", "slice_point", "4 cannot", "evenly", tops=3),
    _bad("Reshape", "reshape_param { shape { dim: 7 dim: -1 } }", "dims [7, -1]", str(IMAGE), "do not divide"),
    _bad("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }", "dim", "[-1, -1]", "once at most"),
    _bad("Flatten", "flatten_param { axis: 2 end_axis: 1 }", "end_axis", "end_axis 1", "must not come before"),
    _bad("Eltwise", "eltwise_param { coeff: 1 }", "coeff", "1", "coeff", IMAGE, IMAGE),
    _bad("Eltwise", "", "shape", "(2, 4, 6, 7)", "need one shape", IMAGE, (2, 4, 6, 7)),
    _bad("Tile", "tile_param { tiles: 0 }", "tiles", "0", "1 or more"),
    _bad("Permute", "permute_param { order: 1 order: 1 }", "order", "(1, 1)", "once"),
    _bad("BatchReindex", "", "index", "2", "must lie in [0, 2)", IMAGE, _labels(0, 2)),
    _bad("Filter", "", "selector", "(3,)", "as many items as the selector", IMAGE, (3,)),
    _bad("Reduction", "reduction_param { axis: 5 }", "axis", "5", "must lie in"),
    # loss
    _bad("SoftmaxWithLoss", "softmax_param { axis: 4 }", "axis", "4", "must lie in", (2, 3), (2,)),
    _bad("SoftmaxWithLoss", "", "label", "label 3", "not one of the 3 classes", (2, 3), _labels(0, 3)),
    _bad("SoftmaxWithLoss", "", "label", "(5,)", "one label for each position", (2, 3), (5,)),
    _bad(
        "SoftmaxWithLoss",
        "loss_param { weight_source: 'no/such/file' }",
        "weight_source",
        "no/such/file",
        "must be a readable file of 3 numbers",
        (2, 3),
        _labels(0, 2),
    ),
    _bad("InfogainLoss", "", "source", "infogain_loss_param", "needs the matrix H", (2, 3), _labels(0, 2)),
    _bad("InfogainLoss", "", "H", "(2, 2)", "3 x 3 elements", (2, 3), _labels(0, 2), (2, 2)),
    _bad("HingeLoss", "", "label", "label -1", "not one of the 3 classes", (2, 3), _labels(0, -1)),
    _bad("L1Loss", "l1_loss_param { plateau: -1 }", "plateau", "-1", "must not be negative", IMAGE, IMAGE),
    _bad("EuclideanLoss", "", "elements", "(2, 3) and (2, 4)", "as many elements", (2, 3), (2, 4)),
    _bad("SigmoidCrossEntropyLoss", "", "target", "(2, 3) and (2, 4)", "one target for each score", (2, 3), (2, 4)),
    # metric
    _bad("Accuracy", "accuracy_param { top_k: 4 }", "top_k", "top_k 4", "must lie in 1..3", (2, 3), _labels(0, 2)),
    _bad("Accuracy", "accuracy_param { axis: 2 }", "axis", "2", "must lie in", (2, 3), _labels(0, 2)),
    _bad("Accuracy", "", "ignore_label", "label 7", "not one of the 3 classes", (2, 3), _labels(0, 7)),
    _bad("ArgMax", "argmax_param { top_k: 0 }", "top_k", "0", "at least 1"),
    _bad("ArgMax", "argmax_param { top_k: 5 axis: 1 }", "top_k", "5", "must not exceed"),
    _bad("SegAccuracy", "", "labels", "(2, 3) and (2,)", "needs scores (N, C, H, W)", (2, 3), _labels(0, 2)),
    # source
    _bad("DummyData", "dummy_data_param { shape { dim: 1 } num: 1 }", "shape", "num", "not both", tops=1),
    _bad("DummyData", "dummy_data_param { shape { dim: 1 } shape { dim: 1 } }", "size", "2 values", "once", tops=1),
    _bad(
        "DummyData", "dummy_data_param { data_filler { type: 'gaus' } shape { dim: 1 } }", "filler", "gaus", "Did you"
    ),
    _bad(
        "Input",
        "input_param { shape { dim: 1 } shape { dim: 2 } }",
        "shape",
        "2 shapes",
        "one shape for all tops",
        tops=3,
    ),
    _bad(
        "WindowData",
        "transform_param { crop_size: 4 } window_data_param { context_pad: 2 }",
        "crop_size",
        "4",
        "twice",
        tops=2,
    ),
    _bad("MemoryData", "memory_data_param { batch_size: 0 }", "batch_size", "(0, 0, 0, 0)", "at least 1", tops=2),
    _bad(
        "ImageData",
        "image_data_param { source: 'no/such/list' batch_size: 1 }",
        "source",
        "no/such/list",
        "list",
        tops=2,
    ),
    _bad(
        "ImageData",
        "image_data_param { source: 'no/such/list' batch_size: 1 new_height: 3 }",
        "new_height",
        "3 and 0",
        "together",
        tops=2,
    ),
    # sink
    _bad("HDF5Output", "", "file_name", "hdf5_output_param", "must have", (2, 3), (2,), tops=0),
    _bad(
        "HDF5Output",
        "hdf5_output_param { file_name: 'x' }",
        "batch size",
        "(3,)",
        "need the same",
        (2, 3),
        (3,),
        tops=0,
    ),
    _bad("MatWrite", "mat_write_param { period: 0 }", "period", "0", "at least 1", tops=0),
    _bad("MatWrite", "mat_write_param { source: 'no/such/ids' }", "source", "no/such/ids", "ids", tops=0),
    # recurrent
    _bad("LSTM", "", "num_output", "0", "must be positive", (3, 2, 4), (3, 2)),
    _bad("RNN", "recurrent_param { num_output: 2 }", "cont", "(3, 4)", "needs x (T, N", (3, 2, 4), (3, 4)),
    _bad(
        "LSTM",
        "recurrent_param { num_output: 2 expose_hidden: true }",
        "expose_hidden",
        "2 and 1",
        "takes 4 or 5 bottoms",
        (3, 2, 4),
        (3, 2),
    ),
    _bad("LSTM", "recurrent_param { num_output: 2 }", "static", "(5, 4)", "needs shape (2,", (3, 2, 4), (3, 2), (5, 4)),
    _bad("LSTMUnit", "", "gates", "(1, 2, 5)", "gates (1, N, 4 D)", (1, 2, 3), (1, 2, 5), (1, 2), tops=2),
    # segaware
    _bad("Im2dist", "convolution_param { kernel_size: 0 }", "kernel_size", "0x0", "1 or more"),
    _bad("Im2parity", "convolution_param { kernel_size: 9 }", "kernel_size", "9x9", "must fit"),
    _bad(
        "DistLoss", "dist_loss_param { alpha: 2 beta: 1 }", "alpha", "alpha 2.0, beta 1.0", "alpha < beta", IMAGE, IMAGE
    ),
    _bad("DistLoss", "dist_loss_param { alpha: 2 }", "beta", "no beta", "must give beta", IMAGE, IMAGE),
    _bad(
        "NormConv",
        "convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 3 }",
        "group",
        "3",
        "divide",
        IMAGE,
        IMAGE,
    ),
    _bad(
        "NormConvMeanfield",
        "norm_conv_meanfield_param { num_iterations: 2 kernel_size: 3 pad: 1 scale: 1 kernel_size: 3 pad: 0 scale: 1 }",
        "pad",
        "pad 0",
        "as many positions as there are pixels",
        IMAGE,
        IMAGE,
        IMAGE,
        IMAGE,
    ),
    _bad("ChannelReduce", "channel_reduce_param { num_channels: 3 }", "num_channels", "num_channels 3", "must divide"),
    _bad("DenseCRF", "dense_crf_param { max_iter: -1 }", "max_iter", "max_iter: -1", "0 or more", IMAGE, (2, 2, 1, 1)),
    _bad(
        "DenseCRF", "dense_crf_param { pos_w: 1 }", "pos_xy_std", "pos_w: [1.0]", "equally often", IMAGE, (2, 2, 1, 1)
    ),
    _bad(
        "DomainTransform",
        "domain_transform_param { range_sigma: 0 }",
        "range_sigma",
        "range_sigma: 0",
        "must be positive",
        IMAGE,
        (2, 1, 6, 5),
        (2, 2, 1, 1),
    ),
    _bad(
        "BiasChannel",
        "bias_channel_param { fg_bias: -1 }",
        "fg_bias",
        "fg_bias -1",
        "0 or more",
        IMAGE,
        (2, 1, 1, 1),
    ),
    _bad(
        "UniqueLabel",
        "unique_label_param { max_labels: 0 }",
        "max_labels",
        "max_labels 0",
        "must leave room",
        (2, 1, 6, 5),
    ),
    _bad("Replicate", "replicate_param { num_copies: 0 }", "num_copies", "0", "1 or more"),
    _bad("SpatialProduct", "", "map", "(2, 2, 6, 5)", "(N, 1, H, W)", IMAGE, (2, 2, 6, 5)),
    # python
    _bad("Python", "", "module", "python_param", "needs"),
    _bad("Python", "python_param { module: 'no_such' layer: 'X' }", "module", "no_such", "no Python module"),
    _bad("Python", "python_param { module: 'json' layer: 'X' }", "class", '"X"', "Layers in it"),
]
FAMILIES = sorted({layer_class(name).__module__.split(".")[2] for name in layer_types()})


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.case.type}-{bad.option}")
def test_the_error_names_layer_option_value_and_rule(bad: Bad) -> None:
    with pytest.raises(SegcaffeError) as error:
        _run(bad.case)
    message = str(error.value)
    for part in (f'layer "layer" ({bad.case.type})', bad.option, bad.value, bad.rule):
        assert part in message, message


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_three_cases(family: str) -> None:
    assert sum(bad.family == family for bad in BAD) >= 3


@pytest.mark.parametrize("name", layer_types())
def test_too_many_bottoms_or_tops(name: str) -> None:
    cls = layer_class(name)
    for kind, (_, high) in (("bottom", cls.bottom_count), ("top", cls.top_count)):
        if high is None:
            continue
        layer = cls(caffe_pb2.LayerParameter(name="mine", type=name), caffe_pb2.TEST)
        counts = {"bottom": cls.bottom_count[0], "top": cls.top_count[0], kind: high + 1}
        with pytest.raises(SegcaffeError) as error:
            layer.check_counts(counts["bottom"], counts["top"])
        for part in (f'layer "mine" ({name})', kind, f"Received: {high + 1}"):
            assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            'layer { name: "p" type: "Pooling" pooling_param { pool: MEDIAN } }',
            ('"p" (Pooling)', "pool", "MEDIAN", "MAX"),
        ),
        (
            'layer { name: "e" type: "Eltwise" eltwise_param { operation: MEAN } }',
            ('"e" (Eltwise)', "operation", "MEAN", "PROD"),
        ),
        (
            'layer { name: "d" type: "Im2dist" im2dist_param { norm: L3 } }',
            ('"d" (Im2dist)', "norm", "L3", "L1"),
        ),
        (
            'layer { name: "c" type: "Convolution" convolution_param { kernel: 3 } }',
            ('"c" (Convolution)', "kernel", "no such field", "Did you mean"),
        ),
        (
            'layer { name: "c" type: "Convolution" convolution_param { pad: -1 } }',
            ('"c" (Convolution)', "pad", "-1"),
        ),
    ],
)
def test_unknown_words_in_a_file(text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(PrototxtError) as error:
        parse(text, caffe_pb2.NetParameter(), "net.prototxt")
    for part in ("net.prototxt:1", *parts):
        assert part in str(error.value), str(error.value)


def test_the_place_in_the_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 6 dim: 5 } } }\n'
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"\n'
        "  convolution_param { num_output: 4 kernel_size: 3 group: 3 } }\n"
    )
    with pytest.raises(SegcaffeError) as error:
        Net(path, caffe_pb2.TEST)
    for part in (f"{path}:2", 'layer "conv" (Convolution)', "group 3", "must divide"):
        assert part in str(error.value)
