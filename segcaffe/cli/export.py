"""Write a net with its weights for another framework: ONNX where OUT ends in .onnx, PyTorch where it ends in .py.

NET may be a deploy file, or a train or test file: its data layers become inputs, what needs labels is left out. Names
of layers, blobs and parameters are kept. The batch is symbolic where nothing in the net fixes it. What cannot be
written is refused, all of it at once: each layer with its place in NET, why, and what to do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.numbers import factor, whole
from segcaffe.cli.proving import add_check_options, check, chosen_runtimes
from segcaffe.errors import ExportError
from segcaffe.glog import tell
from segcaffe.proto.encoding import from_native

if TYPE_CHECKING:
    from segcaffe.export.onnx.preprocessing import Preprocessing
    from segcaffe.export.source import Source, Wishes

_OF_ONNX: dict[str, object] = {"opset": None, "mean": None, "scale": None, "bgr_from_rgb": False, "simplify": False,
                               "custom": "", "runtime": []}  # fmt: skip
"""Options that make sense for ONNX alone, with their defaults."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("net", metavar="NET", help="the net's prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", nargs="?", help="weights to load, separated by commas; without "
                        "them the values go out that the net's fillers make")  # fmt: skip
    parser.add_argument("target", metavar="OUT", help="file to write; its suffix tells the format: .onnx, or .py "
                        "for a PyTorch module, whose weights go into OUT with the suffix .safetensors")  # fmt: skip
    common.add_option(parser, "batch", "the batch: a number, or dynamic (default: dynamic where nothing fixes it)",
                      metavar="N|dynamic")  # fmt: skip
    common.add_option(parser, "shape", "shape of an input, as data=1,3,224,224; repeatable", metavar="INPUT=N,C,H,W",
                      action="append", default=[])  # fmt: skip
    common.add_option(parser, "until", "leave out what these blobs do not need, and end with them; separated by commas",
                      metavar="BLOB", default="")  # fmt: skip
    common.add_option(parser, "opset", "version of ONNX's operators: 11 to the newest that the package onnx knows "
                      "(default 17)", type=whole())  # fmt: skip
    common.add_option(parser, "mean", "B,G,R or one value, subtracted in the graph")
    common.add_option(parser, "scale", "factor after that, in the graph", type=factor)
    common.add_option(parser, "bgr-from-rgb", "turn the channels around first, in the graph: images come as RGB",
                      action="store_true")  # fmt: skip
    common.add_option(parser, "simplify", "fold BatchNorm, Scale and their like into convolutions", action="store_true")
    common.add_option(parser, "custom", "write layers that ONNX cannot say as operators of this domain, which your "
                      "runtime must bring", metavar="DOMAIN", default="")  # fmt: skip
    common.add_option(parser, "train", "of OUT.py: the net of phase TRAIN with its losses; labels are arguments, whose "
                      "shapes --shape tells", action="store_true")  # fmt: skip
    add_check_options(parser)
    common.add_partial_option(parser)
    common.add_allow_python_option(parser)
    common.add_state_options(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write the file, and say what it holds."""
    common.show_warnings()
    target = Path(options.target)
    writer = _WRITERS.get(target.suffix.lower())
    if writer is None:
        known = ", ".join(_WRITERS)
        raise ExportError(
            f"{target}: the suffix tells the format. Known: {known}. Received: {target.suffix or 'none'}."
        )
    return writer(options, target)


def source_of(options: argparse.Namespace) -> Source:
    """The net that the options name, built for export."""
    from segcaffe.export.source import read_source

    net, weights = common.existing_file(options.net, "NET"), common.weight_files(options.weights, "WEIGHTS")
    source = read_source(net, weights, _wishes(options))
    common.warn(source.warning)
    if not weights and source.net.params:
        tell("warning: no WEIGHTS are given: the parameters are what the net's fillers make.")
    return source


def _onnx(options: argparse.Namespace, target: Path) -> int:
    from segcaffe.export.onnx import Options, export_net, write
    from segcaffe.export.onnx.package import DEFAULT_OPSET, check_opset

    if options.train:
        raise ExportError("--train is for OUT.py: a file of ONNX computes, it does not learn. Leave the option out.")
    if options.check and options.runtime:
        # What cannot run the file is told before it is written.
        chosen_runtimes(options)
    opset = check_opset(options.opset if options.opset is not None else DEFAULT_OPSET)
    batch = {None: "auto", "dynamic": "dynamic"}.get(options.batch, "fixed")
    wanted = Options(opset, batch, _preprocessing(options), options.simplify, options.custom)
    source = source_of(options)
    exported = export_net(source, wanted)
    _tell_of_preparation(source, wanted.preprocessing)
    if exported.batch.why_fixed and exported.batch.size:
        tell(f"The batch stays {exported.batch.size}: {exported.batch.why_fixed}")
    for path in write(exported.model, target):
        print(path)
    foreign = any(node.domain == options.custom for node in exported.model.graph.node) if options.custom else False
    if foreign and not options.runtime:
        tell("Not compared with the net: --runtime NAME does it with a program that knows the operators of --custom.")
        return 0
    return check(options, source, target)


def _tell_of_preparation(source: Source, wanted: Preprocessing | None) -> None:
    """Say how the net's file prepares images, where the model does not."""
    from segcaffe.export.onnx.preprocessing import Preprocessing

    stated = Preprocessing(source.mean or (), 1.0 if source.scale is None else source.scale)
    if stated.text() and wanted is None:
        mean = f" --mean {','.join(f'{value:g}' for value in stated.mean)}" if any(stated.mean) else ""
        scale = f" --scale {stated.scale:g}" if stated.scale != 1 else ""
        tell(f"NET prepares images: {stated.text()}. That is left to who runs the file;{mean}{scale} puts it in.")


def _pytorch(options: argparse.Namespace, target: Path) -> int:
    from segcaffe.cli.pytorch import check_options, write_module

    check_options(options, _OF_ONNX)
    return write_module(options, target, training_source(options) if options.train else source_of(options))


def training_source(options: argparse.Namespace) -> Source:
    """The net that the options name, built for training."""
    from segcaffe.export.torch.training import read_training

    net, weights = common.existing_file(options.net, "NET"), common.weight_files(options.weights, "WEIGHTS")
    source = read_training(net, weights, _wishes(options))
    common.warn(source.warning)
    return source


_WRITERS: dict[str, Callable[[argparse.Namespace, Path], int]] = {".onnx": _onnx, ".py": _pytorch}
"""What writes a file, by its suffix."""


def _wishes(options: argparse.Namespace) -> Wishes:
    from segcaffe.export.source import Wishes

    return Wishes(
        shapes=dict(input_shape(text) for text in options.shape),
        batch=None if options.batch in (None, "dynamic") else _batch(options.batch),
        until=tuple(from_native(name.strip()) for name in options.until.split(",") if name.strip()),
        variables=common.variables(options, options.net),
        level=options.level,
        stages=common.stages(options),
        allow_partial=options.allow_partial,
    )


def _batch(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise ExportError(f"--batch is a number of 1 or more, or dynamic. Received: {text}.")
    return int(text)


def input_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """An input's name and shape, of ``data=1,3,224,224``."""
    name, equals, sizes = text.rpartition("=")
    parts = [part.strip() for part in sizes.split(",")]
    if not (name and equals and all(part.isdecimal() and 0 < int(part) < 2**31 for part in parts)):
        raise ExportError(f"--shape is an input's name and its extents, as data=1,3,224,224. Received: {text}.")
    return from_native(name), tuple(int(part) for part in parts)


def _preprocessing(options: argparse.Namespace) -> Preprocessing | None:
    from segcaffe.export.onnx.preprocessing import Preprocessing

    if options.mean is None and options.scale is None and not options.bgr_from_rgb:
        return None
    mean = tuple(common.numbers(options.mean, "--mean")) if options.mean else ()
    return Preprocessing(mean, 1.0 if options.scale is None else options.scale, options.bgr_from_rgb)
