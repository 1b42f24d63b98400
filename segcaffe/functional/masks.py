"""How far the pixels of a window are from its centre, and the mask that this makes."""

from __future__ import annotations

from typing import Any

from segcaffe.functional.arrays import check_images, fail, take
from segcaffe.functional.windows import Padding, Size, window
from segcaffe.kernels import im2parity
from segcaffe.kernels.distance.choice import compare, compare_backward
from segcaffe.kernels.distance.registry import Distance, find_distance, unknown_distance
from segcaffe.window import Window

Norm = str
"""A distance's name: "l1", "l2", or one that `register_distance` added."""


def local_distance(
    embeddings: Any,
    kernel_size: Size,
    dilation: Size = 1,
    norm: Norm = "l2",
    *,
    stride: Size = 1,
    padding: Padding = "same",
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> Any:
    """Distances between the centre of each window and all its taps.

    With d = centre - neighbour the distance is ½Σd² ("l2") or Σ|d| ("l1"), summed over the embeddings' channels.

    Parameters
    ----------
    embeddings:
        (N, E, H, W), float32 or float64.
    kernel_size, dilation, stride, padding:
        In pixels, one number or (height, width). ``padding`` "same" gives a window for every pixel.
    norm:
        "l1", "l2", or a distance added by `register_distance`: Σ value(d).
    remove_center:
        Put the centre infinitely far from itself (a very large number), so that it does not count.
    remove_bounds:
        Put what lies outside the image infinitely far away, instead of at distance 0.

    Returns
    -------
    (N, kh·kw, H', W'), in the kind and dtype of the embeddings.

    Raises
    ------
    ShapeError
        Arrays, sizes or norm are not as told.

    Source: Harley et al. 2017, section 3. The layer is Im2dist.
    """
    name = "local_distance"
    given = take(name, embeddings=embeddings)
    images, view = given.arrays[0], window(name, kernel_size, stride, padding, dilation)
    distance = distance_of(name, norm)
    check_images(name, embeddings=images)
    out = given.empty((len(images), view.taps, *view.output_shape(images.shape[2:])))
    compare(images, out, view, distance, remove_center, remove_bounds)
    return given.back(out)


def local_distance_backward(
    grad: Any,
    embeddings: Any,
    kernel_size: Size,
    dilation: Size = 1,
    norm: Norm = "l2",
    *,
    stride: Size = 1,
    padding: Padding = "same",
) -> Any:
    """Gradient of `local_distance` with respect to the embeddings, (N, E, H, W).

    Parameters
    ----------
    grad:
        (N, kh·kw, H', W'), gradient with respect to the distances.

    Other parameters as there. A distance sends d ("l2") or sign(d) ("l1", 0 at 0) times its gradient to the centre and
    the negative to the neighbour; removed centres and what lies outside the image send nothing.
    """
    name = "local_distance_backward"
    given = take(name, grad=grad, embeddings=embeddings)
    grads, images = given.arrays
    view, distance = window(name, kernel_size, stride, padding, dilation), distance_of(name, norm)
    check_images(name, embeddings=images)
    check_taps(name, view, images, grad=grads)
    out = given.empty(images.shape)
    compare_backward(images, grads, out, view, distance)
    return given.back(out)


def local_parity(
    labels: Any,
    kernel_size: Size,
    dilation: Size = 1,
    *,
    stride: Size = 1,
    padding: Padding = "same",
    ignore_label: int | None = None,
) -> Any:
    """1 where the label of a tap equals that of its window's centre, else 0; it has no gradient.

    Parameters
    ----------
    labels:
        (N, 1, H, W), whole numbers up to 2²⁴, of any dtype; as float32 unless they are float64.
    kernel_size, dilation, stride, padding:
        As for `local_distance`.
    ignore_label:
        Where either label is this one, so is the answer. A tap outside the image has label 0.

    Returns
    -------
    (N, kh·kw, H', W').

    Source: Harley et al. 2017, section 3. The layer is Im2parity.
    """
    name = "local_parity"
    given = take(name, "labels", labels=labels)
    images, view = given.arrays[0], window(name, kernel_size, stride, padding, dilation)
    check_images(name, labels=images)
    out = given.empty((len(images), view.taps, *view.output_shape(images.shape[2:])))
    im2parity.forward(images, out, view, ignore_label)
    return given.back(out)


def check_taps(name: str, view: Window, images: Any, **taps: Any) -> None:
    """Check that each has the shape (N, taps, H', W') of what a window makes of ``images``. Raises ShapeError."""
    shape = (len(images), view.taps, *view.output_shape(images.shape[2:]))
    for what, array in taps.items():
        if tuple(array.shape) != shape:
            raise fail(name, f"{what} must have shape {shape}, one channel for each tap", f"{tuple(array.shape)}")


def distance_of(name: str, norm: str) -> Distance:
    """The distance of a function's ``norm``. Raises ShapeError for a name that is none."""
    found = find_distance(norm) if isinstance(norm, str) else None
    if found is None:
        there = unknown_distance(str(norm)).rstrip(".")
        raise fail(name, f'norm is "l1" or "l2", or names another distance. {there}', repr(norm))
    return found
