"""Explain a command, or an action of one: what it does, its options, and examples."""

from __future__ import annotations

import argparse

from segcaffe.errors import SegcaffeError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words that name a command."""
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="a command, and for some an action: data make-db")


def run(options: argparse.Namespace) -> int:
    """Print the command's help."""
    from segcaffe.cli.main import build_parser

    parser = build_parser()
    for word in options.words:
        below = {name.replace("-", "_"): inner for name, inner in parser.commands().items()}
        if word.replace("-", "_") not in below:
            known = ", ".join(parser.commands()) or "none"
            raise SegcaffeError(f"{parser.prog} has no command {word}. It has: {known}.")
        parser = below[word.replace("-", "_")]
    parser.print_help()
    return 0
