"""Weights of other frameworks into a net: PyTorch's state dicts and ONNX files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcaffe.cli import common
from segcaffe.cli.json_output import add_json_option, print_json
from segcaffe.errors import WeightsError
from segcaffe.proto.encoding import from_native
from segcaffe.text.visible import one_line
from segcaffe.text.words import counted

if TYPE_CHECKING:
    from segcaffe.net.net import Net
    from segcaffe.weights.importing.load import Report, Row


def add_arguments(actions: Any) -> None:
    """Add the action and its options."""
    parser = actions.add_parser("import", help="bring weights of PyTorch or ONNX into a net, and write them")
    parser.add_argument("net", metavar="NET", help="the prototxt of the net: a deploy file, or a train or "
                        "test file, whose data layers become inputs")  # fmt: skip
    parser.add_argument("source", metavar="SOURCE", help=".safetensors, .pt, .pth (a state dict) or .onnx")
    parser.add_argument("target", metavar="TARGET", help="file to write")
    common.add_option(parser, "map", "file of lines LAYER = MODULE or LAYER/INDEX = TENSOR, where names, shapes and "
                      "order do not tell which tensors a layer gets", metavar="FILE")  # fmt: skip
    common.add_option(parser, "rename", "'features.*=conv*': other names for tensors, before they are compared with "
                      "those of layers; repeatable", metavar="OLD=NEW", action="append", default=[])  # fmt: skip
    common.add_option(parser, "allow-partial", "leave layers as the net's fillers make them for which nothing in the "
                      "file fits", action="store_true")  # fmt: skip
    common.add_option(parser, "shape", "shape of an input, as data=1,3,224,224, where NET does not say it; repeatable",
                      metavar="INPUT=N,C,H,W", action="append", default=[])  # fmt: skip
    common.add_allow_python_option(parser)
    common.add_state_options(parser)
    common.add_template_options(parser)
    common.add_dialect_option(parser, "to", "dialect of a binary file written (default: bvlc)")
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Import; prints what each parameter gets."""
    from segcaffe.convert import formats
    from segcaffe.weights.importing import load
    from segcaffe.weights.importing.map_file import read_map

    formats.check_name(options.target)
    source = common.existing_file(options.source, "SOURCE")
    pairs = read_map(common.existing_file(options.map, "--map")) if options.map else {}
    tensors = load.read(Path(source), new_names(options.rename))
    net = _net(options)
    report = load.assign(net.graph, net.layer_list, tensors, pairs, options.allow_partial)
    formats.save(net.to_proto(), options.target, options.to or "bvlc")
    if options.json:
        print_json("weights import", _as_json(options, report))
    else:
        print(_table(report.rows))
        print(f"{counted(len(report.rows), 'parameter')} of {options.net} from {options.source}.")
        _tell_unused(report)
    for note in (*report.notes, *([f"Left as they are: {report.left}."] if report.left else [])):
        common.warn(one_line(note))
    return 0


def _net(options: argparse.Namespace) -> Net:
    """The net in phase TEST, its data layers as inputs."""
    from segcaffe.cli.export import input_shape
    from segcaffe.export.source import Wishes, build_source
    from segcaffe.proto.text import read_net

    path = common.existing_file(options.net, "NET")
    shapes = dict(input_shape(text) for text in options.shape)
    wishes = Wishes(shapes, level=options.level, stages=common.stages(options))
    return build_source(read_net(path, common.variables(options, path)), None, wishes, options.net).net


def _tell_unused(report: Report) -> None:
    for name, why in report.unused.items():
        print(one_line(f"not used: {name}{f' ({why})' if why else ''}"))


def _table(rows: Sequence[Row]) -> str:
    lines = [["parameter", "shape", "tensor", "shape", "how", "decided by"]]
    for row in rows:
        slot, tensor, how = row.assignment.slot, row.assignment.tensor, row.assignment.how
        theirs = [tensor.name, _shape(tensor.shape)] if tensor is not None else ["", ""]
        lines.append([one_line(cell) for cell in (slot.name, _shape(slot.shape), *theirs, how, row.why)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _as_json(options: argparse.Namespace, report: Report) -> dict[str, Any]:
    assignments = []
    for row in report.rows:
        slot, tensor, how = row.assignment.slot, row.assignment.tensor, row.assignment.how
        assignments.append(
            {
                "layer": slot.layer.name,
                "index": slot.index,
                "shape": list(slot.shape),
                "tensor": tensor.name if tensor is not None else None,
                "tensor_shape": list(tensor.shape) if tensor is not None else None,
                "dtype": tensor.stored if tensor is not None else None,
                "how": how,
                "decided_by": row.why,
            }
        )
    unused = [{"tensor": name, "reason": why} for name, why in report.unused.items()]
    files = {"net": options.net, "source": options.source, "target": options.target}
    return files | {"assignments": assignments, "unused": unused, "notes": list(report.notes)}


def new_names(pairs: Sequence[str]) -> dict[str, str]:
    """The new names by the old ones, of ``OLD=NEW``."""
    names = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise WeightsError(f"Names are given as OLD=NEW. Received: {pair}.")
        names[from_native(old)] = from_native(new)
    return names
