"""Predict the classes of images: of one file, of the images in a folder, or of an array in a .npy file.

The defaults are those of Caffe's classify.py: images are resized to 256 x 256, ImageNet's mean is subtracted, and the
mean over ten crops is taken. A deploy file that says how its images are prepared (a transform_param in its Input layer,
see docs/weights.md) replaces them: the images get the size of the input, and only one that was trained with mirror
images sees both. A net of one channel gets gray images, and no mean. Options overrule both.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcaffe.cli import common
from segcaffe.cli.numbers import finite
from segcaffe.files.there import is_dir
from segcaffe.glog import note

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segcaffe.predict.preparation import Preparation

TOP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("input_file", metavar="INPUT", help="image, folder of images, or .npy of images (N, H, W, K)")
    parser.add_argument("output_file", metavar="OUTPUT", help=".npy file to write, an array (N, classes)")
    add_net_options(parser)
    common.add_option(parser, "center_only", "predict from the centre crop instead of the mean of ten",
                      action="store_true")  # fmt: skip
    common.add_option(parser, "images_dim", "height,width to which images are resized first (default 256,256)")
    common.add_option(parser, "ext", "suffix of the images in a folder (default jpg)", default="jpg")
    common.add_option(parser, "labels", "names of the classes, one a line: print the five best of each image; an id as "
                      "n01440764 before a name is left out", metavar="FILE", dest="labels")  # fmt: skip
    common.add_option(parser, "labels_file", "the same", metavar="FILE", dest="labels")
    common.add_option(parser, "print_results", "print the five best also without names", action="store_true")
    common.add_device_options(parser)


def add_net_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the net and the preparation of its input."""
    common.add_option(parser, "model_def", "the net's deploy prototxt", metavar="FILE", required=True)
    common.add_option(parser, "pretrained_model", "its weights", metavar="FILE", required=True)
    common.add_option(parser, "mean_file", "mean to subtract: .npy or .binaryproto, or '' for none (default: "
                      "ImageNet's mean pixel)", metavar="FILE")  # fmt: skip
    common.add_option(parser, "input_scale", "factor after the mean is subtracted", type=finite)
    common.add_option(parser, "raw_scale", "factor before (default 255: images are 0 to 1)", type=finite, default=255.0)
    common.add_option(parser, "channel_swap", "order of the channels, or '' (default 2,1,0: BGR)")
    common.add_partial_option(parser)
    common.add_weights_dtype_option(parser)
    common.add_allow_python_option(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Classify and save the predictions."""
    import numpy as np

    from segcaffe.data.files import check_output, replacing
    from segcaffe.pycaffe.classifier import Classifier

    output = _array_file(Path(options.output_file))
    check_output(output, "results")
    common.show_warnings()
    common.set_device(options)
    names = read_names(options.labels) if options.labels else []
    given = preparation(options)
    dims = numbers(options.images_dim, "--images_dim", 2) if options.images_dim else given.images_dim
    values = common.variables(options, options.model_def)
    classifier = Classifier(options.model_def, image_dims=dims, **given.keywords(), share_memory=True, variables=values)
    classifier.keep_weights_as(options.weights_dtype)
    common.load_weights(classifier, options.pretrained_model, "--pretrained_model", options.allow_partial)
    names = _check_names(names, options.labels, classifier) or list(given.class_names)
    places, inputs = _images(Path(options.input_file), options.ext, given.gray)
    note(f"Classifying {len(inputs)} inputs.")
    start = time.perf_counter()
    predictions = classifier.predict(inputs, not (options.center_only or given.center_only))
    note(f"Done in {time.perf_counter() - start:.2f} s.")
    if names or options.print_results:
        _print_best(places, predictions, names)
    note(f"Saving results into {output}")
    with replacing(output, "results") as part, part.open("wb") as file:
        np.save(file, predictions)
    return 0


def preparation(options: argparse.Namespace) -> Preparation:
    """How images are prepared: by the options, else by the deploy file, else as Caffe's scripts do."""
    from segcaffe.data.mean import read_mean_pixel
    from segcaffe.predict.preparation import of_deploy_file

    path = common.existing_file(options.model_def, "--model_def")
    own = of_deploy_file(path, common.variables(options, path))
    if options.mean_file is not None:
        mean = read_mean_pixel(options.mean_file, "--mean_file") if options.mean_file else None
        own = own.replaced(mean=None if mean is None else tuple(mean.tolist()))
    if options.input_scale is not None:
        own = own.replaced(input_scale=options.input_scale)
    if options.channel_swap is not None:
        swap = numbers(options.channel_swap, "--channel_swap") if options.channel_swap else None
        own = own.replaced(channel_swap=None if swap is None else tuple(swap))
    return own.replaced(raw_scale=options.raw_scale)


def numbers(text: str, option: str, count: int | None = None) -> list[int]:
    """Whole numbers separated by commas."""
    from segcaffe.errors import SegcaffeError
    from segcaffe.text.digits import whole_number

    parts = [whole_number(part.strip()) for part in text.split(",")]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or count not in (None, len(parts)):
        wanted = "whole numbers" if count is None else f"{count} whole numbers"
        raise SegcaffeError(f"{option} takes {wanted} separated by commas. Received: {text}.")
    return found


def read_names(path: str) -> list[str]:
    """Names of the classes: the lines of a file, without the WordNet id that lines of ImageNet's list begin with."""
    import re

    from segcaffe.proto.source import read_text

    lines = [line.strip() for line in read_text(common.existing_file(path, "--labels")).splitlines()]
    return [re.sub(r"^n\d{8}\s+", "", line) for line in lines if line]


def _check_names(names: list[str], path: str | None, net: Any) -> list[str]:
    from segcaffe.errors import SegcaffeError

    classes = math.prod(net.blobs[net.outputs[0]].shape[1:])
    if names and len(names) != classes:
        raise SegcaffeError(f"--labels {path}: needs a line for each of the {classes} classes. Received: {len(names)}.")
    return names


def _array_file(path: Path) -> Path:
    """The .npy file that will be written; SegcaffeError for a name that asks for another format."""
    from segcaffe.errors import SegcaffeError

    if not path.suffix:
        return path.with_name(f"{path.name}.npy")
    if path.suffix.lower() != ".npy":
        raise SegcaffeError(f"OUTPUT {path}: predictions are written as .npy; name the file so.")
    return path


def _images(path: Path, suffix: str, one_channel: bool) -> tuple[list[str], list[NDArray[Any]]]:
    """Names of the images, and the images (H, W, K)."""
    from segcaffe.errors import DataError
    from segcaffe.pycaffe import io
    from segcaffe.pycaffe.classifier import gray

    if path.suffix.lower() == ".npy":
        arrays = _array_of_images(common.existing_file(str(path), "INPUT"))
        return [f"{path}[{i}]" for i in range(len(arrays))], arrays
    files = sorted(path.glob(f"*.{suffix}")) if is_dir(path) else [common.existing_file(str(path), "INPUT")]
    if not files:
        raise DataError(f"{path}: holds no *.{suffix}; --ext names another suffix.")
    images = [io.load_image(file, color=not one_channel) for file in files]
    return [str(file) for file in files], [gray(image) if one_channel else image for image in images]


def _array_of_images(path: Path) -> list[NDArray[Any]]:
    from segcaffe.errors import DataError
    from segcaffe.files.npy import array_of_bytes
    from segcaffe.files.regular import read_bytes

    try:
        images = array_of_bytes(read_bytes(path))
    except (OSError, ValueError) as error:
        raise DataError(f"INPUT {path}: is no array of images in .npy format, or is damaged: {error}.") from error
    if images.ndim != 4 or images.dtype.kind not in "fiub":
        raise DataError(
            f"INPUT {path}: must hold images (N, H, W, K) as numbers. Received: {images.dtype} of shape {images.shape}."
        )
    return list(images)


def _print_best(places: list[str], predictions: NDArray[Any], names: list[str]) -> None:
    for place, scores in zip(places, predictions, strict=True):
        print(place)
        for label in (-scores).argsort(kind="stable")[:TOP]:
            name = f"  {names[label]}" if label < len(names) else ""
            print(f"  {scores[label]:.5f}  class {label}{name}")
