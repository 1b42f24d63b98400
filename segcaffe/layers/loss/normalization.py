"""By what a loss over many positions is divided."""

from __future__ import annotations

from typing import NamedTuple

from segcaffe.parallel import group
from segcaffe.proto import caffe_pb2


class Normalization(NamedTuple):
    """A `LossParameter.NormalizationMode`, and the divisor of mode PRE_FIXED."""

    mode: int
    fixed: float = 1.0


def normalization_mode(param: caffe_pb2.LossParameter, default: int = caffe_pb2.LossParameter.VALID) -> Normalization:
    """What ``loss_param`` asks for; the old flag ``normalize`` counts where the mode is not given."""
    fixed = param.pre_fixed_normalizer
    if param.HasField("normalization"):
        return Normalization(param.normalization, fixed)
    if param.HasField("normalize"):
        mode = caffe_pb2.LossParameter.VALID if param.normalize else caffe_pb2.LossParameter.BATCH_SIZE
        return Normalization(mode, fixed)
    return Normalization(default, fixed)


def normalizer(normalization: Normalization, outer: int, inner: int, valid: float, training: bool) -> float:
    """The divisor, at least 1: a batch without any valid label has loss 0, not NaN.

    In training on several ranks VALID may mean the mean over all of them, which then all must ask for.

    Parameters
    ----------
    normalization:
        The mode; PRE_FIXED divides by the number that it brings, whatever that is.
    outer, inner:
        Extents of the positions before and after the class axis.
    valid:
        How many positions count (or the sum of their weights).
    training:
        Whether the layer is in phase TRAIN.
    """
    if training and normalization.mode == caffe_pb2.LossParameter.VALID and group().options.valid_over_all:
        valid = group().average_of(valid)
    if normalization.mode == caffe_pb2.LossParameter.PRE_FIXED:
        return normalization.fixed
    divisors: dict[int, float] = {
        caffe_pb2.LossParameter.FULL: outer * inner,
        caffe_pb2.LossParameter.VALID: valid,
        caffe_pb2.LossParameter.BATCH_SIZE: outer,
        caffe_pb2.LossParameter.NONE: 1,
    }
    return max(1.0, float(divisors[normalization.mode]))
