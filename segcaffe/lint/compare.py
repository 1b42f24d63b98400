"""A net that is tested or deployed beside the one that was trained: untrained layers, other inputs, other options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segcaffe.lint.finding import Finding
from segcaffe.lint.subject import Subject, learns, parameter_count
from segcaffe.proto.caffe_pb2 import LayerParameter
from segcaffe.proto.source import read_text
from segcaffe.proto.template import template_names

_LISTED = 4


def training_net(path: Path) -> Path | None:
    """The net beside a test or deploy file that it was probably trained with; None if the file has no such name.

    ``train…`` for ``test…`` where that is there, else the first train file whose template names are filled in
    exactly if those of ``path`` are.
    """
    if not path.name.startswith(("test", "deploy")):
        return None
    same = path.with_name(path.name.replace("test", "train", 1).replace("deploy", "train", 1))
    others = sorted(path.parent.glob("train*.prototxt"))
    rendered = not template_names(read_text(path))
    alike = [other for other in others if (not template_names(read_text(other))) == rendered]
    if same in alike:
        return same
    found = alike or others
    return found[0] if found else None


def compare(subject: Subject, trained: Subject) -> Iterator[Finding]:
    """Findings about ``subject``, held against the net that its weights come from."""
    yield from untrained(subject, trained)
    yield from other_inputs(subject, trained)
    yield from other_options(subject, trained)


def untrained(subject: Subject, trained: Subject) -> Iterator[Finding]:
    """Layers with weights whose names the trained net does not have."""
    names = {layer.name for layer in trained.layers if parameter_count(layer)}
    here = {layer.name for layer in subject.layers}
    for layer in subject.layers:
        if layer.name in names or not learns(layer):
            continue
        near = [name for name in _alike(layer.name, names) if name not in here]
        there = f" It has {_list(near)} instead." if near else ""
        yield Finding(
            "untrained",
            subject.where(layer),
            f'has weights, but {trained.path} has no layer "{layer.name}".{there}',
            f"Weights go by name: the layer keeps {_initial(layer)}, whatever the training learnt.",
            "the trained net's layers and names"
            + (f", as {near[0]}" if near else "")
            + "; lr_mult: 0 if the value is meant to be fixed.",
        )


def other_inputs(subject: Subject, trained: Subject) -> Iterator[Finding]:
    """Layers with weights that are fed something else than when they were trained."""
    theirs = {layer.name: layer for layer in trained.layers if parameter_count(layer)}
    names = [{layer.name for layer in net.layers} | _made(net) for net in (subject, trained)]
    common = names[0] & names[1]
    for layer in subject.layers:
        other = theirs.get(layer.name)
        if other is None or (other.type, len(other.bottom)) != (layer.type, len(layer.bottom)):
            continue
        if layer.type == "Scale":
            continue
        for index in range(len(layer.bottom)):
            mine = origins(subject, layer, index, _made(trained))
            trained_on = origins(trained, other, index, _made(subject))
            if _known(mine, common) != _known(trained_on, common):
                yield Finding(
                    "other-input",
                    subject.where(layer),
                    f'its bottom {index}, "{layer.bottom[index]}", comes from {_list(sorted(mine))}; in '
                    f'{trained.path} it is "{other.bottom[index]}", from {_list(sorted(trained_on))}.',
                    "The weights were learnt for another input, so the results are not those of the trained net.",
                    f"the trained net's path to that bottom, from {_list(sorted(trained_on - mine) or ['it'])}.",
                )


def other_options(subject: Subject, trained: Subject) -> Iterator[Finding]:
    """Layers with weights whose options are not those of the trained net."""
    if subject.unset or trained.unset:
        return
    theirs = {layer.name: layer for layer in trained.layers if parameter_count(layer)}
    for layer in subject.layers:
        other = theirs.get(layer.name)
        if other is None or other.type != layer.type:
            continue
        differing = [name for name, mine, original in _options(layer, other) if mine != original]
        if differing:
            yield Finding(
                "other-options",
                subject.where(layer),
                f"its {_list(differing)} is not that of {trained.path}.",
                "The weights were learnt for other options.",
                "the trained net's options.",
            )


_OTHERWISE = ("engine", "bn_mode")
"""Options that may differ: how something is computed, and whether statistics are folded into the weights."""


def _options(layer: LayerParameter, other: LayerParameter) -> Iterator[tuple[str, object, object]]:
    """Each option of two layers that shapes what the weights do: not fillers, nor engines, nor what BN has folded."""
    for option in layer.DESCRIPTOR.fields:
        if not option.name.endswith("_param") or option.is_repeated or option.message_type is None:
            continue
        mine, original = getattr(layer, option.name), getattr(other, option.name)
        for field in option.message_type.fields:
            if "filler" in field.name or field.name in _OTHERWISE or field.message_type is not None:
                continue
            values = [getattr(message, field.name) for message in (mine, original)]
            if field.is_repeated:
                values = [list(value) for value in values]
            yield f"{option.name}.{field.name}", values[0], values[1]


def origins(subject: Subject, layer: LayerParameter, index: int, known: set[str]) -> set[str]:
    """Where the values of a bottom come from: layers with weights by name, sources and ``known`` blobs by blob."""
    position = next(i for i, other in enumerate(subject.layers) if other is layer)
    found: set[str] = set()
    waiting = [(layer.bottom[index], position)]
    while waiting:
        blob, before = waiting.pop()
        maker = next((i for i in range(before - 1, -1, -1) if blob in subject.layers[i].top), None)
        if maker is None or blob in known or not subject.layers[maker].bottom:
            found.add(blob)
        elif _passes_on(subject.layers[maker]):
            waiting += [(bottom, maker) for bottom in dict.fromkeys(subject.layers[maker].bottom)]
        else:
            found.add(subject.layers[maker].name)
    return found


def _passes_on(layer: LayerParameter) -> bool:
    """Whether what a layer is fed is looked for behind this one: it has no weights, or only scales."""
    return layer.type == "Scale" or not parameter_count(layer)


def _made(subject: Subject) -> set[str]:
    """Blobs that come from outside the net."""
    return {top for layer in subject.sources for top in layer.top}


def _known(origins: set[str], common: set[str]) -> list[str]:
    """The origins to compare: one that only one of the nets has may be the other's input under another name."""
    return sorted(name if name in common else "" for name in origins)


def _alike(name: str, names: set[str]) -> list[str]:
    return sorted(other for other in names if other.startswith(name) or name.startswith(other))


def _initial(layer: LayerParameter) -> str:
    if layer.type == "Scale" and layer.scale_param.HasField("filler"):
        return f"{layer.scale_param.filler.value:g}, what its filler says"
    return "what its filler says"


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return shown + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
