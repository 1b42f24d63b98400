"""Recurrent layers."""

from __future__ import annotations

from segcaffe.export.torch.names import call
from segcaffe.export.torch.registry import writes
from segcaffe.export.torch.site import Held, Site


def _sequence(site: Site, kind: str, further: dict[str, int]) -> str:
    layer = site.layer
    static = layer.blobs[2].shape[1] if layer.has_static else None
    options = {"static_inputs": static, "exposed": True if layer.expose else None}
    constructor = call(site.piece(kind), layer.blobs[0].shape[1], layer.num_output, **options)
    held: dict[str, int | Held] = {"weight_x": 0, "bias": 1}
    held |= {"weight_static": 2} if layer.has_static else {}
    held |= {"weight_h": layer.recurrent_index} | {key: layer.recurrent_index + i for key, i in further.items()}
    return call(site.module(constructor, held), *site.bottoms)


@writes("LSTM")
def _lstm(site: Site) -> str:
    return _sequence(site, "LSTM", {})


@writes("RNN")
def _rnn(site: Site) -> str:
    return _sequence(site, "RNN", {"output.weight": 1, "output.bias": 2})


@writes("Lstm")
def _flat_lstm(site: Site) -> str:
    layer = site.layer
    if layer.param.lstm_param.clipping_threshold > 0:
        raise site.fail(
            "clipping_threshold, which clips gradients step by step, has no counterpart. Leave it out, and use "
            "torch.nn.utils.clip_grad_norm_"
        )
    constructor = call(site.piece("FlatLSTM"), layer.values, layer.num_output, layer.streams)
    module = site.module(constructor, {"weight_x": 0, "weight_h": 1, "bias": 2})
    return call(module, *site.bottoms)


@writes("LSTMUnit")
def _lstm_unit(site: Site) -> str:
    return call(site.piece("lstm_unit"), *site.bottoms)
