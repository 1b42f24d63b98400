"""Each example of each layer type, exported and run by another program, one by one.

``python -m benchmarks.export_layers write FOLDER`` writes the models of tests/cases with inputs and what the layers
make of them. ``python -m benchmarks.export_layers run FOLDER PROGRAM``, in any environment that has the program, prints
a row of the table in docs/export.md: how many agree, to 1e-4 of the largest value, which types the program computes
otherwise, which it does not read or run, and at which it ends.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segcaffe.export.proof.compare import TOLERANCE
from segcaffe.export.runtimes import runtime
from segcaffe.export.runtimes.base import RuntimeRefusedError

VERDICTS = "agrees", "otherwise", "not read", "ends"


def write_models(folder: Path) -> None:
    """A model and an archive of values for each example, ``<type>__<number>.onnx`` and ``.npz``."""
    from segcaffe.errors import ExportError
    from segcaffe.export.onnx import Options, export_net, write
    from segcaffe.export.onnx.registry import mapped_types
    from tests.cases import all_cases
    from tests.export.onnx.running import source_of

    folder.mkdir(parents=True)
    for number, case in enumerate(case for case in all_cases() if case.type in mapped_types()):
        source = source_of(case)
        try:
            exported = export_net(source, Options(batch="fixed"))
        except ExportError:
            continue
        name = f"{case.type}__{number:03d}"
        write(exported.model, folder / f"{name}.onnx")
        given = dict(zip(source.net.inputs, case.inputs(), strict=True))
        for blob, values in given.items():
            source.net.blobs[blob].data[...] = values
        source.net.forward()
        made = {f"out:{blob}": source.net.blobs[blob].data for blob in source.outputs}
        np.savez(folder / f"{name}.npz", **{f"in:{blob}": values for blob, values in given.items()}, **made)


def look(folder: Path, program: str, start: int) -> None:
    """Run the models from ``start`` on; prints a line for each before it is run, and its verdict after that."""
    opened = runtime(program)
    for file in models(folder)[start:]:
        print(json.dumps(file.stem), flush=True)
        with np.load(file.with_suffix(".npz")) as values:
            given = {name[3:]: values[name] for name in values.files if name.startswith("in:")}
            wanted = {name[4:]: values[name] for name in values.files if name.startswith("out:")}
        try:
            found = opened.open(file)(given)
        except RuntimeRefusedError:
            print(json.dumps([file.stem, "not read"]), flush=True)
            continue
        same = all(name in found and _agree(found[name], wanted[name]) for name in wanted)
        print(json.dumps([file.stem, "agrees" if same else "otherwise"]), flush=True)


def _agree(found: np.ndarray, wanted: np.ndarray) -> bool:
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    if found.size != wanted.size:
        return False
    return np.allclose(found.reshape(-1), wanted.reshape(-1), rtol=0, atol=TOLERANCE * largest, equal_nan=True)


def models(folder: Path) -> list[Path]:
    """The models of a folder, in order."""
    return sorted(folder.glob("*.onnx"))


def row(folder: Path, program: str) -> str:
    """The table's row; a program that ends is started again behind the model that it ended with."""
    verdicts: dict[str, str] = {}
    count, done = len(models(folder)), 0
    while done < count:
        words = [sys.executable, "-m", "benchmarks.export_layers", "look", str(folder), program, "--start", str(done)]
        lines = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
        for said in map(json.loads, (line for line in lines if line.startswith(('"', "[")))):
            name, verdict = said if isinstance(said, list) else (said, "ends")
            verdicts[name] = verdict
        if len(verdicts) == done:
            raise SystemExit(f"{program} does not start.")
        done = len(verdicts)
    cells = [_types(verdicts, verdict) for verdict in VERDICTS[1:]]
    agree = sum(verdict == "agrees" for verdict in verdicts.values())
    return f"| {runtime(program).title()} | {count} | {agree} | {' | '.join(cells)} |"


def _types(verdicts: dict[str, str], wanted: str) -> str:
    found = dict.fromkeys(name.partition("__")[0] for name, verdict in verdicts.items() if verdict == wanted)
    return ", ".join(found) or "none"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the models, or run them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("write", "run", "look"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("program", nargs="?", default="onnxruntime")
    parser.add_argument("--start", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.action == "write":
        write_models(options.folder)
    elif options.action == "look":
        look(options.folder, options.program, options.start)
    else:
        print(row(options.folder, options.program))


if __name__ == "__main__":
    main()
