"""LSTM steps on the CPU: streams do not depend on each other, so each thread runs all steps of some of them."""

from __future__ import annotations

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.jit.compiled import CONTRACT, njit
from segcaffe.kernels.lstm.packed import arrange, multiply, operands, pack
from segcaffe.kernels.vector.vector_math import sigmoid, tanh
from segcaffe.threads import parallel

_SMALL = 1 << 17  # multiply-adds


# Each loop touches few arrays: the compiler makes SIMD code only where it can check that they do not overlap.


@njit(nogil=True, cache=True, fastmath=CONTRACT, error_model="numpy")
def _activate(z, cont, before, cell, hidden):
    """One step of one stream: gates in place, new cell and hidden state."""
    count = cell.size
    i, f, o, g = z[:count], z[count : 2 * count], z[2 * count : 3 * count], z[3 * count :]
    for k in range(3 * count):
        z[k] = sigmoid(z[k])
    for k in range(count):
        g[k] = tanh(g[k])
    for k in range(count):
        cell[k] = cont * f[k] * before[k]
    for k in range(count):
        cell[k] += i[k] * g[k]
    for k in range(count):
        hidden[k] = o[k] * tanh(cell[k])


@njit(nogil=True, cache=True, fastmath=CONTRACT, error_model="numpy")
def _differentiate(z, cont, before, cell, grad_hidden, grad_cell, out):
    """One step of one stream backwards; ``grad_cell`` goes from after the step to before it."""
    count = cell.size
    i, f, o, g = z[:count], z[count : 2 * count], z[2 * count : 3 * count], z[3 * count :]
    to_i, to_f = out[:count], out[count : 2 * count]
    to_o, to_g = out[2 * count : 3 * count], out[3 * count :]
    for k in range(count):
        to_g[k] = tanh(cell[k])
    for k in range(count):
        to_o[k] = grad_hidden[k] * to_g[k] * o[k] * (1 - o[k])
    for k in range(count):
        grad_cell[k] += grad_hidden[k] * o[k] * (1 - to_g[k] * to_g[k])
    for k in range(count):
        to_i[k] = grad_cell[k] * g[k] * i[k] * (1 - i[k])
    for k in range(count):
        to_g[k] = grad_cell[k] * i[k] * (1 - g[k] * g[k])
    for k in range(count):
        to_f[k] = cont * grad_cell[k] * before[k] * f[k] * (1 - f[k])
    for k in range(count):
        grad_cell[k] *= cont * f[k]


@njit(nogil=True, cache=True)
def _forward(cont, panels, gates, cell, hidden, start, stop):
    left, out = operands(panels, stop - start, gates.dtype)
    for t in range(cont.shape[0]):
        for n in range(start, stop):
            arrange(hidden[t, n], cont[t, n], n - start, left)
        multiply(left, panels, out)
        for n in range(start, stop):
            z = gates[t, n]
            z += out[n - start, : z.size]
            _activate(z, cont[t, n], cell[t, n], cell[t + 1, n], hidden[t + 1, n])


@njit(nogil=True, cache=True)
def _backward(cont, panels, gates, cell, grad_hidden, grad_gates, start, stop):
    steps, count = grad_hidden.shape[0], grad_hidden.shape[2]
    left, out = operands(panels, stop - start, gates.dtype)
    grad_cell = np.zeros((stop - start, count), gates.dtype)
    for t in range(steps - 1, -1, -1):
        for n in range(start, stop):
            later = out[n - start, :count]
            if t < steps - 1:
                later *= cont[t + 1, n]
            later += grad_hidden[t, n]
            d = grad_gates[t, n]
            _differentiate(gates[t, n], cont[t, n], cell[t, n], cell[t + 1, n], later, grad_cell[n - start], d)
            arrange(d, d.dtype.type(1), n - start, left)
        if t > 0:
            multiply(left, panels, out)


def _run(cont: Array, weight: Array, body: parallel.Body) -> None:
    streams = cont.shape[1]
    grain = max(1, _SMALL // (cont.shape[0] * weight.size))
    # As many parts as threads: each streams all the weights through its cache.
    parallel.run(streams, body, grain=grain, blocks=parallel.parts(streams, grain))


def forward(cont: Array, weight: Array, gates: Array, cell: Array, hidden: Array) -> None:
    panels = pack(weight.T)
    _run(cont, weight, lambda start, stop: _forward(cont, panels, gates, cell, hidden, start, stop))


def backward(cont: Array, weight: Array, gates: Array, cell: Array, grad_hidden: Array, grad_gates: Array) -> None:
    panels = pack(weight)

    def body(start: int, stop: int) -> None:
        _backward(cont, panels, gates, cell, grad_hidden, grad_gates, start, stop)

    _run(cont, weight, body)
