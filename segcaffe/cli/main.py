"""``segcaffe COMMAND``: finds the command, runs it, and turns errors into one paragraph and exit status 2."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from segcaffe.cli.examples import EXAMPLES
from segcaffe.cli.limits import add_limit_option, limits
from segcaffe.cli.parser import Parser, paragraph
from segcaffe.cli.plugins import load_plugins
from segcaffe.cli.streams import OutputError, streams_of_bytes
from segcaffe.errors import SegcaffeError
from segcaffe.glog import Verbosity, terminal_log

COMMANDS = {
    "train": "train a net as a solver file says",
    "test": "score a net with given weights",
    "time": "time each layer, forward and backward",
    "classify": "predict the classes of images",
    "detect": "classify windows of images",
    "draw": "draw a net as SVG, HTML, PNG or PDF",
    "net": "print a net's layers, shapes, parameters and memory",
    "data": "make databases and mean images, look at data sets, check and import them",
    "predict": "label maps of images, folders or lists",
    "explore": "a page to look through a net's masks with the pointer",
    "refine": "sharpen another model's scores with the cascade or a CRF",
    "segawarify": "put the paper's masks around a net's convolutions",
    "export": "write a net for another framework: ONNX",
    "verify": "compare a net with what segcaffe export wrote of it",
    "weights": "look at weights, compare, convert, rename and merge them",
    "lint": "find what silently ruins runs in a net or a solver",
    "upgrade": "write an old net or solver in today's notation",
    "eval": "compare predicted label maps with the true ones",
    "features": "write blobs of a net run over batches",
    "plot": "draw training logs",
    "warm-up": "compile what nets need before their first run",
    "configs": "write the nets and solvers that come with segcaffe into a folder",
    "completion": "print what makes a shell complete commands and options",
    "device-query": "print the GPUs of this machine",
    "demo": "train the paper's embeddings on generated images and show what they learnt",
    "reproduce": "try the paper's claim again: plain, masks, masks and CRF, over several seeds",
    "help": "explain a command: segcaffe help train",
}
READ_NO_FILES = ("completion", "device-query", "help")


def build_parser() -> Parser:
    """Make the parser with all commands; each command's file adds its own options."""
    parser = Parser(
        prog="segcaffe",
        description="Caffe-compatible networks in Python. Options take one dash or two, a space or '=', and dashes or "
        "underscores in their names; switches also =true, =false and --noNAME, as in Caffe's tools.",
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"segcaffe.cli.{name.replace('-', '_')}")
        command = subparsers.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command)
        for action in command.below():
            action.set_defaults(parser=action)
        for leaf in command.below() or [command]:
            add_verbosity_options(leaf)
            if name not in READ_NO_FILES:
                add_limit_option(leaf)
    for words, lines in EXAMPLES.items():
        parser.inner(words.split()).show_examples(lines)
    return parser


def add_verbosity_options(parser: Parser) -> None:
    """Add ``-q`` and ``-v``, and take what Caffe's users write to see log lines."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-q", "--quiet", action="store_const", dest="verbosity", const=Verbosity.QUIET,
                       help="print results, warnings and errors only: no progress, no log lines")  # fmt: skip
    group.add_argument("-v", "--verbose", action="store_const", dest="verbosity", const=Verbosity.VERBOSE,
                       help="print log lines, and with an error where it arose")  # fmt: skip
    parser.set_defaults(verbosity=Verbosity.NORMAL)
    for name in ("logtostderr", "alsologtostderr"):
        # glog's switches for what happens anyway.
        parser.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    # glog's least level that is logged: 0 everything, 1 warnings, 2 errors.
    parser.add_argument("--minloglevel", type=_least_level, dest="verbosity", help=argparse.SUPPRESS)
    parser.add_argument("--stderrthreshold", help=argparse.SUPPRESS)


def _least_level(text: str) -> Verbosity:
    return Verbosity.QUIET if int(text) > 0 else Verbosity.NORMAL


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for an error that a message explains, 130 after Ctrl-C."""
    with streams_of_bytes():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    command, verbosity = "", Verbosity.NORMAL
    try:
        parser = build_parser()
        options, rest = parser.parse_known_args(arguments)
        if options.command is None or getattr(options, "action", "") is None:
            getattr(options, "parser", parser).print_help()
            return 2
        if rest:
            options.parser.unrecognized(rest)
        command, verbosity = options.command, options.verbosity
        # Not above: what they import needs the compiled schema.
        from segcaffe.cli.common import rules
        from segcaffe.cli.compilation import ahead_shown
        from segcaffe.cli.ranks import joined
        from segcaffe.trust.rules import apply

        with (
            joined(options) as shown,
            terminal_log(shown),
            apply(rules(options)),
            limits(options),
            ahead_shown(options),
        ):
            load_plugins(options)
            status = int(options.run(options) or 0)
            sys.stdout.flush()
            return status
    except SegcaffeError as error:
        if verbosity is Verbosity.VERBOSE:
            traceback.print_exc()
        print(paragraph(f"{f'segcaffe {command}'.rstrip()}: {error}"), file=sys.stderr)
        if isinstance(error, OutputError):
            _give_up_output()
        return 2
    except MemoryError as error:
        # Where no layer asked for it, whose name would have been told.
        reason = str(error) or "more was asked for than there is"
        print(paragraph(f"segcaffe {command}: the machine has not enough memory: {reason}."), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{f'segcaffe {command}'.rstrip()}: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone.
        _give_up_output()
        return 0


def _give_up_output() -> None:
    """Have what waits for standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version() -> str:
    from segcaffe.version import __version__

    return f"segcaffe {__version__}"


if __name__ == "__main__":
    sys.exit(main())
