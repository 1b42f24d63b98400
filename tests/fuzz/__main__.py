"""``python -m tests.fuzz --count 20000``: read damaged files and tell which failed."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.fuzz.files import READERS, seeds
from tests.fuzz.mutate import mutate
from tests.fuzz.run import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20000, help="how many files")
    parser.add_argument("--first", type=int, default=0, help="number of the first file of each kind")
    parser.add_argument("--kind", choices=READERS, action="append", help="only these kinds")
    parser.add_argument("--write", metavar="FILE", help="write file --first of --kind instead of reading any")
    options = parser.parse_args()
    if options.write:
        kind = options.kind[0]
        Path(options.write).write_bytes(mutate(kind, seeds()[kind], options.first))
        return 0
    start = time.perf_counter()
    outcome = run(options.count, options.kind, options.first)
    for failure in outcome.failures:
        print(f"{failure.kind} {failure.number}: {failure.what}")
    print(
        f"{outcome.loaded} loaded, {outcome.refused} refused, {len(outcome.failures)} failed; at most "
        f"{outcome.seconds:.2f} s and {outcome.megabytes:.0f} MB for a file; {time.perf_counter() - start:.0f} s in all"
    )
    return 1 if outcome.failures else 0


raise SystemExit(main())
