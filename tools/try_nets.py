"""Try every net of folders of prototxt files: does it parse, does it build in each phase it has, and if not, why.

    python tools/try_nets.py FOLDER [FOLDER ...] [--reasons] [--csv FILE]

Each folder is one row of the table that is printed; files of equal content count once. Layers that read data get inputs
of likely shapes instead, fillers become constants, so that nothing but the net itself is needed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import logging
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segcaffe.errors import SegcaffeError
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.proto.content import SOLVER, text_content
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import outer_fields, read_net_sketch, read_solver_sketch

SUFFIXES = (".prototxt", ".pt")
IMAGES = ((3, 224), (1, 28), (2, 28), (1, 224))
"""Channels and side of images where a net does not say them, the likeliest first; pairs of digits have two channels."""
CAMVID = (360, 480)
"""Height and width of the images that SegNet's nets were written for; some of their layers name sizes."""
_LABEL_IMAGES = {"ImageSegData", "DenseImageData", "ImageLabelmapData", "TwoImageData"}
_READERS = _LABEL_IMAGES | {"Data", "BoxData", "ImageData", "WindowData", "AnnotatedData", "HDF5Data", "MemoryData"}


@dataclass
class Outcome:
    """What came of a net or a solver; ``reason`` is empty where all is well."""

    path: Path
    kind: str
    parses: bool = False
    builds: bool = False
    crashed: bool = False
    reason: str = ""


def main() -> int:
    """Print the table, and the reasons of those that fail."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of prototxt files, one row each")
    parser.add_argument("--reasons", action="store_true", help="list why files fail, the commonest reason first")
    parser.add_argument("--csv", type=Path, help="write every file's outcome there")
    options = parser.parse_args()
    logging.getLogger("segcaffe").setLevel(logging.ERROR)
    seen: set[str] = set()
    rows = [(folder, [try_file(path) for path in files(folder, seen)]) for folder in options.folders]
    print_table(rows)
    outcomes = [outcome for _, found in rows for outcome in found]
    if options.reasons:
        print_reasons(outcomes)
    if options.csv:
        write_csv(options.csv, rows)
    return 1 if any(outcome.crashed for outcome in outcomes) else 0


def files(folder: Path, seen: set[str]) -> Iterator[Path]:
    """Yield the text nets and solvers below a folder, those of a content that was not seen before."""
    for path in sorted(folder.rglob("*")):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in seen and kind_of(path):
            seen.add(digest)
            yield path


def kind_of(path: Path) -> str:
    """Return "net", "solver", or an empty string for another file, such as a list of labels."""
    fields = outer_fields(path.read_text(encoding="utf-8", errors="surrogateescape"))
    is_solver = text_content(fields) == SOLVER
    return "solver" if is_solver else "net" if {"layer", "layers", "input"} & set(fields) else ""


def try_file(path: Path) -> Outcome:
    """Parse a file, and build the net that it is in each of its phases."""
    outcome = Outcome(path, kind_of(path))
    try:
        if outcome.kind == "solver":
            read_solver_sketch(path, None)
            outcome.parses = outcome.builds = True
        else:
            net, _ = read_net_sketch(path, None)
            outcome.parses = True
            for phase in phases(net.message):
                build(net, phase)
            outcome.builds = True
    except SegcaffeError as error:
        outcome.reason = error.text()
    except Exception:
        outcome.crashed = True
        outcome.reason = traceback.format_exc().strip().splitlines()[-1]
    return outcome


def phases(net: NetParameter) -> list[int]:
    """Return the phases that a net has: those that its sources are for, both where they do not say, TEST without any.

    A net without a source, or with inputs alone, is for prediction; of sources those count that read data, if any do.
    """
    sources = [layer for layer in net.layer if not layer.bottom and layer.type not in ("Parameter", "Input")]
    sources = [layer for layer in sources if layer.type in _READERS] or sources
    rules = [[rule for rule in layer.include if rule.HasField("phase")] for layer in sources]
    if sources and all(rules):
        return sorted({rule.phase for of_layer in rules for rule in of_layer})
    return [caffe_pb2.TRAIN, caffe_pb2.TEST] if sources else [caffe_pb2.TEST]


def stages(net: NetParameter, phase: int) -> list[str]:
    """Return the stages that the first source of a phase asks for, none where one asks for none."""
    rules = [rule for layer in net.layer if layer.type in _READERS for rule in layer.include if rule.phase == phase]
    return list(min(rules, key=lambda rule: len(rule.stage)).stage) if rules else []


def build(net: PlacedNet, phase: int) -> None:
    """Build a net in a phase, inputs in place of what reads data; raise the error that the likeliest images lead to."""
    first: SegcaffeError | None = None
    for channels, side in IMAGES:
        try:
            build_for(net, phase, channels, side)
        except SegcaffeError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


def build_for(net: PlacedNet, phase: int, channels: int, side: int) -> None:
    """Build a net in a phase for images of so many channels and, where their size is not given, that size."""
    message = NetParameter()
    message.CopyFrom(net.message)
    if not message.name:
        message.name = "net"
    for layer in message.layer:
        stand_in(layer, channels, side)
        plain_fillers(layer)
    Net(PlacedNet(message, net.places), phase=phase, stages=stages(net.message, phase))


def stand_in(layer: LayerParameter, channels: int, side: int) -> None:
    """Turn a layer that reads data into an Input of likely shapes, and let others do without their files."""
    layer.detection_evaluate_param.ClearField("name_size_file")
    layer.mat_write_param.ClearField("source")
    if layer.type not in _READERS or not layer.top or layer.memory_data_param.dim:
        return
    height, width = image_size(layer) or (side, side)
    channels = 1 if layer.transform_param.force_gray else channels
    if layer.type == "MemoryData":
        given = layer.memory_data_param
        channels, height, width = given.channels or channels, given.height or height, given.width or width
    if layer.type == "BoxData" and not image_size(layer):
        # A cell of YOLO v1 sees 64 pixels, one of v2 32.
        grid = layer.data_param.side[0] if layer.data_param.side else 13
        height = width = grid * (32 if grid >= 13 else 64)
    items = 1 if batch_size(layer) == 1 else 2
    label = [1, 1, 8, 8] if layer.type == "AnnotatedData" else [items]
    if layer.type == "BoxData":
        side = layer.data_param.side[0] if layer.data_param.side else 13
        label = [items, 150 if side >= 13 else 7 * side * side]
    if layer.type in _LABEL_IMAGES:
        divisor = layer.dense_image_data_param.label_divide_factor or 1
        label = [items, 1, height // divisor, width // divisor]
    layer.type = "Input"
    for shape in ([items, channels, height, width], *[label] * (len(layer.top) - 1)):
        layer.input_param.shape.add(dim=shape)


def batch_size(layer: LayerParameter) -> int:
    """Return how many items a layer gives at a time, 0 where it does not say."""
    given = (layer.data_param, layer.image_data_param, layer.dense_image_data_param, layer.memory_data_param)
    return max(int(options.batch_size) for options in given)


def image_size(layer: LayerParameter) -> tuple[int, int] | None:
    """Return height and width of the images that a layer gives, as far as its options tell."""
    transform = layer.transform_param
    for resize in transform.resize_param:
        if resize.height and resize.width:
            return resize.height, resize.width
    for options, names in (
        (transform, ("crop_height", "crop_width")),
        (transform, ("crop_h", "crop_w")),
        (transform, ("crop_size", "crop_size")),
        (layer.window_data_param, ("crop_size", "crop_size")),
        (layer.image_data_param, ("new_height", "new_width")),
        (layer.dense_image_data_param, ("crop_height", "crop_width")),
        (layer.dense_image_data_param, ("new_height", "new_width")),
    ):
        sizes = tuple(int(getattr(options, name)) for name in names)
        if all(sizes):
            return sizes[0], sizes[1]
    return CAMVID if layer.type == "DenseImageData" else None


def plain_fillers(layer: LayerParameter) -> None:
    """Make the fillers of a layer's options constants: drawing numbers takes longer than all the rest."""
    for field, options in layer.ListFields():
        if field.message_type is None or field.is_repeated:
            continue
        for inner in field.message_type.fields:
            if inner.message_type is not None and inner.message_type.name == "FillerParameter":
                is_given = not inner.is_repeated and options.HasField(inner.name)
                if is_given and getattr(options, inner.name).type in ("gaussian", "xavier", "msra", "uniform"):
                    getattr(options, inner.name).type = "constant"
                    getattr(options, inner.name).ClearField("sparse")


def print_table(rows: list[tuple[Path, list[Outcome]]]) -> None:
    """Print how many files of each folder are nets or solvers, parse and build."""
    print("| folder | files | parse | build | crash |\n|---|---:|---:|---:|---:|")
    sums = Counter[str]()
    for folder, outcomes in [*rows, (Path("all"), [outcome for _, found in rows for outcome in found])]:
        sums = Counter(name for each in outcomes for name in ("parses", "builds", "crashed") if getattr(each, name))
        counts = f"{len(outcomes)} | {sums['parses']} | {sums['builds']} | {sums['crashed']}"
        print(f"| {folder.name} | {counts} |")


def print_reasons(outcomes: list[Outcome]) -> None:
    """Print why files fail, names and numbers left out, the commonest reason first, with an example of each."""
    examples: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.reason:
            key = re.sub(r'"[^"]*"|`[^`]*`|\d+|\([\dx, ]+\)', "_", outcome.reason)[:160]
            examples.setdefault(key, []).append(outcome)
    for found in sorted(examples.values(), key=len, reverse=True):
        print(f"{len(found):5} {found[0].path}: {found[0].reason[:400]}")


def write_csv(path: Path, rows: list[tuple[Path, list[Outcome]]]) -> None:
    """Write a line for each file."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(["folder", "file", "kind", "parses", "builds", "crashed", "reason"])
        for folder, outcomes in rows:
            for each in outcomes:
                flags = (each.parses, each.builds, each.crashed)
                writer.writerow([folder.name, each.path.relative_to(folder), each.kind, *flags, each.reason])


if __name__ == "__main__":
    sys.exit(main())
