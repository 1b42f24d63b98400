"""Compare predicted label maps with the true ones: IoU, accuracies, trimap IoU, plots, VOC submissions.

The trimap of width w holds the pixels less than w pixels (Euclidean) from a boundary pixel; boundary pixels have
another label, ignored ones included, above, below, left or right of them. Ignored pixels never count.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from segcaffe.cli import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("predictions", metavar="PRED", help="folder of predictions: <id>.png, .npy or .mat")
    parser.add_argument("labels", metavar="LABELS", nargs="?", help="folder of label maps, or list: image label")
    common.add_option(parser, "root", "put before each name of the list; end a folder with a slash", default="")
    common.add_option(parser, "classes", "number of classes (default: by the largest label met)", type=int)
    common.add_option(parser, "names", "file with the classes' names, one a line (default: those that predict knew)",
                      metavar="FILE")  # fmt: skip
    common.add_option(parser, "ignore", "label whose pixels do not count (default 255); repeatable", type=int,
                      action="append")  # fmt: skip
    common.add_option(parser, "trimap", "largest trimap width in pixels (default 40; 0: none)", type=int, default=40)
    common.add_option(parser, "json", "write all results to this file", metavar="FILE")
    common.add_option(parser, "plots", "folder for confusion.png and trimap.png", metavar="FOLDER")
    common.add_option(parser, "submission", "archive for PASCAL VOC's server to write, .tgz", metavar="FILE")
    common.add_option(parser, "competition", "its competition: comp5 or comp6 (default)", default="comp6")
    common.add_option(parser, "subset", "its image set (default test)", default="test")
    common.add_option(parser, "skip-bad", "skip at most N bad pairs, and list them", type=int,
                      default=0, metavar="N")  # fmt: skip
    common.add_option(parser, "threads", "threads (default: all cores)", type=int)


def run(options: argparse.Namespace) -> int:
    """Print the tables, write what is asked for."""
    from segcaffe.errors import SegcaffeError

    if options.labels is None and options.submission is None:
        raise SegcaffeError("give the labels, or --submission FILE to make an archive without them.")
    common.set_threads(options)
    if options.labels is not None:
        _evaluate(options)
    if options.submission is not None:
        _submit(options)
    return 0


def _evaluate(options: argparse.Namespace) -> None:
    from segcaffe.data.files import BadItems
    from segcaffe.data.lists import read_list
    from segcaffe.metrics.evaluate import Report, evaluate, find_pairs
    from segcaffe.metrics.tally import Tally
    from segcaffe.predict.files import class_names

    common.at_least(options, trimap=0)
    if options.names:
        names = [entry.text for entry in read_list(options.names, "eval", "--names")]
    else:
        names = class_names(Path(options.predictions)) if options.classes is None else []
    tally = Tally(options.trimap, options.ignore if options.ignore is not None else [255])
    pairs, bad = find_pairs(options.labels, options.root), BadItems(options.skip_bad)
    with common.progress(len(pairs), "image") as advance:
        evaluate(Path(options.predictions), pairs, tally, bad, advance)
    common.report_bad(bad)
    report = Report.of(tally, options.classes, names)
    print(report.text())
    if options.json:
        report.write_json(Path(options.json))
    if options.plots:
        from segcaffe.viz.evaluation import plot_confusion, plot_trimap

        plot_confusion(report, Path(options.plots, "confusion.png"))
        if report.trimap:
            plot_trimap(report, Path(options.plots, "trimap.png"))


def _submit(options: argparse.Namespace) -> None:
    from segcaffe.data.label_files import SUFFIXES
    from segcaffe.data.voc_submission import write_submission

    files = Path(options.predictions).glob("*")
    ids = sorted({file.stem.removesuffix("_blob_0") for file in files if file.suffix in SUFFIXES})
    write_submission(Path(options.predictions), ids, Path(options.submission), options.competition, options.subset)
    print(f"{options.submission}: {len(ids)} predictions")
