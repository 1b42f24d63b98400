"""What layers of ours share that stand in for Python modules."""

from __future__ import annotations

import ast
import re
from typing import Any, ClassVar

from segcaffe.errors import GraphError
from segcaffe.layers.base import Blobs
from segcaffe.layers.python.user import PythonLayerBase

_TUPLE = "!!python/tuple"
"""YAML's mark of a Python tuple, before a list."""


class StandIn(PythonLayerBase):
    """A layer of ours in the place of a Python module."""

    options: dict[str, Any]
    defaults: ClassVar[dict[str, Any]] = {}

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read ``param_str``: entries ``'feat_stride': 16``, of YAML or Python."""
        self.options = self.defaults | read_options(self.param_str)

    def backward(self, top: Blobs, propagate_down: Any, bottom: Blobs) -> None:
        """Nothing learns through what is chosen."""


def read_options(text: str) -> dict[str, Any]:
    """The entries of a ``param_str``."""
    options: dict[str, Any] = {}
    for line in re.split(r"[\n,]\s*(?=['\"]?\w+['\"]?\s*:)", text.strip().strip("{}").strip()):
        if not line.strip().rstrip(","):
            continue
        name, _, value = line.strip().rstrip(",").partition(":")
        try:
            options[name.strip().strip("'\"")] = ast.literal_eval(value.strip().removeprefix(_TUPLE).strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise GraphError(
                f"python_param.param_str must hold entries as 'feat_stride': 16. Received: {line.strip()[:80]!r}."
            ) from error
    return options
