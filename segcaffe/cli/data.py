"""Make databases and mean images, look at data sets and check them, import well-known ones."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.cli.numbers import ANY_SEED, MOST_SIDE, whole
from segcaffe.files.disk import sync_folders
from segcaffe.files.lock import lock
from segcaffe.files.there import exists
from segcaffe.text.words import counted

if TYPE_CHECKING:
    from segcaffe.data.lists import Entry

FILL_FOLDERS = "make-scenes", "import-folder", "import-voc", "import-coco", "import-cityscapes"
"""Actions that write many files into OUT."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    _add_make_db(actions.add_parser("make-db", help="a list of images into a database, as convert_imageset"))
    mean = actions.add_parser("mean", help="mean image of a database or list, as compute_image_mean")
    mean.add_argument("source", metavar="DB|LIST")
    mean.add_argument("out", nargs="?", metavar="FILE", help="mean image to write (binaryproto); without it only print")
    _add_backend_read(mean)
    _add_reading(mean)
    show = actions.add_parser("show", help="contact sheet of a database or list")
    show.add_argument("source", metavar="DB|LIST")
    common.add_option(show, "out", "the PNG to write (default contact_sheet.png)", default="contact_sheet.png")
    common.add_option(show, "count", "number of items (default 36)", type=whole(most=100_000), default=36)
    common.add_option(show, "start", "number of the first item", type=whole(), default=0)
    common.add_option(show, "columns", "pictures in a row (default 6)", type=whole(most=1000), default=6)
    _add_backend_read(show)
    _add_reading(show, skip=False)
    common.add_palette_option(show)
    _add_make_annotated_db(
        actions.add_parser("make-annotated-db", help="a list of images and boxes into a database, as convert_annoset")
    )
    _add_make_scenes(actions.add_parser("make-scenes", help="generated images with label maps, to try things on"))
    _add_check(actions.add_parser("check", help="read everything in a database or list and tell what is wrong"))
    _add_importers(actions)


def run(options: argparse.Namespace) -> int:
    """Run the action."""
    actions = {
        "make-db": _make_db,
        "make-annotated-db": _make_annotated_db,
        "make-scenes": _make_scenes,
        "mean": _mean,
        "show": _show,
        "check": _check,
        "import-folder": _import_folder,
        "import-voc": _import_voc,
        "import-coco": _import_coco,
        "import-cityscapes": _import_cityscapes,
        "import-mnist": _import_arrays,
        "import-cifar": _import_arrays,
    }
    common.show_warnings()
    if options.action not in FILL_FOLDERS:
        return actions[options.action](options)
    with lock(Path(options.out), options.action, "choose another OUT", inside=True):
        done = actions[options.action](options)
        sync_folders(Path(options.out))
    return done


def _add_make_db(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", metavar="ROOT", help="put before each name of the list; end a folder with a slash")
    parser.add_argument("list", metavar="LIST", help="text file with lines: image label (0 without one)")
    parser.add_argument("out", metavar="DB", help="the database's folder, to be made")
    _add_conversion(parser)
    common.add_option(parser, "labels", "the images are label maps: one channel of the numbers they store",
                      action="store_true")  # fmt: skip
    common.add_palette_option(parser)
    common.add_option(parser, "check_size", "all images must have one size", action="store_true")


def _add_make_annotated_db(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", metavar="ROOT", help="put before each name of the list; end a folder with a slash")
    parser.add_argument("list", metavar="LIST", help="text file with lines: image boxes (.xml as of VOC, .json, .txt)")
    parser.add_argument("out", metavar="DB", help="the database's folder, to be made")
    common.add_option(parser, "label_map_file", "the names of labels, labelmap.prototxt", metavar="FILE", required=True)
    _add_conversion(parser)


def _add_conversion(parser: argparse.ArgumentParser) -> None:
    common.add_option(parser, "gray", "one channel", action="store_true")
    common.add_option(parser, "shuffle", "shuffle the lines", action="store_true")
    common.add_option(parser, "random_seed", "seed of --shuffle (default 0)", type=whole(0, ANY_SEED), default=0)
    common.add_option(parser, "resize_height", "height to resize to", type=whole(0, MOST_SIDE), default=0)
    common.add_option(parser, "resize_width", "width to resize to", type=whole(0, MOST_SIDE), default=0)
    common.add_option(parser, "encoded", "keep the images compressed", action="store_true")
    common.add_option(parser, "encode_type", "format to compress to: png, jpg (default: each file's own)", default="")
    _add_database(parser)
    _add_skip(parser)


def _add_make_scenes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder for images/, labels/, train.txt, test.txt and their _id.txt")
    common.add_option(
        parser, "train", "number of training images (default 48)", type=whole(most=10**6), default=48, metavar="N"
    )
    common.add_option(
        parser, "test", "number of test images (default 12)", type=whole(most=10**6), default=12, metavar="N"
    )
    common.add_option(parser, "size", "height and width (default 144)", type=whole(most=8192), default=144)
    common.add_option(
        parser, "seed", "the same seed gives the same images (default 0)", type=whole(0, ANY_SEED), default=0
    )
    common.add_option(parser, "classes", "labels tell three kinds of regions, not the single objects",
                      action="store_true")  # fmt: skip
    common.add_option(parser, "boxes", "discs, squares and triangles with boxes, for detectors, not label maps",
                      action="store_true")  # fmt: skip


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="DB|LIST", help="lines of a list: image label-map, image integer, or image")
    common.add_option(parser, "root", "put before each name of the list; end a folder with a slash", default="")
    common.add_option(parser, "classes", "labels must be below this, or ignored", type=whole(1, 1 << 16))
    common.add_option(parser, "ignore", "label that may occur besides (default 255); repeatable", type=whole(),
                      action="append")  # fmt: skip
    common.add_option(parser, "size", "all images must have this size", metavar="HxW")
    common.add_palette_option(parser)


def _add_importers(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    folder = actions.add_parser("import-folder", help="lists of a folder of images and one of label maps")
    folder.add_argument("images", metavar="IMAGES")
    folder.add_argument("labels", metavar="LABELS", help="folder of label maps with the images' names")
    folder.add_argument("out", metavar="OUT", help="folder for the lists")
    common.add_option(
        folder, "test", "the last N images go to test.txt", type=whole(most=10**6), default=0, metavar="N"
    )
    common.add_palette_option(folder)
    common.add_option(folder, "map", "write the label maps anew with these labels changed", metavar="OLD=NEW,OLD=NEW")
    voc = actions.add_parser("import-voc", help="lists of a PASCAL VOC folder, with SBD's labels where they are given")
    common.add_option(voc, "labels", "folder of the label maps (default SegmentationClass)",
                      default="SegmentationClass", metavar="NAME")  # fmt: skip
    common.add_option(voc, "sbd", "SBD's folder benchmark_RELEASE: writes its label maps to SegmentationClassAug and "
                      "the lists voc_train_aug, voc_trainval_aug", metavar="FOLDER")  # fmt: skip
    coco = actions.add_parser("import-coco", help="label maps and lists of an MS COCO folder")
    common.add_option(coco, "year", "2014 or 2017, where there are annotations of both", metavar="YEAR")
    cityscapes = actions.add_parser("import-cityscapes", help="lists of a Cityscapes folder, labels as train ids")
    for parser in (voc, coco, cityscapes):
        parser.add_argument("folder", metavar="FOLDER")
        parser.add_argument("out", metavar="OUT", help="folder for the lists")
    for name, what in (("mnist", "idx"), ("cifar", "binary")):
        parser = actions.add_parser(f"import-{name}", help=f"{what} files into databases")
        parser.add_argument("folder", metavar="FOLDER")
        parser.add_argument("out", metavar="OUT", help="folder for the databases")
        _add_database(parser)


def _add_database(parser: argparse.ArgumentParser) -> None:
    common.add_option(parser, "backend", "lmdb (default) or leveldb", choices=("lmdb", "leveldb"), default="lmdb")
    common.add_option(parser, "overwrite", "replace a database of that name", action="store_true")


def _add_backend_read(parser: argparse.ArgumentParser) -> None:
    common.add_option(parser, "backend", "kind that a database must have (default: what it is)",
                      choices=("lmdb", "leveldb"))  # fmt: skip


def _add_reading(parser: argparse.ArgumentParser, skip: bool = True) -> None:
    common.add_option(parser, "root", "put before each name of the list; end a folder with a slash", default="")
    common.add_option(parser, "gray", "read a list's images with one channel", action="store_true")
    if skip:
        _add_skip(parser)


def _add_skip(parser: argparse.ArgumentParser) -> None:
    common.add_option(parser, "skip-bad", "skip at most N bad items, and list them", type=whole(),
                      default=0, metavar="N")  # fmt: skip


def _check_backend(options: argparse.Namespace) -> None:
    """Raise DataError where ``--backend`` says another kind of database than the source is."""
    from segcaffe.data.database_writer import backend_of, is_database
    from segcaffe.errors import DataError
    from segcaffe.proto.caffe_pb2 import DataParameter

    source = Path(options.source)
    if options.backend is None or not exists(source):
        return
    kind = DataParameter.DB.Name(backend_of(source)).lower() if is_database(source) else "no database"
    if kind != options.backend:
        raise DataError(f"{options.source} is {kind}, not {options.backend}, as --backend says. Leave --backend out.")


def _make_db(options: argparse.Namespace) -> int:
    from segcaffe.data.convert_images import Conversion, make_database
    from segcaffe.data.files import BadItems

    entries = _entries(options, "make-db")
    conversion = Conversion(
        options.root,
        options.gray,
        options.resize_height,
        options.resize_width,
        options.encoded or bool(options.encode_type),
        options.encode_type,
        options.check_size,
        options.labels or options.palette is not None,
        common.palette(options),
    )
    bad = BadItems(options.skip_bad)
    with common.progress(len(entries), "image") as advance:
        count = make_database(entries, Path(options.out), conversion, options.backend, bad, options.overwrite, advance)
    common.report_bad(bad)
    print(f"{options.out}: {counted(count, 'item')}")
    return 0


def _entries(options: argparse.Namespace, what: str) -> list[Entry]:
    """The lines of the list, shuffled where that is asked for."""
    from segcaffe.data.lists import read_list

    entries = read_list(options.list, what, "the list")
    if options.shuffle:
        import numpy as np

        order = np.random.default_rng(options.random_seed).permutation(len(entries))
        entries = [entries[i] for i in order]
    return entries


def _make_annotated_db(options: argparse.Namespace) -> int:
    from segcaffe.data.annotated.convert import Annotating, make_annotated_database
    from segcaffe.data.annotated.label_map import read_label_map
    from segcaffe.data.convert_images import Conversion
    from segcaffe.data.files import BadItems

    labels = read_label_map(options.label_map_file, "make-annotated-db: --label_map_file")
    entries = _entries(options, "make-annotated-db")
    encoded = options.encoded or bool(options.encode_type)
    size = options.resize_height, options.resize_width
    annotating = Annotating(Conversion(options.root, options.gray, *size, encoded, options.encode_type), labels)
    path, bad = Path(options.out), BadItems(options.skip_bad)
    with common.progress(len(entries), "image") as advance:
        count = make_annotated_database(entries, path, annotating, options.backend, bad, options.overwrite, advance)
    common.report_bad(bad)
    print(f"{options.out}: {counted(count, 'item')}")
    return 0


def _make_scenes(options: argparse.Namespace) -> int:
    from segcaffe.data.synthetic import write_set

    common.at_least(options, train=1, test=1, size=32)
    if options.boxes:
        from segcaffe.data.box_scenes import write_box_set

        for path in write_box_set(Path(options.out), options.train, options.test, options.size, options.seed):
            print(path)
        return 0
    written = write_set(Path(options.out), options.train, options.test, options.size, options.seed, options.classes)
    for path in (written.train_list, written.test_list, written.test_ids):
        print(path)
    return 0


def _mean(options: argparse.Namespace) -> int:
    from segcaffe.data.contents import Items
    from segcaffe.data.files import BadItems
    from segcaffe.data.mean import mean_of

    _check_backend(options)
    items, bad = Items(options.source, "mean", options.root, not options.gray), BadItems(options.skip_bad)
    with common.progress(len(items), "image") as advance:
        mean = mean_of(items, bad, advance)
    if options.out:
        mean.write(Path(options.out))
    common.report_bad(bad)
    print(counted(mean.count, "image"))
    for value in mean.channels:
        print(f"mean_value: {value:.6g}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from segcaffe.data.contents import Items
    from segcaffe.data.files import write_picture
    from segcaffe.errors import DataError
    from segcaffe.viz.contact_sheet import contact_sheet

    common.at_least(options, count=1, start=0, columns=1)
    _check_backend(options)
    items = Items(options.source, "show", options.root, not options.gray, labels=True, palette=common.palette(options))
    if options.start >= len(items):
        raise DataError(f"show: --start must be a number from 0 to {len(items) - 1}. Received: {options.start}.")
    sheet = contact_sheet(items.arrays(options.start, options.count), options.columns)
    write_picture(Path(options.out), sheet, "show")
    print(
        f"{options.out}: items {options.start} to {min(len(items), options.start + options.count) - 1} of {len(items)}"
    )
    return 0


def _check(options: argparse.Namespace) -> int:
    """0 if nothing is wrong, else 1."""
    from segcaffe.data.check import Rules, check_database, check_list
    from segcaffe.data.contents import Items

    ignore = options.ignore if options.ignore is not None else [255]
    size = common.size(options.size, "--size") if options.size else None
    rules, palette = Rules(options.classes, ignore, size), common.palette(options)
    items = Items(options.source, "check")
    with common.progress(len(items), "item" if items.database else "line") as advance:
        if items.database:
            report = check_database(items, rules, advance)
        else:
            report = check_list(items.entries, options.root, rules, palette, advance)
    print(report.text())
    return 1 if report.problems else 0


def _import_folder(options: argparse.Namespace) -> int:
    from segcaffe.data.importers import import_folder

    values = _label_map(options.map) if options.map else None
    folders = Path(options.images), Path(options.labels), Path(options.out)
    for path in import_folder(*folders, options.test, values, common.palette(options)):
        print(path)
    return 0


def _label_map(text: str) -> dict[int, int]:
    from segcaffe.errors import SegcaffeError
    from segcaffe.text.digits import whole_number

    labels: dict[int, int] = {}
    for part in text.split(","):
        old, new = (whole_number(side) for side in [*part.split("="), ""][:2])
        if part.count("=") != 1 or old is None or new is None or max(old, new) > 255:
            raise SegcaffeError(f"--map takes OLD=NEW,OLD=NEW, labels 0 to 255. Received: {text}.")
        labels[old] = new
    return labels


def _import_voc(options: argparse.Namespace) -> int:
    from segcaffe.data.voc import AUGMENTED, import_voc

    sbd = Path(options.sbd) if options.sbd else None
    with common.progress(None, "label map") as advance:
        written = import_voc(Path(options.folder), Path(options.out), options.labels, sbd, advance)
    for path in written:
        print(path)
    if not any(path.stem.endswith("_aug") for path in written):
        print(
            f"no {AUGMENTED}, so there are no lists voc_train_aug and voc_trainval_aug. Give the labels of SBD with "
            "--sbd FOLDER, or train on fewer images: segcaffe train … --set TRAIN_SET=voc_train.",
            file=sys.stderr,
        )
    return 0


def _import_coco(options: argparse.Namespace) -> int:
    from segcaffe.data.coco import import_coco

    with common.progress(None, "image") as advance:
        written = import_coco(Path(options.folder), Path(options.out), options.year, advance)
    for path in written:
        print(path)
    return 0


def _import_cityscapes(options: argparse.Namespace) -> int:
    from segcaffe.data.importers import import_cityscapes

    with common.progress(None, "image") as advance:
        written = import_cityscapes(Path(options.folder), Path(options.out), advance)
    for path in written:
        print(path)
    return 0


def _import_arrays(options: argparse.Namespace) -> int:
    from segcaffe.data.importers import import_cifar, import_mnist

    function = import_mnist if options.action == "import-mnist" else import_cifar
    written = function(Path(options.folder), Path(options.out), options.backend, options.overwrite)
    for path, count in written.items():
        print(f"{path}: {counted(count, 'item')}")
    return 0
