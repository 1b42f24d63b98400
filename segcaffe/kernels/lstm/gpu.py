"""LSTM steps on the GPU: for each step a product with the weights and one pass over the cells."""

from __future__ import annotations

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.cuda.compile import launch
from segcaffe.kernels.matmul import gpu as matmul


def forward(cont: Array, weight: Array, gates: Array, cell: Array, hidden: Array) -> None:
    kept = xp().empty_like(hidden[0])
    cells, count = kept.shape[1], kept.size
    for t in range(len(cont)):
        launch("lstm", "scale_rows", count, hidden[t], cont[t], kept, cells, count)
        matmul.gemm(kept, weight, gates[t], trans_b=True, beta=1.0)
        launch("lstm", "step", count, cont[t], cell[t], gates[t], cell[t + 1], hidden[t + 1], cells, count)


def backward(cont: Array, weight: Array, gates: Array, cell: Array, grad_hidden: Array, grad_gates: Array) -> None:
    later, grad_cell = xp().empty_like(cell[0]), xp().zeros_like(cell[0])
    cells, count, last = later.shape[1], later.size, len(cont) - 1
    for t in range(last, -1, -1):
        if t < last:
            matmul.gemm(grad_gates[t + 1], weight, later)
        after = (cont[t + 1], later) if t < last else (None, None)
        arrays = (cont[t], after[0], gates[t], cell[t], cell[t + 1], grad_hidden[t], after[1], grad_cell, grad_gates[t])
        launch("lstm", "step_backward", count, *arrays, cells, count)
