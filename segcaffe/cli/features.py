"""Run a net over batches and write blobs of it: .npz, .h5, or LMDB databases as Caffe's extract_features."""

from __future__ import annotations

import argparse
from pathlib import Path

from segcaffe.cli import common
from segcaffe.cli.numbers import whole
from segcaffe.cli.ranks import add_mpi_option
from segcaffe.proto.encoding import from_native
from segcaffe.text.visible import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("weights", metavar="WEIGHTS", help="weights to load, separated by commas")
    parser.add_argument("net", metavar="NET", help="the net's prototxt, with its data layers")
    parser.add_argument("blobs", metavar="BLOB,BLOB", help="names of the blobs, separated by commas")
    parser.add_argument("out", metavar="OUT", help="file .npz or .h5, or a folder for one LMDB database for each blob")
    common.add_option(parser, "iterations", "number of batches (default 50)", type=whole(), default=50)
    common.add_option(parser, "phase", "TRAIN or TEST (default)", default="TEST")
    parser.set_defaults(whole_batches=True)
    common.add_option(parser, "overwrite", "replace what is there of that name", action="store_true")
    common.add_partial_option(parser)
    common.add_allow_python_option(parser)
    common.add_state_options(parser)
    add_mpi_option(parser)
    common.add_device_options(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Extract, and print the shapes."""
    from segcaffe.predict.features import checked_suffix, extract

    common.at_least(options, iterations=1)
    checked_suffix(Path(options.out))
    common.show_warnings()
    common.set_device(options)
    blobs = [from_native(name.strip()) for name in options.blobs.split(",")]
    net = common.build_net(options, options.net, "NET", options.phase, share_memory=True, keep=blobs)
    common.load_weights(net, options.weights, "WEIGHTS", options.allow_partial)
    with common.progress(options.iterations, "batch") as advance:
        shapes = extract(net, blobs, Path(options.out), options.iterations, options.overwrite, advance)
    for name, shape in shapes.items():
        print(one_line(f"{name}: {' x '.join(map(str, shape))}"))
    return 0
