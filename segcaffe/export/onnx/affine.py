"""Scale, Bias and what else adds and multiplies two blobs."""

from __future__ import annotations

from segcaffe.blob import Blob
from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.affine.bias import Bias
from segcaffe.layers.affine.pairwise import Pairwise
from segcaffe.layers.affine.scale import Scale
from segcaffe.layers.base import Layer
from segcaffe.layers.shape.eltwise import Eltwise
from segcaffe.proto.caffe_pb2 import EltwiseParameter


@maps("Scale")
def scale(layer: Scale, emit: Emitter) -> str:
    """Mul, and Add with bias_term."""
    result = emit.mul(emit.input, _vector(layer, emit, layer.axis, 0 if layer.has_parameter else None))
    if layer.bias_index is None:
        return result
    return emit.add(result, _vector(layer, emit, layer.axis, layer.bias_index))


@maps("Bias")
def bias(layer: Bias, emit: Emitter) -> str:
    """Add."""
    return emit.add(emit.input, _vector(layer, emit, layer.axis, 0 if layer.has_parameter else None))


def _vector(layer: Layer, emit: Emitter, axis: int, index: int | None) -> str:
    """A parameter, or without its index the second bottom, with the axes that let it broadcast from ``axis`` on."""
    blob: Blob = emit.bottom[1] if index is None else layer.blobs[index]
    ndim = emit.ndim()
    start = axis % ndim if blob.ndim else 0
    before, behind = (1,) * (start if blob.ndim else 0), (1,) * (ndim - start - blob.ndim)
    if index is not None:
        return emit.parameter_as(index, blob.data.reshape((*before, *blob.shape, *behind)))
    if not before and not behind:
        return emit.inputs[1]
    return emit.reshape(emit.inputs[1], [*before, *emit.sizes(1), *behind])


@maps("Add", "Mul")
def pairwise(layer: Pairwise, emit: Emitter) -> str:
    """The operator of the same name: both broadcast as NumPy does."""
    second = emit.inputs[1] if len(emit.inputs) == 2 else emit.parameter(0)
    return str(emit.node(layer.type, emit.input, second))


@maps("Axpy")
def axpy(layer: Layer, emit: Emitter) -> str:
    """Factors on the channels' axis times x, and z."""
    factors = emit.inputs[0]
    if emit.ndim(0) != emit.ndim(1):
        factors = emit.reshape(factors, [*emit.sizes(0)[:2], *(1,) * (emit.ndim(1) - 2)])
    return emit.add(emit.mul(factors, emit.inputs[1]), emit.inputs[2])


@maps("Eltwise")
def eltwise(layer: Eltwise, emit: Emitter) -> str:
    """Sum of multiples, product, quotient, maximum or minimum."""
    inputs = list(emit.inputs)
    if layer.spread:
        # A batch of 1 is one of any size.
        wide = {axis for axis, size in enumerate(layer.spread) if size != 1} | ({0} & emit.grows[1])
        sizes = [emit.sizes(0)[axis] if axis in wide else 1 for axis in range(len(layer.spread))]
        inputs[1] = emit.reshape(inputs[1], sizes)
    if layer.operation == EltwiseParameter.SUM:
        parts = [emit.times(value, coeff) for value, coeff in zip(inputs, layer.coeff, strict=True)]
        return emit.add(*parts) if len(parts) == 2 else str(emit.node("Sum", *parts))
    operators = {EltwiseParameter.MAX: "Max", EltwiseParameter.MIN: "Min", EltwiseParameter.DIV: "Div"}
    if layer.operation in operators:
        return str(emit.node(operators[layer.operation], *inputs))
    product = emit.input
    for value in inputs[1:]:
        product = emit.mul(product, value)
    return product
