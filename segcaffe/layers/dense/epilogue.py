"""Epilogues: what a layer does to each channel of its results while they are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.kernels import channelwise, elementwise
from segcaffe.layers.affine.scale import Scale
from segcaffe.layers.base import Blobs, Layer, LayerMemory
from segcaffe.layers.neuron.prelu import PReLU
from segcaffe.layers.neuron.relu import ReLU
from segcaffe.layers.normalize.batch_norm import BatchNorm
from segcaffe.layers.normalize.bn import BN
from segcaffe.layers.views import planes
from segcaffe.proto import caffe_pb2


@dataclass
class Epilogue:
    """The layers behind another that its kernel does the work of: a factor, a shift and a slope for each channel.

    There are none unless fusion absorbs some (`segcaffe.fusion.fold`). Factors and shifts are computed anew in each
    forward pass, from whatever the layers' blobs hold.

    Attributes
    ----------
    affine, relu:
        The absorbed layers: BatchNorm or BN with stored statistics and Scale, in their order, and the ReLU or PReLU
        behind them.
    active:
        Whether their work is done here; otherwise they do it themselves in this pass.
    factor:
        What they multiply the layer's own result by, as of the last forward pass; None for 1.
    """

    affine: Sequence[BatchNorm | BN | Scale] = ()
    relu: ReLU | PReLU | None = None
    active: bool = False
    factor: Array | None = None

    def absorb(self, layers: Sequence[Layer]) -> None:
        """Do the work of these layers from now on."""
        self.affine = [layer for layer in layers if isinstance(layer, (BatchNorm, BN, Scale))]
        self.relu = next((layer for layer in layers if isinstance(layer, (ReLU, PReLU))), None)
        self.active = True

    def options(self, bias: Array | None, channels: int, dtype: Any) -> dict[str, Any]:
        """Factor, shift and slope, as kernels take them, for so many channels, the layer's own bias being ``bias``."""
        factor: Any = 1.0
        shift: Any = 0.0 if bias is None else bias
        for layer in self.affine:
            factor, shift = layer.follow(factor, shift)
        self.factor = factor.astype(dtype) if self.affine else None
        if not self.active:
            return {"bias": bias}
        return {
            "bias": shift.astype(dtype) if self.affine else bias,
            "scale": self.factor,
            "negative_slope": self.slope(channels),
        }

    def slope(self, channels: int) -> float | Array:
        """What values that are not above 0 are multiplied by: a number, or one for each of so many channels."""
        if isinstance(self.relu, PReLU):
            return self.relu.slopes(channels)
        return 1.0 if self.relu is None else self.relu.slope

    def backward(self, top: Blob) -> None:
        """Make the gradient of the top's final values that of the layer's own result, in place."""
        if not self.active:
            return
        # Where something learns no PReLU is absorbed.
        assert not isinstance(self.relu, PReLU)
        if self.factor is None:
            assert self.relu is not None
            elementwise.relu_grad(top.array, top.grad, self.relu.slope, top.grad)
        elif self.relu is None:
            channelwise.affine(planes(top.grad), self.factor, device.xp().zeros_like(self.factor), planes(top.grad))
        else:
            grad = planes(top.grad)
            channelwise.rectified_affine_grad(planes(top.array), grad, self.factor, self.relu.slope, grad)


class EpilogueLayer(Layer):
    """Base of layers whose kernels finish their results by an epilogue; its bias is their parameter 1."""

    bias_term: bool
    num_output: int

    def __init__(self, param: caffe_pb2.LayerParameter, phase: int, dtype: Any = np.float32) -> None:
        super().__init__(param, phase, dtype)
        self.epilogue = Epilogue()

    def wide_weight(self) -> Array:
        """The weight on the device; of one that is kept in half precision a copy, widened."""
        half = self.blobs[0].half()
        return self.blobs[0].array if half is None else half.astype(self.dtype)

    def bias(self) -> Array | None:
        """The bias on the device, or None."""
        return self.blobs[1].array if self.bias_term else None

    def finish(self) -> dict[str, Any]:
        """What the kernel does to the results while they are at hand."""
        return self.epilogue.options(self.bias(), self.num_output, self.dtype)

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Where a ReLU was absorbed backward reads the top too, for the sign."""
        known = super().memory(bottom, top, backward)
        return replace(known, reads_tops=known.reads_tops or self.epilogue.relu is not None)
