"""The paper's operators on arrays, without a net: what `torch.nn.functional` is to layers.

Arrays are NumPy's, CuPy's, or anything's that shares its memory by DLPack; answers are of the same kind. Each function
``f`` that has a gradient has an ``f_backward`` beside it: it takes the gradient of the result first and gives those of
what ``f`` was given. The layers of nets run the same kernels.
"""

from segcaffe.functional.cascade import CascadeGradients, bilateral_cascade, bilateral_cascade_backward
from segcaffe.functional.convolution import (
    MaskedConvGradients,
    NormConvGradients,
    masked_conv2d,
    masked_conv2d_backward,
    norm_conv2d,
    norm_conv2d_backward,
)
from segcaffe.functional.domain_transform import (
    DomainTransformGradients,
    domain_transform,
    domain_transform_backward,
)
from segcaffe.functional.kept import Kept
from segcaffe.functional.masks import local_distance, local_distance_backward, local_parity
from segcaffe.functional.meanfield import MeanfieldGradients, local_meanfield, local_meanfield_backward
from segcaffe.functional.permutohedral import (
    PermutohedralGradients,
    permutohedral_meanfield,
    permutohedral_meanfield_backward,
)
from segcaffe.kernels.distance.registry import register_distance

__all__ = [
    "CascadeGradients",
    "DomainTransformGradients",
    "Kept",
    "MaskedConvGradients",
    "MeanfieldGradients",
    "NormConvGradients",
    "PermutohedralGradients",
    "bilateral_cascade",
    "bilateral_cascade_backward",
    "domain_transform",
    "domain_transform_backward",
    "local_distance",
    "local_distance_backward",
    "local_meanfield",
    "local_meanfield_backward",
    "local_parity",
    "masked_conv2d",
    "masked_conv2d_backward",
    "norm_conv2d",
    "norm_conv2d_backward",
    "permutohedral_meanfield",
    "permutohedral_meanfield_backward",
    "register_distance",
]
