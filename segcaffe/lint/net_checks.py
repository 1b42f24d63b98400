"""Checks of one net, from its layers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from segcaffe.errors import ShapeError
from segcaffe.lint.crop_checks import crop_offsets
from segcaffe.lint.finding import Finding
from segcaffe.lint.fork_checks import fork_options
from segcaffe.lint.subject import Subject, class_of, learns, parameter_count
from segcaffe.proto.caffe_pb2 import TRAIN, ImageDataParameter, LayerParameter
from segcaffe.window import Window

PADDED_LABEL = 255


def label_type(subject: Subject) -> Iterator[Finding]:
    """ImageSegData reads whole-image labels unless it is told to read label maps."""
    for layer in subject.of_type("ImageSegData"):
        if not layer.image_data_param.HasField("label_type"):
            yield Finding(
                "label-type",
                subject.where(layer),
                "image_data_param has no label_type, which means IMAGE.",
                "The label is then one number from the list, spread over the map; with label images in the list the "
                "net trains on zeros.",
                "label_type: PIXEL where the list names label images.",
            )


def resized_labels(subject: Subject) -> Iterator[Finding]:
    """new_height and new_width resize label maps bilinearly."""
    for layer in subject.of_type("ImageSegData", "TwoImageData"):
        options = layer.image_data_param
        pixels = layer.type == "TwoImageData" or options.label_type == ImageDataParameter.PIXEL
        if pixels and (options.new_height or options.new_width):
            yield Finding(
                "resized-labels",
                subject.where(layer),
                "new_height and new_width resize the label maps as well, bilinearly.",
                "Between two classes that makes labels of a third one, as between 0 and 10.",
                "remove them; resize images and labels beforehand, labels by nearest neighbour, or use crop_size.",
            )


def batch_norm(subject: Subject) -> Iterator[Finding]:
    """BatchNorm on the statistics of a batch of one image."""
    if subject.phase != TRAIN or subject.batch != 1:
        return
    for layer in subject.of_type("BatchNorm"):
        if not layer.batch_norm_param.use_global_stats:
            yield Finding(
                "batch-norm",
                subject.where(layer),
                "normalises by the statistics of the batch, which is one image.",
                "Each image is scaled by itself in training, but by running averages when testing: the net that is "
                "tested is not the one that was trained. iter_size does not change that.",
                "batch_norm_param { use_global_stats: true } with pretrained statistics, or a larger batch_size.",
            )


def shrinking(subject: Subject) -> Iterator[Finding]:
    """A pad that is there, but too small to keep the size."""
    if subject.unset:
        return
    for layer in subject.layers:
        if "convolution_param" not in class_of(layer).option_fields() or layer.type == "Deconvolution":
            continue
        try:
            window = Window.from_convolution(layer.convolution_param, 2, "")
        except ShapeError:
            continue
        lost = [extent - 1 - 2 * pad for extent, pad in zip(window.extent, window.pad, strict=True)]
        if set(window.stride) == {1} and min(window.pad) > 0 and max(lost) > 0:
            right = max(window.extent) // 2
            yield Finding(
                "shrinking-map",
                subject.where(layer),
                f"kernel_size {window.kernel[0]}, dilation {window.dilation[0]} and pad {window.pad[0]} make the map "
                f"{max(lost)} smaller.",
                "A window keeps the size where pad is dilation * (kernel_size - 1) / 2. With another the map no longer "
                "lies over its neighbours, or does not fit them.",
                f"pad: {right}.",
            )


def losses(subject: Subject) -> Iterator[Finding]:
    """Losses that do not count, and training nets without any."""
    if subject.phase != TRAIN:
        return
    counted = False
    for layer in subject.layers:
        is_loss = class_of(layer).loss
        weights = list(layer.loss_weight)
        counted |= any(weights) or (is_loss and not weights)
        if is_loss and weights and not any(weights):
            yield Finding(
                "loss-without-weight",
                subject.where(layer),
                "loss_weight is 0.",
                "The loss is shown but trains nothing.",
                "loss_weight: 1, or nothing, where it should count.",
            )
    if not counted and any(map(learns, subject.layers)):
        yield Finding(
            "no-loss",
            str(subject.path),
            "no layer of the training net has a loss with a weight.",
            "There are no gradients: the weights stay as they are.",
            'a layer such as type: "SoftmaxWithLoss" on the scores and the labels, or loss_weight: 1 on a blob that is '
            "a loss.",
        )


def nothing_learns(subject: Subject) -> Iterator[Finding]:
    """Every learning rate multiplier is zero."""
    layers = [layer for layer in subject.layers if parameter_count(layer)]
    if subject.phase == TRAIN and layers and not any(map(learns, layers)):
        yield Finding(
            "nothing-learns",
            subject.where(layers[0]),
            f"this and all {len(layers)} layers with weights have lr_mult: 0.",
            "Training changes nothing.",
            "param { lr_mult: 1 } in the layers that should learn.",
        )


def ignored_labels(subject: Subject) -> Iterator[Finding]:
    """Layers that read the same labels but ignore different values, or do not ignore what padding makes."""
    readers = list(label_readers(subject))
    values = Counter(value for _, value in readers if value is not None)
    for layer, value in readers:
        common = values.most_common(1)[0][0] if values else None
        if value is not None and value != common:
            yield Finding(
                "ignored-label",
                subject.where(layer),
                f"ignores label {value}; the other layers on these labels ignore {common}.",
                "One of the two numbers never occurs, so that void pixels count as a class.",
                f"ignore_label: {common}.",
            )
    yield from _padding(subject, readers)


def _padding(subject: Subject, readers: list[tuple[LayerParameter, int | None]]) -> Iterator[Finding]:
    padding = padding_sources(subject)
    for layer, value in readers:
        if padding and value != PADDED_LABEL and layer.type != "Im2parity":
            ignored = "ignores no label" if value is None else f"ignores label {value}"
            yield Finding(
                "ignored-label",
                subject.where(layer),
                f"{ignored}, but {padding[0].name!r} pads labels with {PADDED_LABEL} where an image is smaller than "
                "crop_size.",
                "The padding counts as a class, or stops the run as a label outside the classes.",
                f"{class_of(layer).label_options} {{ ignore_label: {PADDED_LABEL} }}.",
            )


def padding_sources(subject: Subject) -> list[LayerParameter]:
    """Data layers that pad label maps with `PADDED_LABEL` where images are smaller than the crop."""
    padding = [layer for layer in subject.of_type("TwoImageData") if layer.transform_param.crop_size]
    return padding + [
        layer
        for layer in subject.of_type("ImageSegData")
        if layer.transform_param.crop_size and layer.image_data_param.ignore_label == PADDED_LABEL
    ]


def label_readers(subject: Subject) -> Iterator[tuple[LayerParameter, int | None]]:
    """Layers that can ignore a label, and the one they ignore."""
    for layer in subject.layers:
        if not (field := class_of(layer).label_options):
            continue
        options = getattr(layer, field)
        given = options.DESCRIPTOR.fields_by_name["ignore_label"]
        values = list(options.ignore_label) if given.is_repeated else []
        if not given.is_repeated and options.HasField("ignore_label"):
            values = [options.ignore_label]
        yield layer, values[0] if values else None


def unread_labels(subject: Subject) -> Iterator[Finding]:
    """Tops of data layers that no layer reads: they are outputs of the net, printed value by value."""
    read = {name for layer in subject.layers for name in layer.bottom}
    for layer in subject.sources:
        if layer.type in ("Input", "DummyData") or not read & set(layer.top):
            continue
        for top in layer.top:
            if top not in read:
                yield Finding(
                    "unread-blob",
                    subject.where(layer),
                    f'no layer reads its top "{top}".',
                    "It becomes an output of the net: the log tells it at every display, in Caffe value by value.",
                    f'layer {{ name: "silence" type: "Silence" bottom: "{top}" }}, or one top less where the layer '
                    "allows it.",
                )


def parities_without_ignore(subject: Subject) -> Iterator[Finding]:
    """DistLoss layers whose ignored label never comes, since Im2parity does not write it."""
    makers = subject.makers()
    for layer in subject.of_type("DistLoss"):
        options = layer.dist_loss_param
        parity = makers.get(layer.bottom[1]) if len(layer.bottom) > 1 else None
        if not options.HasField("ignore_label") or parity is None or parity.type != "Im2parity":
            continue
        written = parity.im2parity_param
        if written.HasField("ignore_label") and written.ignore_label == options.ignore_label:
            continue
        theirs = f"ignores label {written.ignore_label}" if written.HasField("ignore_label") else "ignores no label"
        yield Finding(
            "ignored-parity",
            subject.where(layer),
            f'ignores {options.ignore_label}, but "{parity.name}" (Im2parity), which makes its parities, {theirs}.',
            "Parities are 0 or 1 then: void pixels pull and push as a class of their own, and the option never acts.",
            f'im2parity_param {{ ignore_label: {options.ignore_label} }} in "{parity.name}".',
        )


def same_names(subject: Subject) -> Iterator[Finding]:
    """Layers with weights that are named alike."""
    seen: dict[str, LayerParameter] = {}
    for layer in subject.layers:
        if not parameter_count(layer):
            continue
        if layer.name in seen:
            yield Finding(
                "same-name",
                subject.where(layer),
                f"another layer with weights, {subject.where(seen[layer.name])}, is called the same.",
                "Files of weights go by name: both layers get the weights of one of them.",
                "another name; to share weights on purpose, param { name: ... } in both.",
            )
        seen.setdefault(layer.name, layer)


def adding_scales(subject: Subject, iter_size: int = 1) -> Iterator[Finding]:
    """Scale layers whose gradient upstream replaces instead of adding."""
    if subject.phase != TRAIN or subject.batch != 1:
        return
    shared = Counter(spec.name for layer in subject.layers for spec in layer.param if spec.name)
    for layer in subject.of_type("Scale"):
        per_channel = len(layer.bottom) == 1 and layer.scale_param.num_axes != 0 and learns(layer)
        is_shared = any(shared[spec.name] > 1 for spec in layer.param)
        if per_channel and (iter_size > 1 or is_shared):
            cause = f"iter_size is {iter_size}" if iter_size > 1 else "its parameter is shared"
            yield Finding(
                "scale-gradient",
                subject.where(layer),
                f"learns a scale per channel, the batch is one image, and {cause}.",
                "Upstream Caffe then keeps the last pass's gradient of the scale only; segcaffe adds them all. The "
                "same files train differently in the two.",
                "nothing, if segcaffe's (correct) gradient is wanted; batch_size: 2 or more to have both agree.",
            )


CHECKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    label_type,
    resized_labels,
    batch_norm,
    shrinking,
    losses,
    nothing_learns,
    ignored_labels,
    same_names,
    crop_offsets,
    unread_labels,
    parities_without_ignore,
    fork_options,
)
