"""Kernel, stride, pad and dilation of a sliding window, read from a layer's options in one place for all layers.

Convolution, Deconvolution, Im2col, Im2dist, Im2parity, NormConv read a ``ConvolutionParameter``; Pooling a
``PoolingParameter``. Output sizes are a convolution's (rounded down); pooling, which rounds up, has its own rule in
its layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from google.protobuf.descriptor import Descriptor

from segcaffe.errors import ShapeError
from segcaffe.proto.caffe_pb2 import ConvolutionParameter, PoolingParameter

MOST_PIXELS = 1 << 20
"""The largest side of an image that its readers take; no window reaches further."""

_SHORT_STRIDE = 64
_SAME = 1
"""The ``pad_type`` of Synopsys' Caffe that finds the padding from the image's size."""


@dataclass(frozen=True)
class Window:
    """A window over N spatial axes, in pixels; each tuple has N values, for two axes (height, width).

    ``behind`` is the padding at the bottom and on the right where that is not ``pad``, as on the other sides. Kernels
    find it in the size of what they write. ``where`` names the layer in errors, as in ``layer "conv1" (Convolution)``.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    where: str = ""
    behind: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check that the sizes make a window. Raises ShapeError."""
        sizes = (*self.kernel, *self.stride, *self.dilation)
        if min(sizes, default=1) >= 1 and max((*sizes, *self.pad, *self.behind), default=0) <= MOST_PIXELS:
            return
        for option in ("kernel", "stride", "dilation"):
            values: tuple[int, ...] = getattr(self, option)
            if min(values, default=1) < 1:
                name = "kernel_size" if option == "kernel" else option
                raise self._error(f"{name} must be 1 or more on every axis", f"{name} {_show(values)}")
        for option in ("kernel", "stride", "pad", "behind", "dilation"):
            values = getattr(self, option)
            if max(values, default=0) > MOST_PIXELS:
                name = {"kernel": "kernel_size", "behind": "pad"}.get(option, option)
                raise self._error(f"{name} must be {MOST_PIXELS} at most on every axis", f"{name} {_show(values)}")

    @classmethod
    def from_convolution(cls, param: ConvolutionParameter, num_axes: int, where: str) -> Window:
        """Read the window of a convolution over ``num_axes`` spatial axes.

        ``kernel_size``, ``stride``, ``pad`` and ``dilation`` hold one value for all axes or one for each;
        ``kernel_h``/``kernel_w`` and their like replace them where there are two axes. ``pad_t``, ``pad_l``, ``pad_b``,
        ``pad_r`` give each side its padding, and ``kstride`` is an older name of ``dilation``. Raises ShapeError.
        """
        pad, behind = _paddings(param, num_axes, where)
        return cls(
            kernel=_axes(param, "kernel_size", ("kernel_h", "kernel_w"), num_axes, None, where),
            stride=_axes(param, "stride", ("stride_h", "stride_w"), num_axes, 1, where),
            pad=pad,
            dilation=_dilation(param, ("dilation_h", "dilation_w"), num_axes, where),
            where=where,
            behind=behind,
        )

    @classmethod
    def from_pooling(cls, param: PoolingParameter, spatial: Sequence[int], where: str) -> Window:
        """Read the window of a pooling layer whose input has the size ``spatial``: (depth,) height, width.

        With ``global_pooling`` the window is the whole input. Raises ShapeError.
        """
        kernel = _global_kernel(param, spatial, where) if param.global_pooling else None
        num_axes = len(spatial)
        pad, behind = _paddings(param, num_axes, where)
        window = cls(
            kernel=kernel or _axes(param, "kernel_size", ("kernel_h", "kernel_w"), num_axes, None, where),
            stride=_axes(param, "stride", ("stride_h", "stride_w"), num_axes, 1, where),
            pad=pad,
            dilation=_dilation(param, (), num_axes, where),
            where=where,
            behind=behind,
        )
        if param.pad_type == _SAME:
            window = window._keeping_size(spatial)
        if param.global_pooling and (any(map(any, window.paddings)) or set(window.stride) != {1}):
            raise window._error(
                "global_pooling takes pad 0 and stride 1", f"pad {_show(window.pad)}, stride {_show(window.stride)}"
            )
        if any(pad >= size for pad, size in zip(window.pad, window.extent, strict=True)):
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
    def paddings(self) -> list[tuple[int, int]]:
        """Return the padding in front of each axis and behind it."""
        return list(zip(self.pad, self.behind or self.pad, strict=True))

    @property
    def is_even(self) -> bool:
        """Return whether each axis has the same padding in front and behind."""
        return self.behind in ((), self.pad)

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
        padded = [size + sum(pads) for size, pads in zip(spatial, self.paddings, strict=True)]
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
            s * (n - 1) + e - sum(p)
            for n, e, s, p in zip(spatial, self.extent, self.stride, self.paddings, strict=True)
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
        outside = [size + sum(p) - e + 1 for size, p, e in zip(sizes, self.paddings, self.extent, strict=True)]
        stride = tuple(min(s, max(_SHORT_STRIDE, out)) for s, out in zip(self.stride, outside, strict=True))
        return self if stride == self.stride else replace(self, stride=stride)

    def _keeping_size(self, spatial: Sequence[int]) -> Window:
        """Return the window with the padding that makes ceil(size / stride) windows of each axis, evenly if it can."""
        total = [
            max((-(-n // s) - 1) * s + e - n, 0) for n, s, e in zip(spatial, self.stride, self.extent, strict=True)
        ]
        if any(map(any, self.paddings)):
            raise self._error("pad_type 1 finds the padding itself", f"pad {_show(self.pad)}")
        pad = tuple(t // 2 for t in total)
        return replace(self, pad=pad, behind=tuple(t - p for t, p in zip(total, pad, strict=True)))

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
    if len(set(values)) == 1:
        # Greentea's nets of images made by a program for volumes have one value too many.
        values = values[:1]
    if len(values) not in (1, num_axes):
        raise _error(
            where,
            f"{option} takes one value for all spatial axes or one for each of the {num_axes}",
            f"{len(values)} values ({_show(values)})",
        )
    return tuple(values) if len(values) == num_axes else tuple(values) * num_axes


def _paddings(
    param: ConvolutionParameter | PoolingParameter, num_axes: int, where: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the padding in front of each axis, and behind it; that is empty where it is the same."""
    pad = _axes(param, "pad", ("pad_h", "pad_w"), num_axes, 0, where)
    sides = {name: getattr(param, name) for name in ("pad_t", "pad_l", "pad_b", "pad_r")}
    if not any(sides.values()):
        return pad, ()
    given = ", ".join(f"{name}: {value}" for name, value in sides.items())
    if num_axes != 2:
        raise _error(where, "pad_t, pad_l, pad_b, pad_r are for two spatial axes", f"{num_axes} axes, {given}")
    if any(pad):
        raise _error(where, "either pad or pad_t, pad_l, pad_b, pad_r may be given", f"pad {_show(pad)}, {given}")
    front, behind = (sides["pad_t"], sides["pad_l"]), (sides["pad_b"], sides["pad_r"])
    return front, () if front == behind else behind


def _dilation(
    param: ConvolutionParameter | PoolingParameter, per_axis: tuple[str, ...], num_axes: int, where: str
) -> tuple[int, ...]:
    """Return the dilation of each axis, whatever its name."""
    names = [name for name in ("dilation", "kstride") if any(_given(param, name))]
    names += [name for name in per_axis if param.HasField(name)]
    if len(names) > 1 and names != list(per_axis):
        raise _error(where, "the dilation may be given under one name", " and ".join(names))
    if names and names[0] in per_axis:
        if num_axes != 2:
            raise _error(where, f"{names[0]} is for two spatial axes", f"{num_axes} axes")
        return tuple(getattr(param, name) if param.HasField(name) else 1 for name in per_axis)
    return _axes(param, names[0] if names else "dilation", None, num_axes, 1, where)


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
    several, is_repeated = _spellings(param.DESCRIPTOR, option)
    if several and (values := getattr(param, several)):
        return list(values)
    if is_repeated:
        return list(getattr(param, option))
    return [getattr(param, option)] if param.HasField(option) else []


@cache
def _spellings(kind: Descriptor, option: str) -> tuple[str, bool]:
    """The option's second name, for a value of each axis, if it has one; and whether its own takes several values."""
    fields = kind.fields_by_name
    several = f"{option}_nd"
    return several if several in fields else "", fields[option].is_repeated


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
