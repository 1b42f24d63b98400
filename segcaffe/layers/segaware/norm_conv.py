"""NormConv: convolution with windows weighted by a softmax of embedding distances."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from segcaffe.kernels import norm_conv as kernels
from segcaffe.kernels.distance.choice import compare, compare_backward
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.layers.segaware.distance_option import distance_of
from segcaffe.proto import caffe_pb2
from segcaffe.window import Window


@register
class NormConv(Layer):
    """Normalised convolution: before the filters see a window, its taps are weighted by how alike their embeddings are.

    bottom: values (N, C, H, W), embeddings (N, E, H, W);  top: (N, num_output, Y, X), sized as a convolution's.
    top = filters * (values of the window ⊙ softmax over the window of -scale · distance) + bias, where distance is
    ½Σ(centre - neighbour)² (norm L2) or Σ|centre - neighbour| (L1) over the embedding's channels, or another
    ``distance``, as of Im2dist. remove_center and
    remove_bounds put the centre and the neighbours outside the image infinitely far away. Without scale_term the
    original does not negate the distance: scale is -1 then.
    The weights of a window sum to 1, so that filters made or trained for a Convolution of T taps give values T times
    smaller, and a net from scratch hardly trains. scale_by_taps (segcaffe's own option) multiplies the weights by T:
    where all embeddings are alike the result is the Convolution's. Weights of a Convolution are taken as they are; the
    scale then keeps its filler's value.
    Parameters: filters (num_output, C / group, kernel h, kernel w), bias (num_output) with bias_term, scale (1) with
    scale_term. Source: Harley et al. 2017, section 3; only T weights per position are kept, never a matrix of columns.
    """

    other_options = ("convolution_param",)
    draw_color = "#FF5050"
    bottom_count = (2, 2)

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Filters, bias with bias_term, scale with scale_term."""
        return 1 + param.convolution_param.bias_term + param.norm_conv_param.scale_term

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options and make the parameters."""
        option, norm = self.param.convolution_param, self.param.norm_conv_param
        if bottom[0].ndim != 4:
            raise self.fail("the values must have 4 axes (N, C, H, W)", f"shape {bottom[0].shape}")
        if option.bottom_is_im2col:
            raise self.fail("takes images; bottom_is_im2col belongs to Convolution", "bottom_is_im2col: true")
        if option.axis not in (1, -3):
            raise self.fail("the channels must be axis 1", f"axis: {option.axis}")
        self.window = Window.from_convolution(option, 2, self.where)
        self.channels, self.group = bottom[0].shape[1], option.group
        self._check_groups(option.num_output)
        self.distance = distance_of(self, norm)
        self.remove_center, self.remove_bounds = norm.remove_center, norm.remove_bounds
        self.bias_term, self.scale_term = option.bias_term, norm.scale_term
        self.gain = self.window.taps if norm.scale_by_taps else 1
        shape = (option.num_output, self.channels // self.group, *self.window.kernel)
        self.add_parameter(shape, option.weight_filler)
        if self.bias_term:
            self.add_parameter((option.num_output,), option.bias_filler)
        if self.scale_term:
            self.add_parameter((1,), norm.scale_filler)

    def _check_groups(self, outputs: int) -> None:
        if outputs < 1:
            raise self.fail("num_output must be 1 or more", f"num_output: {outputs}")
        if self.channels < 1:
            raise self.fail("the values must have a channel", f"{self.channels} channels")
        if self.group < 1 or self.channels % self.group or outputs % self.group:
            received = f"group: {self.group}, {self.channels} channels, num_output: {outputs}"
            raise self.fail("group must divide both the number of channels and num_output", received)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes, size the top and the weights."""
        values, embeddings = bottom[0].shape, bottom[1].shape
        if len(values) != 4 or values[1] != self.channels:
            raise self.fail(f"the values must have shape (N, {self.channels}, H, W)", f"shape {values}")
        if len(embeddings) != 4 or (embeddings[0], *embeddings[2:]) != (values[0], *values[2:]):
            raise self.fail(
                "values and embeddings need the same batch size, height and width", f"shapes {values} and {embeddings}"
            )
        size = self.window.output_shape(values[2:])
        top[0].reshape(values[0], self.blobs[0].shape[0], *size)
        self._weights = self.own_blob("weights", (values[0], self.window.taps, *size), saved=True)

    def takes_fewer(self, count: int) -> bool:
        """A Convolution's filters and bias do, and the scale keeps its value."""
        if not self.scale_term or count != len(self.blobs) - 1:
            return False
        if self.gain == 1 and self.window.taps > 1:
            warnings.warn(
                f"{self.where}: the file has no scale for it, so it keeps {self.scale:g}. The filters of a Convolution "
                f"give values {self.window.taps} times smaller here, unless norm_conv_param has scale_by_taps: true.",
                stacklevel=2,
            )
        return True

    @property
    def weights(self) -> Any:
        """What each neighbour of a window counts, (N, taps, H', W')."""
        return self._weights.array

    @property
    def scale(self) -> float:
        """How fast weights fall with distance. Without scale_term they rise with it, as in the original."""
        return float(self.blobs[-1].data[0]) if self.scale_term else -1.0

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the weights, which backward uses again, and convolve."""
        compare(bottom[1].array, self.weights, self.window, self.distance, self.remove_center, self.remove_bounds)
        kernels.softmax(self.weights, self.scale)
        out = top[0].array
        kernels.convolve(bottom[0].array, self.weights, self.blobs[0].array, out, self.window)
        if self.gain != 1:
            out *= self.dtype.type(self.gain)
        if self.bias_term:
            out += self.blobs[1].array[:, None, None]

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of the values, the embeddings and the parameters."""
        grad = top[0].grad
        if self.bias_term and self.wants_param(1):
            bias_grad = self.blobs[1].grad
            bias_grad += grad.sum(axis=(0, 2, 3))
        if self.gain != 1:
            grad = grad * self.dtype.type(self.gain)
        x_grad = bottom[0].grad if propagate_down[0] else None
        filters_grad = self.blobs[0].grad if self.wants_param(0) else None
        if x_grad is not None or filters_grad is not None:
            x, filters = bottom[0].array, self.blobs[0].array
            kernels.convolve_backward(x, self.weights, filters, grad, x_grad, filters_grad, self.window)
        scale_wanted = self.scale_term and self.wants_param(len(self.blobs) - 1)
        if propagate_down[1] or scale_wanted:
            self._backward_weights(grad, propagate_down[1], scale_wanted, bottom)

    def _backward_weights(self, grad: Any, to_embeddings: bool, to_scale: bool, bottom: Blobs) -> None:
        grads = self.xp.empty_like(self.weights)
        kernels.convolve_backward_weights(bottom[0].array, self.blobs[0].array, grad, grads, self.window)
        kernels.softmax_backward(self.weights, grads, 1.0)
        embeddings = bottom[1].array
        if to_scale:
            # Removed neighbours count as distance 0: theirs stands for infinity, and their weight is 0.
            distances = self.xp.empty_like(grads)
            compare(embeddings, distances, self.window, self.distance)
            scale_grad = self.blobs[-1].grad
            scale_grad -= self.xp.vdot(distances, grads)
        if to_embeddings:
            grads *= self.dtype.type(-self.scale)
            compare_backward(embeddings, grads, bottom[1].grad, self.window, self.distance)

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Distances, masking and filtering."""
        pairs = self.window.taps * top[0].count // top[0].shape[1]
        per_output = self.blobs[0].count // self.blobs[0].shape[0]
        return pairs * (bottom[1].shape[1] + self.channels) + top[0].count * per_output
