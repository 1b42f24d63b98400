"""Connectionist temporal classification: labels of a sequence without their places. [Graves et al. 2006]."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("losses", "grad"))
def forward(scores: Array, labels: Array, lengths: Array, blank: int, merges: bool, losses: Array, grad: Array) -> None:
    """Set the losses, minus the logarithm of the probability of all paths that read as the labels, and their gradient.

    Parameters
    ----------
    scores:
        (T, N, C): softmax over the classes gives the probabilities.
    labels:
        (N, L) of int64, none of them ``blank``.
    lengths:
        (2, N) of int64: how many steps and how many labels an item has. An item without steps has loss 0.
    blank:
        The class that stands for no label.
    merges:
        Whether a label that stays for several steps is one, so that a blank must part two equal ones. Otherwise
        each step with a label reads as one.
    losses:
        (N,) of float64; infinite where no path reads as the labels, whose gradient is the probabilities.
    grad:
        (T, N, C), 0 after an item's last step.
    """
