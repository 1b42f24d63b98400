"""What cannot be written in another format: told of all layers at once, with places, reasons and a way on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from segcaffe.errors import ExportError, Place
from segcaffe.text.words import counted


class Refusal(NamedTuple):
    """A layer that cannot go out: why, and what to do about it."""

    layer: str
    type: str
    place: Place | None
    reason: str
    advice: str = ""

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        advice = f" {self.advice.rstrip('.')}." if self.advice else ""
        return f'{place}layer "{self.layer}" ({self.type}): {self.reason.rstrip(".")}.{advice}'


class RefusedError(ExportError):
    """A net some of whose layers cannot go out; ``refusals`` are these."""

    def __init__(self, refusals: Sequence[Refusal], advice: str) -> None:
        self.refusals = list(refusals)
        first = self.refusals[0]
        if len(self.refusals) == 1:
            text = f"{Refusal(*first[:2], None, *first[3:])} {advice}"
            super().__init__(text, layer=first.layer, place=first.place)
            return
        lines = "\n".join(f"  {refusal}" for refusal in self.refusals)
        super().__init__(f"{counted(len(self.refusals), 'layer')} cannot be exported:\n{lines}\n{advice}")
