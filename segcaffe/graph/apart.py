"""Layers that other Caffes fuse into one, taken apart into those that do the same one after the other.

They are Intel's (convolution_param { relu }, a second bottom that is added, concat_param { per_fla_fuse }, and their
like) and Greentea's (convolution_param { fuse_type }, lrn_param { fuse_type }). The first part keeps the layer's name
and parameters, so that files of weights fit; the last part makes the layer's top. A layer that one Caffe calls as the
others call another one gets its own type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from segcaffe.errors import GraphError, Place, about_layer
from segcaffe.proto.caffe_pb2 import (
    ConvolutionParameter,
    EltwiseParameter,
    LayerParameter,
    LRNParameter,
    NetParameter,
    ReLUParameter,
)
from segcaffe.proto.placed import PlacedNet

_Convolution, _LRN = ConvolutionParameter, LRNParameter


def take_apart(net: PlacedNet) -> PlacedNet:
    """Return a copy of a net in which no layer is several; the net itself where none is."""
    result, places, changed = NetParameter(), list[Place | None](), False
    result.CopyFrom(net.message)
    del result.layer[:]
    for layer, place in zip(net.message.layer, net.places, strict=True):
        with about_layer(layer.name, place):
            parts = list(_parts(layer))
        changed = changed or parts[0] is not layer or len(parts) > 1
        result.layer.extend(parts)
        places += [place] * len(parts)
    return PlacedNet(result, places) if changed else net


def _parts(layer: LayerParameter) -> Iterator[LayerParameter]:
    """The layers that do what one does, itself where it is one."""
    parts = _SPLITTERS.get(layer.type)
    yield from (parts(layer) if parts is not None else [layer])


def _convolution(layer: LayerParameter) -> list[LayerParameter]:
    """A convolution, what is added to it, and its ReLU."""
    options = layer.convolution_param
    fuse = options.fuse_type
    has_relu = options.relu or fuse in (_Convolution.FUSED_CONV_RELU, _Convolution.FUSED_CONV_ELTWISE_RELU)
    has_sum = options.fusion_type == _Convolution.SUM_FUSION or fuse == _Convolution.FUSED_CONV_ELTWISE_RELU
    # A convolution of two images has two tops.
    has_sum = has_sum or (len(layer.bottom) == 2 and len(layer.top) == 1)
    if not (has_relu or has_sum):
        return [layer]
    chain = _Chain(layer)
    first = chain.first.convolution_param
    eltwise, relu = EltwiseParameter(), ReLUParameter()
    eltwise.CopyFrom(options.eltwise_param)
    relu.CopyFrom(options.relu_param if options.HasField("relu_param") else layer.relu_param)
    if options.negative_slope:
        relu.negative_slope = options.negative_slope
    for name in ("relu", "negative_slope", "relu_param", "fusion_type", "eltwise_param"):
        first.ClearField(name)
    if fuse in (_Convolution.FUSED_CONV_RELU, _Convolution.FUSED_CONV_ELTWISE_RELU):
        first.ClearField("fuse_type")
    if has_sum:
        chain.add_bottom().eltwise_param.CopyFrom(eltwise)
    if has_relu:
        chain.add("ReLU", "relu", in_place=True).relu_param.CopyFrom(relu)
    return chain.layers()


def _inner_product(layer: LayerParameter) -> list[LayerParameter]:
    """An inner product and its ReLU."""
    options = layer.inner_product_param
    if not options.relu:
        return [layer]
    chain = _Chain(layer)
    relu = ReLUParameter()
    relu.CopyFrom(layer.relu_param)
    if options.negative_slope:
        relu.negative_slope = options.negative_slope
    chain.first.inner_product_param.ClearField("relu")
    chain.first.inner_product_param.ClearField("negative_slope")
    chain.add("ReLU", "relu", in_place=True).relu_param.CopyFrom(relu)
    return chain.layers()


def _batch_norm(layer: LayerParameter) -> list[LayerParameter]:
    """A normalization and its ReLU."""
    options = layer.batch_norm_param
    if not (options.relu or options.fused_relu):
        return [layer]
    chain = _Chain(layer)
    chain.first.batch_norm_param.ClearField("relu")
    chain.first.batch_norm_param.ClearField("fused_relu")
    chain.add("ReLU", "relu", in_place=True).relu_param.CopyFrom(layer.relu_param)
    return chain.layers()


def _lrn(layer: LayerParameter) -> list[LayerParameter]:
    """A normalization and the maxima of its windows."""
    if layer.lrn_param.fuse_type != _LRN.FUSED_POOL_MAX:
        return [layer]
    chain = _Chain(layer)
    pooling = layer.lrn_param.pooling_param
    chain.first.lrn_param.ClearField("fuse_type")
    chain.first.lrn_param.ClearField("pooling_param")
    chain.add("Pooling", "pool").pooling_param.CopyFrom(pooling)
    return chain.layers()


def _concat(layer: LayerParameter) -> list[LayerParameter]:
    """Maps, each with its channels behind its pixels and as a row of numbers, and what joins them.   [SSD]."""
    if not layer.concat_param.per_fla_fuse:
        return [layer]
    joined, parts = LayerParameter(), list[LayerParameter]()
    joined.CopyFrom(layer)
    joined.concat_param.ClearField("per_fla_fuse")
    for i, bottom in enumerate(layer.bottom):
        moved, flat = (f"{layer.name}_{i}_{what}" for what in ("perm", "flat"))
        permute = LayerParameter(name=moved, type="Permute", bottom=[bottom], top=[moved])
        permute.permute_param.order.extend((0, 2, 3, 1))
        parts += [permute, LayerParameter(name=flat, type="Flatten", bottom=[moved], top=[flat])]
        joined.bottom[i] = flat
    return [*parts, joined]


def _detection_output(layer: LayerParameter) -> list[LayerParameter]:
    """A YOLO v2's, which one of its Caffes calls as SSD does its own."""
    options = layer.detection_output_param
    if not options.biases or len(layer.bottom) != 1:
        return [layer]
    found = LayerParameter()
    found.CopyFrom(layer)
    found.type = "YoloDetectionOutput"
    for field, value in options.ListFields():
        if field.name not in found.yolo_detection_output_param.DESCRIPTOR.fields_by_name:
            raise GraphError(
                f'layer "{layer.name}" ({layer.type}): with biases it is that of a YOLO, which has no '
                f"detection_output_param.{field.name}. Remove it, or the biases."
            )
        if field.name == "biases":
            found.yolo_detection_output_param.biases.extend(value)
        else:
            setattr(found.yolo_detection_output_param, field.name, value)
    found.ClearField("detection_output_param")
    return [found]


_SPLITTERS: dict[str, Callable[[LayerParameter], list[LayerParameter]]] = {
    "Convolution": _convolution,
    "InnerProduct": _inner_product,
    "BatchNorm": _batch_norm,
    "LRN": _lrn,
    "Concat": _concat,
    "DetectionOutput": _detection_output,
}


class _Chain:
    """A layer and what follows it: the first keeps name and parameters, the last makes the top and has its loss."""

    def __init__(self, layer: LayerParameter) -> None:
        if len(layer.top) != 1:
            raise GraphError(
                f'layer "{layer.name}" ({layer.type}): one that is fused with others has 1 top. Received: '
                f"{len(layer.top)}."
            )
        self.first = LayerParameter()
        self.first.CopyFrom(layer)
        self._layers = [self.first]
        self._top, self._loss_weight = layer.top[0], list(layer.loss_weight)
        del self.first.loss_weight[:]

    def add(self, kind: str, suffix: str, in_place: bool = False) -> LayerParameter:
        """Append a layer that reads what the last one makes."""
        last = self._layers[-1]
        if not in_place:
            last.top[0] = f"{self._top}_before_{suffix}"
        added = LayerParameter(name=f"{self.first.name}_{suffix}", type=kind, bottom=[last.top[0]], top=[self._top])
        if self.first.HasField("phase"):
            added.phase = self.first.phase
        self._layers.append(added)
        return added

    def add_bottom(self) -> LayerParameter:
        """Append a layer for what the first one makes and its second bottom."""
        if len(self.first.bottom) != 2:
            raise GraphError(
                f'layer "{self.first.name}" ({self.first.type}): adds bottom 1 to what it makes of bottom 0, and takes '
                f"2 bottoms. Received: {len(self.first.bottom)}."
            )
        added = self.add("Eltwise", "sum")
        added.bottom.append(self.first.bottom.pop())
        added.propagate_down.extend([True, *self.first.propagate_down[1:]][: 2 if self.first.propagate_down else 0])
        del self.first.propagate_down[1:]
        return added

    def layers(self) -> list[LayerParameter]:
        """All of them."""
        self._layers[-1].loss_weight.extend(self._loss_weight)
        return self._layers
