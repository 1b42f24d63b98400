"""The memory that the blobs of a net share: a plan laid out, and kept to while the net runs."""

from __future__ import annotations

from collections.abc import Iterator

from segcaffe import device
from segcaffe.blob import Buffer, BufferPart
from segcaffe.errors import GraphError
from segcaffe.net.parts import Parts, Step
from segcaffe.net.program import write_program
from segcaffe.net.replay import replay_wanted
from segcaffe.plan.memory import MemoryPlan, make_plan

_PLANS = 8
"""For how many shapes a net remembers its memory plan: images come in few sizes, by turns."""


def plan_net(net: Parts, keep: frozenset[str], recompute: tuple[str, ...] = ()) -> MemoryPlan:
    """Plan the memory of a net for its present shapes; the blobs of the names to ``keep`` can be read after a pass."""
    # On a GPU parts of a buffer would go to and from the host all together.
    return make_plan(write_program(net, keep), recompute, one_slot=device.get_mode() == "CPU")


class Arena:
    """Shared memory of a net's blobs.

    Parameters
    ----------
    keep:
        Names of blobs that can be read after a pass.
    recompute:
        Layers whose values are recomputed for the backward pass: names, patterns, or "auto".
    """

    plan: MemoryPlan
    recomputed: dict[int, list[int]]
    """For layers, those that run once more before they run backward."""

    def __init__(self, net: Parts, keep: frozenset[str], recompute: tuple[str, ...]) -> None:
        self._net, self._keep, self._recompute = net, keep, recompute
        self._plans: dict[tuple[tuple[int, ...], ...], MemoryPlan] = {}
        self._below: int | None = None
        self.lay_out()

    def lay_out(self) -> None:
        """Plan the memory for the blobs' present shapes, and lay it out so; what the blobs hold is lost."""
        shapes = tuple(blob.shape for blob in self._net.blobs)
        plan = self._plans.get(shapes)
        if plan is None:
            plan = plan_net(self._net, self._keep, self._recompute)
            if len(self._plans) >= _PLANS:
                self._plans.pop(next(iter(self._plans)))
            self._plans[shapes] = plan
        self.plan, self.recomputed = plan, plan.schedule.recomputed()
        net, numbers, itemsize = self._net, self._net.numbers, self._net.dtype.itemsize
        # What layers save is numbered behind what blobs use.
        self._drops = {number - len(numbers.blobs) for number in plan.schedule.dropped}
        for slot in plan.slots:
            arena = Buffer(slot.size // itemsize, net.dtype)
            for item, offset in slot.places():
                part = BufferPart(arena, offset // itemsize, item.size // itemsize)
                for index in numbers.blobs[item.number]:
                    blob = net.blobs[index]
                    blob.use_buffer(numbers.side(item.number), arena if part.size == arena.size else part)

    def begin(self) -> None:
        """Note that the forward pass runs, so that all values are there."""
        self._below = None

    def release_saved(self, layer: int) -> None:
        """Give back what a layer saved, where the plan says so; what is recorded on a GPU stays in its place."""
        if layer in self._drops and not replay_wanted():
            for blob in self._net.steps[layer].layer.saved_blobs.values():
                blob.buffer("data").release()

    def dropped(self, layer: int) -> Iterator[Step]:
        """The steps to recompute before a layer runs backward: they make what it reads and what was not kept."""
        if not self.recomputed:
            return
        steps = self._net.steps
        below = len(steps) if self._below is None else self._below
        if layer >= below:
            raise GraphError(
                f"{steps[layer].layer.where}: with recompute, values are there for one backward pass only; run "
                "forward before the next one."
            )
        for reached in range(below - 1, layer - 1, -1):
            yield from (steps[i] for i in self.recomputed.get(reached, ()))
        self._below = layer
