"""Train the paper's embeddings on generated images for about two minutes, test them, and write a report."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from segcaffe.cli import common
from segcaffe.cli.numbers import ANY_SEED, whole
from segcaffe.files.lock import lock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    common.add_option(parser, "out", "folder for everything (default demo_output)", default="demo_output")
    common.add_option(parser, "max_iter", "number of training iterations", type=whole())
    common.add_option(parser, "seed", "seed of images and training (default 1)", type=whole(0, ANY_SEED), default=1)
    common.add_device_options(parser)
    # Its nets are its own: they have no Python layers, and write where it says.
    parser.set_defaults(no_python=True)


def run(options: argparse.Namespace) -> int:
    """Run the demo and print its table of scores."""
    from segcaffe.cli.training_view import training_view
    from segcaffe.errors import SegcaffeError
    from segcaffe.glog import note, start_log
    from segcaffe.recipes.demo import AUC, HEADER, Demo, Plan, score_rows

    if options.max_iter is not None and options.max_iter < 1:
        raise SegcaffeError(f"--max_iter must be at least 1. Received: {options.max_iter}.")
    common.show_warnings()
    common.set_device(options)
    folder = Path(options.out).resolve()
    plan = Plan(folder, seed=options.seed)
    if options.max_iter is not None:
        plan = Plan(folder, iterations=options.max_iter, seed=options.seed)
    demo = Demo(plan, note, common.progress)
    with lock(folder, "demo", "choose another --out", inside=True), start_log(str(folder), "demo", quiet=True):
        solver = demo.prepare()
        with training_view(solver):
            demo.train(solver)
        outcome = demo.report(demo.test(solver))
    print("\nHow well distances tell neighbours of one region from neighbours across a boundary (ROC AUC):")
    rows = [HEADER, *score_rows(outcome.pixels, outcome.before, outcome.after)]
    for row in rows:
        print(f"  {row[0]:<28}{row[1]:>16}{row[2]:>16}")
    print()
    print(textwrap.fill(AUC, 100))
    print(f"\nThe report: {outcome.page}")
    return 0
