from __future__ import annotations

import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (LayerCase("Exp", "exp_param { base: 0 }"), "base must be positive, or -1 for e. Received: 0"),
        (LayerCase("Exp", "exp_param { base: -2 }"), "base must be positive"),
        (LayerCase("Log", "log_param { base: 1 }"), "base must be positive and not 1"),
        (LayerCase("Log", "log_param { base: -3 }"), "base must be positive and not 1"),
        (LayerCase("Clip", "clip_param { min: 0 }"), "needs both min and max. Received: clip_param { min: 0"),
        (LayerCase("Clip"), "needs both min and max"),
        (LayerCase("Clip", "clip_param { min: 2 max: 1 }"), "min must not exceed max. Received: min 2, max 1"),
        (LayerCase("Dropout", "dropout_param { dropout_ratio: 1 }"), "less than 1. Received: 1"),
        (LayerCase("Dropout", "dropout_param { dropout_ratio: -0.5 }"), "at least 0"),
        (LayerCase("PReLU", bottoms=((4,),)), "needs a bottom (N, C, ...). Received: shape (4,)"),
        (LayerCase("PReLU", 'prelu_param { filler { type: "gauss" } }'), 'Did you mean "gaussian"'),
        (LayerCase("Power", "power_param { scale: 0 shift: -1 power: 0.5 }"), "must be a number"),
        (LayerCase("Power", "power_param { scale: 0 power: -1 }"), "must be a number"),
    ],
    ids=lambda value: value.type if isinstance(value, LayerCase) else "",
)
def test_bad_options_are_named(case: LayerCase, says: str) -> None:
    with pytest.raises(SegcaffeError) as error:
        case.build()
    assert f'layer "layer" ({case.type}): ' in str(error.value)
    assert says in str(error.value)


def test_prelu_refuses_another_number_of_channels() -> None:
    layer, bottom, top = LayerCase("PReLU").build()
    bottom[0].reshape(2, 4, 5, 6)
    with pytest.raises(SegcaffeError, match="slopes for 3 channels"):
        layer.reshape(bottom, top)
