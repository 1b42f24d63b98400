"""What `benchmarks/layers.py` times: each layer type at its natural size, beside the same in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as fn
from torch import Tensor

from segcaffe.layers import layer_class, layer_types
from segcaffe.testing import LayerCase
from segcaffe.testing.layer_case import Input
from tests.cases import all_cases

IMAGE = (1, 64, 161, 161)
SCORES = (1, 21, 161, 161)
CHANNELS_LAST = "permute_param { order: 0 order: 2 order: 3 order: 1 }"
WINDOW = "convolution_param { kernel_size: 3 pad: 1 }"


@dataclass(frozen=True)
class Bench:
    """A layer type with options and bottoms, and what PyTorch users would write for it.

    ``counterpart`` takes the bottoms and then the layer's parameters, all as tensors; None where PyTorch has nothing
    alike. ``backward`` is False where there is no gradient to compute.
    """

    case: LayerCase
    counterpart: Callable[..., Any] | None = None
    backward: bool = True

    @property
    def name(self) -> str:
        """Type and variant."""
        return self.case.id.replace("_", " ", 1)


def _bench(
    type_name: str,
    counterpart: Callable[..., Any] | None = None,
    options: str = "",
    bottoms: tuple[Input, ...] = (IMAGE,),
    suffix: str = "",
    backward: bool = True,
    tops: int = 1,
    phase: str = "TRAIN",
) -> Bench:
    params: dict[int, Input] = {1: _chances((64,)), 2: _chances((1,))} if type_name == "BatchNorm" else {}
    case = LayerCase(type_name, options, bottoms, tops=tops, phase=phase, suffix=suffix, params=params)
    return Bench(case, counterpart, backward)


def _labels(shape: tuple[int, ...], classes: int = 21) -> Callable[[np.random.Generator], Any]:
    return lambda rng: rng.integers(0, classes, shape)


LABELS = _labels((1, 1, 161, 161))


def _positive(rng: np.random.Generator) -> Any:
    return rng.uniform(0.1, 2, IMAGE)


def _chances(shape: tuple[int, ...]) -> Callable[[np.random.Generator], Any]:
    return lambda rng: rng.uniform(0.01, 1, shape)


def _marks(shape: tuple[int, ...]) -> Callable[[np.random.Generator], Any]:
    return lambda rng: rng.integers(0, 2, shape)


def _per_channel(vector: Tensor) -> Tensor:
    return vector.view(1, -1, 1, 1)


def _columns(x: Tensor, size: int = 3, pad: int = 1) -> Tensor:
    """Windows as (N, C, taps, H, W)."""
    return fn.unfold(x, size, padding=pad).view(x.shape[0], x.shape[1], size * size, *x.shape[2:])


def _im2dist(x: Tensor, l1: bool) -> Tensor:
    inside = _columns(torch.ones_like(x[:, :1]))
    difference = (x[:, :, None] - _columns(x)) * inside
    return difference.abs().sum(1) if l1 else 0.5 * (difference * difference).sum(1)


def _im2parity(labels: Tensor) -> Tensor:
    return (labels == _columns(labels)[:, 0]).float()


def _dist_loss(dist: Tensor, parity: Tensor) -> Tensor:
    hinge = torch.where(parity == 1, fn.relu(dist - 0.5), fn.relu(2 - dist))
    return 0.5 * (hinge * hinge).mean()


def _norm_conv(x: Tensor, emb: Tensor, weight: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
    masks = torch.softmax(-scale * _im2dist(emb, l1=False), 1)
    columns = (_columns(x) * masks[:, None]).flatten(1, 2)
    return fn.conv2d(columns, weight.flatten(1)[:, :, None, None], bias)


def _l1(x: Tensor, y: Tensor) -> Tensor:
    return fn.l1_loss(x, y, reduction="sum") / len(x)


def _hinge(x: Tensor, labels: Tensor) -> Tensor:
    sign = 2 * fn.one_hot(labels.long(), x.shape[1]).float() - 1
    return fn.relu(1 - sign * x).sum() / len(x)


def _contrastive(a: Tensor, b: Tensor, similar: Tensor) -> Tensor:
    squared = ((a - b) ** 2).sum(1)
    apart = fn.relu(1 - torch.sqrt(squared)) ** 2
    return torch.where(similar != 0, squared, apart).sum() / (2 * len(a))


def _infogain(x: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    rows = matrix.view(21, 21)[labels.long()[:, 0]].permute(0, 3, 1, 2)
    return -(rows * torch.log_softmax(x, 1)).sum() / labels.numel()


def _multinomial(p: Tensor, labels: Tensor) -> Tensor:
    return fn.nll_loss(p.clamp(min=1e-20).log(), labels.long())


def _seg_accuracy(x: Tensor, labels: Tensor) -> Tensor:
    matrix = torch.bincount(labels.long().flatten() * 21 + x.argmax(1).flatten(), minlength=441).view(21, 21)
    right, true, predicted = matrix.diag(), matrix.sum(1), matrix.sum(0)
    parts = (right.sum() / true.sum(), (right / true).mean(), (right / (true + predicted - right)).mean())
    return torch.stack(parts)


def _accuracy(x: Tensor, labels: Tensor) -> Tensor:
    return (x.argmax(1) == labels.long()[:, 0]).float().mean()


def _recurrent(kind: str) -> Callable[..., Any]:
    module = getattr(torch.nn, kind)(64, 128)

    names = [name for name, _ in module.named_parameters()]

    def run(x: Tensor, cont: Tensor, *weights: Tensor) -> Any:
        # PyTorch's own shapes, of as many numbers: biases are given twice, and the output of RNN has none.
        w_x, b, w_h = weights[:3]
        own = dict(zip(names, (w_x, w_h, b, torch.zeros_like(b)), strict=True))
        return torch.func.functional_call(module, own, (x,))[0]

    return run


def _lstm_unit(cell: Tensor, gates: Tensor, cont: Tensor) -> Tensor:
    i, f, o, g = gates.chunk(4, 2)
    after = cont[:, :, None] * torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(after)


def _spp(x: Tensor) -> Tensor:
    levels = [fn.max_pool2d(x, -(-161 // 2**k), padding=(2**k * -(-161 // 2**k) - 161 + 1) // 2) for k in range(3)]
    return torch.cat([level.flatten(1) for level in levels], 1)


def _crop(x: Tensor, like: Tensor) -> Tensor:
    return x[:, :, 8:153, 8:153].contiguous()


def _mvn(x: Tensor) -> Tensor:
    return fn.instance_norm(x, eps=1e-9)


BENCHES = [
    # neuron
    _bench("AbsVal", torch.abs),
    _bench("BNLL", fn.softplus),
    _bench("Clip", lambda x: torch.clamp(x, -1, 1), "clip_param { min: -1 max: 1 }"),
    _bench("Dropout", lambda x: fn.dropout(x, 0.5)),
    _bench("ELU", fn.elu),
    _bench("Exp", torch.exp),
    _bench("Log", torch.log, bottoms=(_positive,)),
    _bench("PReLU", fn.prelu),
    _bench("Power", lambda x: (x * 0.5 + 1) ** 2, "power_param { power: 2 scale: 0.5 shift: 1 }"),
    _bench("ReLU", fn.relu),
    _bench("Sigmoid", torch.sigmoid),
    _bench("Swish", fn.silu),
    _bench("TanH", torch.tanh),
    _bench("Threshold", lambda x: (x > 0).float(), backward=False),
    # affine
    _bench("Bias", lambda x, b: x + _per_channel(b)),
    _bench("Scale", lambda x, w, b: x * _per_channel(w) + _per_channel(b), "scale_param { bias_term: true }"),
    # normalize
    _bench("BatchNorm", lambda x, m, v, f: fn.batch_norm(x, None, None, training=True), suffix="train"),
    _bench("BatchNorm", lambda x, m, v, f: fn.batch_norm(x, m.detach(), v.detach()), suffix="test", phase="TEST"),
    _bench("LRN", lambda x: fn.local_response_norm(x, 5, 1e-4, 0.75, 1.0), "lrn_param { alpha: 1e-4 }"),
    _bench("MVN", _mvn),
    _bench("Softmax", lambda x: torch.softmax(x, 1)),
    # window
    _bench(
        "Crop", lambda x, y: x[:, :, 8:153, 8:153].contiguous(), "crop_param { offset: 8 }", (IMAGE, (1, 1, 145, 145))
    ),
    _bench("Im2col", lambda x: fn.unfold(x, 3, padding=1), WINDOW),
    _bench(
        "Interp",
        lambda x: fn.interpolate(x, scale_factor=321 / 161, mode="bilinear", align_corners=True),
        "interp_param { zoom_factor: 2 }",
    ),
    _bench(
        "Pooling",
        lambda x: fn.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        "pooling_param { kernel_size: 3 stride: 2 pad: 1 }",
        suffix="max",
    ),
    _bench(
        "Pooling",
        lambda x: fn.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
        "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }",
        suffix="ave",
    ),
    _bench("SPP", _spp, "spp_param { pyramid_height: 3 }"),
    # dense
    _bench(
        "Convolution",
        lambda x, w, b: fn.conv2d(x, w, b, padding=1),
        "convolution_param { num_output: 64 kernel_size: 3 pad: 1 }",
    ),
    _bench(
        "Deconvolution",
        lambda x, w, b: fn.conv_transpose2d(x, w, b, 2, 1),
        "convolution_param { num_output: 32 kernel_size: 4 pad: 1 stride: 2 }",
    ),
    _bench(
        "Embed",
        lambda x, w, b: fn.embedding(x.long(), w) + b,
        "embed_param { input_dim: 10000 num_output: 256 }",
        (_labels((64, 50), 10000),),
    ),
    _bench("InnerProduct", fn.linear, "inner_product_param { num_output: 1000 }", ((32, 4096),)),
    # shape
    _bench(
        "BatchReindex",
        lambda x, i: x.index_select(0, i.long()),
        bottoms=((8, 64, 56, 56), _labels((8,), 8)),
    ),
    _bench("Concat", lambda x, y: torch.cat([x, y], 1), bottoms=(IMAGE, IMAGE)),
    _bench("Eltwise", lambda x, y: x + y, bottoms=(IMAGE, IMAGE), suffix="sum"),
    _bench("Eltwise", lambda x, y: x * y, "eltwise_param { operation: PROD }", (IMAGE, IMAGE), suffix="prod"),
    _bench("Eltwise", torch.maximum, "eltwise_param { operation: MAX }", (IMAGE, IMAGE), suffix="max"),
    _bench("Filter", lambda x, s: x[s != 0], bottoms=((8, 64, 56, 56), _marks((8,)))),
    _bench("Flatten", lambda x: x.flatten(1)),
    _bench("Parameter", None, "parameter_param { shape { dim: 64 dim: 1600 } }", ()),
    _bench("Permute", lambda x: x.permute(0, 2, 3, 1).contiguous(), CHANNELS_LAST),
    _bench("Reduction", torch.sum, suffix="sum"),
    _bench("Reduction", lambda x: x.abs().sum(), "reduction_param { operation: ASUM }", suffix="asum"),
    _bench("Reshape", lambda x: x.reshape(1, 64, -1), "reshape_param { shape { dim: 0 dim: 0 dim: -1 } }"),
    _bench("Silence", None, tops=0),
    _bench("Slice", lambda x: [part.contiguous() for part in x.chunk(2, 1)], bottoms=((2, 64, 114, 114),), tops=2),
    _bench("Split", lambda x: (x.view_as(x), x.view_as(x)), tops=2),
    _bench("Tile", lambda x: x.repeat(1, 4, 1, 1), "tile_param { tiles: 4 }"),
    # loss
    _bench("ContrastiveLoss", _contrastive, bottoms=((1024, 256), (1024, 256), _marks((1024,)))),
    _bench("EuclideanLoss", lambda x, y: fn.mse_loss(x, y, reduction="sum") / (2 * len(x)), bottoms=(IMAGE, IMAGE)),
    _bench("HingeLoss", _hinge, bottoms=((256, 1000), _labels((256,), 1000))),
    _bench("InfogainLoss", _infogain, bottoms=(SCORES, LABELS, (1, 1, 21, 21))),
    _bench("L1Loss", _l1, bottoms=(IMAGE, IMAGE)),
    _bench("MultinomialLogisticLoss", _multinomial, bottoms=(_chances((256, 1000)), _labels((256,), 1000))),
    _bench(
        "SigmoidCrossEntropyLoss",
        lambda x, t: fn.binary_cross_entropy_with_logits(x, t, reduction="sum") / len(x),
        bottoms=(IMAGE, _chances(IMAGE)),
    ),
    _bench("SmoothL1Loss", lambda x, y: fn.smooth_l1_loss(x, y, reduction="sum"), bottoms=(IMAGE, IMAGE)),
    _bench(
        "SoftmaxWithLoss",
        lambda x, t: fn.cross_entropy(x, t.long()[:, 0]),
        bottoms=(SCORES, LABELS),
    ),
    # metric
    _bench("Accuracy", _accuracy, bottoms=(SCORES, LABELS), backward=False),
    _bench("ArgMax", lambda x: x.argmax(1), "argmax_param { axis: 1 }", (SCORES,), backward=False),
    _bench("SegAccuracy", _seg_accuracy, bottoms=(SCORES, LABELS), backward=False),
    # recurrent
    _bench(
        "LSTM",
        _recurrent("LSTM"),
        "recurrent_param { num_output: 128 weight_filler { type: 'uniform' min: -0.1 max: 0.1 } }",
        ((40, 16, 64), _marks((40, 16))),
    ),
    _bench("LSTMUnit", _lstm_unit, bottoms=((1, 64, 512), (1, 64, 2048), _marks((1, 64))), tops=2),
    _bench(
        "RNN",
        _recurrent("RNN"),
        "recurrent_param { num_output: 128 weight_filler { type: 'uniform' min: -0.1 max: 0.1 } }",
        ((40, 16, 64), _marks((40, 16))),
    ),
    # segaware
    _bench("AdaptiveBiasChannel", None, bottoms=(SCORES, _labels((1, 4, 1, 1))), backward=False),
    _bench("BiasChannel", None, bottoms=(SCORES, _labels((1, 4, 1, 1)))),
    _bench("ChannelReduce", lambda x: x.view(1, 16, 4, 161, 161).amax(2), "channel_reduce_param { num_channels: 16 }"),
    _bench(
        "DenseCRF",
        None,
        "dense_crf_param { max_iter: 5 pos_w: 3 pos_xy_std: 3 bi_w: 4 bi_xy_std: 49 bi_rgb_std: 5 }",
        (SCORES, lambda rng: np.full((1, 2, 1, 1), 161), lambda rng: rng.uniform(0, 255, (1, 3, 161, 161))),
        backward=False,
    ),
    _bench(
        "DistLoss",
        _dist_loss,
        "dist_loss_param { alpha: 0.5 beta: 2 }",
        (_chances((1, 25, 161, 161)), _marks((1, 25, 161, 161))),
    ),
    _bench(
        "DomainTransform",
        None,
        "domain_transform_param { num_iter: 3 spatial_sigma: 50 range_sigma: 1 }",
        (SCORES, _chances((1, 1, 161, 161)), lambda rng: np.full((1, 2, 1, 1), 161)),
    ),
    _bench(
        "DomainTransformForwardOnly",
        None,
        "domain_transform_param { num_iter: 3 spatial_sigma: 50 range_sigma: 1 }",
        (SCORES, _chances((1, 1, 161, 161)), lambda rng: np.full((1, 2, 1, 1), 161)),
        backward=False,
    ),
    _bench("Im2dist", lambda x: _im2dist(x, l1=False), WINDOW, suffix="l2"),
    _bench("Im2dist", lambda x: _im2dist(x, l1=True), f"{WINDOW} im2dist_param {{ norm: L1 }}", suffix="l1"),
    _bench("Im2parity", _im2parity, WINDOW, (LABELS,), backward=False),
    _bench(
        "MultiStageMeanfield",
        None,
        "multi_stage_meanfield_param { num_iterations: 3 theta_alpha: 30 theta_beta: 10 theta_gamma: 3 }",
        (SCORES, SCORES, lambda rng: rng.uniform(0, 255, (1, 3, 161, 161))),
    ),
    _bench(
        "NormConv",
        _norm_conv,
        "convolution_param { num_output: 64 kernel_size: 3 pad: 1 }",
        (IMAGE, (1, 16, 161, 161)),
    ),
    _bench(
        "NormConvMeanfield",
        None,
        "norm_conv_meanfield_param { num_iterations: 2 kernel_size: 13 pad: 54 dilation: 9 scale: 1 "
        "kernel_size: 5 pad: 2 dilation: 1 scale: 1 }",
        (SCORES, SCORES, (1, 66, 161, 161), (1, 2, 161, 161)),
    ),
    _bench(
        "NospConvMeanfield",
        None,
        "norm_conv_meanfield_param { num_iterations: 2 kernel_size: 5 pad: 2 dilation: 1 scale: 1 }",
        (SCORES, SCORES, (1, 66, 161, 161)),
    ),
    _bench("Replicate", lambda x: torch.cat([x, x], 1)),
    _bench("SpatialProduct", lambda x, s: x * s, bottoms=(IMAGE, (1, 1, 161, 161))),
    _bench(
        "UniqueLabel",
        torch.unique,
        "unique_label_param { max_labels: 21 }",
        (LABELS,),
        backward=False,
    ),
    # source
    _bench(
        "DummyData",
        lambda: torch.randn(IMAGE),
        "dummy_data_param { shape { dim: 1 dim: 64 dim: 161 dim: 161 } data_filler { type: 'gaussian' } }",
        (),
        backward=False,
    ),
    _bench("Input", None, "input_param { shape { dim: 1 dim: 64 dim: 161 dim: 161 } }", (), backward=False),
]

_LEFT_OUT = {
    "Augmentation": "reads nothing and learns nothing; it runs in step with the data layers",
    "MemoryData": "copies the user's array",
    "source": "bound by the disk, and the decoding of images where it reads such",
    "sink": "bound by the disk",
    "python": "runs the user's code",
}
"""Why a type, or all of a family that have no row above, are not timed."""


def benches() -> list[Bench]:
    """A row for each type that is timed, at the size of its first test case where there is none above."""
    rows, done = list(BENCHES), {bench.case.type for bench in BENCHES} | set(left_out())
    for case in all_cases():
        if case.type not in done:
            done.add(case.type)
            rows.append(Bench(case, backward=layer_class(case.type).gradient_to != ()))
    return rows


def left_out() -> dict[str, str]:
    """Types that are not timed, and why."""
    timed = {bench.case.type for bench in BENCHES}
    others = [name for name in layer_types() if name not in timed]
    reasons = {name: _LEFT_OUT.get(name) or _LEFT_OUT.get(layer_class(name).family(), "") for name in others}
    return {name: reason for name, reason in reasons.items() if reason}


_WIDE = "PyTorch's own vector functions work on 512 bits at a time, compiled loops of ours on 256."
REASONS = {
    "BNLL": _WIDE,
    "BatchNorm": "Mean and variance are kept in float64, for their digits.",
    "ChannelReduce": "Remembers which channel won, four bytes each, for the backward pass.",
    "Clip": "Runs in NumPy's loop, block by block.",
    "Eltwise sum, forward and backward": "Every bottom gets a gradient of its own; PyTorch hands one array to all.",
    "Embed": "Adds a bias and checks the indices in passes of their own.",
    "Eltwise max": "Remembers which bottom won, one byte each, for the backward pass.",
    "Exp": _WIDE,
    "InfogainLoss": "Looks the matrix's rows up for all positions, so that the backward pass finds them.",
    "InnerProduct": "One matrix product each: NumPy's BLAS (OpenBLAS) against PyTorch's (MKL).",
    "LSTMUnit": "Small arrays: the time goes into the calls.",
    "LSTM": "Small matrix products in sequence: NumPy's BLAS (OpenBLAS) against PyTorch's (MKL).",
    "Log": _WIDE,
    "RNN": "Small matrix products in sequence, each called from Python.",
    "Reduction sum": "The gradient is written out; PyTorch's is one number seen as an array.",
    "Sigmoid": _WIDE,
    "Swish": _WIDE,
    "TanH": _WIDE,
}
"""Why a type takes longer than its counterpart, by the beginning of its name."""
