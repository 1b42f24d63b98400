"""Preparation of images inside the graph: order of channels, mean and scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segcaffe.errors import ExportError
from segcaffe.export.onnx.graph import GraphBuilder


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an image: its channels turned around, then (pixel - mean) * scale.

    Attributes
    ----------
    mean:
        A value for each channel, or one for all, in the net's order of channels; empty for none.
    scale:
        The factor after that.
    bgr_from_rgb:
        Whether the image comes as RGB and the net wants BGR.
    """

    mean: tuple[float, ...] = ()
    scale: float = 1.0
    bgr_from_rgb: bool = False

    def text(self) -> str:
        """The steps in words; empty for none."""
        steps = ["RGB to BGR"] if self.bgr_from_rgb else []
        if any(self.mean):
            steps.append(f"minus {','.join(f'{value:g}' for value in self.mean)}")
        if self.scale != 1:
            steps.append(f"times {self.scale:g}")
        return ", ".join(steps)


def prepare(graph: GraphBuilder, name: str, shape: Sequence[int], wanted: Preprocessing) -> str:
    """Write the steps for an input (N, C, ...); the name of what the net reads."""
    if len(shape) < 2:
        raise ExportError(f'input "{name}" has shape {tuple(shape)}: --mean and its like are for images (N, C, H, W).')
    channels, value = shape[1], name
    if wanted.bgr_from_rgb:
        if channels != 3:
            raise ExportError(f'--bgr-from-rgb needs an input of 3 channels. Received: "{name}", {tuple(shape)}.')
        order = graph.constant(np.array([2, 1, 0], np.int64), f"{name}/order")
        value = _step(graph, "Gather", value, order, name, axis=1)
    if any(wanted.mean):
        if len(wanted.mean) not in (1, channels):
            raise ExportError(f'--mean takes one value, or {channels} for input "{name}". Received: {wanted.mean}.')
        mean = np.array(wanted.mean, np.float32).reshape(1, -1, *(1,) * (len(shape) - 2))
        value = _step(graph, "Sub", value, graph.constant(mean, f"{name}/mean"), name)
    if wanted.scale != 1:
        value = _step(graph, "Mul", value, graph.constant(np.float32(wanted.scale), f"{name}/scale"), name)
    return value


def _step(graph: GraphBuilder, op: str, value: str, constant: str, name: str, **attributes: int) -> str:
    result = graph.unique(f"{name}/{op}")
    graph.node(op, [value, constant], [result], "", attributes)
    graph.nodes[-1].name = graph.unique_node(result)
    return result
