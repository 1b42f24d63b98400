"""By what a loss over many positions is divided."""

from __future__ import annotations

from segcaffe.proto import caffe_pb2


def normalization_mode(param: caffe_pb2.LossParameter, default: int = caffe_pb2.LossParameter.VALID) -> int:
    """The mode that ``loss_param`` asks for; the old flag ``normalize`` counts where the mode is not given."""
    if param.HasField("normalization"):
        return param.normalization
    if param.HasField("normalize"):
        return caffe_pb2.LossParameter.VALID if param.normalize else caffe_pb2.LossParameter.BATCH_SIZE
    return default


def normalizer(mode: int, outer: int, inner: int, valid: float) -> float:
    """The divisor, at least 1: a batch without any valid label has loss 0, not NaN.

    Parameters
    ----------
    mode:
        A `LossParameter.NormalizationMode`.
    outer, inner:
        Extents of the positions before and after the class axis.
    valid:
        How many positions count (or the sum of their weights).
    """
    divisors: dict[int, float] = {
        caffe_pb2.LossParameter.FULL: outer * inner,
        caffe_pb2.LossParameter.VALID: valid,
        caffe_pb2.LossParameter.BATCH_SIZE: outer,
        caffe_pb2.LossParameter.NONE: 1,
    }
    return max(1.0, float(divisors[mode]))
