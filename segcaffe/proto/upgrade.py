"""Old notations to today's: nets of any age to ``layer { type: "Convolution" }``, solvers to ``type: "Adam"``.

The steps, each of which leaves a net alone that does not need it, in the order upstream Caffe takes them:

1. V0, ``layers { layer { type: "conv" kernelsize: 3 } }``, to V1; padding layers vanish into the layer behind them.
   The table of V0 fields stands in ``upgrade_v0.py``.
2. Transformations inside ``data_param``, ``image_data_param``, ``window_data_param`` move to ``transform_param``;
   what the first DeepLab called ``hole`` is ``dilation``, and its ``has_label: false`` is ``label_type: NONE``.
3. V1, ``layers { type: CONVOLUTION blobs_lr: 1 }``, to V2, ``layer { type: "Convolution" param { lr_mult: 1 } }``;
   the first DeepLab's ``softmaxloss_param`` becomes ``loss_param``.
4. The net's own ``input`` fields become one Input layer in front.
5. BatchNorm layers that declare three params get lr_mult 0 and decay_mult 0 for each: they are statistics. So do the
   first three of those with a scale of their own.
6. Reshape with ``pixelshuffler`` becomes DepthToSpace.

Weights inside the layers survive. What has no equivalent is reported in ``notes``, never dropped silently.
"""

from __future__ import annotations

from segcaffe.errors import PrototxtError
from segcaffe.proto.caffe_pb2 import (
    LayerParameter,
    NetParameter,
    SolverParameter,
    TransformationParameter,
    V1LayerParameter,
)
from segcaffe.proto.upgrade_deeplab import upgrade_deeplab, upgrade_softmax_loss
from segcaffe.proto.upgrade_v0 import upgrade_v0_layers
from segcaffe.text.words import counted

_TRANSFORMATIONS = ("scale", "mean_file", "crop_size", "mirror")
_DATA_PARAMS = ("data_param", "image_data_param", "window_data_param")
# V1 types whose today's name is not the old one in camel case.
_V1_SPELLINGS = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BN": "BN",
    "BNLL": "BNLL",
    "DENSE_CRF": "DenseCRF",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "ONEHOT": "OneHot",
    "RELU": "ReLU",
    "RELU6": "ReLU6",
    "ROIPOOLING": "ROIPooling",
    "SELU": "SELU",
    "SELU_DROPOUT": "SeLUDropout",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
    "TOPK": "TopK",
}
_SOLVER_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
# Fields of V1LayerParameter that need more than a copy under the same name.
_V1_SPECIAL = ("layer", "type", "blobs_lr", "weight_decay", "param", "blob_share_mode", "softmaxloss_param",
               "strict_dim")  # fmt: skip


def upgrade_net(net: NetParameter, where: str = "", notes: list[str] | None = None) -> NetParameter:
    """Upgrade a net of any age in place and return it.

    ``where`` (a file name) begins the errors; ``notes`` receives a sentence for each thing that was changed or could
    not be. Raises PrototxtError for a net that mixes ``layer`` and ``layers``, an unknown V0 type, a padding layer in
    front of something that cannot pad, or inputs without their shapes.
    """
    prefix = f"{where}: " if where else ""
    said = notes if notes is not None else []
    if net.layers and net.layer:
        raise PrototxtError(
            f"{prefix}a net uses either `layer` (today's notation) or `layers` (the old one). Received: "
            f"{len(net.layer)} of the first and {len(net.layers)} of the second. Rename the field of all layers to one "
            f"of them."
        )
    if any(layer.HasField("layer") for layer in net.layers):
        upgrade_v0_layers(net, prefix, said)
    _move_transformations(net, said)
    for layer in _layers(net):
        upgrade_deeplab(layer, prefix, said)
    if net.layers:
        _upgrade_v1_layers(net, prefix, said)
    _upgrade_inputs(net, prefix, said)
    _fix_batch_norm(net, said)
    _split_pixel_shuffle(net, said)
    return net


def upgrade_solver(solver: SolverParameter, where: str = "", notes: list[str] | None = None) -> SolverParameter:
    """Upgrade a solver in place, with the nets inside it, and return it.

    The old ``solver_type: ADAM`` becomes ``type: "Adam"``. Raises PrototxtError if both are given.
    """
    said = notes if notes is not None else []
    if solver.HasField("solver_type"):
        number = solver.solver_type
        # Those of forks that are not here are refused by their own names.
        kind = _SOLVER_TYPES[number] if number < len(_SOLVER_TYPES) else SolverParameter.SolverType.Name(number)
        if solver.HasField("type"):
            raise PrototxtError(
                f"{where + ': ' if where else ''}a solver gives its algorithm as `type`, or as the old `solver_type`, "
                f'not both. Received: type: "{solver.type}" and solver_type for "{kind}". Remove solver_type.'
            )
        solver.type = kind
        solver.ClearField("solver_type")
        said.append(f'solver_type became type: "{kind}".')
    if solver.device_id_nd:
        solver.device_id = solver.device_id_nd[0]
        said.append(f"Of {counted(len(solver.device_id_nd), 'device_id')} the first stays: one GPU is used.")
        solver.ClearField("device_id_nd")
    for field in ("net_param", "train_net_param"):
        if solver.HasField(field):
            upgrade_net(getattr(solver, field), where, said)
    for net in solver.test_net_param:
        upgrade_net(net, where, said)
    return solver


def _layers(net: NetParameter) -> list[V1LayerParameter | LayerParameter]:
    return [*net.layers, *net.layer]


def _move_transformations(net: NetParameter, notes: list[str]) -> None:
    for layer in _layers(net):
        for param in _DATA_PARAMS:
            if layer.HasField(param):
                _move_from(layer, param, notes)


def _move_from(layer: V1LayerParameter | LayerParameter, param: str, notes: list[str]) -> None:
    old = getattr(layer, param)
    if "transform_param" in old.DESCRIPTOR.fields_by_name and old.HasField("transform_param"):
        # Where a Caffe has it inside, as some proposed. What is given outside prevails.
        inside = TransformationParameter()
        inside.CopyFrom(old.transform_param)
        inside.MergeFrom(layer.transform_param)
        layer.transform_param.CopyFrom(inside)
        old.ClearField("transform_param")
        notes.append(f'Layer "{layer.name}": {param}.transform_param moved to the layer.')
    for field in _TRANSFORMATIONS:
        if not old.HasField(field):
            continue
        if layer.transform_param.HasField(field):
            notes.append(f'Layer "{layer.name}": {param}.{field} is overruled by transform_param.{field}.')
        else:
            setattr(layer.transform_param, field, getattr(old, field))
            notes.append(f'Layer "{layer.name}": {param}.{field} moved to transform_param.')
        old.ClearField(field)


def v1_type_name(layer: V1LayerParameter) -> str:
    """Return today's type of a V1 layer, such as ``Convolution`` for ``CONVOLUTION``."""
    name = V1LayerParameter.LayerType.Name(layer.type)
    return _V1_SPELLINGS.get(name, "".join(part.capitalize() for part in name.split("_")))


def _upgrade_v1_layers(net: NetParameter, prefix: str, notes: list[str]) -> None:
    for old in net.layers:
        new = net.layer.add(name=old.name) if old.HasField("name") else net.layer.add()
        new.type = v1_type_name(old)
        _copy_fields(old, new)
        _fill_param_specs(old, new)
        upgrade_softmax_loss(old, new, prefix, notes)
    notes.append(f"{counted(len(net.layers), 'layer')} in the notation `layers` became `layer`.")
    net.ClearField("layers")


def _copy_fields(old: V1LayerParameter, new: LayerParameter) -> None:
    for field, value in old.ListFields():
        if field.name in _V1_SPECIAL:
            continue
        if field.is_repeated:
            getattr(new, field.name).MergeFrom(value)
        elif field.message_type is not None:
            getattr(new, field.name).CopyFrom(value)
        else:
            setattr(new, field.name, value)


def _fill_param_specs(old: V1LayerParameter, new: LayerParameter) -> None:
    count = max(len(old.param), len(old.blob_share_mode), len(old.blobs_lr), len(old.weight_decay))
    for i in range(count):
        spec = new.param.add()
        if i < len(old.param):
            spec.name = old.param[i]
        if i < len(old.blob_share_mode):
            # The two enums have the same numbers.
            spec.share_mode = old.blob_share_mode[i]  # type: ignore[assignment]
        if i < len(old.blobs_lr):
            spec.lr_mult = old.blobs_lr[i]
        if i < len(old.weight_decay):
            spec.decay_mult = old.weight_decay[i]


def _upgrade_inputs(net: NetParameter, prefix: str, notes: list[str]) -> None:
    if not (net.input or net.input_dim or net.input_shape):
        return
    shapes = _input_shapes(net, prefix)
    if shapes:
        layer = LayerParameter(name="input", type="Input", top=net.input)
        for dims in shapes:
            layer.input_param.shape.add(dim=dims)
        net.layer.insert(0, layer)
        notes.append(f'The net\'s inputs {", ".join(net.input)} became the layer "input" (Input).')
    else:
        notes.append(f"The net's inputs {', '.join(net.input)} have no shape and were dropped.")
    for field in ("input", "input_dim", "input_shape"):
        net.ClearField(field)


def _input_shapes(net: NetParameter, prefix: str) -> list[list[int]]:
    """Return the dims of every input, or none for inputs without any."""
    count = len(net.input)
    if net.input_shape:
        shapes = [list(shape.dim) for shape in net.input_shape]
        rule, received = "one input_shape for each input", f"{len(shapes)} input_shape"
        is_complete = len(shapes) == count
    else:
        dims = list(net.input_dim)
        shapes = [dims[i : i + 4] for i in range(0, len(dims), 4)]
        rule, received = "four input_dim for each input (num, channels, height, width)", f"{len(dims)} input_dim"
        is_complete = len(dims) == 4 * count
    if shapes and not is_complete:
        raise PrototxtError(
            f"{prefix}a net gives {rule}. Received: {count} input{'s' if count != 1 else ''} "
            f"({', '.join(net.input) or 'none'}) and {received}."
        )
    return shapes


def _fix_batch_norm(net: NetParameter, notes: list[str]) -> None:
    for layer in net.layer:
        options = layer.batch_norm_param
        learns = options.scale_bias or options.HasField("scale_filler") or options.HasField("filler")
        if layer.type != "BatchNorm" or not (len(layer.param) == 3 or learns):
            continue
        statistics = layer.param[:3]
        if any(spec.lr_mult != 0 or spec.decay_mult != 0 for spec in statistics):
            which = "first three" if learns else "three"
            notes.append(f'Layer "{layer.name}" (BatchNorm): its {which} params are statistics; lr_mult became 0.')
        for spec in statistics:
            spec.lr_mult = 0
            spec.decay_mult = 0


def _split_pixel_shuffle(net: NetParameter, notes: list[str]) -> None:
    """Make a Reshape that shuffles pixels (Intel's and Synopsys' Caffe) a layer of the type that does."""
    for layer in net.layer:
        if layer.type != "Reshape" or (size := layer.reshape_param.pixelshuffler) <= 1:
            continue
        layer.type = "DepthToSpace"
        layer.depth_to_space_param.block_size = size
        layer.depth_to_space_param.data_format = "CRD"
        layer.ClearField("reshape_param")
        notes.append(f'Layer "{layer.name}" (Reshape): pixelshuffler became the layer type DepthToSpace.')
