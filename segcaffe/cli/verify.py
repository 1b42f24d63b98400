"""Run a net and the file that it was exported to on the same inputs, and compare all outputs; status 1 if they differ.

The inputs are random values, pixels, zeros, ones, large values, and other sizes where the file leaves them open. Where
an output differs, the first blob that does is told, with its layer and its place in NET. What was found is kept in
FILE.proof.json beside the file: fingerprints of all files, versions, largest differences.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.json_output import add_json_option, print_json
from segcaffe.cli.numbers import finite
from segcaffe.glog import tell

if TYPE_CHECKING:
    from segcaffe.export.proof.described import Described
    from segcaffe.export.proof.prove import Proof
    from segcaffe.export.runtimes.base import Runtime
    from segcaffe.export.source import Source

RUNTIMES = ("onnxruntime", "opencv", "openvino")
"""As `segcaffe.export.runtimes` has them; that is not imported for a help text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("net", metavar="NET", help="the net's prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="its weights; several files separated by commas")
    parser.add_argument("file", metavar="FILE", help="what segcaffe export wrote")
    _add_proof_options(parser)
    add_json_option(parser)
    common.add_partial_option(parser)
    common.add_allow_python_option(parser)
    common.add_state_options(parser)
    common.add_template_options(parser)


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Add whether and how a file that has just been written is compared with the net."""
    parser.add_argument("--no-check", dest="check", action="store_false",
                        help="leave out the comparison of OUT with NET, which segcaffe verify makes later")  # fmt: skip
    _add_proof_options(parser)


def _add_proof_options(parser: argparse.ArgumentParser) -> None:
    common.add_option(parser, "runtime", "what runs the file; repeatable (default: onnxruntime)", choices=RUNTIMES,
                      action="append", default=[])  # fmt: skip
    common.add_option(parser, "tolerance", "largest difference of an output that is allowed, as a part of its largest "
                      "value (default 1e-4)", type=finite, default=1e-4)  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Compare, print, keep the record; 1 if something differs or a program refuses the file."""
    from segcaffe.export.proof.described import describe_onnx
    from segcaffe.export.proof.report import facts

    common.show_warnings()
    file = common.existing_file(options.file, "FILE")
    runtimes = _runtimes(options)
    described = describe_onnx(file)
    source = _source(options, described)
    proof, record = _prove(options, source, file, described, runtimes)
    if options.json:
        print_json("verify", {"file": str(file), "record": str(record), **facts(proof)})
    else:
        _print(proof, record)
    return 0 if proof.holds else 1


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
    proof, record = _prove(options, source, file, describe_onnx(file), _runtimes(options))
    _print(proof, record)
    return 0 if proof.holds else 1


def _prove(
    options: argparse.Namespace, source: Source, file: Path, described: Described, runtimes: list[Runtime]
) -> tuple[Proof, Path]:
    from segcaffe.export.proof.prove import prove
    from segcaffe.export.proof.record import write_record

    proof = prove(source.net, file, described, runtimes, options.tolerance)
    return proof, write_record(proof, file, source.hashes)


def _runtimes(options: argparse.Namespace) -> list[Runtime]:
    from segcaffe.export.runtimes import runtime

    return [runtime(name) for name in dict.fromkeys(options.runtime or RUNTIMES[:1])]


def _print(proof: Proof, record: Path) -> None:
    from segcaffe.export.proof.report import text

    print(text(proof))
    print(record)


def _source(options: argparse.Namespace, described: Described) -> Source:
    """The net as it was exported: cut where the file ends, with the sizes that the file has."""
    from segcaffe.export.source import Wishes, read_source

    net, weights = common.existing_file(options.net, "NET"), common.weight_files(options.weights, "WEIGHTS")
    wishes = Wishes(
        shapes=described.smallest(),
        until=described.outputs,
        variables=common.variables(options, options.net),
        level=options.level,
        stages=common.stages(options),
        allow_partial=options.allow_partial,
    )
    source = read_source(net, weights, wishes)
    common.warn(source.warning)
    return source
