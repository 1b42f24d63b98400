"""A stand-in for pydensecrf: fully connected CRFs with its classes, calls and results.

``import segcaffe.densecrf as dcrf`` in place of ``import pydensecrf.densecrf as dcrf``; `segcaffe.densecrf.utils` has
what ``pydensecrf.utils`` has. Matrices are NumPy arrays. For batches and gradients see
`segcaffe.functional.permutohedral_meanfield`.
"""

from segcaffe.densecrf.inference import (
    CONST_KERNEL,
    DIAG_KERNEL,
    FULL_KERNEL,
    NO_NORMALIZATION,
    NORMALIZE_AFTER,
    NORMALIZE_BEFORE,
    NORMALIZE_SYMMETRIC,
    DenseCRF,
    DenseCRF2D,
)

__all__ = [
    "CONST_KERNEL",
    "DIAG_KERNEL",
    "FULL_KERNEL",
    "NORMALIZE_AFTER",
    "NORMALIZE_BEFORE",
    "NORMALIZE_SYMMETRIC",
    "NO_NORMALIZATION",
    "DenseCRF",
    "DenseCRF2D",
]
