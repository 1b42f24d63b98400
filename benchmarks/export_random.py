"""Random nets, exported and compared in every installed program: python -m benchmarks.export_random [--nets N].

The nets are those of tests/export/random_nets.py, by the seeds 0 to N - 1. For each program the table has how many nets
agree, which layers the program computes otherwise (the first that differs), and what it says of nets that it refuses,
by the layer types that all of those have and others have not. ``--out FILE`` keeps the results, net by net: a run that
a program ended goes on behind the net that it ended with. ``--table FILE ...`` joins those of several environments.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from segcaffe.export.onnx import Options, export_net, write
from segcaffe.export.proof.compare import TOLERANCE
from segcaffe.export.proof.described import describe_onnx
from segcaffe.export.proof.prove import Judged, prove
from segcaffe.export.runtimes import RUNTIMES
from segcaffe.export.source import Source
from tests.export.random_nets import random_net

Row = dict[str, Any]
ENDED = "ends"
"""The verdict on a program that did not come back."""


def measure(seed: int, names: Sequence[str], keep: Callable[[Row], None]) -> Row:
    """One net: the types of its layers, and what each program makes of it; ``keep`` gets what is known on the way."""
    source = random_net(Random(seed))
    row: Row = {"types": _types(source), "programs": {}}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        write(export_net(source, Options()).model, file)
        for name in names:
            program = RUNTIMES[name]()
            row["programs"][f"{name} {program.version()}"] = ENDED
            keep(row)
            (judged,) = prove(source.net, file, describe_onnx(file), [program]).judged
            row["programs"][f"{name} {program.version()}"] = _verdict(judged)
    keep(row)
    return row


def _verdict(judged: Judged) -> str:
    """``agrees``, ``wrong: TYPE`` or ``refused``."""
    if judged.refused:
        return "refused"
    if judged.holds(TOLERANCE):
        return "agrees"
    spot = judged.blame.spot if judged.blame is not None else None
    return f"wrong: {spot.node.param.type if spot is not None else 'no single blob'}"


def _types(source: Source) -> list[str]:
    found = {layer.type for layer in source.net.layer_list}
    return sorted(found - {"Input", "Split"})


def table(files: Sequence[Path]) -> str:
    """The results of several environments."""
    by_program: dict[str, list[tuple[set[str], str]]] = defaultdict(list)
    for file in files:
        for row in json.loads(file.read_text(encoding="utf-8")).values():
            for title, verdict in row["programs"].items():
                by_program[title].append((set(row["types"]), verdict))
    lines = ["| program | nets | agree | computes otherwise (first) | refuses | ends |", "|---|---|---|---|---|---|"]
    for title, found in sorted(by_program.items()):
        agree = sum(verdict == "agrees" for _, verdict in found)
        wrong = Counter(verdict.removeprefix("wrong: ") for _, verdict in found if verdict.startswith("wrong"))
        lines.append(
            f"| {title} | {len(found)} | {agree} | {_counts(wrong)} | {_counts(_suspects(found, 'refused'))} | "
            f"{_counts(_suspects(found, ENDED))} |"
        )
    return "\n".join(lines)


def _suspects(found: Sequence[tuple[set[str], str]], wanted: str) -> Counter[str]:
    """The types of nets with a verdict that no net has which was read; how many nets have each."""
    read = set().union(*(types for types, verdict in found if verdict not in ("refused", ENDED)))
    suspects: Counter[str] = Counter()
    for types, verdict in found:
        if verdict == wanted:
            suspects.update(types - read or {"others"})
    return suspects


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counter.most_common()) or "none"


def main() -> int:
    """Measure, or join."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--runtimes", help="programs, separated by commas (default: all that are installed)")
    parser.add_argument("--out", type=Path, help="file for the results")
    parser.add_argument("--table", nargs="+", type=Path, metavar="FILE", help="print the table of these results")
    options = parser.parse_args()
    if options.table:
        print(table(options.table))
        return 0
    names = options.runtimes.split(",") if options.runtimes else [n for n, cls in RUNTIMES.items() if cls.installed()]
    results: dict[str, Row] = {}
    if options.out and options.out.exists():
        results = json.loads(options.out.read_text(encoding="utf-8"))

    def keep(seed: int, row: Row) -> None:
        results[str(seed)] = row
        if options.out:
            options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")

    for seed in range(options.nets):
        if str(seed) not in results:
            row = measure(seed, names, partial(keep, seed))
            print(seed, row["types"], row["programs"], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
