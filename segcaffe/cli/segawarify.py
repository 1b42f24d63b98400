"""Make a net segmentation-aware: its convolutions see their windows through masks of local distances of embeddings.

NET may be a deploy file, a train or test file, or one for both. Around each chosen convolution stands the paper's
recipe afterwards: Im2dist, Scale (lambda, learnt), AbsVal, Exp, Tile, Im2col, Eltwise, and the convolution with
bottom_is_im2col, which run as one. Layers keep their names, and so the weights of NET fit. With --lambda 0 the net
computes exactly what it did.

Embeddings come from a recipe, embs (the paper's) or tiny (that of configs/tiny), from a net of your own (FILE, or
FILE:BLOB where it does not end with them), or from a blob of NET (:BLOB; :data are the colours). They are resized to
each convolution's grid; convolutions of the same grid and window share their distances.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.numbers import finite
from segcaffe.errors import SegcaffeError
from segcaffe.files.there import is_file

if TYPE_CHECKING:
    from segcaffe.proto.caffe_pb2 import NetParameter
    from segcaffe.surgery import Guide, SegAware


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("net", metavar="NET", help="the net's prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", nargs="?", help="its weights, which go into NAME.caffemodel")
    common.add_option(parser, "embeddings", "embs (default), tiny, a prototxt, perhaps with :BLOB, or :BLOB of NET",
                      metavar="NET2[:BLOB]|RECIPE", default="embs")  # fmt: skip
    common.add_option(parser, "embedding_weights", "weights of the embeddings; without them new ones are made",
                      metavar="FILE")  # fmt: skip
    common.add_option(parser, "layers", "convolutions to mask: names and patterns ('conv3*,fc6'), separated by commas; "
                      "repeatable (default: all that are larger than 1x1; '' for none, with --crf)",
                      metavar="LAYERS", action="append", default=[])  # fmt: skip
    common.add_option(parser, "norm", "distance of embeddings: l1 (default), l2 (½Σd²), or one that --plugin registers",
                      metavar="NAME", default="l1")  # fmt: skip
    common.add_option(parser, "lambda", "lambda of the masks exp(-|lambda d|) to start with (default 0.1)", type=finite,
                      default=0.1)  # fmt: skip
    common.add_option(parser, "fixed_lambda", "keep lambda instead of learning it", action="store_true")
    common.add_option(parser, "crf", "append a CRF on embeddings and positions behind the scores", action="store_true")
    common.add_option(parser, "scores", "the blob of scores for --crf (default: what the loss or the softmax reads, or "
                      "the only output)", metavar="BLOB", default="")  # fmt: skip
    common.add_option(parser, "image", "the blob that embeddings are made of (default: what the first data layer or "
                      "input makes)", metavar="BLOB", default="")  # fmt: skip
    common.add_option(parser, "shape", "shape of what a data layer makes, as data=1,3,321,321, where neither its "
                      "options nor its data tell; repeatable", metavar="BLOB=N,C,H,W", action="append",
                      default=[])  # fmt: skip
    common.add_option(parser, "out", "write NAME.prototxt and NAME.caffemodel (default: NET's name with _segaware, in "
                      "this folder)", metavar="NAME")  # fmt: skip
    common.add_allow_python_option(parser)
    common.add_state_options(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write the net and its weights; print what was masked, and what was not and why."""
    from segcaffe.convert import formats
    from segcaffe.convert.definition import holds_weights
    from segcaffe.snapshot.caffemodel import encode_weights
    from segcaffe.snapshot.files import writing_together

    common.show_warnings()
    net = common.existing_file(options.net, "NET")
    stored, dialect = None, "bvlc"
    weighted = options.weights or (options.net if holds_weights(net) else None)
    if weighted:
        stored, dialect = formats.load_with_dialect(common.existing_file(weighted, "WEIGHTS"))
    made = _made(options, net, stored)
    if stored is not None:
        _check_names(made, stored)
    name = _name(options, net)
    text, weights = name.with_name(f"{name.name}.prototxt"), name.with_name(f"{name.name}.caffemodel")
    common.spare_inputs([options.net, options.weights, options.embeddings, options.embedding_weights], text, weights)
    with writing_together() as together:
        together.write(text, made.text.encode("utf-8", "surrogateescape"))
        together.write(weights, encode_weights(made.weights(stored), weights, dialect))
        together.publish(text, weights)
    _tell(made, stored)
    if stored is None:
        common.warn(f"no WEIGHTS are given: {weights} has the weights of the new layers alone.")
    print(text, weights, sep="\n")
    return 0


def _check_names(made: SegAware, stored: NetParameter) -> None:
    """SegcaffeError for a file whose layers are all unknown to NET."""
    from segcaffe.weights.loading import LoadReport, shown

    report = LoadReport.of(made.without(), (layer.name for layer in stored.layer if layer.blobs))
    if report.strangers:
        raise SegcaffeError(
            "WEIGHTS are of another net: none of their layers has the name of a layer of NET. The file has "
            f"{shown(report.unused)}; NET has {shown(report.kept)}."
        )


def _made(options: argparse.Namespace, net: Path, stored: NetParameter | None) -> SegAware:
    """The net as it is to be."""
    from segcaffe.cli.export import input_shape
    from segcaffe.surgery import Crf, Masking, Setting, Subject, segawarify

    guide, files = _guide(options, net)
    patterns = tuple(part.strip() for text in options.layers for part in text.split(",") if part.strip())
    if options.layers and not patterns and not options.crf:
        raise SegcaffeError(
            "--layers names no layer: nothing would be masked. Name some, or give --crf for a CRF alone."
        )
    masking = Masking(
        patterns if options.layers else ("*",), options.norm, getattr(options, "lambda"), not options.fixed_lambda
    )
    shapes = dict(input_shape(text) for text in options.shape)
    setting = Setting(shapes, options.image, options.level, tuple(common.stages(options)))
    subject = Subject.read(net, common.variables(options, net, *files))
    if not options.crf:
        common.leave_out(options, {"scores": ""}, "--crf")
    crf = Crf(options.scores) if options.crf else None
    return segawarify(subject, guide, masking, crf, stored, setting)


def _guide(options: argparse.Namespace, net: Path) -> tuple[Guide, list[Path]]:
    """The embeddings that the options name, and the files that they are in."""
    from segcaffe.convert import formats
    from segcaffe.convert.definition import holds_weights
    from segcaffe.surgery import Guide, Subject
    from segcaffe.surgery.guide import RECIPES

    given, weights = options.embeddings, None
    if options.embedding_weights:
        if given.startswith(":"):
            raise SegcaffeError("--embedding_weights is for a net of embeddings. NET's own blob has NET's weights.")
        weights = formats.load(common.existing_file(options.embedding_weights, "--embedding_weights"))
    if given.startswith(":"):
        return Guide(given[1:]), []
    if given in RECIPES and not is_file(Path(given)):
        return Guide.recipe(given, weights), []
    path, blob = (given, "") if is_file(Path(given)) else _divided(given)
    if not path:
        raise SegcaffeError(
            f"--embeddings {given}: there is no such file. Give a prototxt, perhaps with :BLOB behind it, a recipe "
            f"({', '.join(RECIPES)}), or :BLOB of NET."
        )
    found = common.existing_file(path, "--embeddings")
    if weights is None and holds_weights(found):
        weights = formats.load(found)
    return Guide(blob, Subject.read(found, common.variables(options, net, found)), weights), [found]


def _divided(given: str) -> tuple[str, str]:
    """File and blob of ``FILE:BLOB``; no file if there is none of that name."""
    path, _, blob = given.partition(":")
    while not is_file(Path(path)) and ":" in blob:
        more, _, blob = blob.partition(":")
        path = f"{path}:{more}"
    return (path, blob) if is_file(Path(path)) else ("", "")


def _name(options: argparse.Namespace, net: Path) -> Path:
    """The name of what is written, without its suffix."""
    if options.out is None:
        return Path(f"{net.stem}_segaware")
    name = Path(options.out)
    if name.name in ("", ".."):
        raise SegcaffeError(f"--out names files, without their suffix, as masked. Received: {options.out!r}.")
    return name.with_suffix("") if name.suffix in (".prototxt", ".caffemodel") else name


def _tell(made: SegAware, stored: NetParameter | None) -> None:
    """Print a line for each convolution, and what there is to know."""
    from segcaffe.text.visible import one_line
    from segcaffe.text.words import counted
    from segcaffe.weights.loading import shown

    rows = [("layer", "inputs", "size", "window", "distances")]
    rows += [
        (one_line(one.layer), str(one.channels), "x".join(map(str, one.size)), one.window, one_line(one.distances))
        for one in made.masked
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows if made.masked else []:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for left in made.left:
        print(one_line(f'left as it is: "{left.layer}" ({left.type}): {left.why}.'))
    maps = counted(len({one.distances for one in made.masked}), "map")
    if made.masked:
        print(f"{counted(len(made.masked), 'convolution')} masked, by {maps} of distances.")
    if made.scores:
        print(one_line(f'A CRF makes "{made.scores}" of "{made.unary}".'))
    lacking = made.without(stored) if stored is not None else []
    if lacking:
        common.warn(one_line(f"WEIGHTS has nothing for {shown(lacking)}: they begin as their fillers say."))
    lost = made.unknown(stored)
    if lost:
        common.warn(one_line(f"WEIGHTS has layers that NET has not, and that are left out: {', '.join(lost)}."))
    for note in made.notes:
        common.warn(one_line(note))
