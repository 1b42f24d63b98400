"""Imports all families, so that each declares how its types are written; types that are not layers of a module."""

from __future__ import annotations

from segcaffe.export.torch import (
    affine,
    dense,
    detection,
    loss,
    neuron,
    normalize,
    recurrent,
    segaware,
    shape,
    window,
)
from segcaffe.export.torch.registry import MAPPINGS, NOT_WRITTEN, Mapping

FAMILIES = (affine, dense, detection, loss, neuron, normalize, recurrent, segaware, shape, window)
APART = {"Split": "one tensor with several readers", "Silence": "nothing: its bottoms are not returned"}
"""Types that the writer itself takes care of."""


def mappings() -> dict[str, Mapping]:
    """How types are written, by type."""
    return MAPPINGS


def not_written() -> dict[str, str]:
    """Why types are not written, and what to do, by type."""
    return NOT_WRITTEN
