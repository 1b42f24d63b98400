"""Measures what each step of docs/recipes.md brings and writes the page's table: python tools/measure_recipes.py.

For each seed (of images and training alike) the commands that the page prints are run as they are printed, in a folder
of their own. The table has the mean of the seeds and, behind ±, their standard deviation.

    python tools/measure_recipes.py [--seeds 8] [--folder FOLDER] [--check]

What a seed has given is kept in FOLDER (default: a temporary one) and not measured again. One seed takes a few minutes
on one core. With ``--check`` the page is not written; the status is 1 if its table is another one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "recipes.md"
NETS = {"plain": "without masks", "segaware": "segmentation-aware", "segaware_crf": "with a CRF on embeddings"}
BEGIN, END = "<!-- table of tools/measure_recipes.py -->\n", "<!-- end of the table -->\n"

Scores = dict[str, tuple[float, float, float]]
"""By net, in per cent: mean IoU, the same within 2 pixels of a boundary, within 5."""


def commands(page: str) -> list[list[str]]:
    """The commands of a page's blocks that are marked to be run."""
    blocks = re.findall(r"^```sh run\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("segcaffe ")]


def seeded(command: list[str], seed: int) -> list[str]:
    """A command with its seed, and for `eval` with the file that it writes its results to."""
    words = command[1:]
    if words[:2] == ["data", "make-scenes"]:
        return [*words, "--seed", str(seed)]
    if words[0] == "train":
        return [*words, "--random_seed", str(seed)]
    if words[0] == "eval":
        return [*words, "--json", f"{Path(words[1]).name}.json"]
    return words


def measure(seed: int, folder: Path) -> Scores:
    """Run the page's commands in a folder; what it holds already is not run again."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "configs").exists():
        (folder / "configs").symlink_to(ROOT / "configs")
    if not all((folder / f"{net}.json").exists() for net in NETS):
        for command in commands(PAGE.read_text()):
            _run(seeded(command, seed), folder)
    return {net: _scores(folder / f"{net}.json") for net in NETS}


def table(results: Sequence[Scores]) -> str:
    """Return the table: mean and standard deviation over the seeds."""
    lines = ["| | mean IoU | within 2 pixels of a boundary | within 5 |", "|---|---:|---:|---:|"]
    for net, title in NETS.items():
        columns = zip(*(scores[net] for scores in results), strict=True)
        cells = [f"{statistics.mean(values):.1f} ± {_spread(values):.1f}" for values in columns]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def printed(page: str) -> dict[str, list[tuple[float, float]]]:
    """Mean and spread in the page's table, by net."""
    rows = page.partition(BEGIN)[2].partition(END)[0].splitlines()
    found = {}
    for net, title in NETS.items():
        row = next(row for row in rows if row.startswith(f"| {title} |"))
        found[net] = [(float(mean), float(spread)) for mean, spread in re.findall(r"([\d.]+) ± ([\d.]+)", row)]
    return found


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _scores(path: Path) -> tuple[float, float, float]:
    found = json.loads(path.read_text())
    places = (found, found["trimap"]["2"], found["trimap"]["5"])
    first, second, third = (100 * float(place["mean_iou"]) for place in places)
    return first, second, third


def _run(words: list[str], folder: Path) -> None:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "segcaffe.cli.main", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"segcaffe {shlex.join(words)}\n{done.stdout}{done.stderr}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write the table; the status of ``--check``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        results = []
        for seed in range(1, options.seeds + 1):
            results.append(measure(seed, folder.resolve() / f"seed_{seed}"))
            print(f"seed {seed}: {results[-1]}", flush=True)
    text = table(results)
    print(text)
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    written = before + BEGIN + text + END + rest.partition(END)[2]
    if options.check:
        return int(written != page)
    PAGE.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
