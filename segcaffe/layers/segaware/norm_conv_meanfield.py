"""NormConvMeanfield: mean-field inference whose filters are windows weighted by embedding distances."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segcaffe.kernels import im2dist, norm_conv
from segcaffe.kernels import meanfield as kernels
from segcaffe.layers.base import Blobs, LayerMemory
from segcaffe.layers.registry import register
from segcaffe.layers.segaware.meanfield import MeanfieldLayer
from segcaffe.window import Window

if TYPE_CHECKING:
    from segcaffe.kernels.window_meanfield.cpu import Inference

Array = Any

_WITHOUT_EFFECT = ("norm", "scale_term", "bias_term", "group", "weight_filler", "bias_filler", "threshold")


class WindowMeanfield(MeanfieldLayer):
    """Mean-field inference where filter i averages a window of bottom ``guides[i]`` with softmax(-scale · distance).

    The distance is ½Σ(centre - neighbour)² over the guide's channels. The weights are computed once per forward pass
    and serve all iterations; nothing of size taps · channels ever exists. On the CPU symmetric windows go through
    `kernels.window_meanfield`, unless weights are too small to be summed without scaling each window's.
    """

    options_field = "norm_conv_meanfield_param"
    guides: tuple[int, ...]
    """The bottom that each filter's distances are taken from, in the order of the parameters."""
    options_of: tuple[int, ...]
    """Which of an option's values each filter takes."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options of each filter and make the parameters."""
        option = self.param.norm_conv_meanfield_param
        self.setup_meanfield(option.num_iterations, bottom)
        kernel, stride = self._values("kernel_size", None), self._values("stride", 1)
        pad, dilation = self._values("pad", 0), self._values("dilation", 1)
        self.windows = [
            Window((k, k), (s, s), (p, p), (d, d), self.where)
            for k, s, p, d in zip(kernel, stride, pad, dilation, strict=True)
        ]
        if not option.scale:
            warnings.warn(
                f"{self.where}: no scale is given, which the original takes for 0: all neighbours count alike.",
                stacklevel=2,
            )
        self.scales = self._values("scale", 0)
        self.remove_center = self._values("remove_center", True)
        self.remove_bounds = self._values("remove_bounds", True)
        useless = [name for name in _WITHOUT_EFFECT if name in {field.name for field, _ in option.ListFields()}]
        if useless:
            warnings.warn(f"{self.where}: {', '.join(useless)} has no effect, as in the original.", stacklevel=2)

    def _values(self, name: str, default: Any) -> list[Any]:
        """Return an option's value for each filter."""
        given = list(getattr(self.param.norm_conv_meanfield_param, name))
        count = len(self.guides)
        if len(given) != count and (given or default is None):
            times = "once" if count == 1 else "twice, first for the bilateral window, then for the spatial one"
            raise self.fail(f"{name} must be given {times}", f"{len(given)} values {given}")
        return [given[i] for i in self.options_of] if given else [default] * count

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes; size the top and the weights."""
        super().reshape(bottom, top)
        size = bottom[0].shape[2:]
        for window in self.windows:
            if window.stride != (1, 1) or window.output_shape(size) != size:
                raise self.fail(
                    "a window must have stride 1 and as many positions as there are pixels: "
                    "pad = dilation * (kernel_size - 1) / 2",
                    f"kernel_size {window.kernel[0]}, stride {window.stride[0]}, pad {window.pad[0]}, "
                    f"dilation {window.dilation[0]}",
                )
        self.weights: list[Array] = []
        self._weight_grads: list[Array | None] = [None] * len(self.windows)
        self._inference: Inference | None = None
        self._inferred = False

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Run the iterations, if possible by pairs of pixels."""
        if self._inference is None and self.xp is np and top[0].count:
            self._inference = self._make_inference(bottom)
        self._inferred = self._inference is not None and self._inference.forward(
            bottom[0].array,
            bottom[1].array,
            [bottom[guide].array for guide in self.guides],
            self._matrices(),
            top[0].array,
        )
        # Only one of both ways holds memory.
        if self._inferred:
            self.weights, self._probabilities, self._filtered = [], None, None
        else:
            self._inference = None
            super().forward(bottom, top)

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Weights of pairs of pixels, guides, and what each iteration makes, stay."""
        filters = len(self.windows)
        each = (filters + 1) * self.classes + 1
        guides = sum(bottom[guide].shape[1] for guide in self.guides)
        of_pixel = self.num_iterations * each + guides + filters + sum(window.taps // 2 for window in self.windows)
        state = bottom[0].count // self.classes * of_pixel * int(self.dtype.itemsize)
        return replace(super().memory(bottom, top, backward), state=state)

    def _make_inference(self, bottom: Blobs) -> Inference | None:
        from segcaffe.kernels.window_meanfield import cpu

        options = zip(self.windows, self.scales, self.remove_center, self.remove_bounds, strict=True)
        filters = [cpu.Filter(*one) for one in options]
        if not cpu.is_possible(bottom[0].shape[3], filters, self.dtype):
            return None
        channels = [bottom[guide].shape[1] for guide in self.guides]
        return cpu.Inference(bottom[0].shape, channels, filters, self.num_iterations, self.dtype)

    def _matrices(self) -> Array:
        """What is subtracted for each filter's average: the product of compat and its matrix."""
        compat = self._matrix(self.num_filters)
        return np.stack([compat @ self._matrix(i) for i in range(self.num_filters)])

    def prepare(self, bottom: Blobs) -> None:
        """Compute the weights of every filter."""
        if not self.weights:
            num, _, *size = bottom[0].shape
            self.weights = [self.xp.empty((num, window.taps, *size), self.dtype) for window in self.windows]
        for i, guide in enumerate(self.guides):
            distances, removed = self.weights[i], (self.remove_center[i], self.remove_bounds[i])
            im2dist.forward(bottom[guide].array, distances, self.windows[i], False, *removed)
            norm_conv.softmax(distances, self.scales[i])

    def filter(self, index: int, values: Array, out: Array, transposed: bool) -> None:
        """Average each window with its weights."""
        kernels.filter_classes(values, self.weights[index], out, self.windows[index], transposed)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Go back through the iterations, then to the guides."""
        if self._inferred:
            self._backward_inference(top, propagate_down, bottom)
            return
        self._weight_grads = [
            self.xp.zeros_like(weights) if propagate_down[guide] else None
            for weights, guide in zip(self.weights, self.guides, strict=True)
        ]
        super().backward(top, propagate_down, bottom)

    def _backward_inference(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The backward pass after a forward pass by pairs of pixels."""
        assert self._inference is not None
        out_grad = top[0].grad
        unary_grad, q_grad = (bottom[i].grad if propagate_down[i] else np.empty_like(out_grad) for i in range(2))
        guides = [bottom[guide].grad if propagate_down[guide] else None for guide in self.guides]
        matrix_grads = self._inference.backward(out_grad, self._matrices(), unary_grad, q_grad, guides)
        compat = self._matrix(self.num_filters)
        for i, grad in enumerate(matrix_grads):
            if self.wants_param(i):
                self.blobs[i].grad[0, 0] += compat.T @ grad
            if self.wants_param(self.num_filters):
                self.blobs[self.num_filters].grad[0, 0] += grad @ self._matrix(i).T

    def add_filter_grad(self, index: int, values: Array, out_grad: Array) -> None:
        """Add up the gradient of the weights over the iterations."""
        weight_grad = self._weight_grads[index]
        if weight_grad is not None:
            kernels.add_weight_grad(values, out_grad, weight_grad, self.windows[index])

    def finish_backward(self, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """From the weights through the softmax and the distances to the guides."""
        for i, guide in enumerate(self.guides):
            grad, self._weight_grads[i] = self._weight_grads[i], None
            if grad is not None:
                norm_conv.softmax_backward(self.weights[i], grad, -self.scales[i])
                im2dist.backward(bottom[guide].array, grad, bottom[guide].grad, self.windows[i], False)

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Distances once, filtering and mixing in each iteration."""
        pixels = bottom[0].count // self.classes
        taps = [window.taps for window in self.windows]
        distances = sum(t * bottom[guide].shape[1] for t, guide in zip(taps, self.guides, strict=True))
        per_iteration = self.classes * (sum(taps) + self.classes * (len(taps) + 1))
        return pixels * (distances + self.num_iterations * per_iteration)


@register
class NormConvMeanfield(WindowMeanfield):
    """Mean-field inference with a bilateral and a spatial window.

    bottom: unary (N, C, H, W), first q (N, C, H, W), bilateral guide (N, E, H, W), spatial guide (N, F, H, W), often
    the coordinates;  top: (N, C, H, W), scores without a softmax. Options are given twice: first for the bilateral
    window, then for the spatial one. Parameters: spatial, bilateral, compat, each (1, 1, C, C).
    Source: Harley et al. 2017, section 3.4, after Zheng et al., "Conditional Random Fields as Recurrent Neural
    Networks", ICCV 2015.
    """

    bottom_count = (4, 4)
    num_filters = 2
    guides = (3, 2)
    options_of = (1, 0)
