"""Two processes that write to one target at once: the result is that of one of them, whole."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from segcaffe.files.leftovers import remove
from tests.harm.content import content, leftovers
from tests.harm.jobs import JOBS, TRAIN, Job, pick
from tests.harm.processes import done, start

REFUSED = "is writing there"
LATE = "exists already", "were made with other settings"


def run_pairs(folder: Path, count: int, seed: int = 1) -> Counter[str]:
    """Start ``count`` pairs: two versions of a command, or a training and one that goes on from a snapshot."""
    rng, figures = random.Random(seed), Counter[str]()
    expected: dict[tuple[Job, str], Any] = {}
    for number in range(count):
        job, replaces = pick(JOBS, number)
        target = folder / job.target
        remove(target)
        for version in "ab":
            if (job, version) not in expected:
                done(job.command(version, target), folder)
                expected[job, version] = content(target)
                remove(target)
        if replaces:
            done(job.command("a", target), folder)
        second = job.command("b", target, replaces)
        if replaces and job in TRAIN:
            second = _resumed(second, target)
        statuses = _both(folder, job.command("a", target, replaces), second, rng)
        refused = [told for status, told in statuses if status == 2]
        assert len(refused) < 2, f"{job.name}: both were refused: {statuses}"
        assert all(status in (0, 2) for status, _ in statuses), f"{job.name}: {statuses}"
        assert all(any(text in told for text in (REFUSED, *LATE)) for told in refused), f"{job.name}: {refused}"
        assert content(target) in (expected[job, "a"], expected[job, "b"]), f"{job.name}: the two results are mixed"
        assert not leftovers(folder), f"{job.name}: left {leftovers(folder)}"
        figures["pairs"] += 1
        figures["second refused"] += any(REFUSED in told for told in refused)
        figures["one after the other"] += not any(REFUSED in told for told in refused)
        remove(target)
    return figures


def _resumed(words: list[str], target: Path) -> list[str]:
    """A training of version a that goes on from the snapshot of its iteration 4."""
    state = min(path for path in target.glob("snap_iter_4.solverstate*") if path.suffix != ".json")
    return [*(word.replace("solver_b", "solver_a") for word in words), "--snapshot", str(state)]


def _both(folder: Path, first: list[str], second: list[str], rng: random.Random) -> list[tuple[int, str]]:
    """Run two commands that begin at the same moment, or up to a tenth of a second apart."""
    begin = time.time() + 0.1
    late = rng.choice((0.0, 0.0, rng.uniform(0, 0.1)))
    both = [start(first, folder, begin), start(second, folder, begin + late)]
    return [running.wait() for running in both]
