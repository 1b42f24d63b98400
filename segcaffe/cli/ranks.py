"""Commands that run as several processes: the options, and joining the others."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.glog import Verbosity, tell
from segcaffe.threads.parallel import share_cores

if TYPE_CHECKING:
    from segcaffe.parallel import Options


def add_mpi_option(parser: argparse.ArgumentParser) -> None:
    """Add the wish to work as one of the processes that mpiexec started."""
    common.add_option(parser, "mpi", "work as one of the processes that mpiexec started (found by itself, as a rule)",
                      action="store_true")  # fmt: skip


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add how processes train together."""
    add_mpi_option(parser)
    common.add_option(parser, "divide-batch", "batch_size in the net is that of all processes together, not of each",
                      action="store_true")  # fmt: skip
    common.add_option(parser, "share-tests", "share out the batches of tests over the processes", action="store_true")
    common.add_option(parser, "valid-over-all", "losses divided by the number of valid labels take its mean over the "
                      "processes", action="store_true")  # fmt: skip


@contextmanager
def joined(options: argparse.Namespace) -> Iterator[Verbosity]:
    """While it lasts the process works with those that the launcher started with it, if the command can.

    Gives how much this process prints: what all would print, rank 0 does.
    """
    if not hasattr(options, "mpi"):
        yield options.verbosity
        return
    from segcaffe.parallel import together

    verbose = options.verbosity is Verbosity.VERBOSE
    with together(options.mpi, f"segcaffe {options.command}", _choices(options), verbose) as ranks:
        share_cores(ranks.core_sharers)
        if options.mpi and ranks.size == 1:
            tell("warning: --mpi, and no mpiexec has started several processes: mpiexec -n 4 segcaffe ...")
        yield options.verbosity if ranks.is_first else Verbosity.SILENT


def _choices(options: argparse.Namespace) -> Options:
    from segcaffe.parallel import Options

    return Options(*(getattr(options, name, False) for name in Options._fields))
