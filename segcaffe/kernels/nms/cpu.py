"""Non-maximum suppression on the CPU: one box after the other, for each depends on what stayed before."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit

Array = np.ndarray[Any, Any]


def suppress(boxes: Array, overlap: float, eta: float, stays: Array, most: int = -1) -> None:
    # As columns, so that a box is compared with many at a time.
    columns = np.empty((5, len(boxes)), boxes.dtype)
    _suppress(np.ascontiguousarray(boxes), boxes.dtype.type(overlap), boxes.dtype.type(eta), columns, stays, most)


@njit(nogil=True, cache=True)
def _suppress(boxes, overlap, eta, columns, stays, most):
    kept = 0
    zero, one = boxes.dtype.type(0), boxes.dtype.type(1)
    left, top, right, bottom, area = columns[0], columns[1], columns[2], columns[3], columns[4]
    for i in range(len(boxes)):
        if kept == most:
            stays[i:] = False
            return
        xmin, ymin, xmax, ymax = boxes[i]
        size = zero if xmax < xmin or ymax < ymin else (xmax - xmin) * (ymax - ymin)
        hidden = False
        for k in range(kept):
            width = min(xmax, right[k]) - max(xmin, left[k])
            height = min(ymax, bottom[k]) - max(ymin, top[k])
            shared = max(width, zero) * max(height, zero)
            union = size + area[k] - shared
            hidden |= shared / (union if union > zero else one) > overlap
        stays[i] = not hidden
        if hidden:
            continue
        left[kept], top[kept], right[kept], bottom[kept], area[kept] = xmin, ymin, xmax, ymax, size
        kept += 1
        if eta < 1 and overlap > 0.5:
            overlap *= eta
