"""Results of a study as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segcaffe.recipes.study.runs import BANDS, Figures
from segcaffe.recipes.study.statistics import Comparison, Spread, compare, spread
from segcaffe.recipes.study.variants import CASCADE, CONTROL, CRF, LONGER, MASKS, MASKS_LONGER, Variant

WIDTHS = (1, 2, 5, 10, 20, 40)
"""Widths of trimaps, in pixels, that tables have."""
NEAR = 5
"""Pixels from a boundary within which the paper's gains lie."""
WHOLE = 0
"""Stands for all pixels in place of a trimap's width."""
SIGNIFICANT = 0.05
CLAIM = ((MASKS_LONGER, LONGER), (CRF, MASKS_LONGER))
"""The paper's claim; without the last stage it is the first of `FURTHER`."""
FURTHER = ((MASKS, CONTROL), (CRF, LONGER), (CASCADE, CONTROL))
PAIRS = (*CLAIM, *FURTHER)
"""Which variants are compared with which."""
PLAIN_OF = {MASKS: CONTROL, CASCADE: CONTROL, MASKS_LONGER: LONGER, CRF: LONGER}
"""The plain nets that are trained as long as others."""


@dataclass(frozen=True)
class Table:
    """Cells of text; of the first column words, of the others numbers."""

    header: list[str]
    rows: list[list[str]]

    def text(self) -> str:
        """For a terminal."""
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            f"{line[0]:<{widths[0]}}" + "".join(f"  {cell:>{w}}" for cell, w in zip(line[1:], widths[1:], strict=True))
            for line in lines
        )

    def markdown(self) -> str:
        """For a page."""
        ruler = ["---", *["---:"] * (len(self.header) - 1)]
        return "".join(f"| {' | '.join(line)} |\n" for line in (self.header, ruler, *self.rows))


@dataclass(frozen=True)
class Results:
    """The figures of all seeds, by variant; in the order of the seeds. ``about`` is a sentence about their images."""

    variants: Sequence[Variant]
    figures: Mapping[str, Sequence[Figures]]
    about: str = ""

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(next(iter(self.figures.values())))

    def pairs(self) -> list[tuple[str, str]]:
        """Those of `PAIRS` that were trained."""
        return [pair for pair in PAIRS if set(pair) <= set(self.figures)]

    def claim(self) -> list[tuple[str, str]]:
        """The pairs that the paper's claim is about."""
        return [pair for pair in self.pairs() if pair in CLAIM] or [FURTHER[0]]

    def named(self, name: str) -> Variant:
        """The variant of a name."""
        return next(variant for variant in self.variants if variant.name == name)

    def mean_iou(self, name: str, width: int = WHOLE) -> list[float]:
        """Mean IoU in per cent of each seed, over all pixels or in the trimap of a width."""
        places = [found["trimap"][str(width)] if width else found for found in self.figures[name]]
        return [100 * place["mean_iou"] if place["mean_iou"] is not None else math.nan for place in places]

    def compare(self, name: str, other: str, width: int = WHOLE) -> Comparison:
        """What one has more than another."""
        return compare(self.mean_iou(name, width), self.mean_iou(other, width))

    def widest_gain(self, name: str, other: str) -> int:
        """The width of the trimap in which the mean gain is largest."""
        return max(range(1, BANDS + 1), key=lambda width: self.compare(name, other, width).mean)


def scores(results: Results) -> Table:
    """Mean IoU, and in trimaps."""
    rows = []
    for variant in results.variants:
        if variant.model is not None and not variant.against:
            cells = [spread(results.mean_iou(variant.name, width)) for width in (WHOLE, *WIDTHS)]
            rows.append([variant.title, *(_mean(cell, results.seeds) for cell in cells)])
    return Table(["mean IoU, %", "all pixels", *(f"{width} px" for width in WIDTHS)], rows)


def differences(results: Results) -> Table:
    """Gains of the comparison with their p."""
    rows = []
    for name, other in results.pairs():
        title = f"{results.named(name).title}, over {results.named(other).title}"
        for width in (WHOLE, 2, NEAR):
            rows.append([title, *_gain(results.compare(name, other, width), width)])
            title = ""
    return Table(["gain in mean IoU, points", "pixels", "mean, 95%", "p", "seeds ahead"], rows)


def ablated(results: Results) -> Table:
    """What each ablation has more, or less, than what it was made of, over all pixels and near boundaries.

    And than the plain net that was trained as long, near boundaries.
    """
    rows = []
    for variant in results.variants:
        if reference := variant.against:
            found = [results.compare(variant.name, reference, width) for width in (WHOLE, 2, NEAR)]
            plain = results.compare(variant.name, PLAIN_OF[reference], NEAR)
            cells = [*map(_interval, found), _p(found[-1].p), _interval(plain)]
            rows.append([variant.title, results.named(reference).title, *cells])
    near = f"{NEAR} px"
    return Table(["changed", "against", "all pixels", "2 px", near, f"p, {near}", f"over plain, {near}"], rows)


def verdict(results: Results) -> list[str]:
    """Sentences: whether each step of the claim holds, and where the gain is largest."""
    found = []
    for name, other in results.claim():
        words = f"{results.named(name).title}, against {results.named(other).title}"
        whole, near = results.compare(name, other), results.compare(name, other, NEAR)
        widest = results.widest_gain(name, other)
        found.append(
            f"{words[0].upper()}{words[1:]}: {_held(whole)} over all pixels, {_held(near)} within {NEAR} px of "
            f"boundaries; the mean gain is largest in the trimap of {widest} px."
        )
    return found


def _held(gain: Comparison) -> str:
    if gain.seeds < 2 or math.isnan(gain.p):
        return f"{gain.mean:+.1f} (no test)"
    kind = "a gain" if gain.mean > 0 else "a loss"
    return f"{gain.mean:+.1f}, {kind if gain.p < SIGNIFICANT else 'not significant'} (p = {_p(gain.p)})"


def _mean(cell: Spread, seeds: int) -> str:
    """With its deviation, which a single seed has not."""
    return f"{cell.mean:.1f}" + (f" ± {cell.deviation:.1f}" if seeds > 1 else "")


def _interval(gain: Comparison) -> str:
    """With its interval, which a single seed has not."""
    return f"{gain.mean:+.1f}" + ("" if math.isnan(gain.interval) else f" ± {gain.interval:.1f}")


def _gain(gain: Comparison, width: int) -> list[str]:
    return [f"{width} px" if width else "all", _interval(gain), _p(gain.p), f"{gain.ahead} of {gain.seeds}"]


def _p(p: float) -> str:
    if math.isnan(p):
        return "-"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"
