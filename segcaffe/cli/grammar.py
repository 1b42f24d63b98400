"""How words of a command line are read: as gflags reads them, so that lines written for Caffe's tools work as they are.

Options take one dash or two, and a value after a space or ``=``; in names of options and commands dash and underscore
are one. A switch is also written ``--shuffle=true`` (or 1, yes, t, y, in any case) or with the opposites, and turned
off by ``--noshuffle`` or ``--no-shuffle``; of several the last counts. Source: gflags' documentation, "Setting Flags on
the Command Line".
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

TRUE = ("true", "t", "yes", "y", "1")
FALSE = ("false", "f", "no", "n", "0")
_NUMBERS = re.compile(r"\d[\d,]*|all")


class Switch(NamedTuple):
    """What a name does: the flag as argparse knows it, and whether the name by itself gives it or takes it away."""

    flag: str
    gives: bool


class Grammar:
    """Turns the words for one parser into words that argparse reads the same way everywhere.

    Parameters
    ----------
    actions:
        The parser's options and positional arguments; a command among them ends the words that are read.
    """

    def __init__(self, actions: Iterable[argparse.Action]) -> None:
        self.flags: dict[str, str] = {}
        self.switches: dict[str, Switch] = {}
        self.takes_value: set[str] = set()
        self.takes_number: dict[str, str] = {}
        self.commands: dict[str, str] = {}
        negations: dict[str, Switch] = {}
        for action in actions:
            if isinstance(action, argparse._SubParsersAction):
                self.commands.update({plain_name(name): name for name in action.choices})
            for flag in action.option_strings:
                self._add(action, flag, negations)
        # A negation never hides an option's own name.
        self.switches = {**negations, **self.switches}

    def _add(self, action: argparse.Action, flag: str, negations: dict[str, Switch]) -> None:
        name = plain_name(flag)
        if flag.startswith("--") or name not in self.flags:
            self.flags[name] = flag
        if action.nargs is None:
            self.takes_value.add(name)
        elif action.nargs == argparse.OPTIONAL and str(action.const).isdigit():
            self.takes_number[name] = str(action.const)
        if isinstance(action, argparse._StoreTrueAction | argparse._StoreFalseAction) and flag.startswith("--"):
            self.switches[name] = Switch(flag, True)
            without_no = name.removeprefix("no-")
            if without_no != name:
                negations |= {without_no: Switch(flag, False), f"no{without_no}": Switch(flag, True)}
            else:
                negations |= {f"no{name}": Switch(flag, False), f"no-{name}": Switch(flag, False)}

    def canonical(self, words: Sequence[str]) -> list[str]:
        """Return the words with options as the parser names them, up to ``--`` or the name of a command.

        Options come first: argparse takes optional positional arguments for lacking where an option stands before them.

        Raises ValueError, with a sentence, for a switch's value that is neither true nor false.
        """
        done, positional = list[str](), list[str]()
        words = self._command_first(words)
        i = 0
        while i < len(words):
            word = words[i]
            if word == "--":
                break
            if not _is_option(word):
                if self.commands:
                    done.append(self.commands.get(plain_name(word), word))
                    i += 1
                    break
                positional.append(word)
                i += 1
                continue
            following = words[i + 1] if i + 1 < len(words) else None
            i += 1 + self._option(word, following, done)
        return [*done, *positional, *words[i:]]

    def _command_first(self, words: Sequence[str]) -> Sequence[str]:
        """Where a command's options stand before its name (``-solver x.prototxt train``), put the name first."""
        if not words or not _is_option(words[0]) or plain_name(words[0].partition("=")[0]) in self.flags:
            return words
        places = [i for i, word in enumerate(words) if not _is_option(word) and plain_name(word) in self.commands]
        if not places:
            return words
        place = places[-1] if places[-1] == len(words) - 1 else places[0]
        return [words[place], *words[:place], *words[place + 1 :]]

    def _option(self, word: str, following: str | None, done: list[str]) -> int:
        """Append what ``word`` means to ``done``; returns the number of further words used, 0 or 1."""
        written, equals, value = word.partition("=")
        name = plain_name(written)
        switch = self.switches.get(name)
        if switch is not None:
            self._switch(switch, written, value if equals else "true", done)
            return 0
        flag = self.flags.get(name)
        if flag is None:
            done.append(word)
            return 0
        if equals:
            done.append(f"{flag}={value}")
            return 0
        if name in self.takes_number:
            numbered = following is not None and _NUMBERS.fullmatch(following) is not None
            done.append(f"{flag}={following if numbered else self.takes_number[name]}")
            return int(numbered)
        if name not in self.takes_value or following is None or _is_option(following):
            done.append(flag)
            return 0
        # Joined, so that argparse takes no value that begins with a dash (-104.0,-116.7) for an option.
        done.append(f"{flag}={following}")
        return 1

    def _switch(self, switch: Switch, written: str, value: str, done: list[str]) -> None:
        if value.lower() not in TRUE + FALSE:
            raise ValueError(f"{written} is a switch: alone, or =true or =false. Received: {written}={value}")
        done[:] = [word for word in done if word != switch.flag]
        if (value.lower() in TRUE) == switch.gives:
            done.append(switch.flag)


def plain_name(name: str) -> str:
    """A name without its leading dashes, with dashes where it has underscores."""
    return name.lstrip("-").replace("_", "-")


def _is_option(word: str) -> bool:
    """Whether a word is meant as an option: it begins with a dash and is no number."""
    return word.startswith("-") and word != "-" and not word[1:2].isdigit() and not word.startswith("-.")
