"""Convolutions whose filters see only the local foreground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from segcaffe import device
from segcaffe.functional.arrays import check_images, fail, take
from segcaffe.functional.masks import Norm, check_taps, distance_of
from segcaffe.functional.windows import Padding, Size, window
from segcaffe.kernels import norm_conv, segaware_conv
from segcaffe.kernels.distance.choice import compare, compare_backward
from segcaffe.kernels.distance.registry import Distance
from segcaffe.window import Window


class MaskedConvGradients(NamedTuple):
    """Gradients of `masked_conv2d`, in the shapes of what was given; None where one was not asked for or not given."""

    x: Any
    mask: Any
    weight: Any
    bias: Any


class NormConvGradients(NamedTuple):
    """Gradients of `norm_conv2d`; ``bias`` is None where there was none, ``scale`` a number."""

    x: Any
    embeddings: Any
    weight: Any
    bias: Any
    scale: float


def masked_conv2d(
    x: Any,
    mask: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """Convolution of an image whose windows are multiplied by a mask, each by its own.

    ``out[n, m, q] = bias[m] + Σ weight[m, c, t] · mask[n, t, q] · x[n, c, q · stride + t · dilation - pad]``, over the
    channels c and the taps t; neither the columns nor their product with the mask are ever in memory.

    Parameters
    ----------
    x:
        (N, C, H, W), float32 or float64; 0 outside.
    mask:
        (N, kh·kw, H', W'), ``exp(-scale * local_distance(...))`` in the paper.
    weight:
        (M, C / groups, kh, kw).
    bias:
        (M,) or None.
    stride, padding, dilation, groups:
        As of ``torch.nn.functional.conv2d``.

    Returns
    -------
    (N, M, H', W').

    Raises
    ------
    ShapeError
        The arrays do not fit together.

    Source: Harley et al. 2017, section 3.2. The layers are Im2col, Eltwise and Convolution with bottom_is_im2col.
    """
    name = "masked_conv2d"
    given = take(name, x=x, mask=mask, weight=weight, bias=bias)
    image, masks, filters, biases = given.arrays
    view = _view(name, image, filters, biases, (stride, padding, dilation), groups)
    check_taps(name, view, image, mask=masks)
    out = given.empty(_shape(image, filters, view))
    segaware_conv.forward(image, masks, filters, biases, out, view, groups)
    return given.back(out)


def masked_conv2d_backward(
    grad: Any,
    x: Any,
    mask: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    needs: Sequence[bool] = (True, True, True, True),
) -> MaskedConvGradients:
    """Gradients of `masked_conv2d`, from ``grad`` (N, M, H', W'), that of its result.

    ``needs`` says which of the four are wanted, in the order of the result; the others are None.
    """
    name = "masked_conv2d_backward"
    given = take(name, grad=grad, x=x, mask=mask, weight=weight, bias=bias)
    grads, image, masks, filters, biases = given.arrays
    view = _view(name, image, filters, biases, (stride, padding, dilation), groups)
    check_taps(name, view, image, mask=masks)
    _check_grad(name, grads, image, filters, view)
    xp = device.array_module(image)
    x_grad, mask_grad = (
        given.empty(one.shape) if needed else None for one, needed in zip((image, masks), needs, strict=False)
    )
    wants_bias = biases is not None and needs[3]
    filters_grad = xp.zeros_like(filters) if needs[2] or wants_bias else None
    biases_grad = xp.zeros_like(biases) if wants_bias else None
    if x_grad is not None or mask_grad is not None:
        segaware_conv.backward_data(image, masks, filters, grads, x_grad, mask_grad, view, groups)
    if filters_grad is not None:
        segaware_conv.backward_weight(image, masks, grads, filters_grad, biases_grad, view, groups)
    found = x_grad, mask_grad, filters_grad if needs[2] else None, biases_grad
    return MaskedConvGradients(*(None if one is None else given.back(one) for one in found))


def norm_conv2d(
    x: Any,
    embeddings: Any,
    weight: Any,
    bias: Any = None,
    scale: float = 1.0,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    norm: Norm = "l2",
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> Any:
    """Convolution whose windows are weighted by ``softmax(-scale · distance)`` of embeddings; the weights add up to 1.

    Parameters
    ----------
    x, weight, bias, stride, padding, dilation, groups:
        As of `masked_conv2d`.
    embeddings:
        (N, E, H, W), as large as ``x``.
    scale:
        How fast weights fall with distance.
    norm, remove_center, remove_bounds:
        As of `local_distance`.

    Returns
    -------
    (N, M, H', W').

    Source: Harley et al. 2017, section 3. The layer is NormConv.
    """
    name = "norm_conv2d"
    given = take(name, x=x, embeddings=embeddings, weight=weight, bias=bias)
    image, guide, filters, biases = given.arrays
    check_images(name, x=image, embeddings=guide)
    view = _view(name, image, filters, biases, (stride, padding, dilation), groups)
    weights = _softmax(guide, view, distance_of(name, norm), remove_center, remove_bounds, scale)
    out = given.empty(_shape(image, filters, view))
    norm_conv.convolve(image, weights, filters, out, view)
    if biases is not None:
        out += biases[:, None, None]
    return given.back(out)


def norm_conv2d_backward(
    grad: Any,
    x: Any,
    embeddings: Any,
    weight: Any,
    bias: Any = None,
    scale: float = 1.0,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    norm: Norm = "l2",
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> NormConvGradients:
    """Gradients of `norm_conv2d`, from ``grad`` (N, M, H', W'), that of its result."""
    name = "norm_conv2d_backward"
    given = take(name, grad=grad, x=x, embeddings=embeddings, weight=weight, bias=bias)
    grads, image, guide, filters, biases = given.arrays
    check_images(name, x=image, embeddings=guide)
    view = _view(name, image, filters, biases, (stride, padding, dilation), groups)
    distance = distance_of(name, norm)
    _check_grad(name, grads, image, filters, view)
    xp = device.array_module(image)
    weights = _softmax(guide, view, distance, remove_center, remove_bounds, scale)
    x_grad, filters_grad, guide_grad = xp.empty_like(image), xp.zeros_like(filters), xp.empty_like(guide)
    norm_conv.convolve_backward(image, weights, filters, grads, x_grad, filters_grad, view)
    arguments = xp.empty_like(weights)
    norm_conv.convolve_backward_weights(image, filters, grads, arguments, view)
    norm_conv.softmax_backward(weights, arguments, 1.0)
    # Removed neighbours count as distance 0: theirs stands for infinity, and their weight is 0.
    distances = xp.empty_like(weights)
    compare(guide, distances, view, distance)
    scale_grad = -float(xp.vdot(distances, arguments))
    arguments *= image.dtype.type(-scale)
    compare_backward(guide, arguments, guide_grad, view, distance)
    back = given.back
    biases_grad = None if biases is None else back(grads.sum(axis=(0, 2, 3)))
    return NormConvGradients(back(x_grad), back(guide_grad), back(filters_grad), biases_grad, scale_grad)


def _view(name: str, image: Any, filters: Any, biases: Any, sizes: tuple[Size, Padding, Size], groups: int) -> Window:
    """The window of filters over an image, once both and the biases fit together."""
    check_images(name, x=image)
    if filters.ndim != 4 or min(filters.shape) < 1:
        raise fail(name, "weight must have shape (M, C / groups, kernel height, kernel width)", f"{filters.shape}")
    outputs, channels = filters.shape[:2]
    if not isinstance(groups, int) or groups < 1 or image.shape[1] != channels * groups or outputs % groups:
        received = f"groups {groups}, x {tuple(image.shape)}, weight {tuple(filters.shape)}"
        raise fail(name, "groups must divide M, and C of x must be groups times that of weight", received)
    if biases is not None and tuple(biases.shape) != (outputs,):
        raise fail(name, f"bias must have shape ({outputs},)", f"{tuple(biases.shape)}")
    stride, padding, dilation = sizes
    return window(name, tuple(filters.shape[2:]), stride, padding, dilation)


def _shape(image: Any, filters: Any, view: Window) -> tuple[int, ...]:
    """Of the result."""
    return (len(image), len(filters), *view.output_shape(image.shape[2:]))


def _check_grad(name: str, grads: Any, image: Any, filters: Any, view: Window) -> None:
    shape = _shape(image, filters, view)
    if tuple(grads.shape) != shape:
        raise fail(name, f"grad must have the shape of the result, {shape}", f"{tuple(grads.shape)}")


def _softmax(guide: Any, view: Window, distance: Distance, center: bool, bounds: bool, scale: float) -> Any:
    """What each tap counts, (N, taps, H', W')."""
    xp = device.array_module(guide)
    weights = xp.empty((len(guide), view.taps, *view.output_shape(guide.shape[2:])), guide.dtype)
    compare(guide, weights, view, distance, center, bounds)
    norm_conv.softmax(weights, float(scale))
    return weights
