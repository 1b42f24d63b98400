"""What a check reports."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is probably not meant.

    Attributes
    ----------
    check:
        Short name of the check, as in ``adam-momentum``.
    where:
        File and line, with the layer where there is one.
    what:
        What stands there.
    why:
        What it leads to.
    write:
        What to write instead.
    """

    check: str
    where: str
    what: str
    why: str
    write: str

    def text(self, width: int = 110) -> str:
        """Return the finding as a short paragraph."""
        lines = [f"{self.where}: {self.what} [{self.check}]"]
        lines += [f"    why: {self.why}", f"    write: {self.write}"]
        return "\n".join(
            textwrap.fill(line, width, subsequent_indent="        ", break_long_words=False, break_on_hyphens=False)
            for line in lines
        )
