"""Run a script written for Caffe as it is: ``python -m segcaffe.as_caffe script.py [arguments]``.

In the script ``import caffe``, ``import caffe.io``, ``from caffe.proto import caffe_pb2`` and the like give segcaffe's
modules: the very same objects, not copies. In a notebook call `install` first.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


class _Alias(Loader):
    """Gives a module that exists under another name, and leaves it as it is."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just written its own spec over that of the module.
        module.__spec__ = self.spec


class _Finder(MetaPathFinder):
    """Finds ``caffe`` and ``caffe.x`` in ``segcaffe`` and ``segcaffe.x``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        if root != "caffe":
            return None
        name = f"segcaffe.{rest}" if rest else "segcaffe"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            return None
        return ModuleSpec(fullname, _Alias(module), is_package=hasattr(module, "__path__"))


def install() -> None:
    """Make ``import caffe`` find segcaffe in this process, from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def uninstall() -> None:
    """End what `install` began; modules that were imported keep what they have."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "caffe"]:
        del sys.modules[name]


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
