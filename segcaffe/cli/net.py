"""Print a net as a table: layer, type, tops and their shapes, parameters, multiply-adds and memory, with totals."""

from __future__ import annotations

import argparse

from segcaffe.cli import common
from segcaffe.cli.json_output import add_json_option, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("file", nargs="?", help="the net's prototxt, or its weights")
    common.add_option(parser, "model", "the same, as Caffe's tools take it", metavar="FILE")
    common.add_option(parser, "phase", "TRAIN or TEST (default)", default="TEST")
    parser.add_argument("--types", action="store_true", help="list the layer types there are, and stop")
    common.add_state_options(parser)
    common.add_fusion_option(parser)
    common.add_recompute_option(parser)
    common.add_tolerant_option(parser)
    common.add_allow_python_option(parser)
    common.add_template_options(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table of the net."""
    from segcaffe.convert.definition import read_definition
    from segcaffe.errors import SegcaffeError
    from segcaffe.layers import layer_types
    from segcaffe.net.net import Net
    from segcaffe.viz import left_out
    from segcaffe.viz.net_table import facts, table

    if options.types:
        if options.json:
            print_json("net", {"types": layer_types()})
        else:
            print("\n".join(layer_types()))
        return 0
    path = options.file or options.model
    if path is None:
        raise SegcaffeError("give the net's prototxt: segcaffe net FILE.")
    existing, phase = common.existing_file(path, "net"), common.phase(options.phase)
    definition = read_definition(existing, common.variables(options, path), tolerant=options.tolerant)
    looked = common.looked_at(options, definition, phase, options.level, common.stages(options))
    how = {"level": options.level, "stages": common.stages(options), "fuse": options.fuse}
    net = Net(looked.net, phase=phase, tolerant=options.tolerant, **how)
    if options.json:
        more = {"left_out": left_out.facts(looked), "passed_over": net.passed_over}
        print_json("net", facts(net, options.recompute, looked.read) | more)
    else:
        passed_over = [f"Passed over: {told}." for told in net.passed_over]
        print("\n".join([table(net, options.recompute, looked.read), *left_out.sentences(looked), *passed_over]))
    return 0
