"""LSTM and RNN against loops in float64, and the state they carry."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase

FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 }'


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(params, x, cont, static, h, c):
    w_x, b, *w_static, w_h = params
    outputs = []
    for t in range(len(x)):
        on = cont[t][:, None]
        z = x[t] @ w_x.T + b + (on * h) @ w_h.T
        if static is not None:
            z = z + static @ w_static[0].T
        i, f, o, g = np.split(z, 4, axis=1)
        c = on * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs), (h, c)


def rnn_by_hand(params, x, cont, static, h):
    w_x, b, *w_static, w_h, w_o, b_o = params
    outputs = []
    for t in range(len(x)):
        z = x[t] @ w_x.T + b + (cont[t][:, None] * h) @ w_h.T
        if static is not None:
            z = z + static @ w_static[0].T
        h = np.tanh(z)
        outputs.append(np.tanh(h @ w_o.T + b_o))
    return np.stack(outputs), (h,)


BY_HAND = {"LSTM": lstm_by_hand, "RNN": rnn_by_hand}
STATES = {"LSTM": 2, "RNN": 1}


def build(layer_type, x, cont, static=None, states=()):
    options = f"recurrent_param {{ num_output: 4 {FILLERS} expose_hidden: {'true' if states else 'false'} }}"
    bottoms = (x, cont, *(() if static is None else (static,)), *states)
    return LayerCase(layer_type, options, bottoms, tops=1 + len(states)).build()


@pytest.mark.parametrize("layer_type", ["LSTM", "RNN"])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("exposed", [False, True])
def test_equals_a_loop_over_steps(layer_type, static, exposed):
    rng = np.random.default_rng(1)
    x, cont = rng.standard_normal((6, 5, 2, 3)), (rng.random((6, 5)) < 0.7).astype(float)
    side = rng.standard_normal((5, 7)) if static else None
    states = [rng.standard_normal((1, 5, 4)) for _ in range(STATES[layer_type])] if exposed else []
    layer, bottom, top = build(layer_type, x, cont, side, states)
    layer.forward(bottom, top)
    start = [state[0] for state in states] or [np.zeros((5, 4))] * STATES[layer_type]
    params = [blob.data.astype(np.float64) for blob in layer.blobs]
    expected, last = BY_HAND[layer_type](params, x.reshape(6, 5, 6), cont, side, *start)
    np.testing.assert_allclose(top[0].data, expected, atol=2e-6)
    for blob, state in zip(top[1:], last, strict=False):
        np.testing.assert_allclose(blob.data[0], state, atol=2e-6)


@pytest.mark.parametrize("layer_type", ["LSTM", "RNN"])
def test_the_state_is_carried_to_the_next_forward(layer_type):
    rng = np.random.default_rng(2)
    x, cont = rng.standard_normal((6, 3, 5)), np.ones((6, 3))
    whole, bottom, top = build(layer_type, x, cont)
    whole.forward(bottom, top)
    half, bottom2, top2 = build(layer_type, x[:3], cont[:3])
    half.forward(bottom2, top2)
    np.testing.assert_allclose(top2[0].data, top[0].data[:3], atol=1e-6)
    bottom2[0].data[...] = x[3:]
    half.forward(bottom2, top2)
    np.testing.assert_allclose(top2[0].data, top[0].data[3:], atol=1e-6)
    # cont 0 forgets it.
    bottom2[0].data[...] = x[:3]
    bottom2[1].data[0] = 0
    half.forward(bottom2, top2)
    np.testing.assert_allclose(top2[0].data, top[0].data[:3], atol=1e-6)


def test_another_number_of_streams_and_steps_starts_anew():
    rng = np.random.default_rng(3)
    layer, bottom, top = build("LSTM", rng.standard_normal((4, 2, 3)), np.ones((4, 2)))
    layer.forward(bottom, top)
    x = rng.standard_normal((2, 5, 3))
    bottom[0].reshape(2, 5, 3)
    bottom[1].reshape(2, 5)
    bottom[0].data[...], bottom[1].data[...] = x, 1
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    params = [blob.data.astype(np.float64) for blob in layer.blobs]
    expected, _ = lstm_by_hand(params, x, np.ones((2, 5)), None, np.zeros((5, 4)), np.zeros((5, 4)))
    np.testing.assert_allclose(top[0].data, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("layer_type", "static", "shapes"),
    [
        ("LSTM", None, [(16, 6), (16,), (16, 4)]),
        ("LSTM", (2, 7), [(16, 6), (16,), (16, 7), (16, 4)]),
        ("RNN", None, [(4, 6), (4,), (4, 4), (4, 4), (4,)]),
        ("RNN", (2, 7), [(4, 6), (4,), (4, 7), (4, 4), (4, 4), (4,)]),
    ],
)
def test_parameters_have_the_order_and_shapes_of_trained_files(layer_type, static, shapes):
    layer, _, _ = build(layer_type, np.zeros((5, 2, 6)), np.zeros((5, 2)), static and np.zeros(static))
    assert [blob.shape for blob in layer.blobs] == shapes


def test_exposed_states_get_gradient_zero():
    states = [np.ones((1, 2, 4))] * 2
    layer, bottom, top = build("LSTM", np.ones((3, 2, 6)), np.ones((3, 2)), None, states)
    layer.forward(bottom, top)
    for blob in (*bottom, *top):
        blob.diff[...] = 1
    layer.backward(top, [True, False, True, True], bottom)
    assert bottom[0].diff.any()
    assert not bottom[2].diff.any()
    assert not bottom[3].diff.any()


def test_large_gates_are_finite():
    layer, bottom, top = LayerCase("LSTMUnit", "", ((1, 1, 2), np.full((1, 1, 8), -1e4), (1, 1)), tops=2).build()
    layer.forward(bottom, top)
    assert np.isfinite(top[1].data).all()


@pytest.mark.parametrize(
    ("layer_type", "options", "shapes", "tops", "message"),
    [
        ("LSTM", "", ((5, 2, 3), (5, 2)), 1, "num_output must be positive"),
        ("LSTM", "num_output: 4", ((5, 2, 3), (5, 3)), 1, r"needs x \(T, N, ...\) and cont \(T, N\)"),
        ("LSTM", "num_output: 4", ((5, 2, 3), (5, 2), (3, 4)), 1, r"static input needs shape \(2, ...\)"),
        ("LSTM", "num_output: 4", ((5, 2, 3), (5, 2), (2, 4), (2, 4)), 1, "takes 2 or 3 bottoms"),
        ("LSTM", "num_output: 4 expose_hidden: true", ((5, 2, 3), (5, 2)), 3, "takes 4 or 5 bottoms and 3 tops"),
        ("RNN", "num_output: 4 expose_hidden: true", ((5, 2, 3), (5, 2), (2, 4)), 2, r"needs shape \(1, 2, 4\)"),
        ("RNN", "num_output: 4", ((5,), (5,)), 1, "needs x"),
    ],
)
def test_what_does_not_fit_is_refused(layer_type, options, shapes, tops, message):
    with pytest.raises(SegcaffeError, match=rf'layer "layer" \({layer_type}\).*{message}'):
        LayerCase(layer_type, f"recurrent_param {{ {options} }}", shapes, tops=tops).build()


def test_lstm_unit_refuses_gates_of_another_size():
    with pytest.raises(SegcaffeError, match=r"needs a cell \(1, N, D\)"):
        LayerCase("LSTMUnit", "", ((1, 2, 3), (1, 2, 9), (1, 2)), tops=2).build()
