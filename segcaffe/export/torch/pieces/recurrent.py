"""Recurrent layers of Caffe, whose sequences begin where an indicator is 0."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LSTM(nn.Module):
    """Long short-term memory over T steps of N streams; each forward goes on from the state that the last one left.

    x (T, N, ...), cont (T, N): 0 where a sequence begins. Gates are in the order i, f, o, g.
    """

    def __init__(self, inputs: int, outputs: int, static_inputs: int = 0, exposed: bool = False) -> None:
        super().__init__()
        self.exposed = exposed
        self.weight_x = nn.Parameter(torch.zeros(4 * outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(4 * outputs))
        self.weight_static = nn.Parameter(torch.zeros(4 * outputs, static_inputs)) if static_inputs else None
        self.weight_h = nn.Parameter(torch.zeros(4 * outputs, outputs))
        self.state: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, cont: Tensor, *others: Tensor) -> Tensor | tuple[Tensor, ...]:
        gates = F.linear(x.flatten(2), self.weight_x, self.bias)
        if self.weight_static is not None:
            gates = gates + F.linear(others[0].flatten(1), self.weight_static)
            others = others[1:]
        zero = gates.new_zeros(gates.shape[1], self.weight_h.shape[1])
        if self.exposed:
            h, c = (state[0].detach() for state in others)
        else:
            fits = self.state is not None and self.state[0].shape == zero.shape
            h, c = self.state if fits and self.state is not None else (zero, zero)
        steps = []
        for gate, going_on in zip(gates, cont[:, :, None], strict=True):
            h, c = lstm_step(gate + F.linear(going_on * h, self.weight_h), going_on * c)
            steps.append(h)
        if self.exposed:
            return torch.stack(steps), h[None].detach(), c[None].detach()
        self.state = (h.detach(), c.detach())
        return torch.stack(steps)


def lstm_step(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """State and cell after a step, from the input of the gates i, f, o, g and the cell before."""
    i, f, o, g = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class RNN(nn.Module):
    """A simple recurrent network over T steps of N streams; each forward goes on from where the last one ended."""

    def __init__(self, inputs: int, outputs: int, static_inputs: int = 0, exposed: bool = False) -> None:
        super().__init__()
        self.exposed = exposed
        self.weight_x = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_static = nn.Parameter(torch.zeros(outputs, static_inputs)) if static_inputs else None
        self.weight_h = nn.Parameter(torch.zeros(outputs, outputs))
        self.output = nn.Linear(outputs, outputs)
        self.state: Tensor | None = None

    def forward(self, x: Tensor, cont: Tensor, *others: Tensor) -> Tensor | tuple[Tensor, ...]:
        inputs = F.linear(x.flatten(2), self.weight_x, self.bias)
        if self.weight_static is not None:
            inputs = inputs + F.linear(others[0].flatten(1), self.weight_static)
            others = others[1:]
        zero = torch.zeros_like(inputs[0])
        if self.exposed:
            h = others[0][0].detach()
        else:
            h = self.state if self.state is not None and self.state.shape == zero.shape else zero
        steps = []
        for step, going_on in zip(inputs, cont[:, :, None], strict=True):
            h = torch.tanh(step + F.linear(going_on * h, self.weight_h))
            steps.append(h)
        y = torch.tanh(self.output(torch.stack(steps)))
        if self.exposed:
            return y, h[None].detach()
        self.state = h.detach()
        return y


class FlatLSTM(nn.Module):
    """An LSTM whose steps and streams are one axis (T N, ...); clip is 0 where a sequence begins."""

    def __init__(self, inputs: int, outputs: int, streams: int) -> None:
        super().__init__()
        self.streams = streams
        self.weight_x = nn.Parameter(torch.zeros(4 * outputs, inputs))
        self.weight_h = nn.Parameter(torch.zeros(4 * outputs, outputs))
        self.bias = nn.Parameter(torch.zeros(4 * outputs))
        self.state: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, clip: Tensor | None = None) -> Tensor:
        gates = F.linear(x.flatten(1), self.weight_x, self.bias).unflatten(0, (-1, self.streams))
        zero = gates.new_zeros(self.streams, self.weight_h.shape[1])
        h, c = self.state if clip is not None and self.state is not None else (zero, zero)
        going_on = torch.ones(gates.shape[:2], dtype=gates.dtype, device=gates.device)
        if clip is not None:
            going_on = (clip.view(gates.shape[:2]) != 0).to(gates.dtype)
        steps = []
        for gate, cont in zip(gates, going_on[:, :, None], strict=True):
            h, c = lstm_step(gate + F.linear(cont * h, self.weight_h), cont * c)
            steps.append(h)
        self.state = (h.detach(), c.detach())
        return torch.stack(steps).flatten(0, 1)


def lstm_unit(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """Cell and state after one step of an LSTM."""
    h, c = lstm_step(gates, cont[:, :, None] * c)
    return c, h
