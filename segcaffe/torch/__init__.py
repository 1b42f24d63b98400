"""The paper's operators for PyTorch: functions with gradients, modules, and models made segmentation-aware.

The functions are custom operators (``torch.ops.segcaffe``), so that ``torch.compile`` takes them whole; in autocast
they compute in float32. Tensors are shared with the kernels, not copied, unless they are not contiguous. Gradients of
gradients are not there: asking for them raises PyTorch's RuntimeError, which names the operator.

Needs PyTorch: ``pip install torch``. Importing ``segcaffe`` does not import this.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"segcaffe.torch needs PyTorch, which cannot be imported ({error}). Install it: pip install torch."
    ) from error

from segcaffe.torch.memory import keep_memory
from segcaffe.torch.modules import DistLoss, LocalMeanField, SegAwareConv2d
from segcaffe.torch.operators import (
    bilateral_cascade,
    domain_transform,
    local_distance,
    local_meanfield,
    local_parity,
    masked_conv2d,
    norm_conv2d,
    permutohedral_meanfield,
)
from segcaffe.torch.segawarify import SegAware, segawarify

__all__ = [
    "DistLoss",
    "LocalMeanField",
    "SegAware",
    "SegAwareConv2d",
    "bilateral_cascade",
    "domain_transform",
    "keep_memory",
    "local_distance",
    "local_meanfield",
    "local_parity",
    "masked_conv2d",
    "norm_conv2d",
    "permutohedral_meanfield",
    "segawarify",
]
