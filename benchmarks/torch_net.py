"""A net's graph in eager PyTorch, as one writes it there: what `benchmarks.nets` compares with.

Segmentation-aware layers are written with unfold, broadcasting and matmul; a BatchNorm followed by a Scale is one
batch_norm; ReLUs that work in place do so here; tensors are dropped after their last reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as fn

from segcaffe.layers.base import Layer
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.window import Window

Function = Callable[..., Any]
FAR = float(np.finfo(np.float32).max) / 100
NO_RESULT = ("Accuracy", "MatWrite", "SegAccuracy", "Silence")
MAKERS: dict[str, Callable[[Layer, list[Tensor], bool], Function]] = {}
"""By layer type: from our layer, its parameters and whether its top is its bottom to a function of tensors."""


@dataclass
class Step:
    """One layer: its function, the blobs it reads and makes, and those that no layer reads after it."""

    run: Function
    bottoms: list[int]
    tops: list[int]
    dead: list[int]


class TorchNet:
    """The layers, parameters and learning rates of a net that was built with ``fuse=False``."""

    def __init__(self, net: Net, learning_rate: float = 1e-4) -> None:
        self.net = net
        self.training = net.phase == caffe_pb2.TRAIN
        self._tensors: dict[int, Tensor] = {}
        pairs = zip(net.graph.nodes, net.loss_weights, strict=True)
        self.losses = [(b, w) for node, weights in pairs for b, w in zip(node.tops, weights, strict=True) if w]
        self.sources = [
            blob for node, layer in zip(net.graph.nodes, net.layers, strict=True) for blob in node.tops if layer.source
        ]
        self.inputs: dict[int, Tensor] = {}
        self.steps = self._steps()
        self.optimizer = self._optimizer(learning_rate) if self.training else None

    def read_inputs(self) -> None:
        """Take over what our net's inputs and sources hold."""
        self.inputs = {blob: torch.tensor(np.array(self.net.blob_list[blob].data)) for blob in self.sources}

    def parameter(self, layer_name: str, index: int) -> Tensor:
        """The tensor of a layer's parameter."""
        return self._tensors[id(self.net.params[layer_name][index].buffer("data"))]

    def forward(self) -> dict[str, Tensor]:
        """Run all layers without gradients; returns the outputs by name."""
        with torch.no_grad():
            values = self._run()
        names = self.net.graph.blob_names
        return {names[i]: values[i] for i in self.net.graph.outputs if i in values}

    def iterate(self) -> float:
        """Forward, backward and update; returns the loss."""
        assert self.optimizer is not None
        loss = self.backward()
        self.optimizer.step()
        return loss

    def both(self, seeds: dict[str, Tensor]) -> None:
        """Forward, and backward from gradients of outputs by name to all inputs and parameters."""
        leaves = [*self.inputs.values(), *self._tensors.values()]
        for tensor in leaves:
            tensor.requires_grad_(True)
            tensor.grad = None
        values = self._run()
        names = self.net.graph.blob_names
        torch.autograd.backward([values[names.index(name)] for name in seeds], list(seeds.values()))

    def backward(self) -> float:
        """Gradients of all parameters, from nothing; returns the loss."""
        for tensor in self._tensors.values():
            tensor.grad = None
        values = self._run()
        loss = sum(weight * values[blob] for blob, weight in self.losses)
        assert isinstance(loss, Tensor)
        loss.backward()
        return float(loss.detach())

    def _run(self) -> dict[int, Tensor]:
        values = dict(self.inputs)
        for step in self.steps:
            result = step.run(*[values[i] for i in step.bottoms])
            if len(step.tops) == 1:
                values[step.tops[0]] = result
            else:
                values.update(zip(step.tops, result, strict=True))
            for i in step.dead:
                del values[i]
        return values

    def _steps(self) -> list[Step]:
        steps = []
        graph, layers = self.net.graph, self.net.layers
        skip = False
        for i, (node, layer) in enumerate(zip(graph.nodes, layers, strict=True)):
            if skip or layer.source or node.param.type in NO_RESULT:
                skip = False
                continue
            params = self._parameters(layer)
            in_place = node.tops[:1] == node.bottoms[:1]
            following = layers[i + 1] if i + 1 < len(layers) else None
            if node.param.type == "BatchNorm" and following is not None and following.type == "Scale":
                skip = graph.nodes[i + 1].bottoms == node.tops == graph.nodes[i + 1].tops
            if skip and following is not None:
                run = _normalise(layer, params, self._parameters(following))
            else:
                run = MAKERS[node.param.type](layer, params, in_place)
            steps.append(Step(run, node.bottoms, node.tops, []))
        last: dict[int, Step] = {blob: step for step in steps for blob in step.bottoms}
        kept = {blob for blob, _ in self.losses} | set(graph.outputs)
        for blob, step in last.items():
            if blob not in kept:
                step.dead.append(blob)
        return steps

    def _parameters(self, layer: Layer) -> list[Tensor]:
        tensors = []
        for index, blob in enumerate(layer.blobs):
            key = id(blob.buffer("data"))
            if key not in self._tensors:
                learns = self.training and layer.wants_param(index)
                self._tensors[key] = torch.tensor(np.array(blob.data), requires_grad=learns)
            tensors.append(self._tensors[key])
        return tensors

    def _optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        net = self.net
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for blob, lr, decay in zip(net.learnable_params, net.params_lr, net.params_weight_decay, strict=True):
            if lr:
                groups.setdefault((lr, decay), []).append(self._tensors[id(blob.buffer("data"))])
        settings: list[dict[str, Any]] = [
            {"params": tensors, "lr": learning_rate * lr, "weight_decay": 0.0005 * decay}
            for (lr, decay), tensors in groups.items()
        ]
        return torch.optim.SGD(settings, momentum=0.9, fused=True)


def _maker(*types: str) -> Callable[[Function], Function]:
    def declare(function: Function) -> Function:
        MAKERS.update(dict.fromkeys(types, function))
        return function

    return declare


# Windows.


@_maker("Convolution")
def _convolution(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    weight, bias = params[0], params[1] if layer.bias_term else None
    window, group = layer.window, layer.group
    if not layer.param.convolution_param.bottom_is_im2col:
        options = {"stride": window.stride, "padding": window.pad, "dilation": window.dilation, "groups": group}
        return lambda x: fn.conv2d(x, weight, bias, **options)
    assert group == 1

    def product(columns: Tensor) -> Tensor:
        n, _, h, w = columns.shape
        y = torch.matmul(weight.flatten(1), columns.reshape(n, -1, h * w))
        return (y if bias is None else y + bias[:, None]).view(n, -1, h, w)

    return product


@_maker("Deconvolution")
def _deconvolution(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    w = layer.window
    bias = params[1] if layer.bias_term else None
    return lambda x: fn.conv_transpose2d(x, params[0], bias, w.stride, w.pad, 0, layer.group, w.dilation)


def _unfold(x: Tensor, window: Window) -> Tensor:
    """Columns (N, C, taps, H', W')."""
    size = window.output_shape(tuple(x.shape[2:]))
    columns = fn.unfold(x, window.kernel, window.dilation, window.pad, window.stride)
    return columns.view(x.shape[0], x.shape[1], window.taps, *size)


@_maker("Im2col")
def _im2col(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    return lambda x: _unfold(x, layer.window).flatten(1, 2)


def _distances(x: Tensor, window: Window, l1: bool, no_center: bool, no_bounds: bool) -> Tensor:
    """Distances (N, taps, H, W) of each pixel to those of its window, of the image's size."""
    columns = _unfold(x, window)
    difference = columns - x[:, :, None]
    distance = difference.abs().sum(1) if l1 else 0.5 * difference.square().sum(1)
    outside = _unfold(torch.ones_like(x[:1, :1]), window)[:, 0] == 0
    distance = distance.masked_fill(outside, FAR if no_bounds else 0.0)
    if no_center:
        center = torch.zeros(1, window.taps, 1, 1, dtype=torch.bool)
        center[:, window.taps // 2] = True
        distance = distance.masked_fill(center, FAR)
    return distance


@_maker("Im2dist")
def _im2dist(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    return lambda x: _distances(x, layer.window, layer.l1, layer.remove_center, layer.remove_bounds)


@_maker("Im2parity")
def _im2parity(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    def parity(label: Tensor) -> Tensor:
        around = _unfold(label, layer.window)[:, -1]
        same = (around == label[:, -1:]).float()
        if layer.ignore_label is None:
            return same
        ignored = (around == layer.ignore_label) | (label[:, -1:] == layer.ignore_label)
        return same.masked_fill(ignored, layer.ignore_label)

    return parity


@_maker("Pooling")
def _pooling(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    w, average = layer.window, layer.method == caffe_pb2.PoolingParameter.AVE

    def pool(x: Tensor) -> Tensor:
        function = fn.avg_pool2d if average else fn.max_pool2d
        y = function(x, w.kernel, w.stride, w.pad, ceil_mode=True)
        assert list(y.shape[2:]) == layer._output_size(x.shape[2:])
        return y

    return pool


@_maker("Interp")
def _interp(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    begin, end = layer.crop

    def resize(x: Tensor) -> Tensor:
        x = x[:, :, begin : x.shape[2] - end, begin : x.shape[3] - end] if begin or end else x
        size = layer._output_size(list(x.shape[2:]))
        return fn.interpolate(x, size, mode="bilinear", align_corners=True)

    return resize


@_maker("Crop")
def _crop(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    return lambda x, like: x[layer._part]


@_maker("NormConvMeanfield")
def _mean_field(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    matrices = [p[0, 0] for p in params]

    def mix(matrix: Tensor, values: Tensor) -> Tensor:
        return torch.einsum("ij,njhw->nihw", matrix, values)

    def average(p: Tensor, weights: Tensor, window: Window) -> Tensor:
        return (_unfold(p, window) * weights[:, None]).sum(2)

    def infer(unary: Tensor, q: Tensor, guide: Tensor, xy: Tensor) -> Tensor:
        weights = []
        for i, source in enumerate((xy, guide)):
            removed = bool(layer.remove_center[i]), bool(layer.remove_bounds[i])
            weights.append(torch.softmax(-layer.scales[i] * _distances(source, layer.windows[i], False, *removed), 1))
        for _ in range(layer.num_iterations):
            p = torch.softmax(q, 1)
            filtered = [average(p, weights[i], layer.windows[i]) for i in range(2)]
            q = unary - mix(matrices[2], mix(matrices[0], filtered[0]) + mix(matrices[1], filtered[1]))
        return q

    return infer


# Normalisation and arithmetic.


def _normalise(layer: Any, statistics: list[Tensor], affine: list[Tensor]) -> Function:
    factor = 1 / statistics[2] if float(statistics[2]) else torch.zeros(1)
    mean, variance = statistics[0] * factor, statistics[1] * factor
    eps = float(layer.param.batch_norm_param.eps)
    bias = affine[1] if len(affine) > 1 else None
    assert layer.use_stored
    return lambda x: fn.batch_norm(x, mean, variance, affine[0], bias, False, 0.0, eps)


@_maker("BatchNorm")
def _batch_norm(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    return _normalise(layer, params, [torch.ones_like(params[0])])


@_maker("Scale")
def _scale(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    assert layer.has_parameter
    options = layer.param.scale_param
    if options.num_axes == 0:
        return lambda x: x * params[0]
    assert options.axis == 1
    assert options.num_axes == 1
    if len(params) == 1:
        return lambda x: x * params[0][:, None, None]
    return lambda x: x * params[0][:, None, None] + params[1][:, None, None]


@_maker("ReLU")
def _relu(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    slope = layer.param.relu_param.negative_slope
    if slope:
        return lambda x: fn.leaky_relu(x, slope, inplace=in_place)
    return torch.relu_ if in_place else torch.relu


@_maker("AbsVal")
def _abs(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    return torch.abs


@_maker("Exp")
def _exp(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    options = layer.param.exp_param
    assert options.base == -1
    assert options.shift == 0
    return lambda x: torch.exp(x * options.scale)


@_maker("Power")
def _power(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    options = layer.param.power_param
    power, scale, shift = options.power, options.scale, options.shift
    if power == 1:
        return lambda x: x * scale + shift
    return lambda x: (x * scale + shift) ** power


@_maker("Dropout")
def _dropout(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    ratio = layer.param.dropout_param.dropout_ratio
    return lambda x: fn.dropout(x, ratio, layer.training)


@_maker("LRN")
def _lrn(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    options = layer.param.lrn_param
    assert options.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS
    return lambda x: fn.local_response_norm(x, options.local_size, options.alpha, options.beta, options.k)


@_maker("Eltwise")
def _eltwise(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    options = layer.param.eltwise_param
    coefficients = list(options.coeff)
    if options.operation == options.PROD:
        return _product
    if options.operation == options.MAX:
        return lambda x, *others: _fold(torch.maximum, x, others)
    if coefficients and set(coefficients) != {1.0}:
        return lambda *xs: sum(c * x for c, x in zip(coefficients, xs, strict=True))
    return lambda x, *others: _fold(torch.add, x, others)


def _fold(function: Function, first: Tensor, others: Sequence[Tensor]) -> Tensor:
    for other in others:
        first = function(first, other)
    return first


def _product(x: Tensor, y: Tensor) -> Tensor:
    """The product; where one is a tiled mask (N, tiles, K, H, W) it is broadcast, not written out."""
    if x.ndim == y.ndim:
        return x * y
    image, mask = (x, y) if y.ndim > x.ndim else (y, x)
    return (image.view(mask.shape) * mask).flatten(1, 2)


@_maker("Tile")
def _tile(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    options = layer.param.tile_param
    assert options.axis == 1
    return lambda x: x[:, None].expand(-1, options.tiles, *x.shape[1:])


@_maker("ChannelReduce")
def _channel_reduce(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    def reduce(x: Tensor) -> Tensor:
        x = x.flatten(1, -3).unflatten(1, (layer.num_channels, -1))
        return x.amax(2) if layer.maximum else x.sum(2)

    return reduce


@_maker("Concat")
def _concat(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    return lambda *xs: torch.cat(xs, layer.axis)


@_maker("Slice")
def _slice(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    def cut(x: Tensor) -> Any:
        if layer.points:
            return torch.tensor_split(x, layer.points, layer.axis)
        return torch.chunk(x, len(layer.param.top), layer.axis)

    return cut


@_maker("Split")
def _split(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    count = len(layer.param.top)
    return (lambda x: x) if count == 1 else lambda x: (x,) * count


@_maker("InnerProduct")
def _inner_product(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    bias = params[1] if layer.bias_term else None
    axis = layer.param.inner_product_param.axis
    return lambda x: fn.linear(x.flatten(axis), params[0], bias)


# Probabilities and losses.


@_maker("Softmax")
def _softmax(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    return lambda x: torch.softmax(x, layer.param.softmax_param.axis)


@_maker("SoftmaxWithLoss")
def _softmax_loss(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    assert layer.normalization == caffe_pb2.LossParameter.VALID
    assert layer.axis == 1
    options = layer.param.loss_param
    ignored = options.ignore_label if options.HasField("ignore_label") else -100

    def loss(x: Tensor, label: Tensor) -> Tensor:
        return fn.cross_entropy(x, label.long().view(x.shape[0], *x.shape[2:]), ignore_index=ignored)

    return loss


@_maker("DistLoss")
def _dist_loss(layer: Any, params: list[Tensor], in_place: bool) -> Function:
    """Mean hinge; its gradient is that of half the mean squared hinge, which autograd takes."""

    def loss(distance: Tensor, parity: Tensor) -> Tensor:
        hinge = torch.where(parity == 1, fn.relu(distance - layer.alpha), fn.relu(layer.beta - distance))
        if layer.ignore_label is not None:
            hinge = hinge.masked_fill(parity == layer.ignore_label, 0.0)
        squared = 0.5 * hinge.square().mean()
        return squared + (hinge.mean() - squared).detach()

    return loss
