"""What layers of ours share that stand in for Python modules."""

from __future__ import annotations

import ast
import math
import re
from typing import Any, ClassVar, NamedTuple

from segcaffe.blob import Blob
from segcaffe.errors import GraphError, ShapeError
from segcaffe.layers.base import Blobs, Count, check_count
from segcaffe.layers.python.user import PythonLayerBase

_TUPLE = "!!python/tuple"
"""YAML's mark of a Python tuple, before a list."""


class Option(NamedTuple):
    """An entry of ``param_str``: a number, or several where the default is a tuple; whole where the default is."""

    default: float | tuple[float, ...]
    least: float
    most: float = 1e6

    def read(self, name: str, value: Any) -> Any:
        """The value, if it is one; GraphError otherwise."""
        several = isinstance(self.default, tuple)
        values = list(value) if several and isinstance(value, list | tuple) else [value]
        whole = isinstance(self.default, int)
        if not values or not all(self._fits(each, whole) for each in values):
            kind = "a list of numbers" if several else "a whole number" if whole else "a number"
            raise GraphError(
                f"python_param.param_str: '{name}' must be {kind} from {self.least:g} to {self.most:g}. "
                f"Received: {str(value)[:80]}."
            )
        return tuple(values) if several else int(value) if whole else value

    def _fits(self, value: Any, whole: bool) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.least <= value <= self.most:
            return False
        return not whole or value == int(value)


class StandIn(PythonLayerBase):
    """A layer of ours in the place of a Python module."""

    options: dict[str, Any]
    known: ClassVar[dict[str, Option]] = {}
    """The numbers of ``param_str`` that the layer reads, and what they are where it has none."""
    bottom_count: ClassVar[Count] = (1, 1)
    top_count: ClassVar[Count] = (1, 1)
    open_axis: ClassVar[int | None] = None
    """As of `Layer`."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read ``param_str``: entries ``'feat_stride': 16``, of YAML or Python."""
        for kind, blobs, count in (("bottom", bottom, self.bottom_count), ("top", top, self.top_count)):
            check_count(type(self).__name__, kind, count, len(blobs))
        given = read_options(self.param_str)
        read = {name: option.read(name, given.get(name, option.default)) for name, option in self.known.items()}
        self.options = given | read

    def fail(self, rule: str, received: object) -> ShapeError:
        """The error for blobs that break a rule; the caller raises it, and the net's layer adds its name."""
        return ShapeError(f"{type(self).__name__}: {rule}. Received: {received}.")

    def check_rows(self, name: str, blob: Blob, width: int) -> None:
        """ShapeError unless the blob's values can be rows of so many numbers."""
        if blob.count % width or (blob.ndim > 1 and math.prod(blob.shape[1:]) != width):
            raise self.fail(f"{name} must have rows of {width} numbers", f"shape {blob.shape}")

    def example(self, index: int, bottom: Blobs) -> Any:
        """As of `Layer`: None where any number will do."""
        return None

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
