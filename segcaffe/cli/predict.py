"""Predict label maps or boxes of an image, a folder or a list; goes on where an earlier run stopped.

A net that labels pixels gives label maps as palette PNGs; a detector (with a layer DetectionOutput, or with regions as
in Faster R-CNN) gives boxes: detections.json, COCO's results, the table detections.csv, and pictures with boxes, names
and scores. A net that judges regions from elsewhere (Fast R-CNN) finds them in the file of --rois.

For label maps images are padded right and below with the mean to the input size in the prototxt, and the scores cropped
back, as the paper's test does; for boxes they are resized to it. NET may be a deploy file, or a train or test file: its
data layer becomes the input. Mean and scale are those of the file's data layer or of the transform_param of its Input
layer; class names, palette and order of channels stand in comments (docs/weights.md).
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcaffe.cli import common
from segcaffe.cli.numbers import MOST_SIDE, finite, whole
from segcaffe.cli.ranks import add_mpi_option
from segcaffe.errors import SegcaffeError
from segcaffe.glog import tell
from segcaffe.proto.encoding import from_native
from segcaffe.text.words import counted

if TYPE_CHECKING:
    from segcaffe.predict.loaded import LoadedNet, Settings
    from segcaffe.predict.result_folder import ResultFolder

_OF_LABEL_MAPS: dict[str, object] = {"overlay": False, "scores": "", "scales": "1", "mirror": False, "step": 32}
_OF_REGIONS: dict[str, object] = {"rois": None}
_OF_BOXES: dict[str, object] = {"score": None, "label_map_file": None, **_OF_REGIONS}
"""Options that make sense for one kind of net only, with their defaults."""


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
    common.add_option(parser, "score", "of a detector: leave out boxes that score less (default: none; in pictures "
                      "0.5)", type=finite)  # fmt: skip
    common.add_option(parser, "label_map_file", "of a detector: SSD's labelmap.prototxt, which names its classes "
                      "(default: the names that NET notes)", metavar="FILE")  # fmt: skip
    common.add_option(parser, "rois", "of a net that judges regions: their file, .npy, .json or .csv", metavar="FILE")
    common.add_partial_option(parser)
    common.add_weights_dtype_option(parser)
    common.add_allow_python_option(parser)
    common.add_state_options(parser)
    add_mpi_option(parser)
    common.add_device_options(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Predict what is not predicted yet."""
    from segcaffe.data.files import BadItems
    from segcaffe.parallel import group
    from segcaffe.predict.box_results import BoxResults
    from segcaffe.predict.pictures import find_pictures
    from segcaffe.predict.run import predict_all

    common.show_warnings()
    common.set_device(options)
    pictures, predictor = find_pictures(options.source, options.root), _predictor(options)
    common.warn(predictor.incomplete)
    if predictor.assumed:
        told = ",".join(f"{value:g}" for value in predictor.mean)
        message = f"{options.net} does not say how images are prepared: {told} is subtracted (--mean, --scale)."
        tell(message)
    results = _results(options, predictor)
    ranks = group()
    there, bad = len(pictures) - len(results.missing(pictures)), BadItems(options.skip_bad)
    with common.progress(len(pictures) // ranks.size, "image", done=there // ranks.size) as advance:
        made = predict_all(predictor, pictures, results, bad, advance)
    if not ranks.is_first:
        return 0
    boxes = f", {counted(results.join(pictures), 'box')} in all" if isinstance(results, BoxResults) else ""
    common.report_bad(bad)
    print(f"{options.out}: {made} predicted" + (f", {there} were there already" if there else "") + boxes)
    return 0


def _predictor(options: argparse.Namespace) -> LoadedNet:
    """The net that the options name, ready for images."""
    from segcaffe.data.annotated.regions import read_regions
    from segcaffe.predict.given_regions import GivenRegionPredictor
    from segcaffe.predict.kinds import predictor_class
    from segcaffe.predict.predictor import Predictor

    net, weights = common.existing_file(options.net, "NET"), common.weight_files(options.weights, "WEIGHTS")
    settings, values, stages = _settings(options), common.variables(options, net), common.stages(options)
    kind = predictor_class(net, values, options.level, stages, settings.blob)
    if kind is not Predictor:
        common.leave_out(options, _OF_LABEL_MAPS, "label maps, and this net finds boxes")
    else:
        common.leave_out(options, _OF_BOXES, "boxes, and this net labels pixels")
    if kind is not GivenRegionPredictor:
        common.leave_out(options, _OF_REGIONS, "regions from elsewhere, and this net finds its own")
    elif not options.rois:
        raise SegcaffeError("the net judges regions that it does not find itself: give their file, --rois FILE.")
    predictor = kind(net, weights, settings, values, options.level, stages, options.allow_partial)
    if isinstance(predictor, GivenRegionPredictor):
        predictor.regions = read_regions(common.existing_file(options.rois, "--rois"))
    return predictor


def _results(options: argparse.Namespace, predictor: LoadedNet) -> ResultFolder[Any]:
    """The folder of results, with all that they depend on."""
    from segcaffe.data.annotated.label_map import Category, categories
    from segcaffe.predict.box_results import BoxResults
    from segcaffe.predict.files import Results, digest
    from segcaffe.predict.predictor import Predictor

    names, notes = list(predictor.notes.class_names), predictor.notes
    values, stages = common.variables(options, options.net), common.stages(options)
    record = {**asdict(predictor.settings), "variables": values, "level": options.level, "stages": stages}
    record |= {"net": digest(options.net), "class_names": names}
    record |= {"weights": [digest(path) for path in common.weight_files(options.weights, "WEIGHTS")]}
    if options.rois:
        record["rois"] = digest(options.rois)
    out, colours = Path(options.out), notes.colours()
    if isinstance(predictor, Predictor):
        return Results(out, record, options.overlay, options.scores, options.overwrite, colours)
    known = {label: Category(label, name, name) for label, name in enumerate(names)}
    if options.label_map_file:
        known = categories(options.label_map_file, "--label_map_file")
    return BoxResults(out, record, known, colours, options.score, options.overwrite)


def _settings(options: argparse.Namespace) -> Settings:
    from segcaffe.predict.loaded import Settings

    return Settings(
        from_native(options.blob),
        tuple(common.numbers(options.mean, "--mean")) if options.mean else (),
        options.scale,
        common.size(options.size, "--size") if options.size else None,
        options.step,
        tuple(common.numbers(options.scales, "--scales")),
        options.mirror,
        options.weights_dtype,
    )
