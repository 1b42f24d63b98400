"""The oldest notation of nets, V0: ``layers { layer { name: "conv1" type: "conv" kernelsize: 3 } bottom: "data" }``.

All options of all types stood in one message. The tables below say where each went.
"""

from __future__ import annotations

from google.protobuf.message import Message

from segcaffe.errors import PrototxtError, did_you_mean
from segcaffe.proto.caffe_pb2 import NetParameter, V0LayerParameter, V1LayerParameter

_V1_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
_CONV = {"conv": "convolution_param"}
_CONV_OR_DENSE = {"conv": "convolution_param", "innerproduct": "inner_product_param"}
_CONV_OR_POOL = {"conv": "convolution_param", "im2col": "convolution_param", "pool": "pooling_param"}
_LRN = {"lrn": "lrn_param"}
_IMAGES = {"images": "image_data_param"}
_WINDOWS = {"window_data": "window_data_param"}
_READERS = {"data": "data_param", "hdf5_data": "hdf5_data_param", **_IMAGES, **_WINDOWS}
_ANY_TYPE = dict.fromkeys(_V1_TYPES, "transform_param")
# V0 field: (field today, which message holds it for which type).
_FIELDS: dict[str, tuple[str, dict[str, str]]] = {
    "num_output": ("num_output", _CONV_OR_DENSE),
    "biasterm": ("bias_term", _CONV_OR_DENSE),
    "weight_filler": ("weight_filler", _CONV_OR_DENSE),
    "bias_filler": ("bias_filler", _CONV_OR_DENSE),
    "pad": ("pad", _CONV_OR_POOL),
    "kernelsize": ("kernel_size", _CONV_OR_POOL),
    "stride": ("stride", _CONV_OR_POOL),
    "group": ("group", _CONV),
    "pool": ("pool", {"pool": "pooling_param"}),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", _LRN),
    "alpha": ("alpha", _LRN),
    "beta": ("beta", _LRN),
    "k": ("k", _LRN),
    "source": ("source", {**_READERS, "infogain_loss": "infogain_loss_param"}),
    "batchsize": ("batch_size", _READERS),
    "rand_skip": ("rand_skip", {"data": "data_param", **_IMAGES}),
    "shuffle_images": ("shuffle", _IMAGES),
    "new_height": ("new_height", _IMAGES),
    "new_width": ("new_width", _IMAGES),
    "det_fg_threshold": ("fg_threshold", _WINDOWS),
    "det_bg_threshold": ("bg_threshold", _WINDOWS),
    "det_fg_fraction": ("fg_fraction", _WINDOWS),
    "det_context_pad": ("context_pad", _WINDOWS),
    "det_crop_mode": ("crop_mode", _WINDOWS),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "scale": ("scale", _ANY_TYPE),
    "meanfile": ("mean_file", _ANY_TYPE),
    "cropsize": ("crop_size", _ANY_TYPE),
    "mirror": ("mirror", _ANY_TYPE),
}
_SAME_IN_V1 = ("blobs", "blobs_lr", "weight_decay")


def upgrade_v0_layers(net: NetParameter, prefix: str, notes: list[str]) -> None:
    """Replace the V0 layers of ``net.layers`` by V1 layers, in place; V1 layers among them stay."""
    layers = [V1LayerParameter.FromString(layer.SerializeToString()) for layer in net.layers]
    layers = _fold_padding(layers, prefix, notes)
    net.ClearField("layers")
    for layer in layers:
        net.layers.add().CopyFrom(_upgrade(layer, prefix, notes) if layer.HasField("layer") else layer)


def _fold_padding(layers: list[V1LayerParameter], prefix: str, notes: list[str]) -> list[V1LayerParameter]:
    """Remove padding layers; the convolution or pooling that reads their top pads instead."""
    maker: dict[str, V1LayerParameter] = {}
    for layer in layers:
        padding = [maker[name] for name in layer.bottom if name in maker and maker[name].layer.type == "padding"]
        if padding:
            _absorb(layer, padding[0], prefix)
            notes.append(f'Layer "{padding[0].layer.name}" (padding) became the pad of "{layer.layer.name}".')
        maker.update(dict.fromkeys(layer.top, layer))
    return [layer for layer in layers if layer.layer.type != "padding"]


def _absorb(layer: V1LayerParameter, padding: V1LayerParameter, prefix: str) -> None:
    rule = ""
    if layer.layer.type not in ("conv", "pool"):
        rule = "only a conv or pool layer can read a padding layer"
    elif len(layer.bottom) != 1:
        rule = "a layer behind a padding layer has one bottom"
    elif len(padding.bottom) != 1 or len(padding.top) != 1:
        rule = "a padding layer has one bottom and one top"
    if rule:
        raise PrototxtError(
            f'{prefix}in layer "{layer.layer.name or layer.name}" ({layer.layer.type}): {rule}. Received: bottoms '
            f'{", ".join(layer.bottom)}, of which the layer "{padding.layer.name}" (padding) makes '
            f"{', '.join(padding.top)} from {', '.join(padding.bottom) or 'nothing'}."
        )
    layer.layer.pad = padding.layer.pad
    layer.bottom[0] = padding.bottom[0]


def _upgrade(connection: V1LayerParameter, prefix: str, notes: list[str]) -> V1LayerParameter:
    old = connection.layer
    new = V1LayerParameter(bottom=connection.bottom, top=connection.top, type=_v1_type(old, prefix))
    if old.HasField("name"):
        new.name = old.name
    for field in _SAME_IN_V1:
        getattr(new, field).MergeFrom(getattr(old, field))
    for descriptor, value in old.ListFields():
        if descriptor.name in _FIELDS:
            _move(old, descriptor.name, value, new, notes)
        elif descriptor.name == "hdf5_output_param" and old.type == "hdf5_output":
            new.hdf5_output_param.CopyFrom(old.hdf5_output_param)
        elif descriptor.name not in ("name", "type", *_SAME_IN_V1):
            notes.append(_no_use(old, descriptor.name))
    return new


def _v1_type(old: V0LayerParameter, prefix: str) -> str | None:
    if not old.HasField("type"):
        return None
    if old.type not in _V1_TYPES:
        raise PrototxtError(
            f'{prefix}in layer "{old.name}": the oldest notation, layers {{ layer {{ ... }} }}, has no such type. '
            f"Received: `{old.type}`.{did_you_mean(old.type, _V1_TYPES)}"
        )
    return _V1_TYPES[old.type]


def _move(old: V0LayerParameter, field: str, value: object, new: V1LayerParameter, notes: list[str]) -> None:
    name, homes = _FIELDS[field]
    if old.type not in homes:
        notes.append(_no_use(old, field))
        return
    home: Message = getattr(new, homes[old.type])
    if isinstance(value, Message):
        getattr(home, name).CopyFrom(value)
    elif home.DESCRIPTOR.fields_by_name[name].is_repeated:
        getattr(home, name).append(value)
    else:
        setattr(home, name, value)


def _no_use(old: V0LayerParameter, field: str) -> str:
    return f'Layer "{old.name}" ({old.type}): a {old.type} layer has no use for {field}, which was dropped.'
