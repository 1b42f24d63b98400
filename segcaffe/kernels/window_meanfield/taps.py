"""Mean-field inference with windows, tap by tap: composed of other kernels, for arrays of either device."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.kernels import im2dist, meanfield, norm_conv
from segcaffe.kernels.meanfield.iterations import Iterations
from segcaffe.kernels.window_meanfield import Arrays, Filter, Inference


class Windows:
    """Filters with the weights of every neighbour, (N, taps, H, W), and what is kept of the iterations."""

    def __init__(self, filters: Sequence[Filter], iterations: int) -> None:
        self.filters = filters
        self.iterations = Iterations(iterations, len(filters))
        self.weights: list[Array] = []
        self.weight_grads: list[Array | None] = [None] * len(filters)

    def weigh(self, guides: Sequence[Array]) -> None:
        """Compute the weights of every filter."""
        if not self.weights:
            num, _, *size = guides[0].shape
            empty = device.array_module(guides[0]).empty
            self.weights = [empty((num, one.window.taps, *size), guides[0].dtype) for one in self.filters]
        for one, guide, weights in zip(self.filters, guides, self.weights, strict=True):
            im2dist.forward(guide, weights, one.window, False, one.remove_center, one.remove_bounds)
            norm_conv.softmax(weights, one.scale)

    def filter(self, index: int, values: Array, out: Array, transposed: bool) -> None:
        """Average each window with its weights."""
        meanfield.filter_classes(values, self.weights[index], out, self.filters[index].window, transposed)

    def add_filter_grad(self, index: int, values: Array, out_grad: Array) -> None:
        """Add up the gradient of the weights over the iterations."""
        weight_grad = self.weight_grads[index]
        if weight_grad is not None:
            meanfield.add_weight_grad(values, out_grad, weight_grad, self.filters[index].window)


def forward(given: Arrays, out: Array, inference: Inference) -> None:
    """Infer; see the contract."""
    if not isinstance(inference.saved, Windows):
        inference.saved = Windows(inference.filters, inference.iterations)
    windows: Windows = inference.saved
    windows.weigh(given.guides)
    windows.iterations.forward(given.unary, given.q, windows, given.matrices, out)


def backward(given: Arrays, out_grad: Array, grads: Arrays, inference: Inference) -> None:
    """Go back through the iterations, then from the weights through softmax and distances; see the contract."""
    xp = device.array_module(out_grad)
    if inference.saved is None:
        forward(given, xp.empty_like(out_grad), inference)
    windows: Windows = inference.saved
    pairs = zip(grads.guides, windows.weights, strict=True)
    windows.weight_grads = [None if grad is None else xp.zeros_like(weights) for grad, weights in pairs]
    windows.iterations.backward(out_grad, windows, given.matrices, grads[:2], grads.matrices)
    for i, guide_grad in enumerate(grads.guides):
        weight_grad, windows.weight_grads[i] = windows.weight_grads[i], None
        if guide_grad is not None:
            one = windows.filters[i]
            norm_conv.softmax_backward(windows.weights[i], weight_grad, -one.scale)
            im2dist.backward(given.guides[i], weight_grad, guide_grad, one.window, False)
