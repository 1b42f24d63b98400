"""What ``segcaffe export`` and ``segcaffe verify`` share: the comparison of a file with the net that it was made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.numbers import tolerance
from segcaffe.errors import ExportError
from segcaffe.glog import tell

if TYPE_CHECKING:
    from segcaffe.export.proof.described import Described
    from segcaffe.export.proof.prove import Proof
    from segcaffe.export.runtimes.base import Runtime
    from segcaffe.export.source import Source

RUNTIMES = ("onnxruntime", "opencv", "openvino", "torch")
"""As `segcaffe.export.runtimes` has them; that is not imported for a help text; torch runs .py."""


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Add whether and how a file that has just been written is compared with the net."""
    parser.add_argument("--no-check", dest="check", action="store_false",
                        help="leave out the comparison of OUT with NET, which segcaffe verify makes later")  # fmt: skip
    add_proof_options(parser)


def add_proof_options(parser: argparse.ArgumentParser) -> None:
    """Add what compares, and how exact it must be."""
    common.add_option(parser, "runtime", "what runs the file; repeatable (default: onnxruntime, and "
                      "torch for a file that ends in .py, which nothing else runs)", choices=RUNTIMES,
                      action="append", default=[])  # fmt: skip
    common.add_option(parser, "tolerance", "largest difference of an output that is allowed, as a part of its largest "
                      "value (default 1e-4)", type=tolerance, default=1e-4)  # fmt: skip


def check(options: argparse.Namespace, source: Source, file: Path) -> int:
    """Compare a file that has just been written, where that is wanted and a program is there; 1 if they differ."""
    from segcaffe.export.proof.described import describe_onnx
    from segcaffe.export.runtimes import RUNTIMES as KNOWN

    if not options.check:
        return 0
    default = KNOWN[RUNTIMES[0]]
    if not (options.runtime or default.installed()):
        tell(f"Not compared with the net: {default.name} is not installed. pip install {default.packages[0]}.")
        return 0
    proof, record = prove_file(options, source, file, describe_onnx(file), chosen_runtimes(options))
    print_proof(proof, record)
    return 0 if proof.holds else 1


def prove_file(
    options: argparse.Namespace, source: Source, file: Path, described: Described, runtimes: list[Runtime]
) -> tuple[Proof, Path]:
    """Compare, and write the record; returns what was found and where the record lies."""
    from segcaffe.export.proof.inputs import Stated
    from segcaffe.export.proof.prove import prove
    from segcaffe.export.proof.record import write_record

    stated = None if source.mean is None else Stated(source.mean, 1.0 if source.scale is None else source.scale)
    proof = prove(source.net, file, described, runtimes, options.tolerance, stated)
    return proof, write_record(proof, file, source.hashes)


def chosen_runtimes(options: argparse.Namespace) -> list[Runtime]:
    """The programs of ``--runtime``; RuntimeMissingError for one that is not installed."""
    from segcaffe.export.runtimes import runtime

    if RUNTIMES[-1] in options.runtime:
        raise ExportError(f"--runtime {RUNTIMES[-1]} runs modules, which are files that end in .py.")
    return [runtime(name) for name in dict.fromkeys(options.runtime or RUNTIMES[:1])]


def print_proof(proof: Proof, record: Path) -> None:
    """Print the table, and the record's path."""
    from segcaffe.export.proof.report import text

    print(text(proof))
    print(record)
