"""Kernel, stride, pad and dilation of a sliding window, read from a layer's options in one place for all layers.

Convolution, Deconvolution, Im2col, Im2dist, Im2parity, NormConv read a ``ConvolutionParameter``; Pooling a
``PoolingParameter``. Output sizes are a convolution's (rounded down); pooling, which rounds up, has its own rule in
its layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from segcaffe.errors import ShapeError
from segcaffe.proto.caffe_pb2 import ConvolutionParameter, PoolingParameter

MOST_PIXELS = 1 << 20
"""The largest side of an image that its readers take; no window reaches further."""

_SHORT_STRIDE = 64


@dataclass(frozen=True)
class Window:
    """A window over N spatial axes, in pixels; each tuple has N values, for two axes (height, width).

    ``where`` names the layer in errors, as in ``layer "conv1" (Convolution)``.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    where: str = ""

    def __post_init__(self) -> None:
        """Check that the sizes make a window. Raises ShapeError."""
        for option in ("kernel", "stride", "dilation"):
            values: tuple[int, ...] = getattr(self, option)
            if min(values, default=1) < 1:
                name = "kernel_size" if option == "kernel" else option
                raise self._error(f"{name} must be 1 or more on every axis", f"{name} {_show(values)}")
        for option in ("kernel", "stride", "pad", "dilation"):
            values = getattr(self, option)
            if max(values, default=0) > MOST_PIXELS:
                name = "kernel_size" if option == "kernel" else option
                raise self._error(f"{name} must be {MOST_PIXELS} at most on every axis", f"{name} {_show(values)}")

    @classmethod
    def from_convolution(cls, param: ConvolutionParameter, num_axes: int, where: str) -> Window:
        """Read the window of a convolution over ``num_axes`` spatial axes.

        ``kernel_size``, ``stride``, ``pad`` and ``dilation`` hold one value for all axes or one for each;
        ``kernel_h``/``kernel_w`` and their like replace them where there are two axes. Raises ShapeError.
        """
        return cls(
            kernel=_axes(param, "kernel_size", ("kernel_h", "kernel_w"), num_axes, None, where),
            stride=_axes(param, "stride", ("stride_h", "stride_w"), num_axes, 1, where),
            pad=_axes(param, "pad", ("pad_h", "pad_w"), num_axes, 0, where),
            dilation=_axes(param, "dilation", None, num_axes, 1, where),
            where=where,
        )

    @classmethod
    def from_pooling(cls, param: PoolingParameter, spatial: Sequence[int], where: str) -> Window:
        """Read the window of a pooling layer whose input has the size ``spatial`` (height, width).

        With ``global_pooling`` the window is the whole input. Raises ShapeError.
        """
        kernel = _global_kernel(param, spatial, where) if param.global_pooling else None
        window = cls(
            kernel=kernel or _axes(param, "kernel_size", ("kernel_h", "kernel_w"), 2, None, where),
            stride=_axes(param, "stride", ("stride_h", "stride_w"), 2, 1, where),
            pad=_axes(param, "pad", ("pad_h", "pad_w"), 2, 0, where),
            dilation=(1, 1),
            where=where,
        )
        if param.global_pooling and (window.pad != (0, 0) or window.stride != (1, 1)):
            raise window._error(
                "global_pooling takes pad 0 and stride 1", f"pad {_show(window.pad)}, stride {_show(window.stride)}"
            )
        if any(pad >= size for pad, size in zip(window.pad, window.kernel, strict=True)):
            raise window._error(
                "pad must be smaller than kernel_size, or windows would hold nothing but padding",
                f"pad {_show(window.pad)}, kernel_size {_show(window.kernel)}",
            )
        return window

    @property
    def num_axes(self) -> int:
        """Return the number of spatial axes."""
        return len(self.kernel)

    @property
    def extent(self) -> tuple[int, ...]:
        """Return how many pixels the dilated kernel spans on each axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def taps(self) -> int:
        """Return how many positions the window reads, the product of the kernel's sizes."""
        return math.prod(self.kernel)

    def output_shape(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Return how many windows fit on each axis of an input of size ``spatial``.

        Raises ShapeError if not even one does.
        """
        self._check_axes(spatial)
        padded = [size + 2 * pad for size, pad in zip(spatial, self.pad, strict=True)]
        if any(extent > size for extent, size in zip(self.extent, padded, strict=True)):
            raise self._error(
                "the kernel, dilation included, must fit into the padded input",
                f"kernel_size {_show(self.kernel)}, dilation {_show(self.dilation)} (spanning {_show(self.extent)}), "
                f"input {_show(spatial)}, pad {_show(self.pad)}",
            )
        return tuple((p - e) // s + 1 for p, e, s in zip(padded, self.extent, self.stride, strict=True))

    def input_shape(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Return the size a deconvolution makes of an input of size ``spatial``.

        Raises ShapeError if the padding leaves nothing of it.
        """
        self._check_axes(spatial)
        if min(spatial, default=1) < 1:
            raise self._error("the input must have at least one pixel", f"input {_show(spatial)}")
        sizes = tuple(
            s * (n - 1) + e - 2 * p for n, e, s, p in zip(spatial, self.extent, self.stride, self.pad, strict=True)
        )
        if min(sizes, default=1) < 1:
            raise self._error(
                "the padding must leave at least one pixel of the output",
                f"input {_show(spatial)}, kernel_size {_show(self.kernel)}, stride {_show(self.stride)}, "
                f"pad {_show(self.pad)}",
            )
        return sizes

    def stepping(self, images: Sequence[Sequence[int]]) -> Window:
        """Return the window with no stride longer than what leads out of the largest of the ``images`` (their sizes).

        Such a stride makes no difference but to kernels, which go through its phases one by one; short ones are left.
        """
        sizes = [max(image[axis] for image in images) for axis in range(self.num_axes)]
        outside = [size + 2 * p - e + 1 for size, p, e in zip(sizes, self.pad, self.extent, strict=True)]
        stride = tuple(min(s, max(_SHORT_STRIDE, out)) for s, out in zip(self.stride, outside, strict=True))
        return self if stride == self.stride else replace(self, stride=stride)

    def _check_axes(self, spatial: Sequence[int]) -> None:
        if len(spatial) != self.num_axes:
            raise self._error(
                f"the input must have {self.num_axes} spatial axes", f"{len(spatial)} ({_show(spatial) or 'none'})"
            )

    def _error(self, rule: str, received: str) -> ShapeError:
        return _error(self.where, rule, received)


def _axes(
    param: ConvolutionParameter | PoolingParameter,
    option: str,
    per_axis: tuple[str, str] | None,
    num_axes: int,
    default: int | None,
    where: str,
) -> tuple[int, ...]:
    """Return one value per axis of an option that may be given for all axes at once or for each.

    ``per_axis`` names the two fields for height and width, ``default`` is None where a value must be given.
    """
    values = _given(param, option)
    if per_axis is not None and any(param.HasField(name) for name in per_axis):
        return _height_and_width(param, option, per_axis, num_axes, where, values)
    if not values:
        if default is None:
            raise _error(where, f"{option} must be given", f"no {option}")
        return (default,) * num_axes
    if len(values) not in (1, num_axes):
        raise _error(
            where,
            f"{option} takes one value for all spatial axes or one for each of the {num_axes}",
            f"{len(values)} values ({_show(values)})",
        )
    return tuple(values) if len(values) == num_axes else tuple(values) * num_axes


def _height_and_width(
    param: ConvolutionParameter | PoolingParameter,
    option: str,
    per_axis: tuple[str, str],
    num_axes: int,
    where: str,
    values: Sequence[int],
) -> tuple[int, ...]:
    both = " and ".join(per_axis)
    given = ", ".join(f"{name}: {getattr(param, name)}" for name in per_axis if param.HasField(name))
    if num_axes != 2:
        raise _error(
            where, f"{both} are for two spatial axes; give {option} once per axis", f"{num_axes} axes, {given}"
        )
    if values:
        raise _error(where, f"either {option} or {both} may be given, not both", f"{option}: {_show(values)}, {given}")
    has_default = param.DESCRIPTOR.fields_by_name[per_axis[0]].has_default_value
    if not has_default and not all(param.HasField(name) for name in per_axis):
        raise _error(where, f"{both} must be given together", given)
    return tuple(getattr(param, name) for name in per_axis)


def _given(param: ConvolutionParameter | PoolingParameter, option: str) -> list[int]:
    if param.DESCRIPTOR.fields_by_name[option].is_repeated:
        return list(getattr(param, option))
    return [getattr(param, option)] if param.HasField(option) else []


def _global_kernel(param: PoolingParameter, spatial: Sequence[int], where: str) -> tuple[int, ...]:
    options = ("kernel_size", "kernel_h", "kernel_w")
    given = [f"{name}: {getattr(param, name)}" for name in options if param.HasField(name)]
    if given:
        raise _error(where, "global_pooling takes no kernel_size, its window is the whole input", ", ".join(given))
    return tuple(spatial)


def _show(values: Sequence[int]) -> str:
    return "x".join(str(value) for value in values)


def _error(where: str, rule: str, received: str) -> ShapeError:
    place = f"{where}: " if where else ""
    return ShapeError(f"{place}{rule}. Received: {received}.")
