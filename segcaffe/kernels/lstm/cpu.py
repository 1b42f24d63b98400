"""LSTM steps on the CPU: streams do not depend on each other, so each thread runs all steps of some of them."""

from __future__ import annotations

import numpy as np
from numba import njit

from segcaffe.device.mode import Array
from segcaffe.kernels import parallel
from segcaffe.kernels.blas import gemm
from segcaffe.kernels.vector_math import sigmoid, tanh

_SMALL = 1 << 17  # multiply-adds


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _activate(z, cont, before, cell, hidden):
    """One step of one stream: gates in place, new cell and hidden state."""
    count = cell.size
    i, f, o, g = z[:count], z[count : 2 * count], z[2 * count : 3 * count], z[3 * count :]
    for k in range(3 * count):
        z[k] = sigmoid(z[k])
    for k in range(count):
        g[k] = tanh(g[k])
    for k in range(count):
        cell[k] = cont * f[k] * before[k] + i[k] * g[k]
        hidden[k] = o[k] * tanh(cell[k])


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _differentiate(z, cont, before, cell, grad_hidden, grad_cell, out):
    """One step of one stream backwards; ``grad_cell`` goes from after the step to before it."""
    count = cell.size
    i, f, o, g = z[:count], z[count : 2 * count], z[2 * count : 3 * count], z[3 * count :]
    to_i, to_f = out[:count], out[count : 2 * count]
    to_o, to_g = out[2 * count : 3 * count], out[3 * count :]
    for k in range(count):
        t = tanh(cell[k])
        d = grad_cell[k] + grad_hidden[k] * o[k] * (1 - t * t)
        to_i[k] = d * g[k] * i[k] * (1 - i[k])
        to_f[k] = cont * d * before[k] * f[k] * (1 - f[k])
        to_o[k] = grad_hidden[k] * t * o[k] * (1 - o[k])
        to_g[k] = d * i[k] * (1 - g[k] * g[k])
        grad_cell[k] = cont * f[k] * d


@njit(nogil=True, cache=True)
def _forward(cont, weight, hidden0, cell0, gates, cell, hidden, start, stop):
    count, num = weight.shape[1], stop - start
    kept = np.empty((num, count), gates.dtype)
    for t in range(cont.shape[0]):
        h, c = (hidden0, cell0) if t == 0 else (hidden[t - 1], cell[t - 1])
        for n in range(num):
            kept[n] = h[start + n] * cont[t, start + n]
        z = gates[t, start:stop]
        gemm(False, True, num, 4 * count, count, 1.0, kept, count, weight, count, 1.0, z, 4 * count)
        for n in range(num):
            m = start + n
            _activate(z[n], cont[t, m], c[m], cell[t, m], hidden[t, m])


@njit(nogil=True, cache=True)
def _backward(cont, weight, cell0, gates, cell, grad_hidden, grad_gates, start, stop):
    steps, count, num = cont.shape[0], weight.shape[1], stop - start
    later, grad_cell = np.zeros((num, count), gates.dtype), np.zeros((num, count), gates.dtype)
    for back in range(steps):
        t = steps - 1 - back
        c = cell0 if t == 0 else cell[t - 1]
        for n in range(num):
            m = start + n
            if back > 0:
                later[n] *= cont[t + 1, m]
            later[n] += grad_hidden[t, m]
            _differentiate(gates[t, m], cont[t, m], c[m], cell[t, m], later[n], grad_cell[n], grad_gates[t, m])
        d = grad_gates[t, start:stop]
        gemm(False, False, num, count, 4 * count, 1.0, d, 4 * count, weight, count, 0.0, later, count)


def _run(cont: Array, weight: Array, body: parallel.Body) -> None:
    streams = cont.shape[1]
    grain = max(1, _SMALL // (cont.shape[0] * weight.size))
    # As many parts as threads: a product with few rows repeats the work on the weights.
    parallel.run(streams, body, grain=grain, blocks=parallel.parts(streams, grain))


def forward(cont: Array, weight: Array, hidden0: Array, cell0: Array, gates: Array, cell: Array, hidden: Array) -> None:
    """See the contract in ``kernels/lstm``."""

    def body(start: int, stop: int) -> None:
        _forward(cont, weight, hidden0, cell0, gates, cell, hidden, start, stop)

    _run(cont, weight, body)


def backward(
    cont: Array, weight: Array, cell0: Array, gates: Array, cell: Array, grad_hidden: Array, grad_gates: Array
) -> None:
    """See the contract in ``kernels/lstm``."""

    def body(start: int, stop: int) -> None:
        _backward(cont, weight, cell0, gates, cell, grad_hidden, grad_gates, start, stop)

    _run(cont, weight, body)
