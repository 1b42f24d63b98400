"""Pooling: one value for each window of each channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe import device
from segcaffe.kernels import pooling
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.window.volume_pooling import VolumePooling
from segcaffe.proto import caffe_pb2
from segcaffe.threads import recording
from segcaffe.window import Window

_Method = caffe_pb2.PoolingParameter
_METHODS = (_Method.MAX, _Method.AVE, _Method.STOCHASTIC)


@register
class Pooling(Layer):
    """Maximum (MAX), mean (AVE) or a random pick (STOCHASTIC) of each window.

    bottom: (N, C, H, W);  top: (N, C, H', W'), and with MAX optionally the maxima's places y·W + x, same shape.
    MAX and AVE pool volumes (N, C, D, H, W) as well, kernel_size, stride and pad then given once for each axis.
    H' = ceil((H + 2 pad - kernel) / stride) + 1 (round_mode FLOOR or ceil_mode false: rounded down), one less if there
    is padding and the last window would otherwise start beyond the image. AVE divides by the window's size, padding
    included, but not what hangs over beyond it; AVE_EXC_PAD (AVE_TF, or AVE with
    avg_include_pad false) by the pixels in it that lie in the image.
    STOCHASTIC picks with probability in proportion to the values when training, and gives Σv²/Σv, what is then
    expected, when testing. With global_pooling the window is the whole image. With dilation (kstride) d the kernel's
    pixels lie d apart. pad_t, pad_l, pad_b, pad_r pad each side by itself; pad_type 1 pads so that
    H' = ceil(H / stride), with the odd pixel behind.
    """

    draw_color = "#FF9900"
    top_count = (1, 2)
    keeps_channels = True
    fork_options = frozenset(
        f"PoolingParameter.{name}"
        for name in ("pool", "avg_include_pad", "ceil_mode", "pad_t", "pad_l", "pad_b", "pad_r", "pad_type",
                     "dilation", "kstride", "kernel_size_nd", "stride_nd", "pad_nd")
    )  # fmt: skip

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the method; the window's size may depend on the bottom's."""
        options = self.param.pooling_param
        names_pixels = options.pool in (_Method.AVE_EXC_PAD, _Method.AVE_TF)
        self.pixels_only = names_pixels or not options.avg_include_pad
        self.method = _Method.AVE if names_pixels else options.pool
        if self.method not in _METHODS:
            raise self.fail("pool is MAX, AVE, AVE_EXC_PAD or STOCHASTIC.", _Method.PoolMethod.Name(options.pool))
        stochastic = self.method == _Method.STOCHASTIC
        # In TEST the values weigh a stochastic choice, in TRAIN it is random.
        self.backward_reads = ("bottoms", "tops") if stochastic and not self.training else ()
        self.recomputes = not (stochastic and self.training)
        if len(top) == 2 and (self.method != _Method.MAX or bottom[0].ndim > 4):
            raise self.fail("only pool: MAX of images has a second top, the maxima's places.", "2 tops")
        self._read_window(bottom)
        plain = not any(map(any, self.window.paddings)) and self.window.dilation == (1, 1)
        if self.method == _Method.STOCHASTIC and not plain:
            received = f"pad {self.window.pad}, dilation {self.window.dilation}"
            raise self.fail("pool: STOCHASTIC takes no padding and no dilation, and images only.", received)

    def _read_window(self, bottom: Blobs) -> None:
        if bottom[0].ndim not in (4, 5):
            raise self.fail("the bottom must have 4 axes (N, C, H, W), or 5 of volumes.", f"shape {bottom[0].shape}")
        self.window = Window.from_pooling(self.param.pooling_param, bottom[0].shape[2:], self.where)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Size the tops."""
        self._read_window(bottom)
        shape = (*bottom[0].shape[:2], *self.output_size(bottom[0].shape[2:]))
        for blob in top:
            blob.reshape(*shape)
        self._volumes = None
        if len(shape) == 5:
            mean = self.method == _Method.AVE
            self._volumes = VolumePooling(self, self.window, bottom[0].shape, shape, mean, self.pixels_only)
        elif self.method == _Method.MAX or (self.method == _Method.STOCHASTIC and self.training):
            self._mask = self.own_blob("mask", shape, np.int32, saved=True)

    def output_size(self, spatial: Sequence[int]) -> list[int]:
        """How many windows there are along each axis of an image."""
        sizes = []
        options = self.param.pooling_param
        rounds_down = options.round_mode == _Method.FLOOR or not (options.ceil_mode or options.HasField("round_mode"))
        padded = any(map(any, self.window.paddings))
        for n, e, s, p in zip(spatial, self.window.extent, self.window.stride, self.window.paddings, strict=True):
            room = n + sum(p) - e
            size = (room // s if rounds_down else -(-room // s)) + 1
            if padded and (size - 1) * s >= n + p[0]:
                size -= 1
            sizes.append(size)
        if min(sizes) < 1 or min(spatial) < 1:
            received = f"kernel_size {self.window.kernel}, pad {self.window.pad}, image {tuple(spatial)}"
            raise self.fail("not one window fits the padded image; make kernel_size smaller.", received)
        return sizes

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Pool, remembering which pixels were picked where that will be asked for."""
        image, out = bottom[0].array, top[0].array
        if self._volumes is not None:
            recording.refuse()
            self._volumes.forward(image, out)
        elif self.method == _Method.AVE:
            pooling.average_forward(image, out, self.window, self.pixels_only)
        elif self.method == _Method.MAX and len(top) == 1 and not self.runs_backward:
            pooling.max_values(image, out, self.window)
        elif self.method == _Method.MAX:
            pooling.max_forward(image, out, self._mask.array, self.window)
            if len(top) == 2:
                recording.refuse()
                top[1].array = self._mask.array
        elif self.training:
            chance = device.device_generator().random(out.shape, dtype=self.dtype)
            pooling.stochastic_forward(image, chance, out, self._mask.array, self.window)
        else:
            pooling.weighted_forward(image, out, self.window)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The gradient goes to the picked pixel (MAX, STOCHASTIC in training) or to all of the window."""
        if not propagate_down[0]:
            return
        out_grad, image_grad = top[0].grad, bottom[0].grad
        if self._volumes is not None:
            self._volumes.backward(out_grad, image_grad)
        elif self.method == _Method.AVE:
            pooling.average_backward(out_grad, image_grad, self.window, self.pixels_only)
        elif self.method == _Method.MAX or self.training:
            pooling.scatter(out_grad, self._mask.array, image_grad, self.window)
        else:
            pooling.weighted_backward(bottom[0].array, top[0].array, out_grad, image_grad, self.window)
