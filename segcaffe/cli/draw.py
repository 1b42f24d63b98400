"""Draw a net as SVG, HTML (with zoom and details), PNG, PDF, EPS or DOT, as the output file's suffix says."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.glog import note

if TYPE_CHECKING:
    from segcaffe.proto.placed import PlacedNet


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
    common.add_allow_python_option(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write the drawing."""
    from segcaffe.convert.definition import read_definition
    from segcaffe.proto.caffe_pb2 import TEST
    from segcaffe.pycaffe.draw import draw_net_to_file

    path = common.existing_file(options.input_net_proto_file, "net")
    definition = read_definition(path, common.variables(options, path))
    net, phase = definition.message, None if options.phase.upper() == "ALL" else common.phase(options.phase)
    shapes = _shapes(options, definition, TEST if phase is None else phase) if options.shapes else None
    draw_net_to_file(net, options.output_image_file, options.rankdir, phase, options.display_lrm, shapes)
    note(f"Drawing net to {options.output_image_file}")
    return 0


def _shapes(options: argparse.Namespace, definition: PlacedNet, phase: int) -> dict[str, tuple[int, ...]]:
    """The shapes that are known, and a note on those that are not."""
    from segcaffe.net.net import Net
    from segcaffe.viz import left_out

    looked = common.looked_at(options, definition, phase)
    for line in left_out.sentences(looked):
        note(line, errors=True)
    shapes = {name: blob.shape for name, blob in Net(looked.net, phase).blobs.items()}
    return {name: shape for name, shape in shapes.items() if name not in looked.unknown}
