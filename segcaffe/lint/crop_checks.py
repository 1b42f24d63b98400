"""Crop layers whose offset is not where paddings and strides put the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import Message

from segcaffe.errors import GraphError
from segcaffe.lint.finding import Finding
from segcaffe.lint.subject import Subject, class_of
from segcaffe.proto.caffe_pb2 import LayerParameter
from segcaffe.pycaffe.coord_map import UndefinedMapException, coord_map_from_to


@dataclass(eq=False)
class _Layer:
    """A layer as `coord_map` looks at it: a function of a `NetSpec`."""

    type_name: str
    params: dict[str, Any]
    inputs: tuple[_Top, ...]


@dataclass(eq=False)
class _Top:
    fn: _Layer


def crop_offsets(subject: Subject) -> Iterator[Finding]:
    """Crops that begin a pixel or more beside the place of their reference."""
    if subject.unset:
        return
    blobs: dict[str, _Top] = {}
    for layer in subject.layers:
        inputs = tuple(blobs.get(name) or blobs.setdefault(name, _source()) for name in layer.bottom)
        if layer.type == "Crop" and len(inputs) == 2:
            yield from _judge(subject, layer, *inputs)
        made = _Layer(layer.type, _params(layer), inputs)
        blobs.update({top: _Top(made) for top in layer.top})


def _judge(subject: Subject, layer: LayerParameter, cropped: _Top, reference: _Top) -> Iterator[Finding]:
    wanted = _place(cropped, reference)
    given = list(layer.crop_param.offset) or [0]
    if wanted is None or layer.crop_param.axis != 2 or len(given) > 2 or np.all(np.abs(wanted - given) < 1):
        return
    told = "has no offset, which means 0" if not layer.crop_param.offset else f"has offset {_text(given)}"
    bottom = layer.bottom[1]
    yield Finding(
        "crop-offset",
        subject.where(layer),
        f'{told}; by the paddings and strides in between, the first pixel of "{bottom}" lies at {_text(wanted)} of '
        f'"{layer.bottom[0]}".',
        f"What is left is shifted by {_text(wanted - given)} (in pixels) against the reference and the labels.",
        f"crop_param {{ {' '.join(f'offset: {value:.0f}' for value in np.round(wanted))} }}; a net that was trained "
        "with the other offset keeps it.",
    )


def _place(cropped: _Top, reference: _Top) -> Any:
    """Where the reference's first pixel lies in what is cropped; None where that is not known or scales differ."""
    try:
        _, scale, offset = coord_map_from_to(cropped, reference)  # type: ignore[arg-type]
    except (UndefinedMapException, GraphError):
        return None
    return -offset if np.all(scale == 1) else None


def _source() -> _Top:
    return _Top(_Layer("Input", {}, ()))


def _params(layer: LayerParameter) -> dict[str, Any]:
    name = class_of(layer).options_field
    if not name:
        return {}
    options = getattr(layer, name)
    given: dict[str, Any] = _values(options)
    if "kernel_size" in options.DESCRIPTOR.fields_by_name and "kernel_size" not in given:
        # A window of sides, or of the whole map: no map that is known.
        given["kernel_h"] = 0
    return {name: given}


def _values(options: Message) -> dict[str, Any]:
    return {
        field.name: list(value) if field.is_repeated else value
        for field, value in options.ListFields()
        if field.message_type is None
    }


def _text(values: Any) -> str:
    numbers = [f"{value:g}" for value in values]
    return numbers[0] if len(set(numbers)) == 1 else " x ".join(numbers)
