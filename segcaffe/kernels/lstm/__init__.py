"""The steps of an LSTM in time, after the products with its inputs.

Arrays are (T, N, ...): T steps of N independent streams. The four gates lie one after the other along the last axis, in
the order input, forget, output, candidate, each of H cells.
"""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("gates", "cell", "hidden"))
def forward(cont: Array, weight: Array, gates: Array, cell: Array, hidden: Array) -> None:
    """For each step ``z = gates + (cont h) weight'``; ``c = cont f c + i g``; ``h = o tanh(c)``.

    Parameters
    ----------
    cont:
        (T, N): 0 where a sequence begins, which forgets the state before it, else 1.
    weight:
        (4 H, H): from the hidden state to the gates.
    gates:
        (T, N, 4 H): what the inputs contribute to z; replaced by sigmoid(z) of the first three gates and tanh(z) of
        the candidate.
    cell, hidden:
        (T + 1, N, H): c and h before the first step, which is given, then after each step.
    """


@kernel(writes=("grad_gates",))
def backward(cont: Array, weight: Array, gates: Array, cell: Array, grad_hidden: Array, grad_gates: Array) -> None:
    """Gradient of z (before sigmoid and tanh) of each step.

    Parameters
    ----------
    cont, weight, gates, cell:
        As `forward` was given or left them.
    grad_hidden:
        (T, N, H): gradient of h after each step, not counting what later steps add.
    grad_gates:
        (T, N, 4 H), overwritten.
    """
