"""Softmax followed by the negative log likelihood of labels, and the gradient of both together."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel

NO_IGNORE = -(1 << 40)
"""Stands for no label to ignore: no label is read as this number."""


@kernel(writes=("prob", "totals"))
def forward(x: Array, label: Array, weight: Array, ignore: int, floor: float, prob: Array, totals: Array) -> None:
    """Probabilities of all classes, and the sums that make the loss.

    Parameters
    ----------
    x:
        (outer, C, inner) scores.
    label:
        (outer, inner) class numbers as floats, rounded towards zero.
    weight:
        (C,) weight of each class.
    ignore:
        The label that counts nothing, or `NO_IGNORE`.
    floor:
        Probabilities are taken as at least this.
    prob:
        (outer, C, inner): set to the softmax of ``x``.
    totals:
        (3,) float64: set to the weighted sum of -log(probability of the label), the sum of the weights of the labels
        that are not ignored, and the flat position of a label that is no class and not ignored (-1 if all are good).
    """


@kernel(writes=("out",))
def backward(prob: Array, label: Array, weight: Array, ignore: int, scale: float, out: Array) -> None:
    """``out[o, c, i] = scale * weight[label] * (prob[o, c, i] - (c == label))``; 0 where the label is ignored.

    Parameters
    ----------
    prob, label, weight, ignore:
        As in `forward`; labels are known to be good.
    scale:
        Factor of the whole: loss weight over normalizer.
    out:
        (outer, C, inner), overwritten; may be ``prob`` itself.
    """
