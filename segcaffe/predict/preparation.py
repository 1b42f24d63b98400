"""How images are prepared for a net that classifies: as its deploy file says, or as Caffe's scripts do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.mean import read_mean_pixel
from segcaffe.predict.notes import read_notes
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.encoding import to_native
from segcaffe.proto.text import read_net

IMAGENET_MEAN = (104.00698793, 116.66876762, 122.67891434)
"""Mean B, G, R of the images of ILSVRC 2012: those of Caffe's ilsvrc_2012_mean.npy over all pixels."""
CAFFE_SIZE = (256, 256)


@dataclass(frozen=True)
class Preparation:
    """Settings of a `segcaffe.io.Transformer`, and what goes before and after.

    Attributes
    ----------
    mean, input_scale, raw_scale, channel_swap:
        As `segcaffe.classifier.Classifier` takes them.
    images_dim:
        Height and width that images are resized to; None for those of the input.
    center_only:
        Whether one crop is enough.
    gray:
        Whether the net takes one channel.
    class_names:
        One for each class; none if not known.
    """

    mean: tuple[float, ...] | None = IMAGENET_MEAN
    input_scale: float | None = None
    raw_scale: float = 255.0
    channel_swap: tuple[int, ...] | None = (2, 1, 0)
    images_dim: Sequence[int] | None = CAFFE_SIZE
    center_only: bool = False
    gray: bool = False
    class_names: tuple[str, ...] = ()

    def replaced(self, **changes: Any) -> Preparation:
        """The same with other values."""
        return replace(self, **changes)

    def keywords(self) -> dict[str, Any]:
        """Keyword arguments of `Classifier` and `Detector`."""
        return {
            "mean": None if self.mean is None else np.array(self.mean, np.float32),
            "input_scale": self.input_scale,
            "raw_scale": self.raw_scale,
            "channel_swap": self.channel_swap,
        }


def of_deploy_file(path: str | Path, variables: Mapping[str, str] | None = None) -> Preparation:
    """What a deploy file says; what it leaves open is as in Caffe's classify.py and detect.py."""
    net, notes = read_net(path, variables).message, read_notes(path)
    gray = _channels(net) == 1
    swap = None if notes.rgb or gray else (2, 1, 0)
    found = Preparation(channel_swap=swap, gray=gray, class_names=notes.class_names)
    inputs = [layer for layer in net.layer if layer.type == "Input"]
    if not inputs or not inputs[0].HasField("transform_param"):
        return found.replaced(mean=None if gray else IMAGENET_MEAN[::-1] if notes.rgb else IMAGENET_MEAN)
    transform = inputs[0].transform_param
    mean: tuple[float, ...] | None = tuple(transform.mean_value) or None
    if transform.mean_file:
        mean = tuple(read_mean_pixel(to_native(transform.mean_file), f"{path}: mean_file").tolist())
    return found.replaced(mean=mean, input_scale=transform.scale, images_dim=None, center_only=not transform.mirror)


def _channels(net: NetParameter) -> int:
    """Channels of the first input, 0 if the file has none."""
    shapes = [shape for layer in net.layer if layer.type == "Input" for shape in layer.input_param.shape]
    return int(shapes[0].dim[1]) if shapes and len(shapes[0].dim) > 1 else 0
