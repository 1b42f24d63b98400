"""What ``segcaffe export`` does where OUT ends in .py: a PyTorch module, its weights, and the comparison of both."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.errors import ExportError
from segcaffe.glog import tell

if TYPE_CHECKING:
    from segcaffe.export.source import Source


def write_module(options: argparse.Namespace, target: Path, source: Source) -> int:
    """Write the module's source and, where there are weights, its state; compare them with the net."""
    from segcaffe.export.proof.prove import prove
    from segcaffe.export.proof.record import write_record
    from segcaffe.export.proof.report import text
    from segcaffe.export.torch.judged import WrittenModule, describe
    from segcaffe.export.torch.save import save

    written, paths = save(source, target, bool(options.weights))
    for path in paths:
        print(path)
    if options.train:
        tell("Not compared with the net: in training both draw numbers. Without --train they are compared.")
        return 0
    if not options.check:
        return 0
    if not WrittenModule.installed():
        tell("Not compared with the net: PyTorch is not installed. pip install torch.")
        return 0
    proof = prove(
        source.net, target, describe(source.net, written), [WrittenModule(source.net, written)], options.tolerance
    )
    print(text(proof))
    print(write_record(proof, target, source.hashes))
    return 0 if proof.holds else 1


def check_options(options: argparse.Namespace, only_onnx: dict[str, object]) -> None:
    """Raise ExportError for options that a module has no use for: what they do is said in Python."""
    given = [name for name, default in only_onnx.items() if getattr(options, name) != default]
    if options.train and options.until:
        raise ExportError("--until cuts off the losses that --train is for. Give one of them.")
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ExportError(f"{names}: for OUT in ONNX's format only. OUT ends in .py; leave the option out.")
