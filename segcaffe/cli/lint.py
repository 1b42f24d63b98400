"""Find what silently ruins training runs in a net or a solver; status 1 if there is anything."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from segcaffe.cli import common
from segcaffe.cli.json_output import add_json_option, print_json
from segcaffe.glog import note
from segcaffe.text.words import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("file", metavar="NET|SOLVER")
    common.add_option(parser, "weights", "file of weights that the net will be given", metavar="FILE")
    common.add_option(
        parser, "train", "net that was trained, for a test or deploy net (default: the train file beside it)",
        metavar="FILE",
    )  # fmt: skip
    common.add_option(parser, "phase", "TRAIN or TEST (default: what the file's name says, or both)", default=None)
    common.add_tolerant_option(parser)
    common.add_template_options(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print the findings."""
    from segcaffe.lint.run import lint

    phase = common.phase(options.phase) if options.phase else None
    for path, option in ((options.file, "NET|SOLVER"), (options.weights, "--weights"), (options.train, "--train")):
        if path is not None:
            common.existing_file(path, option)
    values = common.variables(options, *filter(None, (options.file, options.train)))
    report = lint(options.file, values, options.weights, options.train, phase, options.tolerant)
    if options.json:
        findings = [asdict(finding) for finding in report.findings]
        print_json("lint", {"file": options.file, "findings": findings, "notes": list(dict.fromkeys(report.remarks))})
        return 1 if findings else 0
    for remark in dict.fromkeys(report.remarks):
        note(f"note: {remark}", errors=True)
    for finding in report.findings:
        print(finding.text())
    count = len(report.findings)
    print(f"{counted(count, 'finding')}." if count else "Nothing found.")
    return 1 if count else 0
