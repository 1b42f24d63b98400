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

if TYPE_CHECKING:
    from segcaffe.export.proof.described import Described
    from segcaffe.export.source import Source

RUNTIMES = ("onnxruntime", "opencv", "openvino")
"""As `segcaffe.export.runtimes` has them; that is not imported for a help text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("net", metavar="NET", help="the net's prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="its weights; several files separated by commas")
    parser.add_argument("file", metavar="FILE", help="what segcaffe export wrote")
    common.add_option(parser, "runtime", "what runs FILE; repeatable (default: onnxruntime)", choices=RUNTIMES,
                      action="append")  # fmt: skip
    add_proof_options(parser)
    add_json_option(parser)
    common.add_partial_option(parser)
    common.add_allow_python_option(parser)
    common.add_state_options(parser)
    common.add_template_options(parser)


def add_proof_options(parser: argparse.ArgumentParser) -> None:
    """Add how exact a proof must be."""
    common.add_option(parser, "tolerance", "largest difference of an output that is allowed, as a part of its largest "
                      "value (default 1e-4)", type=finite, default=1e-4)  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Compare, print, keep the record; 1 if something differs or a program refuses the file."""
    from segcaffe.export.proof.described import describe_onnx
    from segcaffe.export.proof.prove import prove
    from segcaffe.export.proof.record import write_record
    from segcaffe.export.proof.report import facts, text
    from segcaffe.export.runtimes import runtime

    common.show_warnings()
    runtimes = [runtime(name) for name in dict.fromkeys(options.runtime or RUNTIMES[:1])]
    file = common.existing_file(options.file, "FILE")
    described = describe_onnx(file)
    source = _source(options, described)
    proof = prove(source.net, file, described, runtimes, options.tolerance)
    record = write_record(proof, file, source.hashes)
    if options.json:
        print_json("verify", {"file": str(file), "record": str(record), **facts(proof)})
    else:
        print(text(proof))
        print(record)
    return 0 if proof.holds else 1


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
    source = read_source(Path(net), weights, wishes)
    common.warn(source.warning)
    return source
