"""Commands that meet a full disk: what was there stays, the message says why, and with more space they go on."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segcaffe.cli.main import main
from segcaffe.files.leftovers import remove
from tests.harm.content import content, leftovers
from tests.harm.jobs import JOBS, Job, pick
from tests.harm.processes import done, fork, run

_SIZE = 32 << 20
_BLOCK = 4096
FULL = "the disk is full"
TOO_LARGE = "File too large", "Input/output error"
"""What the system says of files that may not grow; LMDB, of which it took a part, only the second."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of 32 MB of its own; None where it may not be mounted."""
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield disk
    finally:
        # At once, though results that were read may still be mapped into memory.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill_disks(folder: Path, count: int, seed: int = 1) -> Counter[str]:
    """Run ``count`` commands each of which has too little space, half of them with an older result in its place."""
    rng, figures = random.Random(seed), Counter[str]()
    with small_disk(folder) as disk:
        figures["on a full disk" if disk else "with files that may not grow"] = 0
        for number in range(count):
            job, replaces = pick(JOBS, number)
            replaces = replaces and not job.grows
            target = (disk or folder) / job.target
            # Where file after file is replaced, each needs no more than its own space.
            part = 0.0 if replaces and job.fills else rng.choice((0.0, rng.uniform(0, 0.9)))
            _one(job, target, folder, replaces, part, disk)
            figures["on a full disk" if disk else "with files that may not grow"] += 1
            figures["with an older result"] += replaces
            remove(target)
    return figures


def _one(job: Job, target: Path, folder: Path, replaces: bool, part: float, disk: Path | None) -> None:
    """``part``: how much of the space that the result takes there is."""
    done(job.command("b", target), folder)
    new, needed = content(target), _bytes(target)
    largest = max(file.stat().st_size for file in [target, *target.rglob("*")] if file.is_file())
    remove(target)
    if replaces:
        done(job.command("a", target), folder)
    old = content(target) if replaces else None
    words = job.command("b", target, replaces)
    if disk:
        with _filled(disk, int(needed * part)):
            status, told = run(words, folder)
    else:
        status, told = fork(lambda: _limited(words, int(largest * part)), folder).wait()
    where = f"{job.name}, {part:.2f} of {needed} bytes, {'replacing' if replaces else 'new'}"
    assert status == 2, f"{where}: status {status}: {told}"
    assert any(text in told for text in ((FULL,) if disk else TOO_LARGE)), f"{where}: {told}"
    assert "Traceback" not in told, f"{where}: {told}"
    _check(job, where, target, old, new)
    status, told = run(job.command("b", target, replaces), folder)
    assert status == 0, f"{where}, with more space: {told}"
    assert content(target) == new, f"{where}, with more space: another result"
    assert not leftovers(target.parent), f"{where}: left {leftovers(target.parent)}"


def _check(job: Job, where: str, target: Path, old: object, new: object) -> None:
    there = content(target) if target.exists() else None
    if job.grows:
        assert there is None or set(there) == set(new), f"{where}: the batches that had space are gone"  # type: ignore[call-overload]
    elif not job.fills:
        assert there == old, f"{where}: the old result is gone"
    elif isinstance(old, dict) and isinstance(there, dict) and isinstance(new, dict):
        for name, value in old.items():
            assert isinstance(value, dict) or there[name] in (value, new[name]), f"{where}: {name} is not whole"
    hidden = [path for path in leftovers(target.parent) if path.suffix != ".lock"]
    assert not hidden, f"{where}: left {hidden}"


def _limited(words: list[str], size: int) -> int:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return main(words)


@contextmanager
def _filled(disk: Path, free: int) -> Iterator[None]:
    """Leave only so many bytes, in whole blocks, on a disk."""
    filler = disk / "filler"
    there = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(_BLOCK, there.f_bavail * there.f_bsize - free // _BLOCK * _BLOCK))
    try:
        yield
    finally:
        filler.unlink()


def _bytes(path: Path) -> int:
    """The blocks that a file or all files of a folder take."""
    return sum(file.stat().st_blocks * 512 for file in [path, *path.rglob("*")])
