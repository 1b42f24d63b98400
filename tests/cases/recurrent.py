"""Cases of the recurrent layers."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase

OPTIONS = 'num_output: 4 weight_filler { type: "gaussian" std: 0.5 }'
# Sequences begin at the first step and, in one stream, in the middle.
CONT = np.array([[0, 0], [1, 1], [1, 0], [1, 1], [1, 1]])
STATE = (1, 2, 4)


def recurrent_case(layer: str, suffix: str, options: str = "", bottoms: tuple = (), tops: int = 1, **more) -> LayerCase:
    """Five steps of two streams, three values each."""
    return LayerCase(
        layer,
        f"recurrent_param {{ {OPTIONS} {options} }}",
        ((5, 2, 3), CONT, *bottoms),
        tops=tops,
        suffix=suffix,
        batched=False,
        **more,
    )


CASES = [
    recurrent_case("LSTM", "plain"),
    recurrent_case("LSTM", "static", bottoms=((2, 6),)),
    # Gradients do not pass through the exposed states.
    recurrent_case("LSTM", "exposed", "expose_hidden: true", (STATE, STATE), 3, gradient=False),
    recurrent_case("LSTM", "static_exposed", "expose_hidden: true", ((2, 3, 2), STATE, STATE), 3, gradient=False),
    recurrent_case("RNN", "plain"),
    recurrent_case("RNN", "static", bottoms=((2, 6),)),
    recurrent_case("RNN", "exposed", "expose_hidden: true", (STATE,), 2, gradient=False),
    LayerCase(
        "LSTMUnit", bottoms=((1, 3, 4), (1, 3, 16), np.array([[1, 0, 0.5]])), tops=2, batched=False, suffix="unit"
    ),
]
