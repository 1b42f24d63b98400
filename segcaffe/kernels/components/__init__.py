"""Connected components of label images."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("found",))
def number(labels: Array, found: Array) -> None:
    """Number the areas of one label whose pixels touch along an edge; 0 is no area and stays.

    Parameters
    ----------
    labels, found:
        (planes, height, width) of int64. Areas are numbered from max(largest label, 0) + 1 on, by their first pixels.
    """
