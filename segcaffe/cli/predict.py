"""Predict label maps of an image, a folder or a list, as palette PNGs; goes on where an earlier run stopped.

Images are padded right and below with the mean to the input size in the prototxt, and the scores cropped back, as the
paper's test does. NET may be a deploy file, or a train or test file: its data layer becomes the input. Mean and scale
are those of the file's data layer or of the transform_param of its Input layer; class names, palette and order of
channels stand in comments (docs/weights.md).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.numbers import MOST_SIDE, finite, whole
from segcaffe.proto.encoding import from_native

if TYPE_CHECKING:
    from segcaffe.predict.predictor import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("net", metavar="NET", help="the net's prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="weights to load, separated by commas")
    parser.add_argument("source", metavar="IMAGE|FOLDER|LIST")
    common.add_option(parser, "out", "folder for the results", metavar="FOLDER", required=True)
    common.add_option(parser, "root", "put before each name of the list; end a folder with a slash", default="")
    common.add_option(parser, "overlay", "also write overlay/<id>.jpg: image and labels mixed", action="store_true")
    common.add_option(parser, "scores", "also write scores/<id>.npy (classes, H, W) or .mat (W, H, classes)",
                      choices=("npy", "mat"), default="")  # fmt: skip
    common.add_option(parser, "blob", "the scores (default: the net's only output of several channels)", default="")
    common.add_option(
        parser, "mean", "B,G,R to subtract, or one value (default: what the file says, or 104.008,116.669,122.675)"
    )
    common.add_option(parser, "scale", "factor after that (default: what NET says, or 1)", type=finite)
    common.add_option(
        parser, "size", "pad images to this size (default: the input size in the prototxt)", metavar="HxW"
    )
    common.add_option(parser, "step", "larger images are padded to the size plus a multiple of this (default 32)",
                      type=whole(most=MOST_SIDE), default=32)  # fmt: skip
    common.add_option(parser, "scales", "average the scores over these factors, as 0.5,0.75,1", default="1")
    common.add_option(parser, "mirror", "average the scores over the image and its mirror image", action="store_true")
    common.add_option(parser, "overwrite", "make results anew that are there already", action="store_true")
    common.add_option(parser, "skip-bad", "skip at most N bad images, and list them", type=whole(),
                      default=0, metavar="N")  # fmt: skip
    common.add_partial_option(parser)
    common.add_allow_python_option(parser)
    common.add_state_options(parser)
    common.add_device_options(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Predict what is not predicted yet."""
    from segcaffe.data.files import BadItems
    from segcaffe.predict.files import Results, digest, find_pictures
    from segcaffe.predict.predictor import Predictor
    from segcaffe.predict.run import predict_all

    common.show_warnings()
    common.set_device(options)
    net, weights = common.existing_file(options.net, "NET"), common.weight_files(options.weights, "WEIGHTS")
    pictures, settings = find_pictures(options.source, options.root), _settings(options)
    values, stages = common.variables(options, net), common.stages(options)
    predictor = Predictor(net, weights, settings, values, options.level, stages, options.allow_partial)
    common.warn(predictor.incomplete)
    if predictor.assumed:
        told = ",".join(f"{value:g}" for value in predictor.mean)
        print(f"{net} does not say how images are prepared: {told} is subtracted (--mean, --scale).", file=sys.stderr)
    names = list(predictor.notes.class_names)
    record = {**asdict(settings), "variables": values, "level": options.level, "stages": stages, "class_names": names}
    record |= {"net": digest(net), "weights": [digest(path) for path in weights]}
    colours = predictor.notes.colours()
    results = Results(Path(options.out), record, options.overlay, options.scores, options.overwrite, colours)
    there, bad = len(pictures) - len(results.missing(pictures)), BadItems(options.skip_bad)
    with common.progress(len(pictures), "image", done=there) as advance:
        made = predict_all(predictor, pictures, results, bad, advance)
    common.report_bad(bad)
    print(f"{options.out}: {made} predicted" + (f", {there} were there already" if there else ""))
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    from segcaffe.predict.predictor import Settings

    return Settings(
        from_native(options.blob),
        tuple(common.numbers(options.mean, "--mean")) if options.mean else (),
        options.scale,
        common.size(options.size, "--size") if options.size else None,
        options.step,
        tuple(common.numbers(options.scales, "--scales")),
        options.mirror,
    )
