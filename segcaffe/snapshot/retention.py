"""Removing old snapshots, so that a long run does not fill the disk."""

from __future__ import annotations

import re
from pathlib import Path

_FILES = r"_iter_(\d+)\.(caffemodel|solverstate)(\.h5)?(\.segcaffe\.json)?"
_ORDER = (".solverstate", ".solverstate.h5")


def keep_newest(prefix: str, iteration: int, keep: int) -> list[Path]:
    """Remove all but the ``keep`` newest snapshots of a prefix up to an iteration; return what was removed.

    States go before what they need, so that at every moment each state that is there is complete. Snapshots of later
    iterations, from another run, stay.
    """
    snapshots: dict[int, list[Path]] = {}
    name = re.compile(re.escape(Path(prefix).name) + _FILES)
    for path in Path(prefix).parent.glob("*_iter_*"):
        match = name.fullmatch(path.name)
        if match is not None and int(match[1]) <= iteration:
            snapshots.setdefault(int(match[1]), []).append(path)
    removed = []
    for old in sorted(snapshots)[:-keep]:
        for path in sorted(snapshots[old], key=lambda path: not path.name.endswith(_ORDER)):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed
