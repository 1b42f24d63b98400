"""Options under the names that the first DeepLab gave them: ``hole``, ``has_label``, ``softmaxloss_param``.

Source: the caffe.proto of DeepLab v1 (deeplab-public).
"""

from __future__ import annotations

from segcaffe.errors import PrototxtError
from segcaffe.proto.caffe_pb2 import ConvolutionParameter, ImageDataParameter, LayerParameter, V1LayerParameter

_HOLES = ("hole", "hole_h", "hole_w")


def upgrade_deeplab(layer: V1LayerParameter | LayerParameter, prefix: str, notes: list[str]) -> None:
    """Give ``hole`` and ``has_label`` of a layer their names of today; PrototxtError where both are given."""
    if any(layer.convolution_param.HasField(name) for name in _HOLES):
        _holes(layer.convolution_param, f'{prefix}layer "{layer.name}"')
        notes.append(f'Layer "{layer.name}": hole became dilation.')
    options = layer.image_data_param
    if options.HasField("has_label"):
        if not options.has_label and not options.HasField("label_type"):
            options.label_type = ImageDataParameter.NONE
            notes.append(f'Layer "{layer.name}": has_label: false became label_type: NONE.')
        options.ClearField("has_label")


def _holes(options: ConvolutionParameter, where: str) -> None:
    if options.dilation:
        raise PrototxtError(
            f"{where}: hole is an old name of dilation; a layer gives one of them. Received: both. Remove hole."
        )
    sides = [options.hole_h or options.hole or 1, options.hole_w or options.hole or 1]
    options.dilation.extend(sides[: len(set(sides))])
    for name in _HOLES:
        options.ClearField(name)


def upgrade_softmax_loss(old: V1LayerParameter, new: LayerParameter, prefix: str, notes: list[str]) -> None:
    """Make ``softmaxloss_param`` the layer's ``loss_param``, and tell what ``strict_dim`` meant."""
    if old.HasField("strict_dim"):
        notes.append(f'Layer "{old.name}": strict_dim, about the shapes of stored weights, was dropped.')
    if not old.HasField("softmaxloss_param"):
        return
    options = old.softmaxloss_param
    if len(options.ignore_label) > 1:
        raise PrototxtError(
            f'{prefix}layer "{old.name}": softmaxloss_param can ignore one label here. '
            f"Received: {', '.join(map(str, options.ignore_label))}. Give void pixels one number."
        )
    if options.ignore_label:
        new.loss_param.ignore_label = options.ignore_label[0]
    if options.HasField("weight_source"):
        new.loss_param.weight_source = options.weight_source
    notes.append(f'Layer "{old.name}": softmaxloss_param became loss_param.')
