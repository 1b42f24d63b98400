"""Operators by their newest meaning, written as the opset at hand has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
INT64_MAX = np.iinfo(np.int64).max
_AT_ONCE = 2
"""Axes that one node reduces."""
_AXES_AS_INPUT = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}
"""The opset that made the attribute ``axes`` an input; 18 for the other reductions."""


class Operators(ABC):
    """Operators whose notation has changed, or that one constant makes easier to say; each returns its value's name.

    Attributes
    ----------
    opset:
        The version of the operators.
    """

    opset: int

    @abstractmethod
    def node(self, op: str, *inputs: str, outputs: int | None = None, domain: str = "", **attributes: Any) -> Any:
        """Add a node; the name of its output, or a list of ``outputs`` names."""

    @abstractmethod
    def constant(self, values: Any, name: str = "constant") -> str:
        """Add an initialiser."""

    def ints(self, values: Sequence[int] | int, name: str = "ints") -> str:
        """A constant of int64: a list, or a scalar."""
        return self.constant(np.array(values, np.int64), name)

    def number(self, value: float, name: str = "number") -> str:
        """A constant of one float32, a scalar."""
        return self.constant(np.float32(value), name)

    def add(self, x: str, y: str) -> str:
        """Sum, broadcast as NumPy does."""
        return str(self.node("Add", x, y))

    def sub(self, x: str, y: str) -> str:
        """Difference, broadcast."""
        return str(self.node("Sub", x, y))

    def mul(self, x: str, y: str) -> str:
        """Product, broadcast."""
        return str(self.node("Mul", x, y))

    def div(self, x: str, y: str) -> str:
        """Quotient, broadcast."""
        return str(self.node("Div", x, y))

    def plus(self, x: str, value: float) -> str:
        """Sum with a number; x itself where that is 0."""
        return self.add(x, self.number(value, "shift")) if value else x

    def times(self, x: str, value: float) -> str:
        """Product with a number; x itself where that is 1."""
        return self.mul(x, self.number(value, "factor")) if value != 1 else x

    def cast(self, x: str, dtype: Any) -> str:
        """Change of the element type, a NumPy dtype."""
        from segcaffe.export.onnx.package import onnx_module

        return str(self.node("Cast", x, to=int(onnx_module().helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))))

    def transpose(self, x: str, order: Sequence[int]) -> str:
        """Axes in another order; x itself where that is theirs."""
        return x if list(order) == sorted(order) else str(self.node("Transpose", x, perm=list(order)))

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Another shape: 0 copies the axis of that index, one -1 takes what is left."""
        return str(self.node("Reshape", x, self.constant(np.array(shape, np.int64), "shape")))

    def expand(self, x: str, shape: Sequence[int]) -> str:
        """Repetition along axes of extent 1, to a shape in which 1 keeps an axis as it is."""
        return str(self.node("Expand", x, self.constant(np.array(shape, np.int64), "shape")))

    def squeeze(self, x: str, axes: Sequence[int]) -> str:
        """Without some axes of extent 1."""
        return self._with_axes("Squeeze", x, axes)

    def unsqueeze(self, x: str, axes: Sequence[int]) -> str:
        """With axes of extent 1 put in, counted as in the result."""
        return self._with_axes("Unsqueeze", x, axes)

    def reduce(self, kind: str, x: str, axes: Sequence[int], keepdims: bool = True) -> str:
        """ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceL1 or ReduceSumSquare over axes; a scalar has none.

        At most two axes go at a time, since OpenCV 5.0 and 4.14 compute something else of more; so the last two kinds
        are written as sums. (OpenVINO 2026.4 reduces all axes by a ReduceL1.)
        """
        if kind == "ReduceL1":
            return self.reduce("ReduceSum", str(self.node("Abs", x)), axes, keepdims)
        if kind == "ReduceSumSquare":
            return self.reduce("ReduceSum", self.mul(x, x), axes, keepdims)
        if not axes:
            return str(self.node(kind, x, keepdims=int(keepdims)))
        while len(axes) > _AT_ONCE:
            axes, last = axes[:-_AT_ONCE], axes[-_AT_ONCE:]
            x = self._with_axes(kind, x, last, keepdims=int(keepdims))
        return self._with_axes(kind, x, axes, keepdims=int(keepdims))

    def _with_axes(self, op: str, x: str, axes: Sequence[int], **attributes: Any) -> str:
        if self.opset >= _AXES_AS_INPUT.get(op, 18):
            return str(self.node(op, x, self.constant(np.array(axes, np.int64), "axes"), **attributes))
        return str(self.node(op, x, axes=list(axes), **attributes))

    def slice(
        self,
        x: str,
        starts: Sequence[int],
        ends: Sequence[int],
        axes: Sequence[int],
        steps: Sequence[int] | None = None,
    ) -> str:
        """Part of axes, from start up to end; an end of `INT64_MAX` is the axis's own."""
        inputs = [
            self.ints(list(values), name) for values, name in ((starts, "starts"), (ends, "ends"), (axes, "axes"))
        ]
        if steps is not None:
            inputs.append(self.ints(steps, "steps"))
        return str(self.node("Slice", x, *inputs))

    def split(self, x: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """Parts of an axis, of these sizes."""
        if len(sizes) == 1:
            return [x]
        if self.opset >= 13:
            return list(self.node("Split", x, self.ints(list(sizes), "split"), outputs=len(sizes), axis=axis))
        return list(self.node("Split", x, outputs=len(sizes), axis=axis, split=list(sizes)))

    def concat(self, parts: Sequence[str], axis: int) -> str:
        """Parts joined along an axis; a single one as it is."""
        return parts[0] if len(parts) == 1 else str(self.node("Concat", *parts, axis=axis))

    def pad(self, x: str, pads: Sequence[tuple[int, int]], value: float = 0.0) -> str:
        """A constant around x: for each axis how much before and behind; x itself where that is nothing."""
        if not any(map(any, pads)):
            return x
        amounts = [before for before, _ in pads] + [behind for _, behind in pads]
        return str(self.node("Pad", x, self.ints(amounts, "pads"), self.number(value, "value"), mode="constant"))

    def clip(self, x: str, low: float | None = None, high: float | None = None) -> str:
        """Values held in a range."""
        ends = ["" if end is None else self.number(end, name) for end, name in ((low, "min"), (high, "max"))]
        while ends and not ends[-1]:
            ends.pop()
        return str(self.node("Clip", x, *ends))

    def gather(self, x: str, indices: Sequence[int] | int, axis: int) -> str:
        """Places of an axis, in the order of the indices; an index that is no list takes the axis away."""
        return str(self.node("Gather", x, self.ints(indices, "indices"), axis=axis))

    def softmax(self, x: str, axis: int, ndim: int, log: bool = False) -> str:
        """Softmax along one axis of ``ndim``; before opset 13 the operator joined all axes from it on."""
        axis, last = axis % ndim, ndim - 1
        op = "LogSoftmax" if log else "Softmax"
        if self.opset >= 13 or axis == last:
            return str(self.node(op, x, axis=axis))
        order = list(range(ndim))
        order[axis], order[last] = last, axis
        return str(self.transpose(self.node(op, self.transpose(x, order), axis=last), order))

    def arg_max(self, x: str, axis: int, keepdims: bool = True) -> str:
        """Index (int64) of the largest value along an axis, the last of equal ones."""
        if self.opset >= 12:
            return str(self.node("ArgMax", x, axis=axis, keepdims=int(keepdims), select_last_index=1))
        turned = self.slice(x, [-1], [-INT64_MAX], [axis], [-1])
        extent = self.gather(self.node("Shape", x), axis, 0)
        last = self.sub(extent, self.ints(1, "one"))
        return str(self.sub(last, self.node("ArgMax", turned, axis=axis, keepdims=int(keepdims))))

    def where(self, condition: str, x: str, y: str) -> str:
        """X where the condition holds, otherwise y."""
        return str(self.node("Where", condition, x, y))
