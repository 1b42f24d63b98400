"""Epilogues: what kernels are told of absorbed layers, and the way of a gradient back through them."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.layers.base import Layer
from segcaffe.layers.dense.epilogue import Epilogue
from segcaffe.testing import LayerCase

RNG = np.random.default_rng(4)
X = RNG.standard_normal((2, 3, 4, 5))


def layer(kind: str, options: str = "") -> Layer:
    """A layer of three channels with parameters that are not those it was made with."""
    built, _, _ = LayerCase(kind, options, (X,), phase="TEST").build()
    for blob in built.blobs:
        blob.data[...] = RNG.uniform(0.5, 1.5, blob.shape)
    return built


def absorbing(*kinds: str) -> tuple[Epilogue, list[Layer]]:
    options = {"Scale": "scale_param { bias_term: true }", "ReLU": "relu_param { negative_slope: 0.25 }"}
    layers = [layer(kind, options.get(kind, "")) for kind in kinds]
    epilogue = Epilogue()
    epilogue.absorb(layers)
    return epilogue, layers


def one_by_one(layers: list[Layer], values: np.ndarray) -> Blob:
    """The blob on which all layers worked in place."""
    blob = Blob(values.shape, np.float64)
    blob.data[...] = values
    for each in layers:
        each.reshape([blob], [blob])
        each.forward([blob], [blob])
    return blob


CHAINS = [("BatchNorm",), ("BatchNorm", "Scale"), ("BatchNorm", "Scale", "ReLU"), ("Scale", "ReLU"), ("ReLU",)]


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("kinds", CHAINS, ids="-".join)
def test_options_say_what_the_layers_do(kinds: tuple[str, ...], with_bias: bool) -> None:
    epilogue, layers = absorbing(*kinds)
    bias = RNG.standard_normal(3) if with_bias else None
    told = epilogue.options(bias, 3, np.dtype(np.float64))
    factor, shift = (1.0 if told[name] is None else told[name][:, None, None] for name in ("scale", "bias"))
    value = factor * X + (0 if told["bias"] is None else shift)
    value = np.where(value > 0, value, told["negative_slope"] * value)
    own = X if bias is None else X + bias[:, None, None]
    np.testing.assert_allclose(value, one_by_one(layers, own).data, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kinds", CHAINS, ids="-".join)
def test_a_gradient_passes_all_layers_at_once(kinds: tuple[str, ...]) -> None:
    epilogue, layers = absorbing(*kinds)
    epilogue.options(None, 3, np.dtype(np.float64))
    top, plain = one_by_one(layers, X), one_by_one(layers, X)
    top.diff[...] = plain.diff[...] = RNG.standard_normal(X.shape)
    epilogue.backward(top)
    for each in reversed(layers):
        each.backward([plain], [True], [plain])
    np.testing.assert_allclose(top.diff, plain.diff, rtol=1e-12, atol=1e-12)


def test_an_epilogue_that_is_not_active_is_the_bias_alone() -> None:
    epilogue, _ = absorbing("BatchNorm", "ReLU")
    epilogue.active = False
    bias, top = np.ones(3), Blob(X.shape, np.float64)
    top.diff[...] = 1
    assert epilogue.options(bias, 3, np.dtype(np.float64)) == {"bias": bias}
    epilogue.backward(top)
    assert (top.diff == 1).all()
    assert epilogue.factor is not None, "a backward pass may be whole where the forward pass was not"
