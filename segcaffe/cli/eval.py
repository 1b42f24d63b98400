"""Compare predicted label maps, or boxes, with the true ones: IoU, accuracies, trimap IoU; average precision.

The trimap of width w holds the pixels less than w pixels (Euclidean) from a boundary pixel; boundary pixels have
another label, ignored ones included, above, below, left or right of them. Ignored pixels never count.

With --detection PRED has boxes: a file of COCO's results, or the folder that predict wrote. LABELS is a file of COCO's
annotations (.json), or a list of images with files of their boxes (VOC's .xml, .json, .txt). The tables have the
average precisions of PASCAL VOC (over 11 points and as an area, at an overlap of 0.5) and COCO's twelve figures:
average precision (over overlaps of 0.5 to 0.95, at 0.5, at 0.75, of small, medium and large objects), and average
recall (with 1, 10 and 100 boxes an image, of small, medium and large objects).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.eval_boxes import evaluate_boxes
from segcaffe.cli.numbers import whole
from segcaffe.cli.ranks import add_mpi_option
from segcaffe.errors import SegcaffeError
from segcaffe.files.lock import lock
from segcaffe.files.there import is_dir, is_file
from segcaffe.text.words import counted

if TYPE_CHECKING:
    from segcaffe.data.palettes import Palette

_OF_LABEL_MAPS: dict[str, object] = {
    "classes": None, "names": None, "ignore": None, "trimap": 40, "palette": None, "plots": None, "submission": None,
    "images": None, "competition": "comp6", "subset": "test",
}  # fmt: skip
"""Options that label maps have alone, with their defaults."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("predictions", metavar="PRED", help="folder of predictions: <id>.png, .npy or .mat")
    parser.add_argument("labels", metavar="LABELS", nargs="?", help="folder of label maps, or list: image label")
    common.add_option(parser, "detection", "compare boxes: PRED are COCO's results, LABELS its annotations or a list",
                      action="store_true")  # fmt: skip
    common.add_option(parser, "label_map_file", "with --detection: SSD's labelmap.prototxt, for a list as LABELS "
                      "(default: the names that predict knew)", metavar="FILE")  # fmt: skip
    common.add_option(parser, "root", "put before each name of the list; end a folder with a slash", default="")
    common.add_option(parser, "classes", "number of classes (default: by the largest label met)", type=whole(1, 256))
    common.add_option(parser, "names", "file with the classes' names, one a line (default: those that predict knew)",
                      metavar="FILE")  # fmt: skip
    common.add_option(parser, "ignore", "label whose pixels do not count (default 255); repeatable", type=whole(),
                      action="append")  # fmt: skip
    common.add_option(
        parser, "trimap", "largest trimap width in pixels (default 40; 0: none)", type=whole(most=255), default=40
    )
    common.add_palette_option(parser)
    common.add_option(
        parser, "json", "write all results to this file; - prints them in place of the table", metavar="FILE"
    )
    common.add_option(parser, "plots", "folder for confusion.png and trimap.png", metavar="FOLDER")
    common.add_option(parser, "submission", "archive for PASCAL VOC's server to write, .tgz", metavar="FILE")
    common.add_option(parser, "images", "folder of the images, to whose sizes --submission cuts .npy and .mat files "
                      "(not needed with LABELS)", metavar="FOLDER")  # fmt: skip
    common.add_option(parser, "competition", "its competition: comp5 or comp6 (default)", default="comp6")
    common.add_option(parser, "subset", "its image set (default test)", default="test")
    common.add_option(parser, "skip-bad", "skip at most N bad pairs, and list them", type=whole(),
                      default=0, metavar="N")  # fmt: skip
    add_mpi_option(parser)
    common.add_option(parser, "threads", "threads (default: all cores)", type=whole(most=1024))


def run(options: argparse.Namespace) -> int:
    """Print the tables, write what is asked for."""
    from segcaffe.parallel import group

    if options.detection:
        common.leave_out(options, _OF_LABEL_MAPS, "label maps, not for boxes (--detection)")
    else:
        common.leave_out(options, {"label_map_file": None}, "boxes (--detection)")
    if options.labels is None and (options.submission is None or options.detection):
        raise SegcaffeError("give the labels, or --submission FILE to make an archive without them.")
    common.set_threads(options)
    first = group().is_first
    with _alone(options) if first else nullcontext():
        if options.detection and first:
            evaluate_boxes(options)
        elif options.labels is not None and not options.detection:
            _evaluate(options)
        if options.submission is not None and first:
            _submit(options)
    return 0


@contextmanager
def _alone(options: argparse.Namespace) -> Iterator[None]:
    """While it lasts, no other process writes to the same results."""
    with ExitStack() as stack:
        for name in ("json", "submission", "plots"):
            target = getattr(options, name)
            if target and target != "-":
                stack.enter_context(lock(Path(target), "eval", f"choose another --{name}", inside=name == "plots"))
        yield


def _evaluate(options: argparse.Namespace) -> None:
    from segcaffe.data.files import BadItems
    from segcaffe.data.lists import read_list
    from segcaffe.metrics.evaluate import Report, evaluate, find_pairs
    from segcaffe.metrics.tally import Tally
    from segcaffe.parallel import group
    from segcaffe.predict.files import class_names

    common.at_least(options, trimap=0)
    if options.names:
        names = [entry.text for entry in read_list(options.names, "--names", "the list")]
    else:
        names = class_names(Path(options.predictions)) if options.classes is None else []
    tally = Tally(options.trimap, options.ignore if options.ignore is not None else [255])
    pairs, bad = find_pairs(options.labels, options.root), BadItems(options.skip_bad)
    with common.progress(len(pairs), "image") as advance:
        evaluate(Path(options.predictions), pairs, tally, bad, advance, common.palette(options))
    if not group().is_first:
        return
    common.report_bad(bad)
    report = Report.of(tally, options.classes, names)
    print(report.json() if options.json == "-" else report.text())
    if options.json and options.json != "-":
        report.write_json(Path(options.json))
    if options.plots:
        from segcaffe.viz.evaluation import plot_confusion, plot_trimap

        plot_confusion(report, Path(options.plots, "confusion.png"))
        if report.trimap:
            plot_trimap(report, Path(options.plots, "trimap.png"))


def _submit(options: argparse.Namespace) -> None:
    from segcaffe.data.label_files import label_files
    from segcaffe.data.voc_submission import write_submission

    folder, palette = Path(options.predictions), common.palette(options)
    if not is_dir(folder):
        raise SegcaffeError(f'"{folder}" is not a folder of predictions.')
    ids = sorted({file.stem.removesuffix("_blob_0") for file in label_files(folder)})
    size_of = _sizes(options, palette)
    write_submission(folder, ids, Path(options.submission), options.competition, options.subset, size_of, palette)
    print(f"{options.submission}: {counted(len(ids), 'prediction')}")


def _sizes(options: argparse.Namespace, palette: Palette | None) -> Callable[[str], tuple[int, int] | None]:
    """A function for the height and width of an id's image, by what tells it: images, labels, or the prediction."""
    from segcaffe.data.image_kinds import image_files
    from segcaffe.data.images import read_image
    from segcaffe.data.label_files import label_file, read_labels
    from segcaffe.metrics.evaluate import find_pairs
    from segcaffe.predict.result_folder import SETTINGS

    predictions = Path(options.predictions)
    images = {path.stem: path for path in image_files(Path(options.images))} if options.images else {}
    pairs = find_pairs(options.labels, options.root) if options.labels and not options.images else []
    labels = {name: pair.label for pair in pairs for name in pair.names}
    by_predict = is_file(predictions.parent / SETTINGS)

    def size_of(name: str) -> tuple[int, int] | None:
        if options.images:
            if name not in images:
                raise SegcaffeError(f'the folder "{options.images}" has no image "{name}", which is predicted.')
            height, width = read_image(str(images[name]), False, "--images").shape[:2]
            return height, width
        found = label_file(predictions, name) if by_predict else labels.get(name)
        if found is None:
            return None
        height, width = read_labels(found, "labels", palette).shape
        return height, width

    return size_of
