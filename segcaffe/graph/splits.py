"""Split layers for blobs that several layers read, so that their gradients can be summed.

A blob used k times (a loss weight counts as a use) gets a layer ``<blob>_<layer>_<top index>_split`` with tops
``<blob>_<layer>_<top index>_split_<k>``, as in Caffe: people read these names in logs and in ``net.blobs``.
"""

from __future__ import annotations

from collections import Counter

from segcaffe.errors import GraphError, Place, did_you_mean
from segcaffe.proto import caffe_pb2
from segcaffe.proto.placed import PlacedNet

Top = tuple[int, int]
"""(index of a layer, index among its tops)"""


def insert_splits(placed: PlacedNet) -> PlacedNet:
    """Return a copy of a net with split layers; GraphError for a bottom that no layer makes."""
    sources, uses, loss_weights = _trace(placed)
    net, result = placed.message, caffe_pb2.NetParameter()
    result.CopyFrom(net)
    del result.layer[:]
    places: list[Place | None] = []
    given: Counter[Top] = Counter()
    for i, layer in enumerate(net.layer):
        copy = result.layer.add()
        copy.CopyFrom(layer)
        for j, blob in enumerate(layer.bottom):
            top = sources[i, j]
            if uses[top] > 1:
                copy.bottom[j] = f"{_split_name(net, top, blob)}_{given[top]}"
                given[top] += 1
        for j, blob in enumerate(layer.top):
            if uses[i, j] > 1:
                weight = loss_weights.get((i, j), 0.0)
                _add_split(result, _split_name(net, (i, j), blob), blob, uses[i, j], weight)
                if weight:
                    del copy.loss_weight[:]
                    given[i, j] += 1
        # The splits of a layer's tops stand where it does.
        places += [placed.places[i]] * (len(result.layer) - len(places))
    return PlacedNet(result, places)


def _trace(net: PlacedNet) -> tuple[dict[Top, Top], Counter[Top], dict[Top, float]]:
    """For each bottom the top it reads; how often each top is used; explicit loss weights of tops."""
    newest: dict[str, Top] = {}
    sources: dict[Top, Top] = {}
    uses: Counter[Top] = Counter()
    loss_weights: dict[Top, float] = {}
    for i, layer in enumerate(net.message.layer):
        for j, blob in enumerate(layer.bottom):
            if blob not in newest:
                told = _unknown_bottom(net.message, i, blob, newest)
                raise GraphError(told, layer=layer.name, place=net.places[i])
            sources[i, j] = newest[blob]
            uses[newest[blob]] += 1
        for j, blob in enumerate(layer.top):
            newest[blob] = (i, j)
        for j, weight in enumerate(layer.loss_weight[: len(layer.top)]):
            if weight:
                uses[i, j] += 1
                loss_weights[i, j] = weight
    return sources, uses, loss_weights


def _add_split(net: caffe_pb2.NetParameter, name: str, blob: str, count: int, loss_weight: float) -> None:
    split = net.layer.add(name=name, type="Split", bottom=[blob], top=[f"{name}_{k}" for k in range(count)])
    if loss_weight:
        split.loss_weight.extend([loss_weight] + [0.0] * (count - 1))


def _split_name(net: caffe_pb2.NetParameter, top: Top, blob: str) -> str:
    return f"{blob}_{net.layer[top[0]].name}_{top[1]}_split"


def _unknown_bottom(net: caffe_pb2.NetParameter, index: int, blob: str, known: dict[str, Top]) -> str:
    layer = net.layer[index]
    message = f'layer "{layer.name}" ({layer.type}): no layer before it makes its bottom "{blob}".'
    later = [other for other in net.layer[index:] if blob in other.top and other is not layer]
    if later:
        return f'{message} Layer "{later[0].name}" makes it further down; move that layer up.'
    return message + (did_you_mean(blob, known, 2) or f" Blobs made before it: {_some(known)}.")


def _some(names: dict[str, Top]) -> str:
    shown = ", ".join(f'"{name}"' for name in list(names)[-5:])
    return shown or "none"
