"""Predict the classes of images: of one file, of the images in a folder, or of an array in a .npy file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcaffe.cli import common

if TYPE_CHECKING:
    from numpy.typing import NDArray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("input_file", metavar="INPUT", help="image, folder of images, or .npy of images (N, H, W, K)")
    parser.add_argument("output_file", metavar="OUTPUT", help=".npy file to write, an array (N, classes)")
    add_net_options(parser)
    common.add_option(parser, "center_only", "predict from the centre crop instead of the mean of ten",
                      action="store_true")  # fmt: skip
    common.add_option(parser, "images_dim", "height,width to which images are resized first (default: the input's)")
    common.add_option(parser, "ext", "suffix of the images in a folder (default jpg)", default="jpg")
    common.add_device_options(parser)


def add_net_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the net and the preparation of its input."""
    common.add_option(parser, "model_def", "the net's deploy prototxt", metavar="FILE", required=True)
    common.add_option(parser, "pretrained_model", "its weights", metavar="FILE", required=True)
    common.add_option(parser, "mean_file", "mean to subtract: .npy or .binaryproto", metavar="FILE")
    common.add_option(parser, "input_scale", "factor after the mean is subtracted", type=float)
    common.add_option(parser, "raw_scale", "factor before (default 255: images are 0 to 1)", type=float, default=255.0)
    common.add_option(parser, "channel_swap", "order of the channels (default 2,1,0: BGR)", default="2,1,0")


def run(options: argparse.Namespace) -> int:
    """Classify and save the predictions."""
    import numpy as np

    from segcaffe.classifier import Classifier

    common.set_device(options)
    classifier = Classifier(
        common.existing_file(options.model_def, "--model_def"),
        common.existing_file(options.pretrained_model, "--pretrained_model"),
        image_dims=numbers(options.images_dim, "--images_dim", 2) if options.images_dim else None,
        **preparation(options),
        share_memory=True,
    )
    inputs = _images(Path(options.input_file), options.ext)
    print(f"Classifying {len(inputs)} inputs.")
    start = time.perf_counter()
    predictions = classifier.predict(inputs, not options.center_only)
    print(f"Done in {time.perf_counter() - start:.2f} s.")
    print(f"Saving results into {options.output_file}")
    np.save(options.output_file, predictions)
    return 0


def preparation(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the transformer, as keywords of `Classifier` and `Detector`."""
    return {
        "mean": read_mean(options.mean_file) if options.mean_file else None,
        "input_scale": options.input_scale,
        "raw_scale": options.raw_scale,
        "channel_swap": numbers(options.channel_swap, "--channel_swap") if options.channel_swap else None,
    }


def numbers(text: str, option: str, count: int | None = None) -> list[int]:
    """Whole numbers separated by commas."""
    from segcaffe.errors import SegcaffeError

    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts) or count not in (None, len(parts)):
        wanted = "whole numbers" if count is None else f"{count} whole numbers"
        raise SegcaffeError(f"{option} takes {wanted} separated by commas. Received: {text}.")
    return [int(part) for part in parts]


def read_mean(path: str) -> NDArray[Any]:
    """Mean values per channel, of a .npy or .binaryproto file of a mean image or mean pixel."""
    import numpy as np

    from segcaffe import io
    from segcaffe.errors import SegcaffeError
    from segcaffe.proto.caffe_pb2 import BlobProto

    file = common.existing_file(path, "--mean_file")
    if file.suffix == ".npy":
        mean = np.load(file)
    else:
        mean = io.blobproto_to_array(BlobProto.FromString(file.read_bytes()))
    mean = mean.reshape(mean.shape[-3:]) if mean.ndim > 2 else mean
    if mean.ndim not in (1, 3):
        raise SegcaffeError(f"--mean_file {path}: a mean is C values or an array (C, H, W). Received: {mean.shape}.")
    pixel: NDArray[Any] = mean.mean(axis=(1, 2)) if mean.ndim == 3 else mean
    return pixel


def _images(path: Path, suffix: str) -> list[NDArray[Any]]:
    import numpy as np

    from segcaffe import io
    from segcaffe.errors import DataError

    if path.suffix == ".npy":
        return list(np.load(common.existing_file(str(path), "input")))
    files = sorted(path.glob(f"*.{suffix}")) if path.is_dir() else [common.existing_file(str(path), "input")]
    if not files:
        raise DataError(f"{path}: holds no *.{suffix}; --ext names another suffix.")
    return [io.load_image(file) for file in files]
