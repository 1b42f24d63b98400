"""``segcaffe COMMAND``: finds the command, runs it, and turns errors into one paragraph and exit status 2."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from segcaffe.cli.log import show_announcements
from segcaffe.errors import SegcaffeError

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
    "weights": "look at weights, compare, convert, rename and merge them",
    "lint": "find what silently ruins runs in a net or a solver",
    "upgrade": "write an old net or solver in today's notation",
    "eval": "compare predicted label maps with the true ones",
    "features": "write blobs of a net run over batches",
    "plot": "draw training logs",
    "device-query": "print the GPUs of this machine",
    "demo": "train the paper's embeddings on generated images and show what they learnt",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one paragraph, with the option or command that was probably meant."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Remember the words, for the error message."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the paragraph and leave with status 2."""
        print(
            _paragraph(f"{self.prog}: {message.rstrip('.')}.{self._hint()} `{self.prog} --help` lists what there is."),
            file=sys.stderr,
        )
        self.exit(2)

    def unrecognized(self, words: Sequence[str]) -> NoReturn:
        """Leave with the error for words that no option takes."""
        self._given = words
        self.error(f"unrecognized arguments: {' '.join(words)}")

    def names(self) -> list[str]:
        """Names of commands and options, of those below as well."""
        known = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                known += action.choices
        return known + [name for parser in self.below() for name in parser.names()]

    def below(self) -> list[Parser]:
        """Parsers of the commands inside this one."""
        nested = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return [parser for action in nested for parser in action.choices.values()]

    def _hint(self) -> str:
        known = self.names()
        for index, word in enumerate(self._given):
            name = word.partition("=")[0]
            flag = f"--{name.lstrip('-')}"
            if name in known or flag in known or not (name.startswith("-") or index == 0):
                continue
            near = difflib.get_close_matches(flag if name.startswith("-") else name, known, n=1)
            if near:
                return f" Did you mean {near[0]} instead of {name}?"
        return ""


def build_parser() -> argparse.ArgumentParser:
    """Make the parser with all commands; each command's file adds its own options."""
    parser = Parser(
        prog="segcaffe",
        description="Caffe-compatible networks in Python. Options take one dash or two, a space or '='.",
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"segcaffe.cli.{name.replace('-', '_')}")
        command = subparsers.add_parser(name, help=summary, description=module.__doc__, allow_abbrev=False)
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command)
        for action in command.below():
            action.set_defaults(parser=action)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for an error the user can mend, 130 after Ctrl-C."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    if rest:
        options.parser.unrecognized(rest)
    show_announcements()
    try:
        return int(options.run(options) or 0)
    except SegcaffeError as error:
        # Errors of the commands' own modules begin with the command's name.
        told = str(error).removeprefix(f"{options.command}: ")
        print(_paragraph(f"segcaffe {options.command}: {told}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nsegcaffe {options.command}: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _paragraph(message: str) -> str:
    """Wrap an ordinary message to the terminal; one with lines of its own (a listing) keeps them."""
    if "\n" in message:
        return message
    return textwrap.fill(message, width=110, break_long_words=False, break_on_hyphens=False)


def _version() -> str:
    from segcaffe import __version__

    return f"segcaffe {__version__}"


if __name__ == "__main__":
    sys.exit(main())
