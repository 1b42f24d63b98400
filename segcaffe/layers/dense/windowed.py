"""What Convolution and Deconvolution have in common: options, parameters, shapes."""

from __future__ import annotations

from typing import Any, ClassVar

from segcaffe.blob import Blob
from segcaffe.layers.base import Blobs, Count
from segcaffe.layers.dense.epilogue import EpilogueLayer
from segcaffe.layers.sliding_window import SlidingWindow
from segcaffe.proto import caffe_pb2


class WindowedLayer(EpilogueLayer, SlidingWindow):
    """Base of layers with a kernel that slides over 1 to 3 spatial axes.

    Each bottom is (batch axes, C, spatial axes), the channels on axis ``axis``; each has a top of its own, by the same
    weights. Parameters: weight, and bias (num_output) with ``bias_term``. ``pad_t``, ``pad_l``, ``pad_b`` and ``pad_r``
    pad each side by itself; ``kstride`` is another name of ``dilation``.
    """

    draw_color = "#FF5050"
    bottom_count: ClassVar[Count] = (1, None)
    top_count: ClassVar[Count] = (1, None)
    same_count = True
    fork_options = frozenset(
        f"ConvolutionParameter.{name}"
        for name in ("pad_t", "pad_l", "pad_b", "pad_r", "kstride", "dilation_h", "dilation_w")
    )

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Weight, and bias with bias_term."""
        return 1 + param.convolution_param.bias_term

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window, num_output, group, axis; make weight and bias."""
        param = self.param.convolution_param
        self.read_window(bottom)
        self.bias_term = param.bias_term
        self.channels = self.input_channels(bottom[0].shape[self.axis])
        self.num_output, self.group = self.read_outputs()
        self._check_options()
        self.add_parameter(self.weight_shape(), param.weight_filler)
        if self.bias_term:
            self.add_parameter((self.num_output,), param.bias_filler)

    def read_outputs(self) -> tuple[int, int]:
        """num_output and group."""
        options = self.param.convolution_param
        return options.num_output, options.group

    def input_channels(self, extent: int) -> int:
        """Channels of the image, from the extent of the bottom's channel axis."""
        return extent

    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight blob."""
        raise NotImplementedError

    def output_spatial(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Spatial shape of the top, from the bottom's."""
        raise NotImplementedError

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the bottoms' shapes; each top has num_output channels."""
        for blob in bottom:
            if blob.ndim != bottom[0].ndim or blob.shape[self.axis] != bottom[0].shape[self.axis]:
                raise self.fail(
                    "all bottoms need the same number of axes and channels.",
                    f"shapes {bottom[0].shape} and {blob.shape}",
                )
        if self.input_channels(bottom[0].shape[self.axis]) != self.channels:
            raise self.fail(
                f"was set up for {self.channels} channels on axis {self.axis}.", f"a bottom of shape {bottom[0].shape}"
            )
        for source, target in zip(bottom, top, strict=True):
            spatial = self.output_spatial(source.shape[self.axis + 1 :])
            target.reshape(*source.shape[: self.axis], self.num_output, *spatial)
        self._stepping = self.window.stepping([blob.shape[self.axis + 1 :] for blob in self.images(bottom, top)])

    def images(self, bottom: Blobs, top: Blobs) -> Blobs:
        """The blobs that the window slides over."""
        return bottom

    def options(self) -> dict[str, Any]:
        """Window and group, as the convolution kernel takes them."""
        return {"window": self._stepping, "group": self.group}

    def _check_options(self) -> None:
        if self.num_output < 1:
            raise self.fail("num_output must be 1 or more.", self.num_output)
        if self.channels < 1:
            raise self.fail(f"the bottom needs at least one channel, on axis {self.axis}.", self.channels)
        if self.group < 1 or self.channels % self.group or self.num_output % self.group:
            raise self.fail(
                "group must divide the bottom's channels and num_output.",
                f"group {self.group}, {self.channels} channels, num_output {self.num_output}",
            )


def positions(blob: Blob, axis: int) -> int:
    """Number of windows over all items of a batch: everything but the channels."""
    return blob.count // max(1, blob.shape[axis])
