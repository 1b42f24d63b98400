"""Run a script written for Caffe as it is: ``python -m segcaffe.as_caffe script.py [arguments]``.

In the script ``import caffe``, ``import caffe.io``, ``from caffe.proto import caffe_pb2`` and the like give segcaffe's
modules: the very same objects, not copies. In a notebook call `install` first; `uninstall` ends it.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from segcaffe.wiring.aliases import install_caffe as install
from segcaffe.wiring.aliases import uninstall_caffe as uninstall

__all__ = ["install", "main", "uninstall"]


def main(arguments: Sequence[str]) -> None:
    """Run the script (or, after ``-m``, the module) that the arguments name, with the rest as its own."""
    if not arguments or arguments == ["-m"]:
        sys.exit("usage: python -m segcaffe.as_caffe [-m] SCRIPT [ARGUMENT ...]")
    install()
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        sys.path.insert(0, "")
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    if not Path(arguments[0]).is_file():
        sys.exit(f"segcaffe.as_caffe: {arguments[0]}: there is no such script.")
    sys.argv = list(arguments)
    sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
