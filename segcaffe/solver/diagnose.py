"""Looking into a net: where the first value that is not finite is, and Caffe's debug_info."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.fusion.lazy import LazyBlob
from segcaffe.layers.base import Layer
from segcaffe.net.net import Net
from segcaffe.parallel import Alone, use

_log = logging.getLogger("segcaffe")


def first_not_finite(net: Net) -> str:
    """Return a sentence that names the first layer with a value that is NaN or infinite.

    Where blobs share memory the values are gone, so the layers run once more, on the same data; by themselves, since
    no other rank runs them.
    """
    with use(Alone()):
        return _first_not_finite(net)


def _first_not_finite(net: Net) -> str:
    for i, layer in enumerate(net.layer_list):
        if net.shares_memory and not layer.source:
            net.forward_from_to(i, i)
        for index, blob in enumerate(layer.blobs):
            if not is_finite(blob):
                return f"The first values that are not finite are parameter {index} of {layer.where}."
        for name, blob in _tops(net, i):
            if not is_finite(blob):
                return f'The first values that are not finite are made by {layer.where}, in its top "{name}".'
    return "All blobs are finite; their sum is not."


def is_finite(blob: Blob) -> bool:
    """Whether no value of the blob is NaN or infinite."""
    return bool(np.isfinite(blob.data).all())


def forward_with_info(net: Net) -> float:
    """Run the net forward, logging the mean absolute value of what each layer reads and makes; returns the loss."""
    loss = 0.0
    for i, layer in enumerate(net.layer_list):
        loss += net.forward_from_to(i, i)
        for name, blob in _tops(net, i):
            _log.info("    [Forward] Layer %s, top blob %s data: %.6g", layer.name, name, _mean(blob.data))
        for name, blob in _parameters(layer):
            _log.info("    [Forward] Layer %s, param blob %s data: %.6g", layer.name, name, _mean(blob.data))
    net.loss = loss
    return loss


def backward_with_info(net: Net) -> None:
    """Run the net backward, logging the mean absolute value of each gradient and the norms of all."""
    for i in range(len(net.layer_list) - 1, -1, -1):
        net.backward_from_to(i, i)
        if net.layer_needs_backward[i]:
            _report_gradients(net, i)
    data = [blob.data for blob in net.learnable_params]
    diff = [blob.diff for blob in net.learnable_params]
    absolute = [sum(float(np.abs(a).sum(dtype=np.float64)) for a in arrays) for arrays in (data, diff)]
    squared = [sum(float(np.square(a, dtype=np.float64).sum()) for a in arrays) for arrays in (data, diff)]
    _log.info(
        "    [Backward] All net params (data, diff): L1 norm = (%.6g, %.6g); L2 norm = (%.6g, %.6g)",
        *absolute,
        *np.sqrt(squared),
    )


def report_updates(net: Net) -> None:
    """Log the mean absolute value of each parameter and of what was subtracted from it."""
    owners = {id(blob) for blob in net.learnable_params}
    for layer in net.layer_list:
        for name, blob in _parameters(layer):
            if id(blob) in owners:
                _log.info(
                    "    [Update] Layer %s, param %s data: %.6g; diff: %.6g",
                    layer.name,
                    name,
                    _mean(blob.data),
                    _mean(blob.diff),
                )


def _report_gradients(net: Net, i: int) -> None:
    layer = net.layer_list[i]
    names = [net.graph.blob_names[j] for j in net.graph.nodes[i].bottoms]
    for name, blob, wanted in zip(names, net.bottom_blobs[i], net.bottom_needs_backward[i], strict=True):
        if wanted and not isinstance(blob, LazyBlob):
            _log.info("    [Backward] Layer %s, bottom blob %s diff: %.6g", layer.name, name, _mean(blob.diff))
    for index, (name, blob) in enumerate(_parameters(layer)):
        if layer.wants_param(index):
            _log.info("    [Backward] Layer %s, param blob %s diff: %.6g", layer.name, name, _mean(blob.diff))


def _tops(net: Net, i: int) -> Iterator[tuple[str, Blob]]:
    """Tops of layer ``i`` by name; by index, since layers may be named alike. Those that fusion avoids are left out."""
    for j, blob in zip(net.graph.nodes[i].tops, net.top_blobs[i], strict=True):
        if j not in net.graph.lazy:
            yield net.graph.blob_names[j], blob


def _parameters(layer: Layer) -> Iterator[tuple[str, Blob]]:
    """Each parameter under the name that logs call it: its own where it has one, otherwise its index."""
    for index, blob in enumerate(layer.blobs):
        spec = layer.param.param[index : index + 1]
        yield (spec[0].name if spec else "") or str(index), blob


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(np.abs(values).mean(dtype=np.float64)) if values.size else 0.0
