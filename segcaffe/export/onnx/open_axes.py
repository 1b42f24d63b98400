"""Which axes of which blobs have an extent that shows only when the net runs: rows of boxes that were found."""

from __future__ import annotations

from collections.abc import Mapping

from segcaffe.errors import SegcaffeError
from segcaffe.net.net import Net

_FURTHER = 7
"""So much longer is such an axis made, to see which others follow it."""
Open = Mapping[int, str]
"""Axes of a blob, and the symbol of the extent of each."""


def open_axes(net: Net) -> tuple[Open, ...]:
    """The open axes of each blob, by its index, with a symbol for each layer that opens one."""
    found: list[dict[int, str]] = [{} for _ in net.blob_list]
    for index, layer in enumerate(net.layer_list):
        if layer.open_axis is None:
            continue
        try:
            before = [blob.shape for blob in net.blob_list]
            _lengthen(net, index, layer.open_axis)
            for axes, old, blob in zip(found, before, net.blob_list, strict=True):
                if len(old) == blob.ndim:
                    grown = (axis for axis in range(blob.ndim) if old[axis] != blob.shape[axis])
                    axes.update(dict.fromkeys(grown, f"{layer.name}_count"))
        except SegcaffeError:
            # What follows takes no more rows than there are now; it will say so when the model runs.
            continue
        finally:
            net.reshape()
    return tuple(found)


def _lengthen(net: Net, index: int, axis: int) -> None:
    """Give the tops of a layer more rows, and reshape the layers behind it."""
    for blob in net.top_blobs[index]:
        shape = list(blob.shape)
        shape[axis] += _FURTHER
        blob.reshape(*shape)
    for bottom, top, layer in list(zip(net.bottom_blobs, net.top_blobs, net.layer_list, strict=True))[index + 1 :]:
        layer.reshape(bottom, top)
