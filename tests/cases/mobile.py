"""Cases of the layers of mobile nets and backbones."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase
from tests.cases.neuron import SMOOTH, away_from

IMAGE = (2, 3, 5, 6)
RAMP = away_from(-3.0, 3.0)
FILLED = 'scale_filler { type: "constant" value: 20 }'

SPACE = "space_to_batch_nd_param { block_shape: [2, 3] paddings: [1, 1, 0, 3] }"
BATCH = "batch_to_space_nd_param { block_shape: [2, 2] crops: [1, 0, 0, 2] }"


def _wide(rng: np.random.Generator) -> np.ndarray:
    return 4 * rng.standard_normal(IMAGE)


def _labels(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 4, 3)


def _depthwise(options: str, suffix: str = "", shape: tuple[int, ...] = (2, 3, 7, 8)) -> LayerCase:
    return LayerCase("DepthwiseConvolution", f"convolution_param {{ {options} }}", (shape,), suffix=suffix)


def _resize(kind: str, options: str, suffix: str) -> LayerCase:
    """``kind``: NearestNeighbor or Bilinear."""
    field = {"NearestNeighbor": "resize_nearest_neighbor_param", "Bilinear": "resize_bilinear_param"}[kind]
    return LayerCase(f"Resize{kind}", f"{field} {{ {options} }}", (IMAGE,), suffix=suffix)


CASES = [
    LayerCase("ReLU6", bottoms=(away_from(0.0, 6.0),)),
    LayerCase("ReLU6", bottoms=(lambda rng: 3 + 4 * away_from(-0.75, 0.75)(rng),), suffix="both_ends"),
    LayerCase("CReLU", bottoms=(SMOOTH,)),
    LayerCase("CReLU", "relu_param { negative_slope: 0.1 }", (SMOOTH,), suffix="leaky"),
    LayerCase("CReLU", bottoms=(away_from(0.0, shape=(3, 4)),), suffix="rows"),
    LayerCase("SeLU", bottoms=(SMOOTH,)),
    LayerCase("SeLU", "selu_param { lambda: 0.7 alpha: 1.2 }", (SMOOTH,), suffix="options"),
    LayerCase("SeLu", bottoms=(SMOOTH,)),
    LayerCase("SELU", bottoms=(SMOOTH,)),
    LayerCase("SeLUDropout"),
    LayerCase("SeLUDropout", phase="TRAIN", suffix="train", deterministic=False, gradient=False, batched=False),
    LayerCase("SeLuDropout", "selu_dropout_param { dropout_ratio: 0.3 }"),
    LayerCase("Mish", bottoms=(_wide,)),
    LayerCase("HardSigmoid", bottoms=(away_from(-2.5, 2.5),)),
    LayerCase("HardSigmoid", "hard_sigmoid_param { alpha: -0.5 beta: 0.1 }", (away_from(0.2, -1.8),), suffix="options"),
    LayerCase("HSigmoid", bottoms=(RAMP,)),
    LayerCase("HardSwish", bottoms=(RAMP,)),
    LayerCase("HSwish", bottoms=(RAMP,)),
    LayerCase("SpatialDropout"),
    LayerCase("SpatialDropout", phase="TRAIN", suffix="train", deterministic=False, gradient=False, batched=False),
    LayerCase("ScaleFilter", "scale_filter_param { min_scale: 0.5 max_scale: 2 }"),
    LayerCase(
        "ScaleFilter",
        "scale_filter_param { min_scale: 0.5 max_scale: 2 }",
        phase="TRAIN",
        suffix="train",
        deterministic=False,
        gradient=False,
        batched=False,
    ),
    LayerCase("Normalize"),
    LayerCase("Normalize", "norm_param { across_spatial: false }", suffix="pixels"),
    LayerCase("Normalize", "norm_param { channel_shared: false }", suffix="channels"),
    LayerCase(
        "Normalize",
        f"norm_param {{ across_spatial: false channel_shared: false {FILLED} }}",
        suffix="pixels_channels",
    ),
    LayerCase("Normalize", "norm_param { across_spatial: false eps: 0.5 }", suffix="eps"),
    LayerCase("Normalize", bottoms=((4, 7),), suffix="rows"),
    LayerCase("Normalize", "norm_param { across_spatial: false }", ((2, 3, 2, 3, 2),), suffix="five_axes"),
    LayerCase("Normalize", "normalize_param { }", suffix="faces"),
    LayerCase("Normalize", "normalize_param { bp_norm: true }", tops=2, suffix="faces_lengths"),
    LayerCase("GRN"),
    LayerCase("GRN", "grn_param { bias: 0.3 }", suffix="bias"),
    LayerCase("GRN", "grn_param { dummy_backward: true }", suffix="dummy", gradient=False),
    LayerCase("L2Normalization"),
    LayerCase("L2Normalization", bottoms=((4, 7),), suffix="rows"),
    LayerCase("Axpy", bottoms=((2, 3, 1, 1), IMAGE, IMAGE)),
    LayerCase("Axpy", bottoms=((2, 3), IMAGE, IMAGE), suffix="rows"),
    LayerCase("Mul", bottoms=(IMAGE, (2, 3, 1, 1))),
    LayerCase("Mul", bottoms=((5, 6), IMAGE), suffix="fewer_axes", batched=False),
    LayerCase("Mul", bottoms=((), (3, 4)), suffix="scalar", batched=False),
    LayerCase("Mul", "mul_param { mul_shape: 3 mul_shape: 1 mul_shape: 6 }", suffix="parameter"),
    LayerCase("Add", bottoms=(IMAGE, (2, 3, 1, 1))),
    LayerCase("Add", bottoms=((3, 1, 6), IMAGE), suffix="both_broadcast", batched=False),
    LayerCase("ShuffleChannel", "shuffle_channel_param { group: 3 }", ((2, 12, 3, 2),)),
    LayerCase("ShuffleChannel", "shuffle_channel_param { group: 2 }", ((3, 4),), suffix="rows"),
    LayerCase("Reorg", "reorg_param { stride: 2 }", ((2, 4, 6, 8),)),
    LayerCase("Reorg", "reorg_param { stride: 3 }", ((1, 9, 3, 6),), suffix="three"),
    LayerCase("Reorg", "reorg_param { stride: 2 reverse: true }", ((2, 8, 3, 4),), suffix="reverse"),
    LayerCase("Squeeze", bottoms=((2, 1, 3, 1),), batched=False),
    LayerCase("Squeeze", "squeeze_param { axis: 1 }", ((2, 1, 3, 1),), suffix="axis"),
    LayerCase("Squeeze", "squeeze_param { axis: -1 axis: 1 }", ((2, 1, 3, 1),), suffix="axes"),
    LayerCase("Gather"),
    LayerCase("Gather", bottoms=(IMAGE, (4, 2)), tops=2, suffix="two"),
    LayerCase("Gather", "gather_param { axis: 2 indices: 4 indices: 0 indices: 4 shape: 3 }", suffix="axis"),
    LayerCase("Gather", "gather_param { axis: -1 indices: 2 shape: 0 }", suffix="one"),
    LayerCase(
        "Gather",
        "gather_param { axis: 1 indices: 2 indices: 1 indices: 0 indices: 0 shape: 2 shape: 2 }",
        suffix="matrix",
    ),
    LayerCase("DepthToSpace", "depth_to_space_param { block_size: 2 }", ((2, 3, 2, 8),)),
    LayerCase(
        "DepthToSpace", 'depth_to_space_param { block_size: 2 data_format: "DCR" }', ((2, 8, 3, 2),), suffix="dcr"
    ),
    LayerCase(
        "DepthToSpace", 'depth_to_space_param { block_size: 2 data_format: "CRD" }', ((2, 8, 3, 2),), suffix="crd"
    ),
    LayerCase("SpaceToDepth", "space_to_depth_param { block_size: 2 }", ((2, 4, 6, 3),)),
    LayerCase(
        "SpaceToDepth", 'space_to_depth_param { block_size: 2 data_format: "NCHW" }', ((2, 3, 4, 6),), suffix="nchw"
    ),
    LayerCase("SpaceToBatchND", SPACE, ((2, 4, 6, 3),), batched=False),
    LayerCase("BatchToSpaceND", BATCH, ((8, 3, 2, 3),), batched=False),
    LayerCase("SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: [1, 2, 4] }", ((2, 3, 7, 5),)),
    LayerCase("SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: 3 }", suffix="one"),
    LayerCase("Reorg", bottoms=((1, 4, 2, 4),), suffix="no_stride"),
    LayerCase("Padding", "padding_param { pad_beg: 2 pad_end: 1 }"),
    LayerCase("Padding", "padding_param { pad_beg: -2 pad_end: 3 }", suffix="cut"),
    LayerCase("Padding", "padding_param { pad: 2 }", suffix="pad"),
    LayerCase("Padding", "padding_param { pad_h: 1 pad_w_left: 2 pad_w_right: 3 }", suffix="sides"),
    LayerCase("Padding", "padding_param { pad_to_power_of_2: true }", suffix="power"),
    LayerCase("Pad", "pad_param { paddings: [0, 0, 1, 0, 0, 2, 3, 1] constant_values: 1.5 }"),
    LayerCase("SimpleCrop", bottoms=(IMAGE, (1, 2, 3, 4))),
    LayerCase("Upsample"),
    LayerCase("Upsample", "upsample_param { scale_h: 3 scale_w: 1 }", suffix="sides"),
    LayerCase("UpsampleDarknet", "upsample_darknet_param { stride: 3 }"),
    LayerCase("UpsampleDarknet", suffix="stride_1"),
    _resize("NearestNeighbor", "output_height: 8 output_width: 3", "nhwc"),
    _resize("NearestNeighbor", 'data_format: "NCHW" scale_height: 2.5 scale_width: 0.5', "nchw"),
    _resize("NearestNeighbor", 'data_format: "NCHW" align_corners: true output_height: 3 output_width: 11', "aligned"),
    _resize("NearestNeighbor", 'data_format: "NCHW" half_pixel_centers: true scale_height: 3 scale_width: 2', "half"),
    _resize("NearestNeighbor", 'data_format: "NCHW" half_pixel_onnx: true output_height: 2 output_width: 9', "onnx"),
    _resize("Bilinear", "output_height: 8 output_width: 3", "nhwc"),
    _resize("Bilinear", 'data_format: "NCHW" scale_height: 2.5 scale_width: 0.5', "nchw"),
    _resize("Bilinear", 'data_format: "NCHW" align_corners: true output_height: 3 output_width: 11', "aligned"),
    _resize("Bilinear", 'data_format: "NCHW" half_pixel_centers: true scale_height: 3 scale_width: 2', "half"),
    _resize("Bilinear", 'data_format: "NCHW" pytorch_half_pixel: true output_height: 1 output_width: 9', "one_row"),
    _depthwise("kernel_size: 3 pad: 1"),
    _depthwise("num_output: 3 kernel_size: 3 stride: 2 bias_term: false", "stride"),
    _depthwise("num_output: 6 kernel_size: 2", "multiplier"),
    _depthwise("num_output: 4 group: 2 kernel_size: 3 dilation: 2 pad: 2", "group", (2, 4, 7, 8)),
    LayerCase("ConvolutionDepthwise", "convolution_param { num_output: 3 kernel_size: 3 pad: 1 }"),
    LayerCase("Local", "local_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }"),
    LayerCase("Local", "local_param { num_output: 2 kernel_size: 2 bias_term: false }", suffix="no_bias"),
    LayerCase("AccuracyRegression", bottoms=(IMAGE, IMAGE), batched=False),
    LayerCase("LabelSpecificAdd", "label_specific_add_param { bias: 0.4 }", ((3, 4), _labels)),
    LayerCase(
        "LabelSpecificAdd",
        "label_specific_add_param { bias: 0.4 }",
        (away_from(0.4, shape=(3, 4)), _labels),
        phase="TRAIN",
        suffix="train",
    ),
]
