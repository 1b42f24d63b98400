"""Python: a layer whose code the user wrote."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from segcaffe.blob.vectors import BlobVec, BoolVec
from segcaffe.errors import GraphError, SegcaffeError, UserCodeError
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.python.stand_in import StandIn
from segcaffe.layers.python.stand_ins import stand_in
from segcaffe.layers.python.user import PythonLayerBase
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2
from segcaffe.trust.modules import Code
from segcaffe.trust.rules import check_code, tell
from segcaffe.wiring import aliases


@register
class Python(Layer):
    """Calls the class ``layer`` of the module ``module``, which derives from ``segcaffe.Layer``.

    bottom, top: any number, as the class wants; its ``reshape`` shapes the tops.
    param blobs: those that its ``setup`` makes by ``self.blobs.add_blob(...)``.

    ``net.layers`` and ``net.layer_dict`` have the user's object. The module is looked for in the current directory and
    where Python finds modules; commands say which file it is, or refuse to run it (docs/security.md). It may say
    ``import caffe``: where Caffe itself is not installed that is segcaffe.
    ``param_str`` and ``phase`` are attributes of the user's object; its ``reshape`` is called before each forward.
    ``share_in_parallel`` is accepted and changes nothing. For the layers of py-faster-rcnn (``rpn.proposal_layer``,
    ``rpn.anchor_target_layer``, ``rpn.proposal_target_layer``) and ENet's ``spatial_dropout`` there are ours where
    those modules are not installed.
    """

    bottom_count = (0, None)
    top_count = (0, None)
    in_place = True
    reshape_always = True

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """What the user's class makes is not known; as many as have a ``param`` entry."""
        return len(param.param)

    @classmethod
    def code(cls, param: caffe_pb2.LayerParameter) -> Code | None:
        """The user's class; None where one of ours stands in for it."""
        module, layer = param.python_param.module, param.python_param.layer
        return None if stand_in(module, layer) is not None else Code(module, layer)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Import the class, make an object of it, call its setup."""
        param = self.param.python_param
        if not param.module or not param.layer:
            raise GraphError(f'{self.where}: needs python_param {{ module: "FILE WITHOUT .py" layer: "CLASS" }}.')
        with _segcaffe_as_caffe():
            cls = self._class(param)
            self.user: Any = self._call("__init__", lambda: cls(self.param))
            self.user.param_str = param.param_str
            self.user.phase = self.phase
            self.open_axis = cls.open_axis if issubclass(cls, StandIn) else None
            self.blobs = self.user.blobs = BlobVec(dtype=self.dtype)
            self._call("setup", lambda: self.user.setup(bottom, top))

    @property
    def public(self) -> Any:
        """The user's object."""
        return self.user

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """What ours take; what users' layers take they do not say."""
        return self.user.example(index, bottom) if isinstance(self.user, StandIn) else None

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Let the user's code shape the tops."""
        self._call("reshape", lambda: self.user.reshape(bottom, top))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Let the user's code compute the tops."""
        self._call("forward", lambda: self.user.forward(bottom, top))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Let the user's code compute the gradients."""
        self._call("backward", lambda: self.user.backward(top, BoolVec(propagate_down), bottom))

    def _class(self, param: caffe_pb2.PythonParameter) -> type[PythonLayerBase]:
        """The user's class, or ours where that is not installed."""
        own = stand_in(param.module, param.layer)
        if own is not None:
            return own
        check_code(self.where, Code(param.module, param.layer))
        return _find_class(self._import(param.module), param.layer, self.where)

    def _import(self, name: str) -> ModuleType:
        with _current_directory_first():
            if name not in sys.modules and not _exists(name):
                raise GraphError(
                    f'{self.where}: there is no Python module "{name}", neither in the current directory '
                    f"({Path.cwd()}) nor on Python's path. Give python_param {{ module }} without .py, and add its "
                    "folder to PYTHONPATH."
                )
            module: ModuleType = self._call(f"import {name}", lambda: importlib.import_module(name))
            tell(name, getattr(module, "__file__", None) or "which is built in")
            return module

    def _call(self, what: str, function: Callable[[], Any]) -> Any:
        """Call the user's code; whatever it raises becomes a UserCodeError with the user's own traceback.

        Errors of ours, of a layer that stands in for a user's, are told as those of any other layer.
        """
        try:
            return function()
        except Exception as error:
            if isinstance(error, SegcaffeError) and self.code(self.param) is None:
                raise type(error)(f"{self.where}: {error.text()}") from error
            # The first two frames are this function and the lambda.
            own = error.__traceback__.tb_next.tb_next if error.__traceback__ and error.__traceback__.tb_next else None
            text = "".join(traceback.format_exception(type(error), error, own)).rstrip()
            param = self.param.python_param
            raise UserCodeError(
                f"{self.where}: {param.module}.{param.layer} raised {type(error).__name__} in {what}.\n{text}"
            ) from error


def _exists(name: str) -> bool:
    """Whether there is a module of that name, which may fail when it is imported."""
    try:
        return not name.startswith(".") and importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        # Looking for a module in a package imports the package, which may lack another.
        return not name.startswith(error.name or name)
    except ValueError:
        return False
    except Exception:
        return True


def _find_class(module: ModuleType, name: str, where: str) -> type[PythonLayerBase]:
    cls = getattr(module, name, None)
    if inspect.isclass(cls) and issubclass(cls, PythonLayerBase):
        return cls
    known = [
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, PythonLayerBase) and value is not PythonLayerBase
    ]
    problem = "has no class" if cls is None else "does not derive from segcaffe.Layer its"
    listed = ", ".join(known) or "none"
    raise GraphError(
        f'{where}: module "{module.__name__}" ({module.__file__}) {problem} "{name}". Layers in it: {listed}.'
    )


@contextmanager
def _current_directory_first() -> Iterator[None]:
    """Find modules in the current directory, as a script would find those beside it."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)


@contextmanager
def _segcaffe_as_caffe() -> Iterator[None]:
    """Let ``import caffe``, and of its modules, give segcaffe's where there is no Caffe."""
    if "caffe" in sys.modules or _exists("caffe"):
        yield
        return
    aliases.install_caffe()
    try:
        yield
    finally:
        aliases.uninstall_caffe()
