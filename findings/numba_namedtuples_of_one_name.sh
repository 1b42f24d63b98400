#!/bin/sh
# What a call of a compiled function costs when it is handed a NamedTuple. One would think: the same for every class of
# as many fields, half a microsecond or so. Where two classes in one process have the same name, the same fields and
# the same types of values (``Grid`` of two modules, a module that was imported twice), calls with the one that was
# compiled second take some forty times as long, each time: tens of microseconds. Another name for the class, or for
# one of its fields, and the call is as quick as any.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numba==0.68.1" "numpy==2.4.6"
cat > "$folder/try.py" <<'P'
import sys
import time
from typing import NamedTuple

import numba


def make(name, fields):
    return NamedTuple(name, [(field, int) for field in fields])


def microseconds(given):
    compiled = numba.njit(lambda grid: grid[0])
    compiled(given)
    least = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(500):
            compiled(given)
        least = min(least, (time.process_time() - start) / 500 * 1e6)
    return least


CLASSES = {
    "the first": make("Grid", ["height", "width", "pitch"]),
    "the same again": make("Grid", ["height", "width", "pitch"]),
    "other fields": make("Grid", ["height", "width", "step"]),
    "other name": make("Plane", ["height", "width", "pitch"]),
}
took = {name: microseconds(made(1, 2, 3)) for name, made in CLASSES.items()}
print(f"numba {numba.__version__}, microseconds a call: " + ", ".join(f"{name} {us:.1f}" for name, us in took.items()))
quick = max(us for name, us in took.items() if name != "the same again")
sys.exit(took["the same again"] < 5 * quick)
P
if "$folder/venv/bin/python" "$folder/try.py"; then echo "as found"; else echo "CHANGED"; exit 1; fi
