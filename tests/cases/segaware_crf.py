"""Cases of the mean-field layers, the normalised convolution and the domain transform."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase


def sizes(*each: tuple[int, int]) -> np.ndarray:
    """Heights and widths of images, as data layers give them."""
    return np.array(each, np.float32).reshape(-1, 2, 1, 1)


def edges(rng: np.random.Generator) -> np.ndarray:
    """An edge map with values from 0 to 1."""
    return rng.random((2, 1, 5, 6))


CASES: list[LayerCase] = [
    LayerCase(
        "NormConv",
        "convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: 'gaussian' } }",
        bottoms=((2, 3, 5, 6), (2, 4, 5, 6)),
        params={2: np.array([0.6])},
    ),
    LayerCase(
        "NormConv",
        "convolution_param { num_output: 4 group: 2 kernel_h: 3 kernel_w: 2 stride: 2 pad: 2 dilation: 2 }"
        "norm_conv_param { remove_center: true remove_bounds: true }",
        bottoms=((2, 4, 7, 6), (2, 3, 7, 6)),
        params={2: np.array([0.4])},
        suffix="group_stride_dilation",
    ),
    LayerCase(
        "NormConv",
        "convolution_param { num_output: 3 kernel_size: 3 pad: 2 dilation: 2 bias_term: false }"
        "norm_conv_param { norm: L1 remove_bounds: true }",
        bottoms=((2, 3, 6, 5), (2, 4, 6, 5)),
        params={1: np.array([0.5])},
        suffix="l1_without_bias",
    ),
    LayerCase(
        "NormConv",
        "convolution_param { num_output: 4 kernel_size: 3 pad: 1 } norm_conv_param { scale_by_taps: true }",
        bottoms=((2, 3, 5, 6), (2, 4, 5, 6)),
        params={2: np.array([0.6])},
        suffix="scaled_by_taps",
    ),
    LayerCase(
        "NormConv",
        "convolution_param { num_output: 3 kernel_size: 3 pad: 4 stride: 1 } norm_conv_param { scale_term: false }",
        bottoms=((1, 2, 4, 5), lambda rng: 0.5 * rng.standard_normal((1, 3, 4, 5))),
        suffix="centres_outside",
    ),
    LayerCase(
        "NormConv",
        "convolution_param { num_output: 10 group: 2 kernel_size: 1 }",
        bottoms=((2, 18, 4, 5), (2, 3, 4, 5)),
        suffix="pointwise",
    ),
    LayerCase(
        "NormConvMeanfield",
        "norm_conv_meanfield_param { num_iterations: 2 kernel_size: 3 pad: 2 dilation: 2 scale: 0.8 "
        "kernel_size: 3 pad: 1 dilation: 1 scale: 1.3 }",
        bottoms=((2, 3, 5, 6), (2, 3, 5, 6), (2, 4, 5, 6), (2, 2, 5, 6)),
    ),
    LayerCase(
        "NormConvMeanfield",
        "norm_conv_meanfield_param { num_iterations: 3 kernel_size: 5 pad: 4 dilation: 2 scale: 0.5 "
        "kernel_size: 4 pad: 3 dilation: 2 scale: 1 remove_center: false remove_center: true "
        "remove_bounds: false remove_bounds: true }",
        bottoms=((1, 3, 6, 5), (1, 3, 6, 5), (1, 2, 6, 5), (1, 2, 6, 5)),
        suffix="iterations",
    ),
    LayerCase(
        "NormConvMeanfield",
        "norm_conv_meanfield_param { num_iterations: 2 kernel_size: 3 pad: 2 dilation: 2 scale: 0.8 "
        "kernel_size: 5 pad: 2 dilation: 1 scale: 1.3 remove_center: false remove_center: true "
        "remove_bounds: true remove_bounds: false }",
        bottoms=((2, 3, 4, 17), (2, 3, 4, 17), (2, 4, 4, 17), (2, 2, 4, 17)),
        suffix="wide",
    ),
    LayerCase(
        "NospConvMeanfield",
        "norm_conv_meanfield_param { num_iterations: 2 kernel_size: 3 pad: 2 dilation: 2 scale: 0.7 }",
        bottoms=((2, 3, 5, 6), (2, 3, 5, 6), (2, 4, 5, 6)),
    ),
    LayerCase(
        "MultiStageMeanfield",
        "multi_stage_meanfield_param { num_iterations: 3 theta_alpha: 5 theta_beta: 2 theta_gamma: 3 }",
        bottoms=((2, 3, 5, 6), (2, 3, 5, 6), (2, 3, 5, 6)),
    ),
    LayerCase(
        "DenseCRF",
        "dense_crf_param { max_iter: 4 pos_xy_std: 3 pos_w: 3 bi_xy_std: 8 bi_rgb_std: 2 bi_w: 4 }",
        bottoms=((2, 4, 6, 7), sizes((6, 7), (5, 6)), (2, 3, 6, 7)),
    ),
    LayerCase(
        "DenseCRF",
        "dense_crf_param { max_iter: 2 pos_xy_std: 3 pos_xy_std: 1 pos_w: 1 pos_w: 2 output_probability: false }",
        bottoms=((2, 3, 5, 7), sizes((9, 5), (5, 7))),
        suffix="without_image",
    ),
    LayerCase(
        "DomainTransform",
        "domain_transform_param { spatial_sigma: 4 range_sigma: 3 num_iter: 2 }",
        bottoms=((2, 3, 5, 6), edges, sizes((5, 6), (4, 3))),
    ),
    LayerCase(
        "DomainTransform",
        "domain_transform_param { spatial_sigma: 20 range_sigma: 30 num_iter: 3 min_weight: 0.01 }",
        bottoms=((2, 9, 5, 6), edges, sizes((1, 6), (5, 1))),
        suffix="many_channels",
    ),
    LayerCase(
        "DomainTransformForwardOnly",
        "domain_transform_param { spatial_sigma: 4 range_sigma: 3 }",
        bottoms=((2, 3, 5, 6), edges, sizes((5, 6), (4, 3))),
    ),
]
