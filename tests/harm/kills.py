"""Kill -9 at random moments: what is there is whole, the next run removes what is left and comes to the same result."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from segcaffe.snapshot.files import crc32_of
from segcaffe.solver.registry import get_solver
from tests.harm.content import content, leftovers
from tests.harm.jobs import FORMATS, KILLED, Job, pick
from tests.harm.processes import done, fork, run, start

ENDLESS = "1000000000"


def kill_jobs(folder: Path, count: int, seed: int = 1) -> Counter[str]:
    """Kill ``count`` runs of commands other than train, half of them as they replace an older result."""
    rng, figures = random.Random(seed), Counter[str]()
    expected, seconds = {}, {}
    for number in range(count):
        job, replaces = pick(KILLED, number)
        target = folder / job.target
        for version in "ba":
            if (job, version) not in expected:
                began = time.perf_counter()
                done(job.command(version, target, target.exists()), folder)
                seconds[job] = time.perf_counter() - began
                expected[job, version] = content(target)
        if replaces:
            done(job.command("a", target, True), folder)
        else:
            _remove(target)
        running = start(job.command("b", target, replaces), folder)
        if rng.random() < 0.3:
            time.sleep(rng.uniform(0, seconds[job]))
        else:
            _wait(partial(_is_written, target), seconds[job])
            time.sleep(rng.uniform(0, 0.008))
        running.kill()
        status, _ = running.wait()
        figures["kills"] += status == -9
        figures["left something"] += bool(leftovers(folder))
        _check(job, target, expected[job, "a"] if replaces else None, expected[job, "b"])
        figures["kept the old result"] += replaces and content(target) == expected[job, "a"]
        _finish(job, target, folder, expected[job, "b"])
    return figures


def _is_written(target: Path) -> bool:
    return any(target.parent.glob(f".{target.name}.*.tmp")) or any(target.rglob(".*.tmp"))


def _wait(until: Callable[[], bool], seconds: float) -> None:
    """Wait for something, but only so long."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        time.sleep(0.001)


def _check(job: Job, target: Path, old: Any, new: Any) -> None:
    """Every file that is there is whole: the old one or the new one; where there was an old one, there is one."""
    there = content(target) if target.exists() else None
    if not job.fills:
        assert there in (old, new), f"{job.name}: what is there is neither the old nor the new result"
        assert old is None or there is not None, f"{job.name}: the old result is gone"
        return
    for name, value in (there or {}).items():
        _check_part(job.name, name, value, (old or {}).get(name), new.get(name))
    assert set(old or {}) <= set(there or {}), f"{job.name}: files of the old result are gone"


def _check_part(job: str, name: str, value: Any, old: Any, new: Any) -> None:
    if isinstance(value, dict) and isinstance(new, dict) and not name.endswith(".json"):
        for inner, part in value.items():
            _check_part(job, f"{name}/{inner}", part, (old or {}).get(inner), new.get(inner))
    else:
        assert value in (old, new), f"{job}: {name} is not whole"


def _finish(job: Job, target: Path, folder: Path, new: Any) -> None:
    """The command once more: it comes to its end, and nothing of the killed one stays.

    What fills a folder goes on as a user would let it, without asking for everything anew.
    """
    replaces = target.exists() and not job.fills
    status, told = run(job.command("b", target, replaces), folder)
    if status and job.fills and "other settings" in told:
        # Killed before it noted that it was going to replace them.
        status, told = run(job.command("b", target, True), folder)
    assert status == 0, f"{job.name}: {told}"
    assert content(target) == new, f"{job.name}: another result than undisturbed"
    assert not leftovers(folder), f"{job.name}: left {leftovers(folder)}"


def _remove(target: Path) -> None:
    from segcaffe.files.leftovers import remove

    remove(target)


def kill_training(kind: str, folder: Path, count: int, seed: int = 1) -> Counter[str]:
    """Kill ``count`` trainings that each go on from what the one before left, and compare with an undisturbed one."""
    rng, figures = random.Random(seed), Counter[str]()
    seen: dict[int, tuple[int, ...]] = {}
    while figures["kills"] < count or not seen:
        newest = _states(folder)[-1:]
        words = ["train", "--solver", f"solver_a_{kind}.prototxt", "--max_iter", ENDLESS]
        running = start([*words, *(["--snapshot", newest[0].name] if newest else [])], folder)
        if rng.random() < 0.8:
            _wait(lambda before=newest: _states(folder)[-1:] != before, 10.0)
        time.sleep(rng.uniform(0, 0.3))
        running.kill()
        status, told = running.wait()
        assert status == -9, told
        figures["kills"] += 1
        figures["left something"] += any(path.suffix == ".tmp" for path in leftovers(folder))
        figures["resumed"] += bool(newest) and _states(folder)[-1] != newest[0]
        _note(folder, seen)
    status, told = fork(lambda: _compare(folder, kind, seen), folder).wait()
    assert status == 0, told
    assert not leftovers(folder), leftovers(folder)
    figures["snapshots compared"] += len(seen)
    figures["iterations"] = max(seen, default=0)
    return figures


def _states(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("snap_*.solverstate*") if path.suffix != ".json"), key=_iteration)


def _iteration(path: Path) -> int:
    match = re.search(r"_iter_(\d+)", path.name)
    assert match is not None
    return int(match[1])


def _files(state: Path) -> tuple[Path, ...]:
    return state.with_name(state.name.replace("solverstate", "caffemodel")), state, Path(f"{state}.segcaffe.json")


def _note(folder: Path, seen: dict[int, tuple[int, ...]]) -> None:
    """Note the checksums of the snapshots that are there; all but the newest are removed."""
    states = _states(folder)
    for state in states:
        seen[_iteration(state)] = tuple(crc32_of(path) for path in _files(state))
    for state in states[:-1]:
        for path in _files(state):
            path.unlink()


def _compare(folder: Path, kind: str, seen: dict[int, tuple[int, ...]]) -> int:
    """Run without a kill, and compare each snapshot, bit for bit, with what was noted."""
    solver = get_solver(folder / f"solver_a_{kind}.prototxt")
    solver.param.snapshot = 0
    for iteration, checksums in sorted(seen.items()):
        solver.step(iteration - solver.iter)
        _, state = solver.snapshot()
        found = tuple(crc32_of(path) for path in _files(state))
        same = [one == other for one, other in zip(found, checksums, strict=True)]
        assert all(same), (
            f"iteration {iteration}: not what an undisturbed run comes to (weights, state, side file): {same}"
        )
        for path in _files(state):
            path.unlink()
    return 0


KINDS = tuple(FORMATS)
