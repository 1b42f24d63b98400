"""Options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcaffe import device
from segcaffe.cli.compilation import compilation_shown
from segcaffe.cli.numbers import finite, whole
from segcaffe.cli.plugins import add_plugin_option
from segcaffe.errors import PrototxtError, SegcaffeError
from segcaffe.files.there import exists, is_dir, is_file
from segcaffe.glog import shows_progress, tell
from segcaffe.parallel import group
from segcaffe.proto import caffe_pb2
from segcaffe.proto.encoding import from_native
from segcaffe.proto.template import check_names, parse_assignments, read_vars
from segcaffe.text.bars import bar_type
from segcaffe.text.digits import whole_number
from segcaffe.threads import parallel
from segcaffe.trust.rules import Rules

if TYPE_CHECKING:
    from segcaffe.data.files import BadItems
    from segcaffe.data.palettes import Palette
    from segcaffe.graph.code import Looked
    from segcaffe.net.net import Net
    from segcaffe.proto.placed import PlacedNet

_UNKNOWN_WAITS = 0.2
"""Seconds before a bar of unknown length is shown."""


def add_option(parser: argparse.ArgumentParser, name: str, help: str, **settings: object) -> None:
    """Add ``--name``; the parser also takes the other ways of writing it, see `segcaffe.cli.grammar`."""
    parser.add_argument(f"--{name}", help=help, **settings)  # type: ignore[arg-type]


def add_template_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that fill ``${NAME}`` templates, and that for what a net may ask for besides."""
    add_plugin_option(parser)
    add_option(parser, "set", "value of a ${NAME} in the prototxt files; repeatable", metavar="NAME=VALUE",
               action="append", default=[])  # fmt: skip
    add_option(parser, "vars", "file of NAME=VALUE lines for ${NAME} templates", metavar="FILE")


def add_state_options(parser: argparse.ArgumentParser) -> None:
    """Add phase rules' options: level and stages."""
    add_option(parser, "level", "level of the net state (default 0)", type=whole(), default=0)
    add_option(parser, "stage", "stages of the net state, separated by commas", default="")


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add the choice between CPU and GPU, and the number of threads."""
    add_option(parser, "gpu", "use a GPU: its number (default 0)", nargs="?", const="0", metavar="ID")
    add_option(parser, "math", "arithmetic on a GPU: fp32 (default), or tf32, products of factors rounded to 10 bits",
               choices=("fp32", "tf32"), default="fp32")  # fmt: skip
    add_option(parser, "graphs", "record a net's layers as CUDA graphs and replay them", action="store_true")
    add_option(parser, "autotune", "time all plans of cuDNN for a new shape, keep the fastest", action="store_true")
    add_option(parser, "cpu", "compute on the CPU, whatever the files say", action="store_true")
    add_option(
        parser, "threads", "threads for CPU kernels and BLAS together (default: all cores)", type=whole(most=1024)
    )


def add_dialect_option(parser: argparse.ArgumentParser, name: str, help: str) -> None:
    """Add a choice among the families of Caffe that number options of layers differently in binary files."""
    from segcaffe.proto.dialect import DIALECTS

    add_option(parser, name, f"{help}: bvlc, v1, v2, deeplab, or a fork's, as ssd or nvidia", choices=DIALECTS,
               metavar="DIALECT")  # fmt: skip


def add_tolerant_option(parser: argparse.ArgumentParser) -> None:
    """Add the wish to pass over what is not known."""
    add_option(parser, "tolerant", "pass over options that are not known or not built, and list them",
               action="store_true")  # fmt: skip


def add_palette_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of colours that stand for labels."""
    add_option(parser, "palette", "the labels of colours, for label maps in colour: voc, cityscapes (train ids), or a "
               "file with lines R G B [LABEL]", metavar="NAME|FILE")  # fmt: skip


def palette(options: argparse.Namespace) -> Palette | None:
    """The palette of ``--palette``, if it is given."""
    if options.palette is None:
        return None
    from segcaffe.data.palettes import read_palette

    return read_palette(options.palette)


def add_fusion_option(parser: argparse.ArgumentParser) -> None:
    """Add the switch that runs every layer as it is written."""
    parser.add_argument("--no-fuse", dest="fuse", action="store_false",
                        help="run each layer by itself instead of fusing several into one kernel")  # fmt: skip


def add_memory_option(parser: argparse.ArgumentParser) -> None:
    """Add the switch that gives every blob memory of its own."""
    parser.add_argument("--keep-blobs", dest="share_memory", action="store_false",
                        help="give every blob memory of its own instead of sharing it")  # fmt: skip


def add_weights_dtype_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice to keep weights in half precision."""
    add_option(parser, "weights-dtype", "float16: keep weights in half precision, rounded, in half the memory, and "
               "compute in float32 (on the CPU; default float32)",
               choices=("float16", "float32"), default="float32")  # fmt: skip


def add_partial_option(parser: argparse.ArgumentParser) -> None:
    """Add the permission to run a net whose weights are not all there."""
    add_option(parser, "allow-partial", "run though the weights lack layers of the net, which keep random values",
               action="store_true")  # fmt: skip


def add_allow_python_option(parser: argparse.ArgumentParser) -> None:
    """Add the permission to run Python layers, to a command that does not unless told."""
    add_option(parser, "allow-python", "run the Python layers of the net, which are code of whoever wrote them",
               action="store_true")  # fmt: skip


def add_no_python_option(parser: argparse.ArgumentParser) -> None:
    """Add the refusal to run Python layers, to a command that runs them as Caffe does."""
    parser.add_argument("--no-python", action="store_true", help="refuse nets with Python layers, which are code")


def rules(options: argparse.Namespace) -> Rules:
    """What nets may do, by the command's options; one that has neither of the two runs no code."""
    as_caffe = hasattr(options, "no_python")
    if as_caffe:
        advice = "--no-python refuses it; leave that out if you trust the file."
    elif hasattr(options, "allow_python"):
        advice = "Look at that file; if you trust it, add --allow-python."
    else:
        advice = "This command runs none."
    python = not options.no_python if as_caffe else getattr(options, "allow_python", False)
    return Rules(python, as_caffe, advice)


def looked_at(
    options: argparse.Namespace, net: PlacedNet, phase: int, level: int = 0, stages: Sequence[str] = ()
) -> Looked:
    """A net without its Python layers, unless these may be run."""
    from segcaffe.graph.code import Looked, without_code
    from segcaffe.graph.rules import net_state

    if options.allow_python:
        return Looked(net)
    return without_code(net, net_state(phase, level, [*net.message.state.stage, *stages]))


def add_recompute_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of layers whose values are computed again for the backward pass."""
    add_option(parser, "recompute", "compute these layers' values again for the backward pass instead of keeping them: "
               "names and patterns ('conv*,fused'), separated by commas, or auto", metavar="LAYERS")  # fmt: skip


def variables(options: argparse.Namespace, *files: str | Path) -> dict[str, str]:
    """Values of the templates: the file's, overridden by ``--set``.

    A name given with ``--set`` must be one of those in ``files``, or in the nets that they name; a file of variables
    may have others, for other nets.
    """
    values, given = read_vars(options.vars) if options.vars else {}, parse_assignments(options.set)
    values.update(given)
    check_names(given, files, values)
    return values


def stages(options: argparse.Namespace) -> list[str]:
    """Stages of ``--stage a,b``."""
    return [from_native(stage.strip()) for stage in options.stage.split(",") if stage.strip()]


def phase(name: str) -> int:
    """Number of the phase called TRAIN or TEST, in any case."""
    if name.upper() not in ("TRAIN", "TEST"):
        raise SegcaffeError(f"--phase must be TRAIN or TEST. Received: {name}.")
    return int(caffe_pb2.Phase.Value(name.upper()))


def set_device(options: argparse.Namespace, wants_gpu: bool = False) -> None:
    """Choose the device from ``--cpu``, ``--gpu`` and the solver file's wish, and the threads."""
    set_threads(options)
    device.configure(math=options.math, autotune=options.autotune, graphs=options.graphs)
    if options.cpu:
        device.set_mode_cpu()
    elif options.gpu or wants_gpu:
        device.set_device(_gpu_number(options.gpu))
        device.set_mode_gpu()


def set_threads(options: argparse.Namespace) -> None:
    """Set the number of threads if the option does."""
    if options.threads is not None:
        at_least(options, threads=1)
        parallel.set_num_threads(options.threads)


def existing_file(path: str, option: str) -> Path:
    """Check that a file given by an option exists."""
    found = Path(path)
    if not is_file(found):
        kind = "is a folder, not a file" if is_dir(found) else "does not exist"
        if exists(found) and not is_dir(found):
            kind = "is a pipe or a device; it is read more than once, so give a file"
        raise PrototxtError(f"{option} {path}: {kind}.")
    return found


def build_net(options: argparse.Namespace, path: str, option: str, phase_name: str, **settings: Any) -> Net:
    """The net in the file that ``option`` gives, with the templates and rules of the command line."""
    from segcaffe.net.net import Net

    return Net(
        existing_file(path, option),
        phase=phase(phase_name),
        level=options.level,
        stages=stages(options),
        variables=variables(options, path),
        **settings,
    )


def weight_files(text: str | None, option: str = "--weights") -> list[Path]:
    """Files of a comma-separated list; each must exist."""
    return [existing_file(part.strip(), option) for part in (text or "").split(",") if part.strip()]


def spare_inputs(read: Iterable[str | Path | None], *targets: Path) -> None:
    """SegcaffeError where one of the files that are read would be written over by ``--out``."""
    there = {Path(path).resolve() for path in read if path and is_file(Path(path))}
    for target in targets:
        if target.resolve() in there:
            raise SegcaffeError(f"{target} is one of the files that are read. Give another name: --out NAME.")


def load_weights(
    net: Net, files: str | None, option: str, allow_partial: bool = False, finetuning: bool = False
) -> None:
    """Load the files of a comma-separated list into a net, and warn; see `segcaffe.weights.completeness.load_all`."""
    from segcaffe.convert import formats
    from segcaffe.weights.completeness import load_all

    stored = {str(path): formats.load(path) for path in weight_files(files, option)}
    warn(load_all(net.layer_list, stored, allow_partial, finetuning))


def warn(message: str) -> None:
    """Log a warning where a log is kept, otherwise print it; an empty one is none."""
    logger = logging.getLogger("segcaffe")
    if message and logger.handlers:
        logger.warning("%s", message)
    elif message:
        tell(f"warning: {message}")


def show_warnings() -> None:
    """Print warnings as one line for users instead of a line of source for developers."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        tell(f"warning: {message}")

    warnings.showwarning = show


@contextmanager
def progress(total: int | None, unit: str, *, done: int = 0) -> Iterator[Callable[[], object]]:
    """Give a function to call after each of ``total`` items; on a terminal it moves a progress bar."""
    if not shows_progress():
        yield lambda: None
        return
    # A bar of unknown length comes with its first items, not ahead of an error about what there is to do.
    wait = _UNKNOWN_WAITS if total is None else 0
    with (
        bar_type()(total=total, initial=done, unit=f" {unit}", dynamic_ncols=True, delay=wait) as bar,
        compilation_shown(bar),
    ):

        def advance() -> None:
            bar.set_postfix_str("", refresh=False)
            bar.update()

        yield advance


def report_bad(bad: BadItems) -> None:
    """Print the items that were skipped."""
    if bad.errors:
        print(f"warning: {bad.text()}", file=sys.stderr)


def at_least(options: argparse.Namespace, **limits: int) -> None:
    """Raise SegcaffeError for an option below its limit."""
    for name, least in limits.items():
        if getattr(options, name) < least:
            raise SegcaffeError(f"--{name} must be at least {least}. Received: {getattr(options, name)}.")


def leave_out(options: argparse.Namespace, defaults: Mapping[str, object], what: str) -> None:
    """Raise SegcaffeError for an option that is given although it is for something else, which ``what`` says."""
    for name, default in defaults.items():
        if getattr(options, name) != default:
            raise SegcaffeError(f"--{name} is for {what}; leave it out.")


def size(text: str, option: str) -> tuple[int, int]:
    """Height and width of ``HxW``."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})x([1-9][0-9]{0,8})", text)
    if match is None:
        raise SegcaffeError(f"{option} is height x width in pixels, as 375x500. Received: {text}.")
    return int(match[1]), int(match[2])


def numbers(text: str, option: str) -> list[float]:
    """Numbers separated by commas."""
    try:
        return [finite(part) for part in text.split(",")]
    except argparse.ArgumentTypeError:
        raise SegcaffeError(f"{option} takes numbers separated by commas. Received: {text}.") from None


def _gpu_number(text: str | None) -> int:
    """The GPU of this process: of several on a machine each has its own, from the given one on or of those given."""
    ranks = group()
    numbers = [whole_number(part) for part in (text or "0").split(",")]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers) or (len(known) > 1 and not ranks.joint):
        raise SegcaffeError(
            f"--gpu takes the number of one GPU; with --mpi also several, one for each process. Received: {text}."
        )
    return known[ranks.local_rank % len(known)] if len(known) > 1 else known[0] + ranks.local_rank
