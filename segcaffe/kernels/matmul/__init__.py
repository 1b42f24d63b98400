"""Products of whole matrices, divided among the threads of the kernels' pool."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("out",))
def gemm(
    a: Array, b: Array, out: Array, trans_a: bool = False, trans_b: bool = False, alpha: float = 1.0, beta: float = 0.0
) -> None:
    """``out = alpha * op(a) @ op(b) + beta * out``.

    Parameters
    ----------
    a, b:
        Matrices of one dtype, float32 or float64; ``op(a)`` is (M, K), ``op(b)`` is (K, N). Elements of a row lie next
        to each other; rows may be any distance apart. On the CPU ``b`` may be of float16, C-contiguous, and is widened.
    out:
        (M, N), of the same dtype and with the same rule for rows. It overlaps neither ``a`` nor ``b``.
    trans_a, trans_b:
        Whether ``op`` transposes.
    alpha, beta:
        With ``beta`` 0 what ``out`` held is ignored, NaN included.

    Raises
    ------
    ValueError
        The shapes do not make a product, or the elements of a row are not next to each other.
    """


@kernel(writes=("out",))
def finish(
    out: Array, bias: Array | None = None, scale: Array | None = None, negative_slope: float | Array = 1.0
) -> None:
    """Set each element to ``v = scale * out + bias``, or to ``negative_slope * v`` where v is not above 0.

    Parameters
    ----------
    out:
        (M, N), C-contiguous.
    bias, scale:
        (N,), or None for 0 and 1.
    negative_slope:
        A number, or (N,). With 0 negative values become 0, also minus infinity; with 1 they stay.
    """
