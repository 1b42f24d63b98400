"""Run a net and the file that it was exported to on the same inputs, and compare all outputs; status 1 if they differ.

The inputs are random values, pixels, zeros, ones, large values, and other sizes where the file leaves them open. Where
an output differs, the first blob that does is told, with its layer and its place in NET. What was found is kept in
FILE.proof.json beside the file: fingerprints of all files, versions, largest differences.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.json_output import add_json_option, print_json
from segcaffe.cli.proving import add_proof_options, chosen_runtimes, print_proof, prove_file
from segcaffe.errors import ExportError

if TYPE_CHECKING:
    from segcaffe.export.proof.prove import Proof
    from segcaffe.export.source import Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("net", metavar="NET", help="the net's prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="its weights; several files separated by commas")
    parser.add_argument("file", metavar="FILE", help="what segcaffe export wrote")
    add_proof_options(parser)
    add_json_option(parser)
    common.add_partial_option(parser)
    common.add_state_options(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Compare, print, keep the record; 1 if something differs or a program refuses the file."""
    from segcaffe.export.proof.report import facts

    common.show_warnings()
    file = common.existing_file(options.file, "FILE")
    proof, record = (_module if file.suffix.lower() == ".py" else _onnx)(options, file)
    if options.json:
        print_json("verify", {"file": str(file), "record": str(record), **facts(proof)})
    else:
        print_proof(proof, record)
    return 0 if proof.holds else 1


def _onnx(options: argparse.Namespace, file: Path) -> tuple[Proof, Path]:
    from segcaffe.export.proof.described import describe_onnx

    runtimes = chosen_runtimes(options)
    described = describe_onnx(file)
    # Cut where the file ends, with the sizes that the file has.
    source = _source(options, described.smallest(), described.outputs, file)
    return prove_file(options, source, file, described, runtimes)


def _module(options: argparse.Namespace, file: Path) -> tuple[Proof, Path]:
    from segcaffe.export.torch.judged import WrittenModule, describe, saved

    if set(options.runtime) - {WrittenModule.name}:
        raise ExportError(f"{file} is a module, which --runtime torch alone runs. Received: {options.runtime}.")
    source = _source(options)
    module = saved(source, file)
    module.require()
    return prove_file(options, source, file, describe(source.net, module.written), [module])


def _source(
    options: argparse.Namespace,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    until: tuple[str, ...] = (),
    file: Path | None = None,
) -> Source:
    """The net as it was exported to ``file``, which has inputs of these shapes."""
    from segcaffe.export.proof.described import blob_of
    from segcaffe.export.source import Wishes, read_source
    from segcaffe.proto.text import read_net

    net, weights = common.existing_file(options.net, "NET"), common.weight_files(options.weights, "WEIGHTS")
    variables = common.variables(options, options.net)
    blobs = {top for layer in read_net(net, variables).message.layer for top in layer.top} if until else set()
    strange = sorted(set(shapes or {}) - blobs)
    if strange and blobs:
        raise ExportError(
            f'{file} was not made of {net}: its input "{strange[0]}" is no blob there. '
            "Give verify the prototxt that was exported."
        )
    wishes = Wishes(
        shapes=shapes or {},
        until=tuple(blob_of(name, blobs, shapes or {}) for name in until),
        variables=variables,
        level=options.level,
        stages=common.stages(options),
        allow_partial=options.allow_partial,
    )
    source = read_source(net, weights, wishes)
    common.warn(source.warning)
    return source
