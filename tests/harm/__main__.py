"""``python -m tests.harm``: kills, full disks and pairs of processes; docs/reliability.md has the figures."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.harm import jobs
from tests.harm.full_disks import fill_disks
from tests.harm.kills import KINDS, kill_jobs, kill_training
from tests.harm.pairs import run_pairs

Action = Callable[..., "Counter[str]"]


def main() -> int:
    """Do all, or as much as the options say; an AssertionError tells what was lost or mixed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills of trainings, half of them with HDF5 snapshots")
    parser.add_argument("--other-kills", type=int, default=170, help="kills of other commands")
    parser.add_argument("--full", type=int, default=76, help="commands that meet a full disk")
    parser.add_argument("--pairs", type=int, default=76, help="pairs of processes on one target")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    actions: list[tuple[str, int, Action]] = [
        *((f"kills of train, {kind}", options.kills // 2, partial(kill_training, kind)) for kind in KINDS),
        ("kills of other commands", options.other_kills, kill_jobs),
        ("full disks", options.full, fill_disks),
        ("pairs", options.pairs, run_pairs),
    ]
    for name, count, action in actions:
        if count:
            _tell(name, partial(action, count=count, seed=options.seed))
    return 0


def _tell(name: str, action: Callable[[Path], Counter[str]]) -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        jobs.prepare(Path(folder))
        figures = action(Path(folder))
    told = ", ".join(f"{number} {what}" for what, number in figures.items())
    print(f"{name}: {told}; {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
