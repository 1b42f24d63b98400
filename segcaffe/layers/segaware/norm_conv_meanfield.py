"""NormConvMeanfield: mean-field inference whose filters are windows weighted by embedding distances."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from segcaffe.kernels import window_meanfield
from segcaffe.kernels.window_meanfield import Arrays, Filter, Inference
from segcaffe.layers.base import Blobs, LayerMemory
from segcaffe.layers.registry import register
from segcaffe.layers.segaware.meanfield import MeanfieldLayer
from segcaffe.window import Window

Array = Any

_WITHOUT_EFFECT = ("norm", "scale_term", "bias_term", "group", "weight_filler", "bias_filler", "threshold")


class WindowMeanfield(MeanfieldLayer):
    """Mean-field inference where filter i averages a window of bottom ``guides[i]`` with softmax(-scale · distance).

    The distance is ½Σ(centre - neighbour)² over the guide's channels. The weights are computed once per forward pass
    and serve all iterations; nothing of size taps · channels ever exists.
    """

    options_field = "norm_conv_meanfield_param"
    guides: tuple[int, ...]
    """The bottom that each filter's distances are taken from, in the order of the parameters."""
    options_of: tuple[int, ...]
    """Which of an option's values each filter takes."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options of each filter and make the parameters."""
        option = self.param.norm_conv_meanfield_param
        self.setup_meanfield(option.num_iterations, bottom)
        kernel, stride = self._values("kernel_size", None), self._values("stride", 1)
        pad, dilation = self._values("pad", 0), self._values("dilation", 1)
        self.windows = [
            Window((k, k), (s, s), (p, p), (d, d), self.where)
            for k, s, p, d in zip(kernel, stride, pad, dilation, strict=True)
        ]
        if not option.scale:
            warnings.warn(
                f"{self.where}: no scale is given, which the original takes for 0: all neighbours count alike.",
                stacklevel=2,
            )
        self.scales = self._values("scale", 0)
        self.remove_center = self._values("remove_center", True)
        self.remove_bounds = self._values("remove_bounds", True)
        useless = [name for name in _WITHOUT_EFFECT if name in {field.name for field, _ in option.ListFields()}]
        if useless:
            warnings.warn(f"{self.where}: {', '.join(useless)} has no effect, as in the original.", stacklevel=2)

    def _values(self, name: str, default: Any) -> list[Any]:
        """Return an option's value for each filter."""
        given = list(getattr(self.param.norm_conv_meanfield_param, name))
        count = len(self.guides)
        if len(given) != count and (given or default is None):
            times = "once" if count == 1 else "twice, first for the bilateral window, then for the spatial one"
            raise self.fail(f"{name} must be given {times}", f"{len(given)} values {given}")
        return [given[i] for i in self.options_of] if given else [default] * count

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes; size the top and the weights."""
        super().reshape(bottom, top)
        size = bottom[0].shape[2:]
        for window in self.windows:
            if window.stride != (1, 1) or window.output_shape(size) != size:
                raise self.fail(
                    "a window must have stride 1 and as many positions as there are pixels: "
                    "pad = dilation * (kernel_size - 1) / 2",
                    f"kernel_size {window.kernel[0]}, stride {window.stride[0]}, pad {window.pad[0]}, "
                    f"dilation {window.dilation[0]}",
                )
        options = zip(self.windows, self.scales, self.remove_center, self.remove_bounds, strict=True)
        self._inference = Inference([Filter(*one) for one in options], self.num_iterations)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Run the iterations."""
        window_meanfield.forward(self._given(bottom), top[0].array, self._inference)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Go back through the iterations, then to the guides."""
        found = [blob.grad if wanted else None for blob, wanted in zip(bottom, propagate_down, strict=True)]
        grads = Arrays(found[0], found[1], [found[guide] for guide in self.guides], self.matrix_grads())
        window_meanfield.backward(self._given(bottom), top[0].grad, grads, self._inference)

    def _given(self, bottom: Blobs) -> Arrays:
        guides = [bottom[guide].array for guide in self.guides]
        return Arrays(bottom[0].array, bottom[1].array, guides, self.matrices())

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Weights of pairs of pixels, guides, and what each iteration makes, stay."""
        filters = len(self.windows)
        each = (filters + 1) * self.classes + 1
        guides = sum(bottom[guide].shape[1] for guide in self.guides)
        of_pixel = self.num_iterations * each + guides + filters + sum(window.taps // 2 for window in self.windows)
        state = bottom[0].count // self.classes * of_pixel * int(self.dtype.itemsize)
        return replace(super().memory(bottom, top, backward), state=state)

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Distances once, filtering and mixing in each iteration."""
        pixels = bottom[0].count // self.classes
        taps = [window.taps for window in self.windows]
        distances = sum(t * bottom[guide].shape[1] for t, guide in zip(taps, self.guides, strict=True))
        per_iteration = self.classes * (sum(taps) + self.classes * (len(taps) + 1))
        return pixels * (distances + self.num_iterations * per_iteration)


@register
class NormConvMeanfield(WindowMeanfield):
    """Mean-field inference with a bilateral and a spatial window.

    bottom: unary (N, C, H, W), first q (N, C, H, W), bilateral guide (N, E, H, W), spatial guide (N, F, H, W), often
    the coordinates;  top: (N, C, H, W), scores without a softmax. Options are given twice: first for the bilateral
    window, then for the spatial one. Parameters: spatial, bilateral, compat, each (1, 1, C, C).
    Source: Harley et al. 2017, section 3.4, after Zheng et al., "Conditional Random Fields as Recurrent Neural
    Networks", ICCV 2015.
    """

    bottom_count = (4, 4)
    num_filters = 2
    guides = (3, 2)
    options_of = (1, 0)
