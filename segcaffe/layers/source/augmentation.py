"""Augmentation: random changes to pairs of images and the flow between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe import device
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register

Array = NDArray[Any]
_BRIGHTNESS = 0.2


@register
class Augmentation(Layer):
    """Changes two images and their optical flow at random, each item of the batch by itself.

    bottom: images (N, 3, H, W) twice, values meant to lie in 0..1; flow (N, 2, H, W).
    top: the changed images and flow; and a mask (N, 1, H, W), 1 where a shift has left the image.

    Of these changes, in this order, the first ``num_transformations`` are applied: (1) shift down and right, or up
    and left, by the same number of pixels, the flow enlarged by W / (W - shift) and H / (H - shift); (2), (3) none
    (rotation and scaling, switched off in the original because their mask is wrong); (4) Gaussian noise, its
    deviation drawn for each row; (5) a factor for each channel; (6) contrast about 0.5; (7) gamma; (8) Gaussian noise
    of deviation 0.2. Both images get the same changes, and all channels the same noise. Ranges are the
    ``min_`` and ``max_`` options of ``aug_param``. No gradient.
    """

    bottom_count = (3, 3)
    top_count = (4, 4)
    gradient_to = ()
    refuses_gradient = False
    recomputes = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes; the tops take those of the bottoms."""
        shape = bottom[0].shape
        if len(shape) != 4 or shape[1] != 3 or bottom[1].shape != shape:
            raise self.fail("needs two images of one shape (N, 3, H, W)", f"{shape} and {bottom[1].shape}")
        if bottom[2].shape != (shape[0], 2, *shape[2:]):
            raise self.fail(f"needs flow of shape {(shape[0], 2, *shape[2:])}", bottom[2].shape)
        for source, blob in zip(bottom, top, strict=False):
            blob.reshape_like(source)
        top[3].reshape(shape[0], 1, *shape[2:])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Change each item."""
        images = np.stack([bottom[0].data, bottom[1].data], axis=1)
        flow, mask = top[2].data, top[3].data
        flow[...], mask[...] = bottom[2].data, 0
        changes = [self._shift, None, None, self._noise, self._colour, self._contrast, self._gamma, self._brightness]
        for n in range(len(images)):
            for change in changes[: max(0, self.param.aug_param.num_transformations)]:
                if change is not None:
                    change(images[n], flow[n], mask[n])
        top[0].data[...], top[1].data[...] = images[:, 0], images[:, 1]

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Nothing to send back."""

    def _draw(self, option: str, count: int = 1) -> Array:
        """Numbers between ``min_<option>`` and ``max_<option>``."""
        low, high = (float(getattr(self.param.aug_param, f"{end}_{option}")) for end in ("min", "max"))
        return np.asarray(low + (high - low) * device.generator().random(count))

    def _shift(self, images: Array, flow: Array, mask: Array) -> None:
        rows, cols = mask.shape[-2:]
        shift = int(self._draw("translation")[0] * cols)
        if abs(shift) >= min(rows, cols):
            raise self.fail("translation must leave part of the image; reduce its range", f"a shift of {shift} pixels")
        filled = [_shifted(images, shift, 0), _shifted(flow[:1], shift, 1), _shifted(flow[1:], shift, 0)]
        images[...], flow[:1], flow[1:] = filled
        mask[...] = _shifted(np.zeros_like(mask), shift, 1)
        flow[0] *= cols / (cols - abs(shift))
        flow[1] *= rows / (rows - abs(shift))

    def _noise(self, images: Array, flow: Array, mask: Array) -> None:
        deviation = self._draw("gaussian", mask.shape[-2])[:, None]
        images += deviation * device.generator().standard_normal(mask.shape[-2:])

    def _colour(self, images: Array, flow: Array, mask: Array) -> None:
        images *= self._draw("mcc", images.shape[1])[:, None, None]

    def _contrast(self, images: Array, flow: Array, mask: Array) -> None:
        images[...] = self._draw("contrast")[0] * (images - 0.5) + 0.5

    def _gamma(self, images: Array, flow: Array, mask: Array) -> None:
        with np.errstate(invalid="ignore"):
            np.power(images, self._draw("gamma")[0], out=images)

    def _brightness(self, images: Array, flow: Array, mask: Array) -> None:
        images += _BRIGHTNESS * device.generator().standard_normal(mask.shape[-2:])


def _shifted(values: Array, shift: int, fill: float) -> Array:
    """Values (..., H, W) moved up and left by ``shift`` (down and right if negative), ``fill`` where none came."""
    out = np.full_like(values, fill)
    height, width = values.shape[-2] - abs(shift), values.shape[-1] - abs(shift)
    source, target = max(shift, 0), max(-shift, 0)
    out[..., target : target + height, target : target + width] = values[
        ..., source : source + height, source : source + width
    ]
    return out
