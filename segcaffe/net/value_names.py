"""What the values of a net's outputs measure, where a layer says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segcaffe.net.net import Net


def value_names(net: Net) -> dict[str, tuple[str, ...]]:
    """What the values of blobs measure, by blob, where a layer knows: SegAccuracy's three, for example."""
    tops = net.top_names
    found = {}
    for name, layer in zip(net.layer_names, net.layers, strict=True):
        names = getattr(layer, "value_names", ())
        if names and tops[name]:
            found[tops[name][0]] = names
    return found


def called_of(names: Mapping[str, tuple[str, ...]], blob: str, count: int) -> tuple[str, ...]:
    """What each of a blob's values is called; nothing where that is not known."""
    known = names.get(blob, ())
    return known if len(known) == count else ("",) * count
