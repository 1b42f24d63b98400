"""Checking a layer's backward pass against its forward pass, by central differences in float64."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.layers.base import Layer
from segcaffe.testing.layer_case import LayerCase

Array = np.ndarray[Any, Any]

STEP = 1e-3
TOLERANCE = 1e-4
MAX_ELEMENTS = 60


def check_gradients(case: LayerCase, step: float = STEP, rtol: float = TOLERANCE) -> int:
    """Compare every gradient of a case with central differences; returns how many arrays were compared.

    The objective is the sum over the tops of a fixed random weighting, so every path from a bottom or parameter to a
    top counts. AssertionError names the array, the element, both values.

    Parameters
    ----------
    case:
        The layer and its inputs.
    step:
        Half the distance of the two forward passes, in units of the element.
    rtol:
        Largest difference allowed, relative to the largest numeric gradient of the array.
    """
    layer, bottom, top = case.build(np.float64)
    layer.param_propagate_down = [True] * len(layer.blobs)
    layer.forward(bottom, top)
    weights = _weights(case, top)
    wanted = [layer.allows_gradient(i) and i not in case.no_gradient for i in range(len(bottom))]
    analytic = _analytic(layer, bottom, top, weights, wanted)
    params = range(len(layer.blobs)) if case.param_gradient is None else case.param_gradient
    targets = {f"bottom {i}": (bottom[i], analytic[f"bottom {i}"]) for i in range(len(bottom)) if wanted[i]}
    targets |= {f"parameter {i}": (layer.blobs[i], analytic[f"parameter {i}"]) for i in params}
    for name, (blob, gradient) in targets.items():
        elements = np.random.default_rng(0).permutation(blob.count)[:MAX_ELEMENTS]
        numeric = [_difference(layer, bottom, top, weights, blob, i, step) for i in elements]
        _compare(f"{case.id}: gradient of {name}", elements, gradient, np.array(numeric), rtol)
    return len(targets)


def _weights(case: LayerCase, top: list[Blob]) -> list[Array]:
    rng = np.random.default_rng(zlib.crc32(f"{case.id}/weights".encode()))
    return [rng.standard_normal(blob.shape) for blob in top]


def _analytic(
    layer: Layer, bottom: list[Blob], top: list[Blob], weights: list[Array], wanted: list[bool]
) -> dict[str, Array]:
    for blob, values in zip(top, weights, strict=True):
        blob.diff[...] = values
    for blob in layer.blobs:
        blob.diff[...] = 0
    layer.backward(top, wanted, bottom)
    gradients = {f"bottom {i}": blob.diff.copy() for i, blob in enumerate(bottom) if wanted[i]}
    return gradients | {f"parameter {i}": blob.diff.copy() for i, blob in enumerate(layer.blobs)}


def _compare(what: str, elements: Array, gradient: Array, numeric: Array, rtol: float) -> None:
    """Of some elements the gradient must be the difference."""
    found = gradient.reshape(-1)[elements]
    scale = max(np.abs(numeric).max(initial=0.0), np.abs(found).max(initial=0.0), 1e-3)
    error = np.abs(numeric - found)
    worst = int(error.argmax()) if error.size else 0
    assert error.size == 0 or error[worst] <= rtol * scale, (
        f"{what}, element {elements[worst]}: backward gives {found[worst]:.8g}, "
        f"central differences {numeric[worst]:.8g} (largest {scale:.4g})"
    )


def _difference(
    layer: Layer, bottom: list[Blob], top: list[Blob], weights: list[Array], blob: Blob, index: int, step: float
) -> float:
    kept = blob.data.reshape(-1)[index]
    values = []
    for sign in (1.0, -1.0):
        # Asked for anew each time: so a blob on a device knows that its host side is the newest.
        blob.data.reshape(-1)[index] = kept + sign * step
        layer.forward(bottom, top)
        values.append(sum(float((blob.data * w).sum()) for blob, w in zip(top, weights, strict=True)))
    blob.data.reshape(-1)[index] = kept
    return (values[0] - values[1]) / (2 * step)
