"""The command line's parsers: gflags' grammar, errors of one paragraph, help with examples."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from segcaffe.cli.grammar import Grammar, plain_name
from segcaffe.errors import nearest


class _Formatter(argparse.HelpFormatter):
    """Fills descriptions, and leaves lists of examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLES_TITLE):
            return text
        return "\n\n".join(super(_Formatter, self)._fill_text(part, width, indent) for part in text.split("\n\n"))


EXAMPLES_TITLE = "examples:\n"


class Parser(argparse.ArgumentParser):
    """A parser that reads options as gflags does, and whose errors are one paragraph with what was probably meant."""

    _given: Sequence[str] = ()
    examples: tuple[str, ...] = ()
    """Lines to type that the help ends with."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        defaults: dict[str, Any] = {"allow_abbrev": False, "formatter_class": _Formatter}
        super().__init__(*args, **(defaults | settings))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read the words by the grammar; they are remembered for the error message."""
        self._given = list(sys.argv[1:] if args is None else args)
        try:
            words = Grammar(self._actions).canonical(self._given)
        except ValueError as error:
            self.error(str(error))
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the paragraph and leave with status 2."""
        print(
            paragraph(f"{self.prog}: {message.rstrip('.')}.{self._hint()} `{self.prog} --help` lists what there is."),
            file=sys.stderr,
        )
        self.exit(2)

    def unrecognized(self, words: Sequence[str]) -> NoReturn:
        """Leave with the error for words that no option takes."""
        self._given = words
        self.error(f"unrecognized arguments: {' '.join(words)}")

    def names(self) -> list[str]:
        """Names of commands and options, of those below as well."""
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
        known = [flag for action in shown for flag in action.option_strings if flag.startswith("--")]
        return [*known, *self.commands(), *(name for parser in self.below() for name in parser.names())]

    def commands(self) -> dict[str, Parser]:
        """Parsers of the commands inside this one, by their names."""
        nested = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return {name: parser for action in nested for name, parser in action.choices.items()}

    def summaries(self) -> dict[str, str]:
        """One line on each command inside this one."""
        nested = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return {choice.dest: choice.help or "" for action in nested for choice in action._choices_actions}

    def inner(self, words: Sequence[str]) -> Parser:
        """The parser that the words lead to, each a command inside the one before; KeyError where there is none."""
        return self.commands()[words[0]].inner(words[1:]) if words else self

    def show_examples(self, lines: Sequence[str]) -> None:
        """End the help with these lines to type."""
        self.examples = tuple(lines)
        self.epilog = EXAMPLES_TITLE + "".join(f"  {line}\n" for line in lines).replace("%", "%%")

    def below(self) -> list[Parser]:
        """Parsers of the commands inside this one."""
        return list(self.commands().values())

    def _hint(self) -> str:
        known = self.names()
        flags = [flag for action in self._actions for flag in action.option_strings]
        plain = {plain_name(name) for name in [*known, *flags]}
        for index, word in enumerate(self._given):
            name = word.partition("=")[0]
            if plain_name(name) in plain or not (name.startswith("-") or index == 0):
                continue
            wanted = f"--{name.lstrip('-')}" if name.startswith("-") else name
            near = nearest(wanted, known)
            if near:
                return f" Did you mean {near[0]} instead of {name}?"
        return ""


def paragraph(message: str) -> str:
    """Wrap an ordinary message to the terminal; one with lines of its own (a listing) keeps them."""
    if "\n" in message:
        return message
    return textwrap.fill(message, width=110, break_long_words=False, break_on_hyphens=False)
