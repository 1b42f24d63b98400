"""Cases of Scale and Bias."""

from __future__ import annotations

from segcaffe.testing import LayerCase

CASES = [
    LayerCase("Scale"),
    LayerCase("Scale", "scale_param { bias_term: true }", suffix="bias"),
    LayerCase("Scale", "scale_param { num_axes: 0 }", suffix="one_number"),
    LayerCase("Scale", "scale_param { num_axes: 0 bias_term: true }", suffix="one_number_bias"),
    LayerCase("Scale", "scale_param { num_axes: -1 bias_term: true }", suffix="all_axes"),
    LayerCase("Scale", "scale_param { axis: 0 num_axes: -1 }", suffix="whole", batched=False),
    LayerCase("Scale", "scale_param { axis: 2 num_axes: 1 bias_term: true }", suffix="rows"),
    LayerCase("Scale", "scale_param { axis: -1 bias_term: true }", suffix="last_axis"),
    LayerCase("Scale", "scale_param { axis: -3 num_axes: 2 }", suffix="middle_axes"),
    LayerCase("Scale", "scale_param { bias_term: true }", ((4, 5),), suffix="table"),
    LayerCase("Scale", "scale_param { axis: 0 bias_term: true }", ((6,),), suffix="vector", batched=False),
    LayerCase("Scale", "scale_param { num_axes: 0 bias_term: true }", ((),), suffix="scalar"),
    LayerCase("Scale", "scale_param { axis: 3 num_axes: 1 }", ((2, 3, 2, 4, 3),), suffix="five_axes"),
    LayerCase("Scale", "scale_param { axis: 0 }", ((2, 3, 4, 5), (2, 3)), suffix="two_bottoms"),
    LayerCase(
        "Scale",
        "scale_param { axis: 1 bias_term: true }",
        ((2, 3, 4, 5), (3, 4)),
        suffix="two_bottoms_bias",
        batched=False,
    ),
    LayerCase("Scale", "scale_param { axis: 0 }", ((2, 3, 4), (2, 3, 4)), suffix="two_bottoms_whole"),
    LayerCase("Scale", "", ((2, 3, 4), ()), suffix="two_bottoms_scalar"),
    LayerCase("Scale", "scale_param { axis: -1 }", ((2, 3, 4), (4,)), suffix="two_bottoms_last", batched=False),
    LayerCase("Bias"),
    LayerCase("Bias", "bias_param { num_axes: 0 }", suffix="one_number"),
    LayerCase("Bias", "bias_param { num_axes: -1 }", suffix="all_axes"),
    LayerCase("Bias", "bias_param { axis: -2 num_axes: 2 }", suffix="last_axes"),
    LayerCase("Bias", "bias_param { axis: 0 }", ((6,),), suffix="vector", batched=False),
    LayerCase("Bias", "bias_param { num_axes: 0 }", ((),), suffix="scalar"),
    LayerCase("Bias", "bias_param { axis: 0 }", ((2, 3, 4, 5), (2, 3)), suffix="two_bottoms"),
    LayerCase(
        "Bias", "bias_param { axis: 2 }", ((2, 3, 4, 2, 3), (4, 2)), suffix="two_bottoms_five_axes", batched=False
    ),
]
