"""Draw a net as SVG, HTML (with zoom and details), PNG, PDF, EPS or DOT, as the output file's suffix says."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.glog import note

if TYPE_CHECKING:
    from segcaffe.proto.caffe_pb2 import NetParameter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("input_net_proto_file", metavar="NET", help="the net's prototxt, or its weights")
    parser.add_argument("output_image_file", metavar="OUT", help="file to write, for example net.svg or net.html")
    common.add_option(parser, "rankdir", "direction of the arrows: TB (down, default), LR, BT, RL", default="TB",
                      choices=("TB", "LR", "BT", "RL"))  # fmt: skip
    common.add_option(parser, "phase", "TRAIN, TEST or ALL (default)", default="ALL")
    parser.add_argument("--display_lrm", action="store_true", help="show learning rate multipliers")
    parser.add_argument(
        "--shapes", action="store_true", help="show the shapes of blobs; the net is built in phase TEST unless told"
    )
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write the drawing."""
    from segcaffe.convert.definition import read_definition
    from segcaffe.pycaffe.draw import draw_net_to_file

    path = common.existing_file(options.input_net_proto_file, "net")
    net = read_definition(path, common.variables(options, path)).message
    phase = None if options.phase.upper() == "ALL" else common.phase(options.phase)
    shapes = _shapes(net, 1 if phase is None else phase) if options.shapes else None
    draw_net_to_file(net, options.output_image_file, options.rankdir, phase, options.display_lrm, shapes)
    note(f"Drawing net to {options.output_image_file}")
    return 0


def _shapes(net: NetParameter, phase: int) -> dict[str, tuple[int, ...]]:
    from segcaffe.net.net import Net

    return {name: blob.shape for name, blob in Net(net, phase).blobs.items()}
