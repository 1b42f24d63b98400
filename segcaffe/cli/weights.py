"""Look at files of weights, compare, convert, rename and merge them: .caffemodel, .h5, .npz, .safetensors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="list blobs, shapes and figures of their values")
    show.add_argument("file")
    convert = actions.add_parser("convert", help="write in another format, which the target's name tells")
    convert.add_argument("source")
    convert.add_argument("target")
    diff = actions.add_parser("diff", help="tell where two files differ; status 1 if they do")
    diff.add_argument("first")
    diff.add_argument("second")
    diff.add_argument("--tolerance", type=float, default=0.0, help="largest absolute difference that is none")
    rename = actions.add_parser("rename", help="give layers other names")
    rename.add_argument("source")
    rename.add_argument("target")
    rename.add_argument("names", nargs="+", metavar="OLD=NEW")
    merge = actions.add_parser("merge", help="put layers of several files into one; later files prevail")
    merge.add_argument("sources", nargs="+")
    merge.add_argument("--out", required=True, metavar="FILE")


def run(options: argparse.Namespace) -> int:
    """Run the action; 0, or 1 if compared files differ."""
    actions = {"show": _show, "convert": _convert, "diff": _diff, "rename": _rename, "merge": _merge}
    return actions[options.action](options)


def _show(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats, weights

    print(weights.table(formats.load(options.file), options.file))
    return 0


def _convert(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats

    formats.save(formats.load(options.source), options.target)
    return 0


def _diff(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats, weights

    found = weights.differences(formats.load(options.first), formats.load(options.second), options.tolerance)
    for difference in found:
        print(f"{difference.blob}: {difference.kind}: {difference.detail}")
    print(f"{len(found)} blobs differ." if found else "The files hold the same weights.")
    return 1 if found else 0


def _rename(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats, weights

    formats.save(weights.rename(formats.load(options.source), _names(options.names)), options.target)
    return 0


def _merge(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats, weights

    formats.save(weights.merge([formats.load(source) for source in options.sources]), options.out)
    return 0


def _names(pairs: Sequence[str]) -> dict[str, str]:
    from segcaffe.errors import WeightsError

    names = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise WeightsError(f"Names are given as OLD=NEW. Received: {pair}.")
        names[old] = new
    return names
