"""The bilateral cascade: scores averaged over windows, weighted by how alike embeddings are, some times in a row."""

from __future__ import annotations

from typing import Any, NamedTuple

from segcaffe import device
from segcaffe.functional.arrays import Given, check_images, fail, take
from segcaffe.functional.masks import Norm, distance_of
from segcaffe.functional.windows import Size, window
from segcaffe.kernels import meanfield
from segcaffe.kernels.distance.choice import compare, compare_backward
from segcaffe.window import Window

_LEAST = 1e-4
"""What is added to the sum of a window's weights before dividing by it."""


class CascadeGradients(NamedTuple):
    """Gradients of `bilateral_cascade`, in the shapes of what was given."""

    scores: Any
    guide: Any


def bilateral_cascade(
    scores: Any,
    guide: Any,
    *,
    kernel_size: Size = 9,
    dilation: Size = 1,
    norm: Norm = "l1",
    scale: float = 50.0,
    rounds: int = 2,
) -> Any:
    """Average each class's scores over windows with the weights ``exp(-scale · distance)``, ``rounds`` times.

    Distances are those of the guide, as of `segcaffe.functional.local_distance`; a window's weights are divided by
    their sum plus 0.0001. What lies outside the image has score 0 and distance 0, and counts, as in the published
    networks.

    Parameters
    ----------
    scores:
        (N, C, H, W), float32 or float64.
    guide:
        (N, E, H, W): embeddings, colours, depth, features.
    kernel_size, dilation:
        Odd, in pixels: one number or (height, width).
    norm:
        "l1" or "l2".
    scale:
        How fast weights fall with distance.
    rounds:
        1 or more; the weights are the same in each.

    Returns
    -------
    (N, C, H, W).

    Raises
    ------
    ShapeError
        Arrays or sizes are not as told.

    Source: the published ResNet-101 of Harley et al. 2017, behind its scores.
    """
    options = _Options(kernel_size, dilation, norm, scale, rounds)
    task = _Task("bilateral_cascade", options, scores=scores, guide=guide)
    return task.given.back(task.forward()[-1])


def bilateral_cascade_backward(
    grad: Any,
    scores: Any,
    guide: Any,
    *,
    kernel_size: Size = 9,
    dilation: Size = 1,
    norm: Norm = "l1",
    scale: float = 50.0,
    rounds: int = 2,
) -> CascadeGradients:
    """Gradients of `bilateral_cascade`, from ``grad`` (N, C, H, W), that of its result."""
    options = _Options(kernel_size, dilation, norm, scale, rounds)
    task = _Task("bilateral_cascade_backward", options, grad=grad, scores=scores, guide=guide)
    found = task.backward(task.given.arrays[0])
    return CascadeGradients(*map(task.given.back, found))


class _Options(NamedTuple):
    kernel_size: Size
    dilation: Size
    norm: Norm
    scale: float
    rounds: int


class _Task:
    """What was given, checked, and the weights of each window."""

    given: Given
    window: Window

    def __init__(self, name: str, options: _Options, **named: Any) -> None:
        self.given = take(name, **named)
        self.scores, self.guide = self.given.arrays[-2:]
        check_images(name, scores=self.scores, guide=self.guide)
        if not isinstance(options.rounds, int) or options.rounds < 1:
            raise fail(name, "rounds must be a whole number, 1 or more", repr(options.rounds))
        for one in self.given.arrays[:-2]:
            if one.shape != self.scores.shape:
                raise fail(name, f"grad must have the shape of scores, {self.scores.shape}", f"{one.shape}")
        self.xp = device.array_module(self.scores)
        self.window = window(name, options.kernel_size, 1, "same", options.dilation)
        self.distance = distance_of(name, options.norm)
        self.scale, self.rounds = float(options.scale), options.rounds
        shape = (len(self.guide), self.window.taps, *self.guide.shape[2:])
        weights = self.xp.empty(shape, self.guide.dtype)
        compare(self.guide, weights, self.window, self.distance)
        weights *= self.guide.dtype.type(-self.scale)
        self.xp.exp(weights, out=weights)
        self.total = weights.sum(axis=1, keepdims=True) + self.guide.dtype.type(_LEAST)
        weights /= self.total
        self.weights = weights

    def forward(self) -> list[Any]:
        """The scores, and what each round makes of them."""
        values = [self.scores]
        for _ in range(self.rounds):
            values.append(self.xp.empty_like(self.scores))
            meanfield.filter_classes(values[-2], self.weights, values[-1], self.window, False)
        return values

    def backward(self, grad: Any) -> tuple[Any, Any]:
        """Gradients of scores and guide."""
        weights_grad = self.xp.zeros_like(self.weights)
        for values in self.forward()[-2::-1]:
            meanfield.add_weight_grad(values, grad, weights_grad, self.window)
            before = self.xp.empty_like(grad)
            meanfield.filter_classes(grad, self.weights, before, self.window, True)
            grad = before
        # weights = e / total, where e = exp(-scale · distance) = weights · total.
        weights_grad -= (weights_grad * self.weights).sum(axis=1, keepdims=True)
        weights_grad *= self.weights
        weights_grad *= self.guide.dtype.type(-self.scale)
        guide_grad = self.xp.empty_like(self.guide)
        compare_backward(self.guide, weights_grad, guide_grad, self.window, self.distance)
        return grad, guide_grad
