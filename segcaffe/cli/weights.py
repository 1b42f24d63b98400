"""Look at files of weights, compare, convert, rename, merge, fold and import them."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from segcaffe.cli import common, weights_import
from segcaffe.cli.json_output import add_json_option, print_json
from segcaffe.cli.numbers import tolerance, whole
from segcaffe.errors import SegcaffeError
from segcaffe.proto.encoding import from_native
from segcaffe.text.visible import one_line
from segcaffe.text.words import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    show = actions.add_parser("show", help="list blobs, their shapes and statistics of their values")
    show.add_argument("file")
    add_json_option(show)
    convert = actions.add_parser("convert", help="write in another format, chosen by the target's suffix")
    convert.add_argument("source")
    convert.add_argument("target")
    diff = actions.add_parser("diff", help="tell where two files differ; status 1 if they do")
    diff.add_argument("first")
    diff.add_argument("second")
    diff.add_argument(
        "--tolerance", type=tolerance, default=0.0, help="largest absolute difference that counts as equal (default 0)"
    )
    rename = actions.add_parser("rename", help="give layers other names")
    rename.add_argument("source")
    rename.add_argument("target")
    rename.add_argument("names", nargs="+", metavar="OLD=NEW", help="'conv*=stem_*': * matches any text, in both")
    merge = actions.add_parser("merge", help="put layers of several files into one; later files prevail")
    merge.add_argument("sources", nargs="+", metavar="FILE[::PATTERN]", help="'a.npz::conv*': those layers only")
    merge.add_argument("--out", required=True, metavar="FILE", help="file to write")
    fold = actions.add_parser("fold-bn", help="fold statistics of batches into SegNet's and ENet's BN layers")
    fold.add_argument("net", metavar="NET", help="the prototxt that was trained with: the batches are those of TRAIN")
    fold.add_argument("weights", metavar="WEIGHTS", help="weights to load, separated by commas")
    fold.add_argument("target", metavar="TARGET", help="file to write")
    common.add_option(fold, "iterations", "number of batches (default 50)", type=whole(), default=50)
    common.add_allow_python_option(fold)
    common.add_device_options(fold)
    common.add_template_options(fold)
    weights_import.add_arguments(actions)
    for action in (show, convert, diff, rename, merge):
        common.add_dialect_option(action, "dialect", "dialect of binary files read (default: detected)")
    for action in (convert, rename, merge, fold):
        common.add_dialect_option(action, "to", "dialect of a binary file written (default: that of the file read)")


def run(options: argparse.Namespace) -> int:
    """Run the action; 0, or 1 if compared files differ."""
    actions = {"show": _show, "convert": _convert, "diff": _diff, "rename": _rename, "merge": _merge}
    actions |= {"fold-bn": _fold_bn, "import": weights_import.run}
    return actions[options.action](options)


def _show(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats, weights

    net, dialect = formats.load_with_dialect(options.file, options.dialect)
    if options.json:
        blobs = [asdict(entry) | {"count": entry.count} for entry in weights.entries(net, options.file)]
        print_json("weights show", {"file": options.file, "dialect": dialect, "blobs": blobs})
        return 0
    print(weights.table(net, options.file))
    print(f"dialect: {dialect}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats

    formats.check_name(options.target)
    net, dialect = formats.load_with_dialect(options.source, options.dialect)
    formats.save(net, options.target, options.to or dialect)
    return 0


def _diff(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats, weights

    first, second = (formats.load(path, options.dialect) for path in (options.first, options.second))
    found = weights.differences(first, second, options.tolerance)
    for difference in found:
        print(one_line(f"{difference.blob}: {difference.kind}: {difference.detail}"))
    print(f"Differing: {counted(len(found), 'blob')}." if found else "The files hold the same weights.")
    return 1 if found else 0


def _rename(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats, weights

    formats.check_name(options.target)
    net, dialect = formats.load_with_dialect(options.source, options.dialect)
    formats.save(weights.rename(net, weights_import.new_names(options.names)), options.target, options.to or dialect)
    return 0


def _merge(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats, weights

    formats.check_name(options.out)
    nets, dialects = [], []
    for source in options.sources:
        path, _, pattern = source.partition("::")
        net, dialect = formats.load_with_dialect(path, options.dialect)
        nets.append(weights.select(net, from_native(pattern)) if pattern else net)
        dialects.append(dialect)
    formats.save(weights.merge(nets), options.out, options.to or dialects[0])
    return 0


def _fold_bn(options: argparse.Namespace) -> int:
    from segcaffe.convert import formats
    from segcaffe.net.folded_bn import fold, on_training_data
    from segcaffe.proto.text import read_net

    common.at_least(options, iterations=1)
    formats.check_name(options.target)
    common.show_warnings()
    common.set_device(options)
    path = common.existing_file(options.net, "NET")
    net = on_training_data(read_net(path, common.variables(options, path)))
    files = common.weight_files(options.weights, "WEIGHTS")
    if not files:
        raise SegcaffeError("WEIGHTS names no file. What is folded are the statistics that a file of weights has.")
    common.load_weights(net, options.weights, "WEIGHTS")
    _, dialect = formats.load_with_dialect(files[0])
    with common.progress(options.iterations, "batch") as advance:
        formats.save(fold(net, options.iterations, advance), options.target, options.to or dialect)
    return 0
