"""Losses, and measures of how good a net is."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.export.torch.names import call, number
from segcaffe.export.torch.registry import refuses, writes
from segcaffe.export.torch.site import Shape, Site
from segcaffe.proto import caffe_pb2

_Loss = caffe_pb2.LossParameter


def _ignored(site: Site, options: Any) -> int | None:
    return int(options.ignore_label) if options.HasField("ignore_label") else None


def _labels(site: Site, scores: Shape, axis: int, name: str) -> str:
    """The labels as whole numbers with the shape of the scores but for the class axis."""
    shape = site.bottom_shapes[1]
    wanted = scores[:axis] + scores[axis + 1 :]
    if shape == wanted:
        return f"{name}.long()"
    if axis == 1 and shape == (scores[0], 1, *scores[2:]) and len(scores) > 2:
        return f"{name}.squeeze(1).long()"
    if len(scores) == 2 and axis == 1:
        return f"{name}.flatten().long()"
    x = site.x
    before = f"*{x}.shape[:{axis}]" if axis > 1 else f"{x}.shape[0]" if axis else ""
    behind = f"*{x}.shape[{axis + 1}:]" if axis < len(scores) - 1 else ""
    return f"{name}.view({', '.join(filter(None, (before, behind)))}).long()"


def _scores(site: Site, axis: int) -> str:
    return site.x if axis == 1 else f"{site.x}.movedim({axis}, 1)"


def _label_text(site: Site, axis: int) -> str:
    scores = site.bottom_shapes[0]
    if axis != 1:
        rest = [scores[i] for i in range(len(scores)) if i != axis]
        if len(rest) == 1:
            return f"{site.bottoms[1]}.flatten().long()"
        sizes = ", ".join(f"{site.x}.shape[{i}]" for i in range(len(scores)) if i != axis)
        return f"{site.bottoms[1]}.view({sizes}).long()"
    return _labels(site, scores, axis, site.bottoms[1])


@writes("SoftmaxWithLoss", "SoftmaxWithLossOHEM")
def _softmax_loss(site: Site) -> list[str]:
    layer, axis = site.layer, site.axis(site.layer.axis)
    ignored = _ignored(site, site.param.loss_param)
    label, scores = _label_text(site, axis), _scores(site, axis)
    weighted = bool((np.asarray(layer.class_weight) != 1).any())
    weight = site.buffer(np.asarray(layer.class_weight, layer.dtype), "weight") if weighted else None
    options: dict[str, object] = {"weight": weight, "ignore_index": ignored}
    factor = ""
    if layer.smoothing:
        if weighted:
            raise site.fail("label_smoothing goes with weights of classes otherwise in PyTorch. Leave one of them out")
        # PyTorch's targets have the label's share of the smoothing, too, and sum to 1.
        whole = 1 - layer.smoothing / layer.layout[1]
        factor, options["label_smoothing"] = f"{number(whole)} * ", number(layer.smoothing / whole)
    mode, fixed = layer.normalization
    plain_mean = mode == _Loss.VALID or (mode == _Loss.FULL and not weighted)
    if plain_mean and ignored is None and not (weighted and layer.counts_positions):
        texts = [factor + call("F.cross_entropy", scores, label, **options)]
    else:
        total = call("F.cross_entropy", scores, label, **options, reduction='"sum"')
        texts = [f"{factor}{total}{_over(site, mode, fixed, label, weight)}"]
    if len(site.top_shapes) > 1:
        texts.append(f"torch.softmax({site.x}, {axis})")
    if len(site.top_shapes) > 2:
        losses = call("F.cross_entropy", scores, label, **options, reduction='"none"')
        texts.append(f"{losses}.view_as({site.bottoms[1]})")
    return texts


def _over(site: Site, mode: int, fixed: float, label: str, weight: str | None) -> str:
    """What a sum is divided by."""
    layer = site.layer
    ignored = _ignored(site, site.param.loss_param)
    if mode == _Loss.VALID:
        if weight is not None and not layer.counts_positions:
            rows = f"{weight}[{label}]" if ignored is None else f"{weight}[{label}[{label} != {ignored}]]"
            return f" / {rows}.sum().clamp(min=1)"
        if ignored is None:
            return f" / {site.bottoms[1]}.numel()"
        return f" / ({site.bottoms[1]} != {ignored}).sum().clamp(min=1)"
    return _divided(site, mode, fixed, f"{site.bottoms[1]}.numel()", layer.axis)


def _divided(site: Site, mode: int, fixed: float, all_positions: str, axis: int = 1) -> str:
    if mode == _Loss.PRE_FIXED:
        return f" / {number(fixed)}" if fixed != 1 else ""
    if mode == _Loss.FULL:
        return f" / {all_positions}"
    if mode == _Loss.BATCH_SIZE:
        before = site.axis(axis)
        if before == 1:
            return f" / {site.x}.shape[0]"
        return f" / {site.x}.shape[:{before}].numel()"
    return ""


@writes("SigmoidCrossEntropyLoss")
def _sigmoid_loss(site: Site) -> str:
    layer = site.layer
    mode, fixed = layer.normalization
    ignored = _ignored(site, site.param.loss_param)
    target = site.bottoms[1]
    if site.bottom_shapes[0] != site.bottom_shapes[1]:
        target = f"{target}.view_as({site.x})"
    positions = f"{site.x}.numel()"
    if ignored is None:
        if mode in (_Loss.VALID, _Loss.FULL):
            return f"F.binary_cross_entropy_with_logits({site.x}, {target})"
        total = f'F.binary_cross_entropy_with_logits({site.x}, {target}, reduction="sum")'
        return f"{total}{_divided(site, mode, fixed, positions)}"
    total = f"{site.piece('sigmoid_cross_entropy')}({site.x}, {target}, {ignored})"
    if mode == _Loss.VALID:
        return call(site.piece("mean_of_valid"), total)
    return f"{total}[0]{_divided(site, mode, fixed, positions)}"


@writes("EuclideanLoss")
def _euclidean(site: Site) -> str:
    a, b = site.bottoms[:2]
    b = b if site.bottom_shapes[0] == site.bottom_shapes[1] else f"{b}.view_as({a})"
    if len(site.bottoms) > 2:
        weights = f"{site.bottoms[2]}.view_as({a})"
        return f"({weights} * ({a} - {b})).square().sum() / (2 * {a}.shape[0])"
    return f'F.mse_loss({a}, {b}, reduction="sum") / (2 * {a}.shape[0])'


@writes("HingeLoss")
def _hinge(site: Site) -> str:
    squared = True if site.layer.squared else None
    return call(site.piece("hinge_loss"), *site.bottoms, squared=squared)


@writes("ContrastiveLoss")
def _contrastive(site: Site) -> str:
    legacy = True if site.layer.legacy else None
    return call(site.piece("contrastive_loss"), *site.bottoms, site.layer.margin, legacy=legacy)


@writes("CenterLoss")
def _center(site: Site) -> str:
    module = site.module(call(site.piece("CenterLoss"), *site.layer.blobs[0].shape), {"centers": 0})
    return f"{module}({site.x}, {site.bottoms[1]})"


@writes("MultinomialLogisticLoss")
def _multinomial(site: Site) -> str:
    x = site.x if site.ndim == 2 else f"{site.x}.flatten(1)"
    return f"F.nll_loss(torch.log({x}.clamp(min=1e-20)), {site.bottoms[1]}.flatten().long())"


@writes("InfogainLoss")
def _infogain(site: Site) -> str | list[str]:
    layer, axis = site.layer, site.axis(site.layer.axis)
    given = len(site.bottoms) > 2
    matrix = site.bottoms[2] if given else site.buffer(np.asarray(layer.read_matrix, layer.dtype), "matrix")
    ignored = _ignored(site, site.param.loss_param)
    options = {"ignore_label": ignored if ignored is not None else None}
    mode, fixed = layer.normalization
    text = call(site.piece("infogain_loss"), *site.bottoms[:2], matrix, axis, **options)
    if mode == _Loss.VALID:
        loss = f"{site.piece('mean_of_valid')}({text}[:2])"
    else:
        loss = f"{text}[0]{_divided(site, mode, fixed, f'{site.bottoms[1]}.numel()', axis)}"
    return [loss, f"torch.softmax({site.x}, {axis})"] if len(site.top_shapes) > 1 else loss


@writes("L1Loss")
def _l1(site: Site) -> str:
    layer = site.layer
    difference = " - ".join(site.bottoms)
    by_entries = True if layer.by_entries else None
    plateau = layer.plateau or None
    if not layer.by_length:
        return call(site.piece("l1_loss"), difference, plateau=plateau, by_entries=by_entries)
    scale = f"1 / {site.x}.shape[1]" if layer.prescale else None
    options = {"plateau": plateau, "scale": scale, "by_entries": by_entries}
    return call(site.piece("l1_loss_of_lengths"), difference, layer.epsilon, **options)


@writes("SmoothL1Loss")
def _smooth_l1(site: Site) -> str:
    layer, (a, b, *weights) = site.layer, site.bottoms
    shape = site.bottom_shapes[0]
    b, *weights = (
        text if own == shape else f"{text}.view_as({a})"
        for text, own in zip((b, *weights), site.bottom_shapes[1:], strict=True)
    )
    difference = f"{weights[0]} * ({a} - {b})" if weights else f"{a} - {b}"
    sharpness = layer.sharpness if layer.sharpness != 1 else None
    losses = call(site.piece("smooth_l1"), difference, sharpness=sharpness)
    if len(weights) > 1:
        losses = f"({weights[1]} * {losses})"
    by_items = len(site.bottoms) == 4 or site.param.HasField("smooth_l1_loss_param")
    positions = "" if by_items else "".join(f" * {a}.shape[{axis}]" for axis in range(2, len(shape)))
    divisor = f"({a}.shape[0]{positions})" if positions else f"{a}.shape[0]"
    return f"{losses}.sum() / {divisor}"


@writes("SmoothL1LossOHEM")
def _smooth_l1_ohem(site: Site) -> list[str]:
    a, b, *weights = site.bottoms
    shapes = site.bottom_shapes
    b, *weights = (
        text if own == shapes[0] else f"{text}.view_as({a})"
        for text, own in zip((b, *weights), shapes[1:], strict=True)
    )
    difference = f"{weights[0]} * ({a} - {b})" if weights else f"{a} - {b}"
    losses = f"{site.piece('smooth_l1')}({difference})"
    mode, fixed = site.layer.normalization
    positions = "".join(f" * {a}.shape[{axis}]" for axis in range(2, len(shapes[0])))
    full = f"({a}.shape[0]{positions})" if positions else f"{a}.shape[0]"
    over = f" / {full}" if mode == _Loss.VALID else _divided(site, mode, fixed, full)
    texts = [f"{losses}.sum(){over}"]
    if len(site.top_shapes) > 1:
        spatial = "".join(f", {a}.shape[{axis}]" for axis in range(2, len(site.top_shapes[1])))
        texts.append(f"{losses}.sum(1).reshape({a}.shape[0], 1{spatial})")
    return texts


@writes("TripletLoss")
def _triplet(site: Site) -> str:
    layer = site.layer
    if layer.in_sets:
        return call(site.piece("triplet_set_loss"), site.x, layer.unlikes, layer.margin, bool(layer.ratio))
    return call(site.piece("triplet_loss"), *site.bottoms, layer.margin)


@writes("LabelSpecificAdd")
def _label_specific_add(site: Site) -> str:
    return call(site.piece("add_margin"), *site.bottoms, site.layer.bias, "self.training")


@writes("CtcLoss", "CTCLoss")
def _ctc(site: Site) -> str:
    layer, options = site.layer, site.param.ctc_loss_param
    if not layer.merges:
        raise site.fail("ctc_merge_repeated: false has no counterpart in F.ctc_loss. Leave it out")
    function = site.piece("ctc_loss")
    if not layer.has_indicators:
        labels = f"{site.piece('without_blanks')}({site.bottoms[1]}, {layer.blank})"
        steps = f"[{options.time_step or f'{site.x}.shape[0]'}] * {site.x}.shape[1]"
        return f"{function}({site.x}, {labels}, {steps}, {layer.blank})"
    labels = call(site.piece("until_negative"), site.bottoms[2], collapse=True if layer.collapses else None)
    steps = call(site.piece("steps_of"), site.bottoms[1], delay=layer.delay or None)
    x = f"{site.x}[{layer.delay}:]" if layer.delay else site.x
    return f"{function}({x}, {labels}, {steps}, {layer.blank})"


@writes("Accuracy")
def _accuracy(site: Site) -> list[str]:
    layer, axis = site.layer, site.axis(site.layer.axis)
    options = {
        "top_k": layer.top_k if layer.top_k != 1 else None,
        "axis": axis if axis != 1 else None,
        "ignore_label": _ignored(site, site.param.accuracy_param),
    }
    names = ("accuracy", "class_accuracy")[: len(site.top_shapes)]
    return [call(site.piece(name), *site.bottoms, **options) for name in names]


@writes("AccuracyRegression")
def _accuracy_regression(site: Site) -> str:
    a, b = site.bottoms
    return f"({a} - {b}).abs().sum() / (2 * {a}.shape[0])"


@writes("SegAccuracy")
def _seg_accuracy(site: Site) -> str:
    options = site.param.seg_accuracy_param
    ignored = tuple(sorted(int(label) for label in options.ignore_label))
    constructor = call(
        site.piece("SegAccuracy"),
        site.bottom_shapes[0][1],
        ignore_labels=ignored or None,
        reset=True if options.reset else None,
    )
    return f"{site.module(constructor)}({site.x}, {site.bottoms[1]})"


@writes("ArgMax")
def _arg_max(site: Site) -> str:
    layer = site.layer
    if layer.axis is not None:
        which = 0 if layer.values else 1
        return f"{site.piece('arg_max')}({site.x}, {layer.top_k}, {site.axis(layer.axis)})[{which}]"
    values = True if layer.values else None
    return call(site.piece("arg_max_of_items"), site.x, layer.top_k, with_values=values)


refuses("its spanning trees are no work for tensors. Train with it here", "MalisLoss")
refuses(
    "areas that hang together have no counterpart in PyTorch. Cut the net before it, and use scipy.ndimage.label",
    "ConnectedComponent",
)
refuses(
    "reading sequences is no work for tensors. Cut the net before it, and read them with torch.unique_consecutive",
    "CTCGreedyDecoder",
    "LabelsequenceAccuracy",
)
