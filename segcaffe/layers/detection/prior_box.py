"""PriorBox: the boxes that a detector's predictions are relative to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register
from segcaffe.proto.caffe_pb2 import PriorBoxParameter

Size = tuple[float, float]


class PriorBoxes(Layer):
    """Boxes of given sizes around the centre of each cell of the first bottom's grid."""

    options_field = "prior_box_param"
    bottom_count = (1, 2)
    gradient_to = ()
    refuses_gradient = False
    backward_reads = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.prior_box_param
        self.sizes = self.box_sizes(options)
        self.offset = options.offset
        # The first SSD and OpenCV clip where nothing is said, later forks do not.
        self.clip = options.clip or not options.HasField("clip")
        variance = list(options.variance) or [0.1]
        if len(variance) not in (1, 4) or min(variance) <= 0:
            raise self.fail("prior_box_param.variance is one number above 0, or four", variance)
        self.variance = np.resize(variance, 4)
        self.image = self._pair(options, "img", "img_size")
        self.step = self._pair(options, "step", "step")
        if self.image is None and len(bottom) < 2:
            raise self.fail("needs the image as second bottom, or its size as prior_box_param.img_h and img_w")

    def box_sizes(self, options: PriorBoxParameter) -> list[Size]:
        """Width and height of each box of a cell, in pixels of the image."""
        raise NotImplementedError

    def _pair(self, options: PriorBoxParameter, name: str, both: str) -> Size | None:
        """``name``_h and ``name``_w, or one number for both; None where nothing or 0 is said."""
        apart = options.HasField(f"{name}_h") or options.HasField(f"{name}_w")
        if apart and options.HasField(both):
            raise self.fail(f"say either prior_box_param.{both} or {name}_h and {name}_w, not both")
        names = (f"{name}_h", f"{name}_w") if apart else (both, both)
        height, width = (getattr(options, field) for field in names)
        if (apart or options.HasField(both)) and min(height, width) <= 0:
            raise self.fail(f"prior_box_param.{' and '.join(dict.fromkeys(names))} must be above 0", (height, width))
        return (height, width) if height > 0 else None

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Lay the boxes over the grid."""
        if bottom[0].ndim != 4 or bottom[-1].ndim != 4:
            raise self.fail("needs bottoms (N, C, H, W)", [blob.shape for blob in bottom])
        grid = bottom[0].shape[2:]
        image = self.image or bottom[1].shape[2:]
        step = self.step or (image[0] / max(grid[0], 1), image[1] / max(grid[1], 1))
        y, x = ((np.arange(n) + self.offset) * s / size for n, s, size in zip(grid, step, image, strict=True))
        half = np.array(self.sizes).reshape(-1, 2) / (2 * image[1], 2 * image[0])
        boxes = np.empty((*grid, len(half), 2, 2))
        boxes[..., 0] = x[None, :, None, None] + half[:, 0, None] * (-1, 1)
        boxes[..., 1] = y[:, None, None, None] + half[:, 1, None] * (-1, 1)
        count = boxes.size
        self._priors = self.own_blob("priors", (1, 2, count))
        self._priors.data[0, 0] = (boxes.clip(0, 1) if self.clip else boxes).reshape(-1)
        self._priors.data[0, 1] = np.tile(self.variance, count // 4)
        top[0].reshape(1, 2, count)

    @property
    def boxes(self) -> Any:
        """Boxes and variances for the present sizes, (1, 2, 4 H W K)."""
        return self._priors.data

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy boxes and variances."""
        copy.copy(self._priors.array, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Boxes depend on sizes only, not on values."""


@register
class PriorBox(PriorBoxes):
    """Boxes around the centre of each cell of a grid: squares, and the same areas at other aspect ratios.

    bottoms: (N, C, H, W), whose H x W is the grid, and the image (N, C, h, w), unless img_size (or img_h and img_w)
    says how large it is.
    top: (1, 2, 4 H W K) with the K boxes of each cell (xmin, ymin, xmax, ymax), in parts of the image, and the
    variances of the four numbers (0.1, or ``variance``). Boxes are clipped to the image unless ``clip: false`` is said.

    For each min_size s, and max_size m where given: s x s, sqrt(s m) x sqrt(s m), and for each aspect_ratio r other
    than 1 (and 1 / r with flip) s sqrt(r) x s / sqrt(r).   [SSD: Liu et al., ECCV 2016, section 2.2].
    """

    def box_sizes(self, options: PriorBoxParameter) -> list[Size]:
        """See the class."""
        small, large = list(options.min_size), list(options.max_size)
        if not small or min(small) <= 0:
            raise self.fail("prior_box_param.min_size must be given, and above 0", small)
        if large and (len(large) != len(small) or any(m <= s for s, m in zip(small, large, strict=True))):
            raise self.fail("prior_box_param needs a max_size above each min_size, or none", (small, large))
        ratios = self._ratios(options)
        sizes = []
        for s, m in itertools.zip_longest(small, large):
            sides = [s, (s * m) ** 0.5] if m is not None else [s]
            sizes += [(side, side) for side in sides]
            sizes += [(s * r**0.5, s / r**0.5) for r in ratios]
        return sizes

    def _ratios(self, options: PriorBoxParameter) -> list[float]:
        """The aspect ratios, each once, without 1."""
        known = [1.0]
        for ratio in options.aspect_ratio:
            if ratio <= 0:
                raise self.fail("prior_box_param.aspect_ratio must be above 0", ratio)
            if all(abs(ratio - other) >= 1e-6 for other in known):
                known += [ratio, 1 / ratio] if options.flip else [ratio]
        return [ratio for ratio in known if abs(ratio - 1) >= 1e-6]
