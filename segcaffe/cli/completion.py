"""Print a script that makes a shell complete segcaffe's commands, options and their values.

The script is made from the program's own parsers and needs nothing else. bash: put `source <(segcaffe completion bash)`
into ~/.bashrc. zsh: write it to a file `_segcaffe` in a folder of `$fpath`. fish: write it to
~/.config/fish/completions/segcaffe.fish.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segcaffe.cli.parser import Parser


@dataclass(frozen=True)
class Word:
    """A word that may be completed: a command, an option, or a value, with its one-line help."""

    text: str
    help: str
    values: tuple[str, ...] = ()
    """Of an option, the values it may have, if they are few."""
    takes_value: bool = False


@dataclass(frozen=True)
class Place:
    """Where the cursor may be: behind the words of a command, with what may follow there."""

    command: str
    commands: tuple[Word, ...]
    options: tuple[Word, ...]
    values: tuple[str, ...]
    """Values of the positional arguments, if they are few."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell's name."""
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="the shell that reads the script")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    from segcaffe.cli.main import build_parser

    print(SCRIPTS[options.shell](list(places(build_parser()))), end="")
    return 0


def places(parser: Parser, command: str = "") -> Iterator[Place]:
    """All places there are, the program itself first."""
    options = [action for action in parser._actions if action.option_strings and action.help != argparse.SUPPRESS]
    helps = parser.summaries()
    positional = [action for action in parser._actions if not action.option_strings and not parser.commands()]
    yield Place(
        command,
        tuple(Word(name, _line(helps.get(name, ""))) for name in parser.commands()),
        tuple(word for action in options for word in _option(action)),
        tuple(str(value) for action in positional for value in action.choices or ()),
    )
    for name, inner in parser.commands().items():
        yield from places(inner, f"{command} {name}".strip())


def _option(action: argparse.Action) -> Iterator[Word]:
    values = tuple(str(value) for value in action.choices or ())
    for flag in action.option_strings:
        yield Word(flag, _line(action.help or ""), values, action.nargs != 0)


def _line(text: str) -> str:
    return " ".join(text.replace("%%", "%").split())


def _values(found: list[Place]) -> dict[tuple[str, ...], str]:
    """For each set of values the pattern, in shells' notation, of the commands and options that have it."""
    patterns: dict[tuple[str, ...], list[str]] = {}
    for place in found:
        for word in place.options:
            if word.takes_value:
                patterns.setdefault(word.values, []).append(f'"{place.command} {word.text}"')
    return {values: "|".join(names) for values, names in patterns.items()}


def bash(found: list[Place]) -> str:
    """The script for bash: words by `compgen`, file names by readline where there are none."""
    commands = "|".join(f'"{place.command}"' for place in found if place.command)
    words = []
    for place in found:
        names = " ".join([*(word.text for word in place.commands), *place.values])
        options = " ".join(word.text for word in place.options)
        words.append(f'        "{place.command}") names="{names}" options="{options}" ;;\n')
    values = [f'        {pattern}) names="{" ".join(kinds)}" ;;\n' for kinds, pattern in _values(found).items()]
    return f"""\
# Completion of segcaffe for bash.
_segcaffe() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command="" names="" options="" i
    if [[ $cur == "=" ]]; then
        cur=""
    elif [[ $prev == "=" ]]; then
        prev=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    for ((i = 1; i < COMP_CWORD && i < 3; i++)); do
        local longer="${{command:+$command }}${{COMP_WORDS[i]//_/-}}"
        case "$longer" in {commands}) command=$longer ;; *) break ;; esac
    done
    case "$command $prev" in
{"".join(values)}        *) case "$command" in
{"".join(words)}        esac ;;
    esac
    if [[ $cur == -* ]]; then names=$options; fi
    COMPREPLY=($(compgen -W "$names" -- "$cur")) || true
}}
complete -o bashdefault -o default -F _segcaffe segcaffe
"""


def zsh(found: list[Place]) -> str:
    """The script for zsh: words with their helps by `_describe`, file names besides."""
    commands = "|".join(f'"{place.command}"' for place in found if place.command)
    cases = []
    for place in found:
        inner = " ".join(_zsh_word(word) for word in place.commands) + " ".join(f"'{value}'" for value in place.values)
        options = " ".join(_zsh_word(word) for word in place.options)
        cases.append(f'        "{place.command}") names=({inner}); options=({options}) ;;\n')
    values = [
        f"        {pattern}) values=({' '.join(kinds)}); valued=1 ;;\n" for kinds, pattern in _values(found).items()
    ]
    return f"""\
#compdef segcaffe
# Completion of segcaffe for zsh.
_segcaffe() {{
    local command="" valued="" longer i
    local -a names options values
    for ((i = 2; i < CURRENT && i < 4; i++)); do
        longer="${{command:+$command }}${{words[i]//_/-}}"
        case "$longer" in {commands}) command=$longer ;; *) break ;; esac
    done
    case "$command ${{words[CURRENT-1]}}" in
{"".join(values)}    esac
    if [[ -n $valued ]]; then
        if (( $#values )); then _describe value values; else _files; fi
        return
    fi
    case "$command" in
{"".join(cases)}    esac
    if [[ ${{words[CURRENT]}} == -* ]]; then
        _describe -o option options
    elif (( $#names )); then
        _describe command names
    else
        _files
    fi
}}
if [[ $funcstack[1] == _segcaffe ]]; then _segcaffe "$@"; else compdef _segcaffe segcaffe; fi
"""


def _zsh_word(word: Word) -> str:
    return "'" + f"{word.text}:{word.help}".replace("'", "'\\''") + "'"


def fish(found: list[Place]) -> str:
    """The script for fish: a line for each command, option and value."""
    lines = [
        "# Completion of segcaffe for fish.",
        "function __segcaffe_after",
        "    set -l given (commandline -opc | string match -v -- '-*' | string replace -a _ -)",
        '    test "$given[2..]" = "$argv"; and return 0',
        "    test (count $given) -gt (count $argv); and set -l first $given[2..(math (count $argv) + 1)]",
        '    contains -- "$argv" $__segcaffe_leaves; and test "$first" = "$argv"',
        "end",
        "set -g __segcaffe_leaves "
        + " ".join(_fish_text(place.command) for place in found if not place.commands and place.command),
    ]
    for place in found:
        base = f"complete -c segcaffe -n '__segcaffe_after {place.command}'"
        lines += [f"{base} -f -a {word.text} -d {_fish_text(word.help)}" for word in place.commands]
        lines += [f"{base} -a {value}" for value in place.values]
        for word in place.options:
            name = f"-l {word.text[2:]}" if word.text.startswith("--") else f"-s {word.text[1:]}"
            value = f" -x -a '{' '.join(word.values)}'" if word.values else " -r" if word.takes_value else ""
            lines.append(f"{base} {name}{value} -d {_fish_text(word.help)}")
    return "\n".join([*lines, ""])


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS: dict[str, Callable[[list[Place]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
"""What makes the script for each shell."""
