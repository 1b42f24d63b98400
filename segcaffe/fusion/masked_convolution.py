"""The layer that fusion puts in place of a convolution of masked columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from segcaffe.blob import Blob
from segcaffe.fusion.lazy import LazyBlob
from segcaffe.kernels import convolution, segaware_conv
from segcaffe.layers.base import Blobs, Count
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.proto import caffe_pb2
from segcaffe.window import Window

_LOOK = 1 << 14
"""Values of a mask that are looked at together."""


class MaskedConvolution(Convolution):
    """Convolution with bottom_is_im2col whose columns are those of an image times a mask; nothing is written out.

    y[n, m, q] = bias[m] + sum over c, t of weight[m, c, t] * mask[n, t, q] * x[n, c, q * stride + t * dilation - pad].

    bottom: masked columns (N, C * taps, H', W'), lazy; x (N, C, H, W); mask (N, taps, H', W').
    top: y (N, num_output, H', W').  Parameters, and everything that is saved, are the Convolution's.
    Source: Harley et al. 2017, section 3.2.
    """

    bottom_count: ClassVar[Count] = (3, 3)
    top_count: ClassVar[Count] = (1, 1)
    same_count = False
    half_weights = False

    def __init__(
        self, param: caffe_pb2.LayerParameter, phase: int, dtype: Any, *, im2col: caffe_pb2.LayerParameter
    ) -> None:
        """Take also the options of the Im2col layer that would write the columns."""
        super().__init__(param, phase, dtype)
        self.im2col = im2col

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Set up the convolution; read the window of the Im2col layer."""
        super().setup(bottom[:1], top)
        where = f'layer "{self.im2col.name}" (Im2col)'
        self.taps_window = Window.from_convolution(self.im2col.convolution_param, 2, where)
        self.adds = [False, False, False]
        """For each bottom whether its gradient is added to that of a layer which ran before."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the top as the convolution of the columns."""
        super().reshape(bottom[:1], top)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Convolve without columns; the epilogue's factors go into the weight.

        A mask of ones makes it the convolution that it was without one, to the last bit.
        """
        x, mask, weight, epilogue = bottom[1].array, bottom[2].array, self.blobs[0].array, self.finish()
        if _passes_all(mask):
            convolution.forward(x, weight, out=top[0].array, **epilogue, window=self.taps_window, group=self.group)
            return
        factor = epilogue.get("scale")
        if factor is not None:
            weight = (weight.reshape(self.num_output, -1) * factor[:, None]).reshape(weight.shape)
        bias, slope = epilogue["bias"], epilogue.get("negative_slope", 1.0)
        segaware_conv.forward(x, mask, weight, bias, top[0].array, self.taps_window, self.group, negative_slope=slope)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of image, mask, weight and bias; that of the columns on demand."""
        self.epilogue.backward(top[0])
        grad, x, mask = top[0].grad, bottom[1].array, bottom[2].array
        self._backward_masked_params(grad, x, mask)
        columns = bottom[0]
        if propagate_down[0] and isinstance(columns, LazyBlob):
            columns.defer("diff", lambda: self._make_gradient(top[0], columns))
        if propagate_down[1] or propagate_down[2]:
            grad_x, grad_mask = (self._target(i, bottom[i]) if propagate_down[i] else None for i in (1, 2))
            weight = self.blobs[0].array
            segaware_conv.backward_data(x, mask, weight, grad, grad_x, grad_mask, self.taps_window, self.group)
            for i, target in enumerate((grad_x, grad_mask), 1):
                if target is not None and self.adds[i]:
                    bottom[i].grad[...] += target

    def workspace(self, bottom: Blobs, top: Blobs, backward: bool) -> dict[str, int]:
        """Packed weights, columns of some strips, and gradients in parts."""
        from segcaffe.kernels.segaware_conv.workspace import workspace

        return workspace(bottom[1].shape, top[0].shape, self.taps_window, self.group, self.dtype, backward)

    def _target(self, index: int, blob: Blob) -> Any:
        """Where the kernel may overwrite the gradient of a bottom."""
        return self.xp.empty(blob.shape, self.dtype) if self.adds[index] else blob.grad

    def _backward_masked_params(self, grad: Any, x: Any, mask: Any) -> None:
        wants_bias = self.bias_term and self.wants_param(1)
        grad_bias = self.blobs[1].grad if wants_bias else None
        if self.wants_param(0):
            weight_grad = self.blobs[0].grad
            segaware_conv.backward_weight(x, mask, grad, weight_grad, grad_bias, self.taps_window, self.group)
        elif wants_bias:
            convolution.backward_bias(grad, grad_bias)

    def _make_gradient(self, top: Blob, columns: Blob) -> None:
        weight = self._weight(self.blobs[0].array)
        convolution.backward_data(self.folded(top.grad), weight, self.folded(columns.grad), **self.options())


def _passes_all(mask: Any) -> bool:
    """Whether a mask on the CPU is 1 everywhere; almost always the first look at one that is not tells."""
    if not isinstance(mask, np.ndarray):
        # On a GPU the answer would have to be waited for.
        return False
    flat = mask.reshape(-1)
    return all(bool((flat[i : i + _LOOK] == 1).all()) for i in range(0, flat.size, _LOOK))
