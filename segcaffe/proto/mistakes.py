"""What is wrong with a text configuration, said so that its author finds it: the parser's errors.

Before an unknown field is blamed, the likely causes of its being unknown are looked for: the file is something else
than was asked for, a brace is missing, the layer's type is that of another Caffe.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from segcaffe.errors import PrototxtError
from segcaffe.proto.content import NET, SOLVER, text_content
from segcaffe.proto.fields import Field, field_table
from segcaffe.proto.foreign import about_option, is_unknown, origin_of
from segcaffe.proto.source import Source
from segcaffe.proto.tokens import CLOSING, Token, outermost, tokenize
from segcaffe.proto.unknown import UNKNOWN_TYPE, UnknownOption

LAYER_MESSAGES = ("LayerParameter", "V1LayerParameter", "V0LayerParameter")
_LAST_OF_UPSTREAM = 148
_OPTIONS_END = "_param"
_NEAR = 0.75
"""How alike a name must be to one that is known: of two letters in nine one may be wrong."""
_WHOLE_FILES = {"NetParameter": NET, "SolverParameter": SOLVER}


class Group(NamedTuple):
    """A group of fields that was begun: its message type, and where its brace stands (0 for the file itself)."""

    kind: Any
    opened: int


class Mistakes:
    """The place of a parser in its tokens, and the errors about it. All look at the token ``self.at``."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens: list[Token] = tokenize(source.text)
        self.at = 0
        self.path: list[str] = []
        self.groups: list[Group] = []
        self.closed: Group | None = None
        self.layer_start: int | None = None

    def error(self, rule: str, received: str | None = None, hint: str = "") -> PrototxtError:
        """Return the error for a broken rule, with place, layer and field, and what was received."""
        kind, text, offset = self.tokens[self.at]
        shown = text if received is None else received
        if kind == "other" and text[0] in "\"'":
            rule = f"a string must end with {text[0]} on the line where it began."
        received = f"`{shown}`" if kind != "end" else "the end of the file"
        names = self.source.names_in(offset, offset + max(len(text), 1))
        filled = f" (the value of {', '.join(f'${{{name}}}' for name in names)})" if names else ""
        return self._told(offset, f"{rule} Received: {received}{filled}.{hint}")

    def given_twice(self, field: Field, first: int, second: int) -> PrototxtError:
        """Return the error for a field that may be given once."""
        lines = self.source.line(first), self.source.line(second)
        return self._told(
            second,
            f"{field.name} is not repeated, so it may be given once. "
            f"Received: {field.name} on line {lines[0]} and again on line {lines[1]}.",
        )

    def not_a_field(self, closing: str) -> PrototxtError | None:
        """Return the error for something where a field's name should stand; None for the name of an unknown field."""
        kind, text, offset = self.tokens[self.at]
        group = self.groups[-1]
        if kind == "end":
            return self.error(
                f"the {'{' if closing == '}' else '<'} of line {self.source.line(group.opened)} is not closed; "
                f"add the missing {closing}."
            )
        if kind != "name":
            rule = "there is nothing to close here." if text in ("}", ">") else "expected the name of a field."
            return self.error(rule)
        other_file = self._other_file() if len(self.groups) == 1 else None
        if other_file is not None:
            return other_file
        self.path.append(text)
        cause = self._missing_brace(text) or self._outside(text)
        found = self._told(offset, cause) if cause else None
        self.path.pop()
        return found

    def unknown_field(self) -> UnknownOption:
        """Return what is to be told of a field's name that the group around it does not have."""
        _, text, offset = self.tokens[self.at]
        group = self.groups[-1]
        self.path.append(text)
        table = field_table(group.kind)
        about = about_option(text)
        foreign = self._foreign_type()
        what = foreign or f"{group.kind.name} has no such field. Received: `{text}`."
        hint = f" {about}" if about else self._belongs_to(text, table) or _near(text, table)
        option = UnknownOption(
            self.source.place(offset), self._layer_name(), self._context(), what, hint * (not foreign)
        )
        self.path.pop()
        return option

    def unknown_value(self, rule: str, text: str, hint: str) -> UnknownOption:
        """Return what is to be told of a value that an enum does not have."""
        what = f"{rule} Received: `{text}`."
        place = self.source.place(self.tokens[self.at][2])
        return UnknownOption(place, self._layer_name(), self._context(), what, hint)

    def _layer_name(self) -> str:
        return self._found()["name"] if self.layer_start is not None else ""

    def _told(self, offset: int, what: str) -> PrototxtError:
        return PrototxtError(f"{self._context()}{what}", layer=self._layer_name(), place=self.source.place(offset))

    # Causes.

    def _other_file(self) -> PrototxtError | None:
        """A net where a solver belongs, or the other way round."""
        wanted = _WHOLE_FILES.get(self.groups[0].kind.name)
        fields = outermost(self.tokens)
        found = text_content(fields)
        if wanted is None or not found or found == wanted:
            return None
        name = self.source.filename
        told = (
            f'A solver names its net, as net: "{name}", beside base_lr, lr_policy and max_iter.'
            if wanted == SOLVER
            else f"{self._net_of_solver()}."
        )
        shown = ", ".join(list(dict.fromkeys(fields))[:4])
        return PrototxtError(f"{name}: {wanted} belongs here. Received: {found} with the fields {shown}. {told}")

    def _net_of_solver(self) -> str:
        for (_, name, _), (_, _, _), (kind, value, _) in zip(
            self.tokens, self.tokens[1:], self.tokens[2:], strict=False
        ):
            if name in ("net", "train_net", "test_net") and kind == "string":
                return f"Give the net that it names, {value[1:-1]}"
        return "Give the net, not the solver"

    def _missing_brace(self, text: str) -> str:
        """The field is one of a group further out: the groups in between were not closed."""
        outer = range(len(self.groups) - 2, -1, -1)
        around = next((i for i in outer if text in field_table(self.groups[i].kind)), None)
        if around is None or not (self._unbalanced() or text in ("layer", "layers")):
            return ""
        lines = [str(self.source.line(group.opened)) for group in self.groups[around + 1 :]]
        several = len(lines) > 1
        return (
            f"a closing }} is missing before `{text}`: the {{ of line{'s' if several else ''} {' and '.join(lines)} "
            f"{'are' if several else 'is'} not closed. "
            f"Received: `{text}`, which {self.groups[-1].kind.name} does not have."
        )

    def _unbalanced(self) -> bool:
        texts = [token[1] for token in self.tokens]
        return sum(map(texts.count, CLOSING)) > sum(map(texts.count, CLOSING.values()))

    def _outside(self, text: str) -> str:
        """A layer's field behind the brace that closed the layer."""
        if len(self.groups) > 1 or self.closed is None or self.closed.kind.name not in LAYER_MESSAGES:
            return ""
        if text not in field_table(self.closed.kind):
            return ""
        return (
            f"the layer that began on line {self.source.line(self.closed.opened)} is closed already: there is a }} too "
            f"many before `{text}`, or a `layer {{` missing. Received: `{text}`, which "
            f"{self.groups[0].kind.name} does not have."
        )

    def _foreign_type(self) -> str:
        """The layer's type is unknown: its options are those of another Caffe."""
        layer_type = self._found()["type"] if self.layer_start is not None else ""
        kinds = [group.kind.name for group in self.groups if group.kind.name in LAYER_MESSAGES]
        if not layer_type or "V0LayerParameter" in kinds or not is_unknown(layer_type, "V1LayerParameter" in kinds):
            return ""
        origin = origin_of(layer_type) or "`segcaffe net --types` lists the known ones."
        return f'{UNKNOWN_TYPE} "{layer_type}". {origin} Received: its option `{self.path[-1]}`.'

    def _belongs_to(self, name: str, table: Mapping[str, Field]) -> str:
        """Say which groups of this message, or which one around it, have the field."""
        groups = [field for field in table.values() if name in field.inner_names()]
        usual = [field for field in groups if field.descriptor.number <= _LAST_OF_UPSTREAM] or groups
        if usual:
            return f" The field belongs into {' or '.join(field.name for field in usual[:4])}."
        outer = [group.kind.name for group in self.groups[:-1] if name in field_table(group.kind)]
        return f" It is a field of {outer[-1]}: write it outside of these braces." if outer else ""

    # Where.

    def _context(self) -> str:
        field = f'field "{".".join(self._path_in_layer())}"' if self.path else ""
        layer = f"in layer {self._layer()}" if self.layer_start is not None else ""
        context = ", ".join(part for part in (layer, field) if part)
        return f"{context}: " if context else ""

    def _path_in_layer(self) -> list[str]:
        path = list(self.path)
        while len(path) > 1 and path[0] in ("layer", "layers"):
            path.pop(0)
        return path

    def _layer(self) -> str:
        found = self._found()
        described = f'"{found["name"]}"' if found["name"] else "without a name"
        return f"{described} ({found['type']})" if found["type"] else described

    def _found(self) -> dict[str, str]:
        """Name and type of the layer around the error; they may stand before or after it."""
        found = {"name": "", "type": ""}
        depth = 0
        at = self.layer_start or 0
        while at < len(self.tokens) - 2 and depth >= 0:
            text = self.tokens[at][1]
            depth += (text in CLOSING) - (text in ("}", ">"))
            value = self.tokens[at + 2]
            if depth == 0 and text in found and self.tokens[at + 1][1] == ":" and value[0] in ("string", "name"):
                found[text] = found[text] or (value[1][1:-1] if value[0] == "string" else value[1])
            at += 1
        return found


def _near(name: str, table: Mapping[str, Field]) -> str:
    """Ask whether a field of nearly that name is meant; what all names of options end in counts for nothing."""
    stem, end = (name.removesuffix(_OPTIONS_END), _OPTIONS_END) if name.endswith(_OPTIONS_END) else (name, "")
    stems = [known.removesuffix(end) for known in table if known.endswith(end)]
    near = difflib.get_close_matches(stem.lower(), stems, n=1, cutoff=_NEAR)
    return f' Did you mean "{near[0]}{end}"?' if near else ""
