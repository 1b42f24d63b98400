"""Compiles the layers' kernels ahead of a run of many tests, where the cache of kernels has none.

Numba keeps whatever it made on the way to a kernel. A process that compiles them all takes 0.8 GB more than one that
finds them in the cache; here these processes end before the tests begin.

By hand: ``python -m tests.compile_kernels``.
"""

from __future__ import annotations

import subprocess
import sys

from segcaffe.jit import cache_folder
from tests.conftest import ROOT

ENOUGH = 100
"""Kernels in the cache of a machine on which not just a command or two has run."""


def main() -> None:
    folder = cache_folder.folder()
    if folder is None or len(list(folder.iterdir())) > ENOUGH:
        return
    print("Compiling the kernels (this takes a minute or two) ...", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", "tests/test_every_layer.py"]
    # These tests run again with all others, which tell what is wrong.
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
