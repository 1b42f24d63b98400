"""Mean-field inference in a CRF whose pairs of pixels lie in a window, weighted by a guide."""

from __future__ import annotations

from typing import Any, NamedTuple

from segcaffe import device
from segcaffe.functional.arrays import Given, check_images, fail, take
from segcaffe.functional.kept import Kept
from segcaffe.functional.windows import Size, window
from segcaffe.kernels import window_meanfield
from segcaffe.kernels.window_meanfield import Arrays, Filter, Inference


class MeanfieldGradients(NamedTuple):
    """Gradients of `local_meanfield`, in the shapes of what was given."""

    unary: Any
    guide: Any
    weight: Any
    compat: Any


def local_meanfield(
    unary: Any,
    guide: Any,
    weight: Any = None,
    compat: Any = None,
    *,
    kernel_size: Size = 9,
    dilation: Size = 1,
    scale: float = 1.0,
    iterations: int = 3,
    remove_center: bool = True,
    remove_bounds: bool = True,
    keep: Kept | None = None,
) -> Any:
    """Sharpen scores by mean-field inference among the pixels of local windows.

    Each iteration is ``q = unary - compat · weight · filter(softmax(q))``, where ``filter`` averages a window with the
    weights ``softmax(-scale · ½Σ(centre - neighbour)²)`` over the channels of the guide; the first q is ``unary``.

    Parameters
    ----------
    unary:
        (N, C, H, W), scores of classes before a softmax, float32 or float64.
    guide:
        (N, E, H, W): embeddings, colours, depth, features.
    weight:
        (C, C), mixes the filtered probabilities; None: the identity.
    compat:
        (C, C), what classes cost beside each other; None: minus the identity (Potts).
    kernel_size, dilation:
        Odd, in pixels: one number or (height, width).
    scale:
        How fast weights fall with distance.
    iterations:
        1 or more.
    remove_center, remove_bounds:
        Whether a pixel is no neighbour of itself, and whether what lies outside the image does not count.
    keep:
        Where to keep what `local_meanfield_backward` would otherwise compute again.

    Returns
    -------
    (N, C, H, W), scores without a softmax.

    Raises
    ------
    ShapeError
        Arrays or sizes are not as told.

    Source: Harley et al. 2017, section 3.4. The layer is NospConvMeanfield; NormConvMeanfield has a second filter.
    """
    name = "local_meanfield"
    options = _Options(kernel_size, dilation, scale, iterations, remove_center, remove_bounds)
    given, arrays, inference = _prepare(name, options, unary=unary, guide=guide, weight=weight, compat=compat)
    inference, out = _borrow(arrays, inference), device.array_module(arrays.unary).empty_like(arrays.unary)
    window_meanfield.forward(arrays, out, inference)
    if keep is None:
        _give_back(arrays, inference)
    else:
        keep.put(inference)
    return given.back(out)


def local_meanfield_backward(
    grad: Any,
    unary: Any,
    guide: Any,
    weight: Any = None,
    compat: Any = None,
    *,
    kernel_size: Size = 9,
    dilation: Size = 1,
    scale: float = 1.0,
    iterations: int = 3,
    remove_center: bool = True,
    remove_bounds: bool = True,
    keep: Kept | None = None,
) -> MeanfieldGradients:
    """Gradients of `local_meanfield`, from ``grad`` (N, C, H, W), that of its result.

    Those of ``weight`` and ``compat`` are (C, C) also where these were None. ``keep`` is what the forward pass with the
    same arguments was given; without it, that pass is repeated.
    """
    name = "local_meanfield_backward"
    options = _Options(kernel_size, dilation, scale, iterations, remove_center, remove_bounds)
    given, arrays, inference = _prepare(
        name, options, grad=grad, unary=unary, guide=guide, weight=weight, compat=compat
    )
    grads = given.arrays[0]
    if grads.shape != arrays.unary.shape:
        raise fail(name, f"grad must have the shape of unary, {arrays.unary.shape}", f"{grads.shape}")
    xp = device.array_module(grads)
    found = Arrays(
        xp.empty_like(arrays.unary),
        xp.empty_like(arrays.unary),
        [xp.empty_like(arrays.guides[0])],
        [xp.zeros_like(one) for one in arrays.matrices],
    )

    def make() -> Inference:
        made = _borrow(arrays, inference)
        window_meanfield.forward(arrays, xp.empty_like(grads), made)
        return made

    used = make() if keep is None else keep.take(make)
    window_meanfield.backward(arrays, grads, found, used)
    _give_back(arrays, used)
    back = given.back
    return MeanfieldGradients(
        back(found.unary + found.q), back(found.guides[0]), back(found.matrices[0]), back(found.matrices[1])
    )


_spare: dict[object, Inference] = {}
"""The memory of the last call, which one of the same sizes takes over; at most one, and of at most so many bytes."""
_SPARE_BYTES = 1 << 26


def _borrow(arrays: Arrays, new: Inference) -> Inference:
    """An inference whose memory is there already, if one is spare, else ``new``; what it saved is another call's."""
    return _spare.pop(_key(arrays, new), new)


def _give_back(arrays: Arrays, inference: Inference) -> None:
    """Keep an inference that nobody uses any more for the next call, instead of the one kept so far."""
    unary, (guide,), (one,) = arrays.unary, arrays.guides, inference.filters
    lines = one.window.taps + 4 * (inference.iterations + 1) * unary.shape[1] + guide.shape[1]
    if not device.is_device_array(unary) and lines * (unary.nbytes // unary.shape[1]) <= _SPARE_BYTES:
        _spare.clear()
        _spare[_key(arrays, inference)] = inference


def _key(arrays: Arrays, inference: Inference) -> object:
    return arrays.unary.shape, arrays.unary.dtype, arrays.guides[0].shape, inference.filters, inference.iterations


class _Options(NamedTuple):
    kernel_size: Size
    dilation: Size
    scale: float
    iterations: int
    remove_center: bool
    remove_bounds: bool


def _prepare(name: str, options: _Options, **named: Any) -> tuple[Given, Arrays, Inference]:
    """What was given, as the kernel takes it; ShapeError where it does not fit together."""
    given = take(name, **named)
    unary, guide, weight, compat = given.arrays[-4:]
    check_images(name, unary=unary, guide=guide)
    if not isinstance(options.iterations, int) or options.iterations < 1:
        raise fail(name, "iterations must be a whole number, 1 or more", repr(options.iterations))
    classes, xp = unary.shape[1], device.array_module(unary)
    identity = xp.eye(classes, dtype=unary.dtype)
    matrices = [identity if weight is None else weight, -identity if compat is None else compat]
    for what, matrix in zip(("weight", "compat"), matrices, strict=True):
        if tuple(matrix.shape) != (classes, classes):
            raise fail(name, f"{what} must have shape ({classes}, {classes})", f"{tuple(matrix.shape)}")
    view = window(name, options.kernel_size, 1, "same", options.dilation)
    only = Filter(view, float(options.scale), options.remove_center, options.remove_bounds)
    return given, Arrays(unary, unary, [guide], matrices), Inference([only], options.iterations)
