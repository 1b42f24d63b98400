"""Cases of the layers that multiply by learnt matrices, and of Im2col."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase


def convolution(suffix: str, options: str, *shapes: tuple[int, ...], type: str = "Convolution", **more) -> LayerCase:
    bottoms = shapes or ((2, 3, 5, 6),)
    return LayerCase(type, f"convolution_param {{ {options} }}", bottoms, tops=len(bottoms), suffix=suffix, **more)


def deconvolution(suffix: str, options: str, *shapes: tuple[int, ...], **more) -> LayerCase:
    return convolution(suffix, options, *shapes, type="Deconvolution", **more)


def im2col(suffix: str, options: str, shape: tuple[int, ...] = (2, 3, 5, 6), **more) -> LayerCase:
    return convolution(suffix, options, shape, type="Im2col", **more)


def inner_product(suffix: str, options: str, shape: tuple[int, ...] = (2, 3, 2, 4), **more) -> LayerCase:
    return LayerCase("InnerProduct", f"inner_product_param {{ {options} }}", (shape,), suffix=suffix, **more)


def indices(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 5, (4, 3))


CASES = [
    convolution("3x3", "num_output: 4 kernel_size: 3 pad: 1"),
    convolution("1x1", "num_output: 4 kernel_size: 1"),
    convolution("1x1_strip", "num_output: 3 kernel_size: 1", (2, 2, 7, 8)),
    convolution("1x1_stride", "num_output: 4 kernel_size: 1 stride: 2"),
    convolution("no_bias", "num_output: 3 kernel_size: 2 bias_term: false"),
    convolution("uneven", "num_output: 2 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3 pad_h: 2 pad_w: 0"),
    convolution("dilated", "num_output: 3 kernel_size: 3 dilation: 2 pad: 2"),
    convolution("", "num_output: 3 kernel_size: 3 dilation: 2 pad: 2", type="HoleConvolution"),
    convolution("dilated_stride", "num_output: 3 kernel_size: 3 dilation: 3 pad: 3 stride: 2", (1, 2, 7, 8)),
    convolution("sides", "num_output: 3 kernel_size: 3 stride: 2 pad_t: 1 pad_l: 2 pad_r: 1", (2, 2, 6, 5)),
    convolution("sides_1x1", "num_output: 3 kernel_size: 1 pad_b: 1 pad_r: 2", (2, 2, 3, 4)),
    convolution("kstride", "num_output: 2 kernel_size: 3 kstride: 2 pad: 2", (1, 2, 4, 5)),
    deconvolution("sides", "num_output: 3 kernel_size: 3 stride: 2 pad_b: 1 pad_r: 1", (2, 2, 3, 4)),
    convolution("groups", "num_output: 6 kernel_size: 3 group: 2 pad: 1", (2, 4, 4, 5)),
    convolution("depthwise", "num_output: 4 kernel_size: 3 group: 4 pad: 1 engine: CAFFE", (2, 4, 4, 5)),
    convolution("many_outputs", "num_output: 11 kernel_size: 2 force_nd_im2col: true", (2, 2, 3, 4)),
    convolution("two_bottoms", "num_output: 3 kernel_size: 3", (2, 2, 4, 5), (2, 2, 4, 5)),
    convolution("two_sizes", "num_output: 3 kernel_size: 3", (2, 2, 4, 5), (2, 2, 6, 3)),
    convolution("one_axis", "num_output: 3 kernel_size: 3 stride: 2 pad: 1", (2, 3, 7)),
    convolution("three_axes", "num_output: 3 kernel_size: 2 stride: 1 stride: 2 stride: 1 pad: 1", (2, 2, 3, 4, 3)),
    convolution(
        "columns_of_a_strided_source",
        "num_output: 1 kernel_size: 3 kernel_size: 1 kernel_size: 3 stride: 1 stride: 2 stride: 2 "
        "pad: 0 pad: 3 pad: 0 dilation: 3 dilation: 3 dilation: 1",
        (2, 1, 7, 6, 7),
    ),
    convolution("axis", "num_output: 3 kernel_size: 2 axis: 2", (2, 2, 3, 4, 3)),
    convolution("axis_from_the_end", "num_output: 3 kernel_size: 2 axis: -2", (2, 2, 3, 4)),
    convolution("columns", "num_output: 4 kernel_size: 3 bottom_is_im2col: true", (2, 18, 4, 5)),
    convolution(
        "columns_groups",
        "num_output: 4 kernel_size: 2 pad: 3 dilation: 2 group: 2 bottom_is_im2col: true normalized_convolution: true",
        (2, 16, 3, 4),
    ),
    deconvolution("upsample", "num_output: 2 kernel_size: 4 stride: 2 pad: 1"),
    deconvolution("no_bias", "num_output: 3 kernel_size: 3 bias_term: false"),
    deconvolution("uneven", "num_output: 2 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3 pad_h: 1 pad_w: 0"),
    deconvolution("dilated", "num_output: 2 kernel_size: 3 dilation: 2 pad: 1 stride: 2", (1, 2, 3, 4)),
    deconvolution("groups", "num_output: 6 kernel_size: 3 group: 2 stride: 2", (2, 4, 3, 3)),
    deconvolution("depthwise", "num_output: 3 kernel_size: 4 stride: 2 pad: 1 group: 3 bias_term: false"),
    deconvolution("gaps", "num_output: 2 kernel_size: 2 stride: 3"),
    deconvolution("two_bottoms", "num_output: 3 kernel_size: 2", (2, 2, 3, 4), (2, 2, 3, 4)),
    deconvolution("three_axes", "num_output: 2 kernel_size: 2 stride: 2", (2, 2, 2, 3, 2)),
    im2col("3x3", "kernel_size: 3 pad: 1"),
    im2col("uneven", "kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 2 pad_w: 1"),
    im2col("dilated", "kernel_size: 3 dilation: 2 pad: 2"),
    im2col("one_axis", "kernel_size: 3 stride: 2", (2, 3, 8)),
    im2col("three_axes", "kernel_size: 2 pad: 1 stride: 2", (2, 2, 3, 4, 3)),
    im2col("axis", "kernel_size: 2 axis: 2", (2, 2, 3, 4, 3)),
    inner_product("plain", "num_output: 5"),
    inner_product("transpose", "num_output: 5 transpose: true"),
    inner_product("axis", "num_output: 3 axis: 2"),
    inner_product("last_axis", "num_output: 3 axis: -1 bias_term: false"),
    inner_product("all_axes", "num_output: 3 axis: 0 transpose: true bias_term: false", batched=False),
    LayerCase("Embed", "embed_param { num_output: 3 input_dim: 5 }", (indices,), no_gradient=(0,)),
    LayerCase(
        "Embed",
        "embed_param { num_output: 2 input_dim: 5 bias_term: false }",
        (indices,),
        suffix="no_bias",
        no_gradient=(0,),
    ),
]
