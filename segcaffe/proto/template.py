"""Template names in configurations: ``${NAME}`` in numbers and strings is filled in before parsing.

Names come from the command line (``--set NAME=VALUE``) or a file (``--vars FILE``). Values are literal: inside a
quoted string their quotes and backslashes are escaped, so a path arrives as it was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from segcaffe.errors import Place, PrototxtError, nearest
from segcaffe.files.limits import Budget
from segcaffe.files.regular import read_bytes
from segcaffe.files.there import is_file
from segcaffe.proto.source import Source, Span, read_text

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(r"\$\{(" + _NAME + r")\}")
_PIECE = re.compile(
    r"(?P<comment>#[^\r\n]*)"
    # A string that is not closed, which the parser refuses, goes on to the end of its line.
    r'|(?P<quoted>"[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*"?'
    r"|'[^'\\\r\n]*(?:\\.[^'\\\r\n]*)*'?)"
    r"|(?P<bare>\$\{" + _NAME + r"\})"
)
_NET_FIELD = re.compile(r"""\b(?:train_|test_)?net\s*:\s*(?P<quote>["'])(?P<path>[^"'\r\n]+)(?P=quote)""")
_ASSIGNMENT = re.compile(rf"(?:export\s+)?(?P<name>{_NAME})\s*[=:]\s*(?P<value>.*)\Z", re.DOTALL)
_QUOTED_VALUE = re.compile(r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)')\s*(?:\#.*)?\Z""")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "'": "\\'", "\n": "\\n", "\r": "\\r"})


def template_names(text: str) -> list[str]:
    """Return the template names of ``text`` outside comments, each once, in order of appearance."""
    return list(dict.fromkeys(match.group(1) for match, _ in _references(text)))


def expand(
    text: str, variables: Mapping[str, str] | None, filename: str = "<string>", placeholder: str | None = None
) -> Source:
    """Replace every ``${NAME}`` outside comments by its value, and remember where each character came from.

    Raises one PrototxtError that lists all names without a value, with their lines. With a ``placeholder`` names
    without a value are no error: in strings they stay, elsewhere it takes their place.
    """
    values = variables if variables is not None else {}
    references = list(_references(text))
    if placeholder is None:
        _require_all(text, references, values, filename)
    budget = Budget(filename, len(text))
    pieces: list[str] = []
    spans: list[Span] = []
    copied = length = 0
    for match, is_quoted in references:
        value = _value_of(match, is_quoted, values, placeholder)
        budget.take(len(value), f"the value of ${{{match.group(1)}}}")
        length += match.start() - copied
        pieces += (text[copied : match.start()], value)
        spans.append(Span(length, length + len(value), match.start(), match.end(), match.group(1)))
        length += len(value)
        copied = match.end()
    pieces.append(text[copied:])
    return Source(filename, "".join(pieces), text, tuple(spans))


def _value_of(match: re.Match[str], is_quoted: bool, values: Mapping[str, str], placeholder: str | None) -> str:
    name = match.group(1)
    if name not in values and placeholder is not None:
        return match.group(0) if is_quoted else placeholder
    value = str(values[name])
    return value.translate(_ESCAPES) if is_quoted else value


def _references(text: str) -> Iterable[tuple[re.Match[str], bool]]:
    if "${" not in text:
        return
    for piece in _PIECE.finditer(text):
        if piece.lastgroup != "comment":
            for match in _REFERENCE.finditer(text, piece.start(), piece.end()):
                yield match, piece.lastgroup == "quoted"


def _require_all(
    text: str, references: list[tuple[re.Match[str], bool]], values: Mapping[str, str], filename: str
) -> None:
    source = Source.plain(text, filename)
    missing: dict[str, dict[int, None]] = {}
    for match, _ in references:
        if match.group(1) not in values:
            missing.setdefault(match.group(1), {})[source.line(match.start())] = None
    if not missing:
        return
    listed = "; ".join(f"{name} ({_lines(list(lines))})" for name, lines in missing.items())
    first = next(iter(missing))
    raise PrototxtError(
        f"every template name ${{NAME}} needs a value. "
        f"Without a value: {listed}. Set them with --set {first}=VALUE (once per name) or --vars FILE, "
        f"a file of NAME=VALUE lines.",
        place=Place(filename, next(iter(missing[first]))),
    )


def _lines(lines: list[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:10])
    more = f" and {len(lines) - 10} more" if len(lines) > 10 else ""
    return f"{'lines' if len(lines) > 1 else 'line'} {shown}{more}"


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Return the names and values of ``["NAME=VALUE", ...]``; the value is everything after the first ``=``."""
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not re.fullmatch(_NAME, name.strip()):
            raise PrototxtError(
                f"--set takes NAME=VALUE, where NAME is made of letters, digits and underscores. "
                f"Received: `{assignment}`."
            )
        values[name.strip()] = value
    return values


def check_names(names: Iterable[str], files: Iterable[str | Path], values: Mapping[str, str]) -> None:
    """Raise PrototxtError for a name that is no template of the files.

    Those of the nets that they (solvers) name count as well, and those of prototxt files beside them, so that all
    commands of a project can be given the same values.
    """
    paths = [Path(path) for path in files]
    # What is no configuration is told by whoever reads it as one.
    texts = _readable(paths)
    nets = [Path(_fill(match["path"], values)) for text in texts for match in _NET_FIELD.finditer(text)]
    known = sorted({name for text in [*texts, *_readable(nets)] for name in _REFERENCE.findall(text)})
    unknown = [name for name in names if paths and name not in known]
    if not unknown:
        return
    beside = _readable(path for folder in {file.parent for file in paths} for path in folder.glob("*.prototxt"))
    elsewhere = {name for text in beside for name in _REFERENCE.findall(text)}
    for name in unknown:
        if name not in elsewhere:
            hint = "".join(f" Did you mean {near}?" for near in nearest(name, known))
            there = f"The names there are: {', '.join(known)}." if known else "There are no template names."
            raise PrototxtError(f"--set {name}: {' and '.join(map(str, paths))} has no ${{{name}}}.{hint} {there}")


def _readable(paths: Iterable[Path]) -> list[str]:
    return [read_bytes(path).decode("utf-8", "replace") for path in paths if is_file(path)]


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: str(values.get(match[1], match[0])), text)


def read_vars(path: str | Path) -> dict[str, str]:
    """Return the names and values in a file of ``NAME=VALUE`` or ``NAME: VALUE`` lines.

    Empty lines and ``#`` comments are skipped, ``export`` before a name and quotes around a value are dropped, the
    last of several values counts. Values are taken as they stand: nothing is expanded in them.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _ASSIGNMENT.match(line)
        if match is None:
            raise PrototxtError(
                f"a line of a variables file is NAME=VALUE or NAME: VALUE. Received: `{line}`.",
                place=Place(str(path), number),
            )
        values[match["name"]] = _value(match["value"], Place(str(path), number))
    return values


def _value(text: str, place: Place) -> str:
    if text[:1] not in ('"', "'"):
        return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].rstrip()
    match = _QUOTED_VALUE.match(text)
    if match is None:
        raise PrototxtError(f"a quoted value must end with the same quote. Received: `{text}`.", place=place)
    if match["single"] is not None:
        return match["single"]
    return re.sub(r'\\(["\\])', r"\1", match["double"])
