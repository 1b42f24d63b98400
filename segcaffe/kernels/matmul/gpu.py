"""Products of matrices on the GPU: cuBLAS."""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

from segcaffe.device import cublas
from segcaffe.device.mode import Array


def gemm(
    a: Array,
    b: Array,
    out: Array,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    cublas.gemm(a, b, out, trans_a, trans_b, alpha, beta)
