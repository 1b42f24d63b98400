"""Draw the losses, learning rates and test results of training logs, ours or the original Caffe's."""

from __future__ import annotations

import argparse
from pathlib import Path

from segcaffe.cli import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("logs", nargs="+", metavar="LOG", help="log files; several runs are drawn together")
    common.add_option(parser, "out", "the picture: .png, .pdf or .svg (default training.png)", default="training.png")
    common.add_option(parser, "csv", "write the numbers as a table, too", metavar="FILE")


def run(options: argparse.Namespace) -> int:
    """Draw."""
    from segcaffe.viz.logs import read_log
    from segcaffe.viz.training import plot_runs, write_csv

    stems = [Path(log).stem for log in options.logs]
    names = stems if len(set(stems)) == len(stems) else options.logs
    runs = {name: read_log(log) for name, log in zip(names, options.logs, strict=True)}
    if options.csv:
        write_csv(runs, Path(options.csv))
    plot_runs(runs, Path(options.out))
    print(options.out)
    return 0
