"""Mean-field inference whose filters are windows weighted by distances.

Each iteration is ``q = unary - compat · sum over filters i of matrix i · filter i(softmax(q))``; filter i averages a
window with the weights softmax(-scale · ½Σ(centre - neighbour)²) over the channels of its guide, computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from segcaffe.kernels.dispatch import kernel
from segcaffe.window import Window

Array = Any


@dataclass(frozen=True)
class Filter:
    """A window of the inference: its geometry, the factor of its distances, and who does not count as a neighbour."""

    window: Window
    scale: float
    remove_center: bool
    remove_bounds: bool


class Arrays(NamedTuple):
    """What is given, or its gradients, None where one is not wanted.

    ``unary`` and ``q``, that of the first iteration, are (N, C, H, W); ``guides`` (N, E, H, W) for each filter;
    ``matrices`` (C, C) for each filter, and ``compat``.
    """

    unary: Array
    q: Array
    guides: Sequence[Array]
    matrices: Sequence[Array]


class Inference:
    """What is inferred, and what `forward` saves for `backward`; the caller makes one for arrays of one shape.

    The filters' windows have stride 1 and as many positions as there are pixels.
    """

    def __init__(self, filters: Sequence[Filter], iterations: int) -> None:
        self.filters, self.iterations = tuple(filters), iterations
        self.saved: Any = None
        """The implementation's: how the last forward pass was computed, and its memory."""


@kernel(writes=("out",))
def forward(given: Arrays, out: Array, inference: Inference) -> None:
    """Write the last iteration's scores, (N, C, H, W)."""


@kernel(writes=("grads",))
def backward(given: Arrays, out_grad: Array, grads: Arrays, inference: Inference) -> None:
    """Write the gradients of scores and guides, and add those of the matrices.

    If ``inference`` has not seen a forward pass, that comes first.
    """
