"""Sharpen another model's scores by a guide, with the paper's bilateral cascade or a CRF.

SCORES is a .npy file (or .npz) of shape (C, H, W) or (N, C, H, W): scores of classes before a softmax. GUIDE is an
image, or a .npy file of embeddings, features or depth: (E, H, W), (N, E, H, W) or (H, W), for each image of scores or
one for all. It is resized to the scores, bilinear. Values of images, and arrays of 8-bit numbers, are colours from 0 to
255, others features: defaults of --scale and --theta_beta differ.

OUTPUT is a .npy file of scores like SCORES, or the label map of one image as .png.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segcaffe.cli import common
from segcaffe.cli.numbers import finite, whole
from segcaffe.cli.plugins import add_plugin_option
from segcaffe.errors import SegcaffeError

METHODS = ("cascade", "local-crf", "dense-crf")
_MOST_TAPS = 1001
_WINDOWS = ("kernel_size", "dilation", "scale")
_ITERATED = ("iterations",)
_DENSE = ("theta_alpha", "theta_beta", "theta_gamma", "spatial", "bilateral")
_OF = {
    "cascade": (*_WINDOWS, "norm", "rounds"),
    "local-crf": (*_WINDOWS, "weight", *_ITERATED),
    "dense-crf": (*_DENSE, *_ITERATED),
}
"""Options by method."""
_POSITIVE = ("theta_alpha", "theta_beta", "theta_gamma")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("scores", metavar="SCORES", help="file .npy or .npz of scores")
    parser.add_argument("guide", metavar="GUIDE", help="an image, or a file .npy or .npz of features or depth")
    parser.add_argument("out", metavar="OUTPUT", help="file .npy for scores, .png for labels")
    common.add_option(parser, "method", "cascade (default): averages over windows, weighted by the guide; local-crf: "
                      "mean-field inference in windows; dense-crf: among all pixels",
                      choices=METHODS, default="cascade")  # fmt: skip
    common.add_option(parser, "probabilities", "SCORES holds probabilities: their logarithms are taken first",
                      action="store_true")  # fmt: skip
    common.add_option(parser, "key", "the array of SCORES, if it is an .npz with several", default="", metavar="NAME")
    common.add_option(parser, "kernel_size", "side of the window, odd (cascade, local-crf; default 9)",
                      type=whole(1, _MOST_TAPS), metavar="N")  # fmt: skip
    common.add_option(parser, "dilation", "pixels between the window's taps (cascade, local-crf; default 1)",
                      type=whole(1, _MOST_TAPS), metavar="N")  # fmt: skip
    common.add_option(parser, "norm", "distance of the guide's values: l1 (default), l2, ½Σd², or one of --plugin "
                      "(cascade)", metavar="NAME")  # fmt: skip
    common.add_option(parser, "scale", "how fast weights fall with distance (cascade: 50 for features, for colours "
                      "0.05, with l2 0.01; local-crf: 1, for colours 1/169)", type=finite)  # fmt: skip
    common.add_option(parser, "rounds", "how often to average (cascade; default 2)", type=whole(1), metavar="N")
    common.add_option(parser, "iterations", "of mean-field inference (local-crf: 3; dense-crf: 5)", type=whole(1),
                      metavar="N")  # fmt: skip
    common.add_option(parser, "weight", "weight of what neighbours say (local-crf; default 5)", type=finite)
    common.add_option(parser, "theta_alpha", "deviation of position beside colour, in pixels (dense-crf; default 80)",
                      type=finite)  # fmt: skip
    common.add_option(parser, "theta_beta", "deviation of the guide's values (dense-crf: 13 for colours, 1 for "
                      "features)", type=finite)  # fmt: skip
    common.add_option(parser, "theta_gamma", "deviation of position alone, in pixels (dense-crf; default 3)",
                      type=finite)  # fmt: skip
    common.add_option(parser, "spatial", "weight of position alone (dense-crf; default 3)", type=finite)
    common.add_option(parser, "bilateral", "weight of position and guide (dense-crf; default 10)", type=finite)
    add_plugin_option(parser)
    common.add_option(parser, "threads", "threads (default: all cores)", type=whole(most=1024))


def run(options: argparse.Namespace) -> int:
    """Read, sharpen and write, and tell how much changed."""
    from segcaffe.glog import tell
    from segcaffe.predict import refinement

    common.set_threads(options)
    given, target = _given(options), Path(options.out)
    scores = refinement.read_scores(options.scores, options.key, options.probabilities)
    read = refinement.read_guide(options.guide, scores.dtype)
    refinement.check_target(target, scores, options.scores, options.guide)
    batch = scores.reshape(-1, *scores.shape[-3:])
    guide = refinement.fitted(read, batch)
    if not options.probabilities and refinement.looks_like_probabilities(batch):
        common.warn("the scores are from 0 to 1 and add up to 1: if they are probabilities, give --probabilities.")
    if guide is not read:
        tell(f"the guide, {_size(read.values)}, is resized to the scores, {_size(batch)} (height x width, bilinear).")
    with common.progress(len(batch), "image") as advance:
        refined = refinement.refine(options.method, batch, guide, given, advance)
    refinement.write_refined(target, refined.reshape(scores.shape))
    changed = (refined.argmax(axis=1) != batch.argmax(axis=1)).mean()
    print(f"{options.out}: {' x '.join(map(str, scores.shape))}, {changed:.2%} of the pixels have another label")
    return 0


def _given(options: argparse.Namespace) -> Mapping[str, Any]:
    """The method's options that were given; SegcaffeError for those of other methods, and what makes no sense."""
    own = _OF[options.method]
    for name in sorted({name for names in _OF.values() for name in names} - {*own}):
        others = " and ".join(method for method in METHODS if name in _OF[method])
        common.leave_out(options, {name: None}, f"--method {others}")
    given = {name: getattr(options, name) for name in own if getattr(options, name) is not None}
    _check_norm(given)
    for name in _POSITIVE:
        if given.get(name, 1) <= 0:
            raise SegcaffeError(f"--{name} must be above 0. Received: {given[name]:g}.")
    if given.get("scale", 0) < 0:
        raise SegcaffeError(f"--scale must be 0 or more. Received: {given['scale']:g}.")
    if given.get("kernel_size", 1) % 2 == 0:
        raise SegcaffeError(f"--kernel_size must be odd. Received: {given['kernel_size']}.")
    return given


def _check_norm(given: Mapping[str, Any]) -> None:
    """SegcaffeError for a distance that there is not, or one of the user's without a scale to suit it."""
    from segcaffe.kernels.distance.registry import L1, L2, find_distance, unknown_distance

    norm = given.get("norm", "l1")
    found = find_distance(norm)
    if found is None:
        raise SegcaffeError(f"--norm: {unknown_distance(norm)}")
    if found not in (L1, L2) and "scale" not in given:
        raise SegcaffeError(
            f"--norm {norm}: say with --scale how fast weights fall with it; defaults are for l1 and l2."
        )


def _size(values: Any) -> str:
    return f"{values.shape[-2]} x {values.shape[-1]}"
