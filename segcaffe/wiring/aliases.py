"""Second names of modules: ``segcaffe.io`` for ``segcaffe.pycaffe.io`` and, on demand, ``caffe.x`` for ``segcaffe.x``.

An alias is the very same module object, not a copy: types and settings are one, whatever name a script imports.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

PYCAFFE = ("_caffe", "as_caffe", "classifier", "coord_map", "detector", "draw", "io", "net_spec")
"""Modules of the folder ``pycaffe/`` that are public as ``segcaffe.x``, most since pycaffe has them as ``caffe.x``."""


class _Alias(Loader):
    """Gives a module that exists under another name, and leaves it as it is."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def get_code(self, fullname: str) -> CodeType | None:
        """For ``python -m``."""
        loader = self.spec.loader if self.spec is not None else None
        return loader.get_code(self.module.__name__) if isinstance(loader, InspectLoader) else None

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just written its own spec over that of the module.
        module.__spec__ = self.spec


def _alias(fullname: str, name: str) -> ModuleSpec | None:
    """Specification of ``fullname`` as another name of the module ``name``; None where there is no such module."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
    return ModuleSpec(fullname, _Alias(module), origin=module.__file__, is_package=hasattr(module, "__path__"))


class _PublicNames(MetaPathFinder):
    """Finds ``segcaffe.x`` in ``segcaffe.pycaffe.x``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        return _alias(fullname, f"segcaffe.pycaffe.{rest}") if root == "segcaffe" and rest in PYCAFFE else None


class _CaffeNames(MetaPathFinder):
    """Finds ``caffe`` and ``caffe.x`` in ``segcaffe`` and ``segcaffe.x``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        return _alias(fullname, f"segcaffe.{rest}" if rest else "segcaffe") if root == "caffe" else None


def install_public() -> None:
    """Make ``import segcaffe.io`` and its like work; the package does so when it is imported."""
    _install(_PublicNames)


def install_caffe() -> None:
    """Make ``import caffe`` find segcaffe in this process, from now on."""
    _install(_CaffeNames)


def uninstall_caffe() -> None:
    """End what `install_caffe` began; modules that were imported keep what they have."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _CaffeNames)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "caffe"]:
        del sys.modules[name]


def _install(kind: type[MetaPathFinder]) -> None:
    if not any(isinstance(finder, kind) for finder in sys.meta_path):
        sys.meta_path.insert(0, kind())
