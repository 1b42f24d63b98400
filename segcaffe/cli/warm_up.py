"""Compile, ahead of the first run, the kernels that nets need on this machine's CPU, in several processes.

Kernels are compiled when they are first needed, and kept for all later runs (docs/performance.md says where). This
command compiles those of the given nets, in phase TEST, so that no run of theirs waits: in an image of a container, on
a machine without a network, before something is timed. Each net makes one pass on zeros, without its weights.
Without NET it takes the deploy nets that come with segcaffe.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.configs import stored
from segcaffe.cli.numbers import whole
from segcaffe.text.words import counted

if TYPE_CHECKING:
    from segcaffe.net.net import Net

_VALUES = {
    "HEIGHT": "321",
    "WIDTH": "321",
    "HALF_HEIGHT": "161",
    "HALF_WIDTH": "161",
    "DATASET": "set",
    "NUM_LABELS": "21",
}
"""Of the templates of segcaffe's own nets."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("nets", nargs="*", metavar="NET", help="prototxt of a net that will be run")
    common.add_option(parser, "jobs", "processes that compile (default: as many as cores)", type=whole(most=1024))
    common.add_state_options(parser)
    common.add_allow_python_option(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Compile, and say for each net how much there was to do."""
    common.show_warnings()
    if options.jobs is not None:
        common.at_least(options, jobs=1)
    for name, net in _nets(options):
        start = time.perf_counter()
        count = net.warm_up(options.jobs)
        took = f" in {time.perf_counter() - start:.1f} s" if count else ""
        print(f"{name}: {counted(count, 'kernel')} compiled{took}", flush=True)
    return 0


def _nets(options: argparse.Namespace) -> Iterator[tuple[str, Net]]:
    """Names and nets, one after the other."""
    from segcaffe.net.net import Net
    from segcaffe.proto import caffe_pb2

    for path in options.nets:
        yield path, common.build_net(options, path, "NET", "TEST", share_memory=True)
    for own in () if options.nets else sorted(stored().rglob("*deploy.prototxt")):
        yield str(own.relative_to(stored())), Net(own, caffe_pb2.TEST, variables=_VALUES, share_memory=True)
