"""Where two ways of computing a net part: the first blob that differs, and layers that only look as if they did.

Layer by layer our net is compared with the file. Where a top differs although the bottoms agree, our layer is run once
more, on the bottoms that the file computed, and on these changed by as much as rounding does. If it then gives what the
file gives, or differs by as much, the layer is right: it decides between values that are equal but for rounding
(ArgMax, the boxes of a detector), or makes much of little (the deviation of equal values). Our net goes on from the
file's values, so that everything behind is judged, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from segcaffe.export.proof.compare import Array, Difference, compare
from segcaffe.export.proof.ours import Ours
from segcaffe.export.proof.spots import Spot

Reader = Callable[[Sequence[str]], Mapping[str, Array]]
"""Runs the file for values of its graph, by their names."""
_BYTES = 1 << 28
"""Size of the values of the file that are read at a time."""
_ROUNDING, _PERTURBED, _TIMES = 2.0**-21, 3, 8.0
"""What rounding may change, of a blob's largest value; how often that is tried; how much more the file may differ."""


@dataclass
class Blame:
    """What was found.

    Attributes
    ----------
    trial:
        What both were given.
    spot, difference:
        The first version of a blob that differs, and how far; None if none does.
    amplified:
        Versions that differ only because their bottoms do, by rounding, and how far.
    outputs:
        What our net gives where it goes on from the file's values at those.
    compared, worst:
        How many versions were compared, and the largest difference of those that follow from equal bottoms.
    """

    trial: str = ""
    spot: Spot | None = None
    difference: Difference = field(default_factory=lambda: Difference(0.0))
    amplified: list[tuple[Spot, Difference]] = field(default_factory=list)
    outputs: dict[str, Array] = field(default_factory=dict)
    compared: int = 0
    worst: tuple[Spot, Difference] | None = None

    def note(self, found: Sequence[tuple[Spot, Difference]]) -> None:
        """Count versions that were compared."""
        self.compared += len(found)
        known = [self.worst] if self.worst is not None else []
        self.worst = max([*known, *found], key=lambda one: one[1].largest, default=None)


def find(ours: Ours, spots: Sequence[Spot], inputs: Mapping[str, Array], read: Reader, tolerance: float) -> Blame:
    """Find the first blob that differs by more than ``tolerance`` of its largest value.

    Parameters
    ----------
    ours, spots:
        Our net, and the versions of its blobs that the file has names for, in order.
    inputs:
        What both are given.
    read:
        Runs the file.
    """
    blame = Blame()
    theirs = _Values(spots, ours, read)
    ours.start(inputs)
    by_layer: dict[int, list[Spot]] = {}
    for spot in spots:
        by_layer.setdefault(spot.layer, []).append(spot)
    for layer in range(len(ours.net.layer_list)):
        here = by_layer.get(layer, [])
        ours.step(layer)
        found = [(spot, compare(ours.value(layer, spot.top), theirs[spot])) for spot in here]
        apart = [(spot, difference) for spot, difference in found if not difference.within(tolerance)]
        blame.note([one for one in found if one not in apart])
        if not apart:
            continue
        if not _explained(ours, layer, here, theirs, tolerance):
            blame.spot, blame.difference = apart[0]
            return blame
        blame.amplified += apart
        for spot in here:
            ours.put(layer, spot.top, theirs[spot])
    blame.outputs = ours.found()
    return blame


def _explained(ours: Ours, layer: int, here: Sequence[Spot], theirs: _Values, tolerance: float) -> bool:
    """Whether the layer, run on the file's values of its bottoms, gives the file's tops, but for rounding before it."""
    blobs = ours.net.bottom_blobs[layer]
    bottoms = []
    for number, name in enumerate(_bottoms(ours, layer)):
        made = theirs.made_before(layer, name)
        bottoms.append(np.array(ours.before[number] if made is None else made))
        if bottoms[-1].shape != blobs[number].shape:
            return False
    tops = ours.again(layer, bottoms)
    apart = [(spot.top, compare(tops[spot.top], theirs[spot])) for spot in here]
    apart = [(top, found) for top, found in apart if not found.within(tolerance)]
    if not all(np.isfinite(values).all() for values in bottoms):
        # What is made of NaN and infinity, 0 times infinity for example, is not the same everywhere.
        apart = [(spot.top, _finite(tops[spot.top], theirs[spot])) for spot in here]
        apart = [(top, found) for top, found in apart if not found.within(tolerance)]
    # What only chooses must choose alike where there is nothing to choose between: equal values are no rounding. Boxes
    # are computed first.
    cls = ours.net.graph.nodes[layer].cls
    chooses = cls.gradient_to == () and cls.family() != "detection"
    rng = np.random.default_rng(layer)
    for _ in range(_PERTURBED if apart and not chooses else 0):
        others = ours.again(layer, [_perturbed(values, rng) for values in bottoms])
        moved = {top: compare(tops[top], others[top]).absolute for top, _ in apart}
        apart = [(top, found) for top, found in apart if found.absolute > _TIMES * moved[top]]
    return not apart


def _finite(ours: Array, theirs: Array) -> Difference:
    """How far values are apart that are numbers in both."""
    if ours.shape != theirs.shape:
        return compare(ours, theirs)
    both = np.isfinite(ours) & np.isfinite(theirs)
    return compare(ours[both], theirs[both])


def _perturbed(values: Array, rng: np.random.Generator) -> Array:
    """Values that are off by what rounding of the largest one may be; whole numbers stay, and what is not finite."""
    if np.array_equal(values, np.round(values)) and np.unique(values).size > 1:
        return values
    finite = np.abs(values[np.isfinite(values)])
    scale = float(finite.max()) if finite.size else 0.0
    noise = np.asarray(rng.uniform(-1, 1, values.shape) * scale * _ROUNDING, values.dtype)
    return np.where(np.isfinite(values), values + noise, values)


def _bottoms(ours: Ours, layer: int) -> list[str]:
    return [ours.net.graph.blob_names[blob] for blob in ours.net.graph.nodes[layer].bottoms]


class _Values:
    """The file's values, read some at a time, in the order in which they are asked for."""

    def __init__(self, spots: Sequence[Spot], ours: Ours, read: Reader) -> None:
        self._spots, self._net, self._read = list(spots), ours.net, read
        self._sources = _split_sources(ours)
        self._known: dict[str, Array] = {}

    def __getitem__(self, spot: Spot) -> Array:
        if spot.value not in self._known:
            self._known = dict(self._read([one.value for one in self._next(spot)]))
        return self._known[spot.value]

    def made_before(self, layer: int, blob: str) -> Array | None:
        """The newest value of a blob that layers before this one made; None of an input, on which both agree."""
        name = self._sources.get(blob, blob)
        made = [spot for spot in self._spots if spot.blob == name and spot.layer < layer]
        if not made:
            return None
        value = made[-1].value
        return self._known[value] if value in self._known else self._read([value])[value]

    def _next(self, first: Spot) -> list[Spot]:
        """The spots to read together, from one on: as many as are not too large."""
        start, size, chosen = self._spots.index(first), 0, list[Spot]()
        for spot in self._spots[start:]:
            size += self._net.top_blobs[spot.layer][spot.top].nbytes
            if chosen and size > _BYTES:
                break
            chosen.append(spot)
        return chosen


def _split_sources(ours: Ours) -> dict[str, str]:
    """Of each blob that a split makes the blob that it is a copy of."""
    names = ours.net.graph.blob_names
    return {
        names[top]: names[node.bottoms[0]]
        for node in ours.net.graph.nodes
        if node.param.type == "Split"
        for top in node.tops
    }
