"""The memory that the blobs of a net share: a plan laid out, and kept to while the net runs."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from segcaffe import device
from segcaffe.blob import Buffer, BufferPart
from segcaffe.errors import GraphError
from segcaffe.net.program import write_program
from segcaffe.net.replay import replay_wanted
from segcaffe.plan.memory import MemoryPlan, make_plan

if TYPE_CHECKING:
    from segcaffe.net.net import Net

_PLANS = 8
"""For how many shapes a net remembers its memory plan: images come in few sizes, by turns."""


def plan_net(net: Net, recompute: tuple[str, ...] = ()) -> MemoryPlan:
    """Plan the memory of a net for its present shapes."""
    # On a GPU parts of a buffer would go to and from the host all together.
    return make_plan(write_program(net), recompute, one_slot=device.get_mode() == "CPU")


class Arena:
    """Shared memory of a net's blobs.

    Parameters
    ----------
    recompute:
        Layers whose values are recomputed for the backward pass: names, patterns, or "auto".
    """

    plan: MemoryPlan
    recomputed: dict[int, list[int]]
    """For layers, those that run once more before they run backward."""

    def __init__(self, net: Net, recompute: tuple[str, ...]) -> None:
        # The net owns the arena: a reference back would keep the memory of a dropped net until Python looks for cycles.
        self._owner, self._recompute = weakref.ref(net), recompute
        self._plans: dict[tuple[tuple[int, ...], ...], MemoryPlan] = {}
        self._below: int | None = None
        self.lay_out()

    @property
    def _net(self) -> Net:
        net = self._owner()
        assert net is not None, "an arena is used by its net only"
        return net

    def lay_out(self) -> None:
        """Plan the memory for the blobs' present shapes, and lay it out so; what the blobs hold is lost."""
        net = self._net
        shapes = tuple(blob.shape for blob in net.blob_list)
        plan = self._plans.get(shapes)
        if plan is None:
            plan = plan_net(net, self._recompute)
            if len(self._plans) >= _PLANS:
                self._plans.pop(next(iter(self._plans)))
            self._plans[shapes] = plan
        self.plan, self.recomputed = plan, plan.schedule.recomputed()
        numbers, itemsize = net.numbers, net.dtype.itemsize
        # What layers save is numbered behind what blobs use.
        self._drops = {number - len(numbers.blobs) for number in plan.schedule.dropped}
        for slot in plan.slots:
            arena = Buffer(slot.size // itemsize, net.dtype)
            for item, offset in slot.places():
                part = BufferPart(arena, offset // itemsize, item.size // itemsize)
                for index in numbers.blobs[item.number]:
                    blob = net.blob_list[index]
                    blob.use_buffer(numbers.side(item.number), arena if part.size == arena.size else part)

    def begin(self) -> None:
        """Note that the forward pass runs, so that all values are there."""
        self._below = None

    def release_saved(self, layer: int) -> None:
        """Give back what a layer saved, where the plan says so; what is recorded on a GPU stays in its place."""
        if layer in self._drops and not replay_wanted():
            for blob in self._net.layer_list[layer].saved_blobs.values():
                blob.buffer("data").release()

    def restore(self, layer: int) -> None:
        """Recompute the values that the backward passes down to a layer read and that were not kept."""
        if not self.recomputed:
            return
        net = self._net
        below = len(net.layer_list) if self._below is None else self._below
        if layer >= below:
            raise GraphError(
                f"{net.layer_list[layer].where}: with recompute, values are there for one backward pass only; run "
                "forward before the next one."
            )
        for reached in range(below - 1, layer - 1, -1):
            for i in self.recomputed.get(reached, ()):
                net.layer_list[i].recompute(net.bottom_blobs[i], net.top_blobs[i])
        self._below = layer
