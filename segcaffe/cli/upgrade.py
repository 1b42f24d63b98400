"""Write a net or a solver of any age in today's notation; text and binary files are recognised."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.text.words import counted

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from segcaffe.proto.caffe_pb2 import NetParameter, SolverParameter

TEXT_SUFFIXES = (".prototxt", ".txt", ".pbtxt")
BINARY_SUFFIXES = (".caffemodel", ".binaryproto")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("kind", choices=("net", "solver"), help="what the file holds")
    parser.add_argument("source", metavar="IN")
    parser.add_argument(
        "target", metavar="OUT", help="text where it ends in .prototxt, binary in .caffemodel, otherwise as IN is"
    )
    parser.add_argument(
        "--with-weights", action="store_true", help="write the weights of a binary IN into a text too (long)"
    )
    common.add_dialect_option(parser, "dialect", "dialect of a binary IN (default: detected)")
    common.add_dialect_option(parser, "to", "dialect of a binary OUT (default: bvlc)")
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Read, upgrade and write the file, and tell on stderr what changed."""
    from segcaffe.proto.content import is_binary
    from segcaffe.proto.text import write
    from segcaffe.proto.upgrade import upgrade_net, upgrade_solver
    from segcaffe.snapshot.files import read_file, write_file

    source = common.existing_file(options.source, "IN")
    binary = is_binary(read_file(source))
    as_text = _wants_text(Path(options.target), source, binary)
    notes: list[str] = []
    if options.kind == "net":
        net = _read_net(source, binary, options)
        message: Message = upgrade_net(net, str(source), notes)
        if binary and as_text and not options.with_weights:
            _drop_weights(net, notes)
    else:
        message = upgrade_solver(_read_solver(source, binary, options), str(source), notes)
    write_file(options.target, write(message).encode() if as_text else _encode(message, options.to))
    _report(notes)
    return 0


def _read_net(source: Path, binary: bool, options: argparse.Namespace) -> NetParameter:
    from segcaffe.proto import caffe_pb2, dialect
    from segcaffe.proto.text import read
    from segcaffe.snapshot.files import read_file

    if binary:
        return dialect.decode_net(read_file(source), options.dialect, str(source))[0]
    return read(source, caffe_pb2.NetParameter, common.variables(options, source))


def _read_solver(source: Path, binary: bool, options: argparse.Namespace) -> SolverParameter:
    from google.protobuf.message import DecodeError

    from segcaffe.errors import PrototxtError
    from segcaffe.proto import caffe_pb2, content, encoding
    from segcaffe.proto.text import read
    from segcaffe.snapshot.files import read_file

    if not binary:
        return read(source, caffe_pb2.SolverParameter, common.variables(options, source))
    data = read_file(source)
    try:
        solver = encoding.parse(caffe_pb2.SolverParameter, data)
    except DecodeError:
        solver = caffe_pb2.SolverParameter()
    # Binary messages of other types can be parsed as well.
    if not any(solver.HasField(name) for name in ("base_lr", "lr_policy", "max_iter")):
        found = content.content_of(data)
        received = f" Received: {found}.{content.advice(found, content.SOLVER)}" if found else ""
        raise PrototxtError(f"{source}: the file is neither text nor a binary solver.{received}")
    return solver


def _encode(message: Message, dialect_name: str | None) -> bytes:
    from segcaffe.proto import dialect, encoding
    from segcaffe.proto.caffe_pb2 import NetParameter

    if isinstance(message, NetParameter):
        return dialect.encode_net(message, dialect_name or "bvlc")
    return encoding.serialize(message)


def _wants_text(target: Path, source: Path, source_is_binary: bool) -> bool:
    """Whether the target's name asks for text; SegcaffeError for the name of something else."""
    from segcaffe.errors import SegcaffeError

    suffix = target.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        return True
    if suffix not in (*BINARY_SUFFIXES, "", source.suffix.lower()):
        raise SegcaffeError(
            f"{target}: upgrade writes text to {', '.join(TEXT_SUFFIXES)} and binary nets to .caffemodel. "
            f"Received: {target.suffix}. `segcaffe weights convert` writes .npz, .safetensors and .h5."
        )
    return suffix not in BINARY_SUFFIXES and not source_is_binary


def _drop_weights(net: NetParameter, notes: list[str]) -> None:
    count = sum(len(layer.blobs) for layer in net.layer)
    for layer in net.layer:
        layer.ClearField("blobs")
    if count:
        notes.append(f"Left out of the text: {counted(count, 'blob')} of weights; --with-weights keeps them.")


def _report(notes: Sequence[str]) -> None:
    for note in notes:
        print(note, file=sys.stderr)
    if not notes:
        print("The file was in today's notation already.", file=sys.stderr)
