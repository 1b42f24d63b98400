"""Convolution over 1 to 3 spatial axes, and its two gradients.

Arrays are (N, C, *spatial) and (N, M, *output), C-contiguous and of one dtype, float32 or float64; ``weight`` is
(M, C / group, *kernel). ``window`` has one value per spatial axis. A deconvolution is `backward_data` with the roles of
input and output exchanged.

Results can be given an *epilogue* while they are at hand: ``v = scale[channel] * sum + bias[channel] + addend``, and
then ``v`` where v > 0, else ``negative_slope * v`` (0 where the slope is 0, also for minus infinity). ``scale`` and
``bias`` are arrays of one value per channel of the result, or None for 1 and 0; ``negative_slope`` is a number or such
an array; ``addend`` is None or an array like the result, which it does not overlap.

On the CPU `forward` takes x, the output or both with their channels in blocks of a vector, (N, C / lanes, *spatial,
lanes), float32, of images: where the window is of one pixel or strided, or 3x3 and each channel has a kernel of its
own; then both lie so, and there is no addend. An addend lies as the output does.
"""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel
from segcaffe.window import Window


@kernel(writes=("out",))
def forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    out: Array,
    window: Window,
    group: int = 1,
    scale: Array | None = None,
    negative_slope: float | Array = 1.0,
    addend: Array | None = None,
) -> None:
    """``out[n, m, q] = epilogue of sum over c, t of weight[m, c, t] * x[n, c, q * stride + t * dilation - pad]``.

    ``x`` counts as 0 outside the image; with groups, output channel m sees only the C / group input channels of its
    own group. ``bias`` and ``scale`` are (M,) or None.
    """


@kernel(writes=("grad_x",))
def backward_data(
    grad_out: Array,
    weight: Array,
    grad_x: Array,
    window: Window,
    group: int = 1,
    bias: Array | None = None,
    scale: Array | None = None,
    negative_slope: float | Array = 1.0,
) -> None:
    """Gradient with respect to ``x``, overwriting ``grad_x``, from the gradient ``grad_out`` of ``out``.

    As a deconvolution's forward pass it has an epilogue: ``bias`` and ``scale`` are (C,) or None.
    """


@kernel(writes=("grad_weight", "grad_bias"))
def backward_weight(
    x: Array,
    grad_out: Array,
    grad_weight: Array,
    grad_bias: Array | None,
    window: Window,
    group: int = 1,
    beta: float = 1.0,
) -> None:
    """Add the gradients with respect to weight and bias to ``grad_weight`` and ``grad_bias`` (unless that is None).

    ``beta`` is 1, or 0 to overwrite ``grad_weight`` instead. The order of the sums does not depend on the number of
    threads.
    """


@kernel(writes=("grad_bias",))
def backward_bias(grad_out: Array, grad_bias: Array) -> None:
    """``grad_bias[m] += sum over n, q of grad_out[n, m, q]``."""
