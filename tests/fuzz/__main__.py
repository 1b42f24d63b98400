"""``python -m tests.fuzz --count 30000``: read damaged inputs, print a table by kind, and what failed."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.all_kinds import KINDS
from tests.fuzz.kinds import write
from tests.fuzz.run import Outcome, run_kind


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30000, help="how many inputs, divided among the kinds")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each kind")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only these kinds")
    parser.add_argument("--write", metavar="FOLDER", help="write input --first of --kind instead of reading any")
    options = parser.parse_args()
    kinds = options.kind or list(KINDS)
    if options.write:
        write(Path(options.write), KINDS[kinds[0]].case(kinds[0], options.first))
        return 0
    start, total, each = time.perf_counter(), Outcome(), -(-options.count // len(kinds))
    print("| input | damaged | loaded | refused | failed | longest | most memory |\n|---|---|---|---|---|---|---|")
    for kind in kinds:
        outcome = run_kind(kind, options.first, options.first + each)
        print(_row(kind, outcome), flush=True)
        for failure in outcome.failures:
            print(f"{failure.kind} {failure.number}: {failure.what}", file=sys.stderr, flush=True)
        total.loaded, total.refused = total.loaded + outcome.loaded, total.refused + outcome.refused
        total.seconds, total.megabytes = max(total.seconds, outcome.seconds), max(total.megabytes, outcome.megabytes)
        total.failures += outcome.failures
    print(_row("all", total))
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    return 1 if total.failures else 0


def _row(kind: str, outcome: Outcome) -> str:
    failed = len(outcome.failures)
    count = outcome.loaded + outcome.refused + failed
    figures = (
        count,
        outcome.loaded,
        outcome.refused,
        failed,
        f"{outcome.seconds:.2f} s",
        f"{outcome.megabytes:.0f} MB",
    )
    return f"| {kind} | {' | '.join(map(str, figures))} |"


if __name__ == "__main__":
    raise SystemExit(main())
