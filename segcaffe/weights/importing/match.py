"""Which module of a file each unit of a net gets.

By name where they have the same; then by shape, where only one fits; then a module that stands behind that of the layer
before; then by order, where as many modules as units fit each other and all matches together keep the order. What is
not decided is told of, never guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from segcaffe.errors import WeightsError
from segcaffe.weights.importing.fit import Fit, fit
from segcaffe.weights.importing.source import Module, Source
from segcaffe.weights.importing.units import Unit

NAME, SHAPE, BEHIND, ORDER, NUMBERS, MAP = "name", "shape", "behind the one before", "order", "numbers", "map"
_SHOWN = 8


@dataclass
class Matches:
    """What has been decided.

    Attributes
    ----------
    modules:
        By the number of the unit, the number of its module.
    fits, why:
        By the number of the unit: how it fits, and what decided.
    open:
        For each unit that no module was found for, those that could be.
    """

    modules: dict[int, int] = field(default_factory=dict)
    fits: dict[int, Fit] = field(default_factory=dict)
    why: dict[int, str] = field(default_factory=dict)
    open: dict[int, list[int]] = field(default_factory=dict)


def match(units: Sequence[Unit], source: Source, given: Mapping[int, int]) -> Matches:
    """Match units with modules; ``given`` has pairs that the user has decided on."""
    return _Matcher(units, source).run(given)


class _Matcher:
    def __init__(self, units: Sequence[Unit], source: Source) -> None:
        self._units, self._source = units, source
        self._matches = Matches()
        fits = [{m: fit(unit, module) for m, module in enumerate(source.modules)} for unit in units]
        self._fits = [{m: found for m, found in of.items() if isinstance(found, Fit)} for of in fits]
        self._reasons = [{m: found for m, found in of.items() if isinstance(found, str)} for of in fits]

    def run(self, given: Mapping[int, int]) -> Matches:
        """Decide, the surest ways first, until nothing more can be."""
        for unit, module in given.items():
            self._take_named(unit, module, MAP)
        self._by_name()
        while self._by_shape() or self._behind() or self._by_order():
            pass
        waiting = [unit for unit in range(len(self._units)) if unit not in self._matches.modules]
        self._matches.open = {unit: self._candidates(unit) for unit in waiting}
        return self._matches

    def _take(self, unit: int, module: int, why: str) -> None:
        self._matches.modules[unit] = module
        self._matches.fits[unit] = self._fits[unit][module]
        self._matches.why[unit] = why

    def _take_named(self, unit: int, module: int, why: str) -> None:
        """Take a pair whose names say that it is one; WeightsError where they do not fit."""
        if module not in self._fits[unit]:
            raise WeightsError(
                f"{self._units[unit].name} and {self._source.modules[module].name} belong together by their "
                f"{'names' if why == NAME else 'line in the map'}, but do not fit: {self._reasons[unit][module]}. "
                "Change the net, or say with --map which tensors the layer gets."
            )
        self._take(unit, module, why)

    def _candidates(self, unit: int) -> list[int]:
        """The modules that fit a unit and are free; those that fit exactly, if there are any."""
        taken = set(self._matches.modules.values())
        free = {module: found for module, found in self._fits[unit].items() if module not in taken}
        exact = [module for module, found in free.items() if found.exact]
        return exact or list(free)

    def _by_name(self) -> None:
        modules: dict[str, list[int]] = {}
        for number, module in enumerate(self._source.modules):
            modules.setdefault(plain(module.name), []).append(number)
        prefix = _prefix([module.name for module in self._source.modules])
        for number, module in enumerate(self._source.modules):
            modules.setdefault(plain(module.name[len(prefix) :]), []).append(number)
        for unit in range(len(self._units)):
            if unit in self._matches.modules:
                continue
            names = [plain(layer.name) for layer in self._units[unit].layers]
            found = {module for name in names for module in modules.get(name, ())}
            found -= set(self._matches.modules.values())
            if len(found) == 1:
                self._take_named(unit, found.pop(), NAME)

    def _by_shape(self) -> bool:
        """Take pairs of a unit and a module that fit each other and nothing else."""
        wanted: dict[int, list[int]] = {}
        waiting = [unit for unit in range(len(self._units)) if unit not in self._matches.modules]
        for unit in waiting:
            for module in self._candidates(unit):
                wanted.setdefault(module, []).append(unit)
        alone = [
            (unit, self._candidates(unit)[0])
            for unit in waiting
            if len(self._candidates(unit)) == 1 and wanted[self._candidates(unit)[0]] == [unit]
        ]
        for unit, module in alone:
            self._take(unit, module, SHAPE)
        return bool(alone)

    def _behind(self) -> bool:
        """Take what stands right behind the module of the layer before: statistics, factors and slopes of its channels.

        Where the file's order says nothing names may: ``bn3`` belongs to ``conv3``, ``downsample.1`` to
        ``downsample.0``. Kernels are not taken so: behind those of one branch there may be those of another.
        """
        counts = Counter(unit.after for unit in self._units)
        taken = False
        for number, unit in enumerate(self._units):
            before = self._matches.modules.get(unit.after)
            if number in self._matches.modules or before is None or counts[unit.after] > 1 or not unit.of_channels:
                continue
            candidates = self._candidates(number)
            if not self._source.ordered:
                candidates = [module for module in candidates if self._belongs(before, module)]
            elif before + 1 in candidates:
                candidates = [before + 1]
            else:
                continue
            if len(candidates) == 1:
                self._take(number, candidates[0], BEHIND)
                taken = True
        return taken

    def _belongs(self, before: int, module: int) -> bool:
        """Whether a module's name is that of another with one more for its number, or another word with the same."""
        (owner, _, word), (its_owner, _, its_word) = (
            self._source.modules[i].name.rpartition(".") for i in (before, module)
        )
        if owner != its_owner:
            return False
        if word.isdecimal():
            return its_word == str(int(word) + 1)
        return re.findall(r"\d+", word) == re.findall(r"\d+", its_word) != []

    def _by_order(self) -> bool:
        """Take the first group of as many units as modules that fit each other, where their order is known."""
        for group, modules in self._groups():
            if len(group) != len(modules):
                continue
            for why, ordered in (
                (NUMBERS, self._by_numbers(modules)),
                (ORDER, modules if self._source.ordered else None),
            ):
                if ordered is None or any(m not in self._fits[u] for u, m in zip(group, ordered, strict=True)):
                    continue
                pairs = dict(zip(group, ordered, strict=True))
                if why == NUMBERS or self._keeps_order(pairs):
                    for unit, module in pairs.items():
                        self._take(unit, module, why)
                    return True
        return False

    def _groups(self) -> list[tuple[list[int], list[int]]]:
        """Units and modules that fit each other, in groups that have nothing to do with one another."""
        groups: list[tuple[set[int], set[int]]] = []
        for unit in range(len(self._units)):
            modules = set() if unit in self._matches.modules else set(self._candidates(unit))
            if not modules:
                continue
            mine = ({unit}, modules)
            for group in [group for group in groups if group[1] & modules]:
                groups.remove(group)
                mine = (mine[0] | group[0], mine[1] | group[1])
                modules = mine[1]
            groups.append(mine)
        return [(sorted(group), sorted(modules)) for group, modules in groups]

    def _by_numbers(self, modules: Sequence[int]) -> list[int] | None:
        """Modules whose names differ in their numbers alone, in the order of these."""
        names = [self._source.modules[module].name for module in modules]
        if len({re.sub(r"\d+", "#", name) for name in names}) > 1:
            return None
        numbers = [[int(text) for text in re.findall(r"\d+", name)] for name in names]
        return [module for _, module in sorted(zip(numbers, modules, strict=True))]

    def _keeps_order(self, pairs: dict[int, int]) -> bool:
        """Whether the pairs, with those that are decided, all of them, have the modules in the order of the units."""
        together = self._matches.modules | pairs
        ordered = [together[unit] for unit in sorted(together)]
        return ordered == sorted(ordered)


def plain(name: str) -> str:
    """A name without what identifiers of Python can't have, in small letters."""
    return re.sub(r"\W+", "_", name).strip("_").lower()


def _prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to a point: ``module.``, ``model.backbone.``."""
    if not names:
        return ""
    first, last = min(names), max(names)
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[: first.rfind(".", 0, same) + 1]


def undecided(units: Sequence[Unit], source: Source, found: Matches) -> str:
    """Sentences on the units that got no module; empty if all did."""
    lines = []
    # Once kernels are decided, what stands behind them mostly is, too.
    first = sorted(found.open, key=lambda unit: units[unit].of_channels)
    for unit in first[:_SHOWN]:
        modules = found.open[unit]
        shapes = ", ".join(f"{slot.name} {_shape(slot.shape)}" for slot in units[unit].slots if slot.role)
        names = [source.modules[module].name for module in modules]
        could = (
            f"could be any of {', '.join(names[:_SHOWN])}"
            if len(names) > 1
            else f"{names[0]} is wanted by others, too"
            if names
            else "nothing in the file fits"
        )
        lines.append(f"{units[unit].name} ({shapes}): {could}")
    more = len(found.open) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


def unused(source: Source, found: Matches) -> list[Module]:
    """The modules that no unit got."""
    taken = set(found.modules.values())
    return [module for number, module in enumerate(source.modules) if number not in taken]
