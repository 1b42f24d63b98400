"""What a layer tells the memory planner about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LayerMemory:
    """What a layer's passes read, and the memory it uses besides its blobs; sizes in bytes, for its present shapes.

    Attributes
    ----------
    reads_bottoms, reads_tops:
        Whether the backward pass reads the values of the bottoms, and of the tops; the memory of others may be reused.
    saved:
        What forward saves for backward; it is given back where it is not needed, and made anew by `Layer.recompute`.
    state:
        What the layer keeps for good, from the first pass on.
    workspace:
        Scratch memory of kernels on the CPU, by name, where it is large; kernels that use a name use it by turns.
    recomputes:
        Whether `Layer.recompute` can make the tops' values anew: nothing comes from outside or from a state.
    joins:
        For each bottom where in the top's memory it could lie, in elements, so that nothing needs to be copied; empty
        for layers that do not join their bottoms.
    """

    reads_bottoms: bool = True
    reads_tops: bool = True
    saved: int = 0
    state: int = 0
    workspace: Mapping[str, int] = field(default_factory=dict)
    recomputes: bool = True
    joins: tuple[int, ...] = ()
