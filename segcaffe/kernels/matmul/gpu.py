"""Products of matrices on the GPU: cuBLAS."""

from __future__ import annotations

from segcaffe.device import cublas
from segcaffe.device.mode import Array
from segcaffe.kernels.channelwise import gpu as channelwise
from segcaffe.kernels.elementwise import gpu as elementwise


def gemm(
    a: Array, b: Array, out: Array, trans_a: bool = False, trans_b: bool = False, alpha: float = 1.0, beta: float = 0.0
) -> None:
    cublas.gemm(a, b, out, trans_a, trans_b, alpha, beta)


def finish(
    out: Array, bias: Array | None = None, scale: Array | None = None, negative_slope: float | Array = 1.0
) -> None:
    if scale is not None:
        out *= scale
    if bias is not None:
        out += bias
    if isinstance(negative_slope, (int, float)):
        if negative_slope != 1:
            elementwise.relu(out, negative_slope, out)
    else:
        view = out.reshape(*out.shape, 1)
        channelwise.prelu(view, negative_slope, view)
