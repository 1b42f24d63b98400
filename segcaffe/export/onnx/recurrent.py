"""Recurrent layers.

Where a net's ``cont`` is a constant that begins each sequence at the first step, or where there is none, they are the
operators LSTM and RNN. Any other ``cont`` may begin sequences anywhere, which those do not know: there a Scan makes the
steps. A model keeps nothing from run to run: each begins from state zero, unless expose_hidden makes states bottoms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.export.onnx.emitter import Array, Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.export.onnx.subgraph import Step
from segcaffe.layers.base import Layer
from segcaffe.layers.recurrent.base import RecurrentLayer
from segcaffe.layers.recurrent.lstm import LSTM, Lstm
from segcaffe.layers.recurrent.rnn import RNN


@maps("LSTM")
def lstm(layer: LSTM, emit: Emitter) -> list[str]:
    """LSTM, or a Scan of its steps."""
    hidden_weight, bias = emit.values(layer.recurrent_index), emit.values(1)
    if _begins_at_first_step(emit):
        inputs, weight = _joined_inputs(layer, emit)
        steps, hidden, cell = _lstm_operator(emit, inputs, weight, hidden_weight, bias)
        return [steps, hidden, cell][: len(emit.top)]
    states = _states(layer, emit)
    gates = _input_part(layer, emit)
    recurrent = emit.parameter_as(layer.recurrent_index, hidden_weight.T)
    hidden, cell, steps = _lstm_steps(emit, states, gates, emit.inputs[1], recurrent)
    return [steps, emit.unsqueeze(hidden, [0]), emit.unsqueeze(cell, [0])][: len(emit.top)]


@maps("Lstm")
def caffe_lstm(layer: Lstm, emit: Emitter) -> str:
    """LSTM; with clip a Scan of its steps, of what is not 0 in it."""
    weight, hidden_weight, bias = (emit.values(i) for i in range(3))
    emit.fixed_batch("its first axis is steps times batch_size")
    steps = emit.reshape(emit.input, [layer.steps, layer.streams, layer.values])
    if len(emit.inputs) == 1:
        return emit.as_top(_lstm_operator(emit, steps, weight, hidden_weight, bias)[0])
    gates = emit.add(emit.node("MatMul", steps, emit.parameter_as(0, weight.T)), emit.parameter(2))
    begins = emit.node("Equal", emit.inputs[1], emit.number(0, "begin"))
    cont = emit.reshape(emit.cast(emit.node("Not", begins), np.float32), [layer.steps, layer.streams])
    zero = emit.constant(np.zeros((layer.streams, layer.num_output), np.float32), "zero")
    recurrent = emit.parameter_as(1, hidden_weight.T)
    return emit.as_top(_lstm_steps(emit, [zero, zero], gates, cont, recurrent)[2])


@maps("LSTMUnit")
def lstm_unit(layer: Layer, emit: Emitter) -> list[str]:
    """One step."""
    cell, gates, cont = emit.inputs
    return list(_unit(emit, gates, emit.mul(cell, emit.unsqueeze(cont, [2])), (2, emit.shape()[2])))


@maps("RNN")
def rnn(layer: RNN, emit: Emitter) -> list[str]:
    """RNN, or a Scan of its steps; then what each step gives of its state."""
    index = layer.recurrent_index
    hidden_weight = emit.values(index)
    if _begins_at_first_step(emit):
        inputs, weight = _joined_inputs(layer, emit)
        parameters = _operator_parameters(emit, weight, hidden_weight, emit.values(1))
        steps, hidden = emit.node("RNN", inputs, *parameters, outputs=2, hidden_size=layer.num_output)
        steps = emit.squeeze(steps, [1])
    else:
        states, part = _states(layer, emit), _input_part(layer, emit)
        recurrent = emit.parameter_as(index, hidden_weight.T)
        step = Step(emit)
        before, own, cont = (step.given(name, ndim) for name, ndim in (("hidden", 2), ("part", 2), ("cont", 1)))
        kept = step.mul(before, step.unsqueeze(cont, [1]))
        after = [(step.node("Tanh", step.add(step.node("MatMul", kept, recurrent), own)), 2)]
        last, steps = step.scan(states, {part: 0, emit.inputs[1]: 0}, after, after)
        hidden = emit.unsqueeze(last, [0])
    output = emit.node("MatMul", steps, emit.parameter_as(index + 1, emit.values(index + 1).T))
    return [emit.node("Tanh", emit.add(output, emit.parameter(index + 2))), hidden][: len(emit.top)]


def _begins_at_first_step(emit: Emitter) -> bool:
    """Whether ``cont`` is a constant that is 0 at the first step and 1 at all others."""
    cont = emit.constant_values(emit.inputs[1])
    return cont is not None and not cont[0].any() and bool((cont[1:] == 1).all())


def _lstm_operator(emit: Emitter, inputs: str, weight: Array, hidden_weight: Array, bias: Array) -> list[str]:
    """All steps (T, N, O), and hidden state and cell after the last, (1, N, O)."""
    own = [_reordered(values) for values in (weight, hidden_weight, bias)]
    parameters = _operator_parameters(emit, own[0], own[1], own[2])
    size = hidden_weight.shape[1]
    steps, hidden, cell = emit.node("LSTM", inputs, *parameters, outputs=3, hidden_size=size)
    return [emit.squeeze(steps, [1]), hidden, cell]


def _reordered(values: Array) -> Array:
    """Caffe's gates i, f, o, g in the order of ONNX: i, o, f, c."""
    i, f, o, g = np.split(values, 4)
    return np.concatenate([i, o, f, g])


def _operator_parameters(emit: Emitter, weight: Array, hidden_weight: Array, bias: Array) -> list[str]:
    """W, R and B, of one direction; the second half of B is of the state."""
    both = np.concatenate([bias, np.zeros_like(bias)])
    named = (("W", weight), ("R", hidden_weight), ("B", both))
    return [emit.constant(values[None], name) for name, values in named]


def _joined_inputs(layer: RecurrentLayer, emit: Emitter) -> tuple[str, Array]:
    """The inputs of all steps (T, N, D), the static one behind each, and their weights side by side."""
    inputs, weight = _rows(emit, 0, emit.values(0)), emit.values(0)
    if not layer.has_static:
        return inputs, weight
    static = emit.unsqueeze(_rows(emit, 2, emit.values(2)), [0])
    # Another number of steps would be another shape of cont, which is a constant here.
    static = emit.expand(static, [layer.steps, 1, 1])
    return emit.concat([inputs, static], 2), np.concatenate([weight, emit.values(2)], axis=1)


def _input_part(layer: RecurrentLayer, emit: Emitter) -> str:
    """What the inputs contribute to each step: (T, N, gates * O)."""
    part = emit.node("MatMul", _rows(emit, 0, emit.values(0)), emit.parameter_as(0, emit.values(0).T))
    part = emit.add(part, emit.parameter(1))
    if not layer.has_static:
        return part
    static = emit.node("MatMul", _rows(emit, 2, emit.values(2)), emit.parameter_as(2, emit.values(2).T))
    return emit.add(part, static)


def _rows(emit: Emitter, index: int, weight: Array) -> str:
    """A bottom whose last axes are one: (T, N, D) or (N, D)."""
    lead = 2 if index == 0 else 1
    if emit.ndim(index) == lead + 1:
        return emit.inputs[index]
    return emit.reshape(emit.inputs[index], [*[0] * lead, weight.shape[1]])


def _states(layer: RecurrentLayer, emit: Emitter) -> list[str]:
    """The states (N, O) before the first step."""
    if layer.expose:
        return [emit.squeeze(name, [0]) for name in emit.inputs[2 + layer.has_static :]]
    streams = emit.slice(emit.node("Shape", emit.inputs[1]), [1], [2], [0])
    shape = emit.concat([streams, emit.ints([layer.num_output], "outputs")], 0)
    zero = emit.node("Expand", emit.number(0, "zero"), shape)
    return [zero] * layer.states


def _lstm_steps(emit: Emitter, states: Sequence[str], gates: str, cont: str, recurrent: str) -> list[str]:
    """A Scan over gates (T, N, 4 O) and cont (T, N): the last hidden state and cell, and all hidden states."""
    step = Step(emit)
    hidden, cell, own, goes_on = (
        step.given(name, ndim) for name, ndim in (("hidden", 2), ("cell", 2), ("gates", 2), ("cont", 1))
    )
    goes_on = step.unsqueeze(goes_on, [1])
    # In this order, for OpenVINO computes a slice plus a product wrongly.
    own = step.add(step.node("MatMul", step.mul(hidden, goes_on), recurrent), own)
    size = emit.top_shape()[-1]
    cell, hidden = _unit(step, own, step.mul(cell, goes_on), (1, size))
    after = [(hidden, 2), (cell, 2)]
    return step.scan(states, {gates: 0, cont: 0}, after, after[:1])


def _unit(emit: Emitter | Step, gates: str, cell: str, last: tuple[int, int]) -> tuple[str, str]:
    """Cell and hidden state after a step, of gates i, f, o, g along the ``last`` axis, (its number, its size)."""
    axis, size = last
    chances, change = emit.split(gates, axis, [3 * size, size])
    i, f, o = emit.split(emit.node("Sigmoid", chances), axis, [size] * 3)
    after = emit.add(emit.mul(f, cell), emit.mul(i, emit.node("Tanh", change)))
    return after, emit.mul(o, emit.node("Tanh", after))
