"""Names and numbers of a net as they stand in Python source: whatever a prototxt says, it stays a name or a number."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

_MODULES = frozenset({"F", "Sequence", "Tensor", "math", "nn", "self", "torch", "x"})
_WORDS = """
T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval
extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict loss
modules mtia named_buffers named_children named_modules named_parameters parameter_groups parameters
register_backward_hook register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ reset_parameters
set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu zero_grad
"""
ATTRIBUTES = frozenset(_WORDS.split())
"""What an nn.Module, and a written one, has already."""


class Names:
    """Identifiers, each given once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    @classmethod
    def of_variables(cls, functions: Iterable[str] = ()) -> Names:
        """For variables of ``forward``: no word, function or module of Python's, nor any of these functions."""
        return cls({*_MODULES, *keyword.kwlist, *dir(builtins), *functions})

    @classmethod
    def of_attributes(cls) -> Names:
        """For attributes of an nn.Module."""
        return cls({*ATTRIBUTES, *keyword.kwlist})

    def take(self, text: str, otherwise: str) -> str:
        """An identifier made of ``text``, with a number behind it where another has it already."""
        base = identifier(text, otherwise)
        name, number = base, 1
        while name in self._taken or name.startswith("__"):
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name


def identifier(text: str, otherwise: str) -> str:
    """``text`` with underscores for whatever an identifier cannot have, ``otherwise`` before a digit or for nothing."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    if not name:
        return otherwise
    return f"{otherwise}_{name}" if name[0].isdigit() else name


def class_name(text: str) -> str:
    """The name of a class: words joined, each with a capital."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name and not name[0].isdigit() and not keyword.iskeyword(name) else f"Net{name}"


def plain(text: str) -> str:
    """``text`` for comments and docstrings: on one line, without quotes or backslashes that end or change these."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown.replace("\\", "/").replace('"', "'")


def member(key: str) -> str:
    """How a tensor of the state is named in the class: ``self.conv.weight``, ``self.crf.weights[0]``."""
    return re.sub(r"\.(\d+)", r"[\1]", f"self.{key}")


def number(value: float) -> str:
    """A number as one writes it: an option, which is a float32, by its fewest digits."""
    if isinstance(value, (bool, int, np.integer)):
        return str(value)
    if not np.isfinite(value):
        return f'float("{float(value)}")'
    single = np.float32(value)
    return repr(float(str(single))) if float(single) == float(value) else repr(float(value))


def sizes(values: Sequence[int]) -> str:
    """One number for all axes where they are equal, else a tuple."""
    return str(values[0]) if len(set(values)) == 1 else str(tuple(values))


def call(function: str, *given: Any, **options: Any) -> str:
    """The text of a call; of options those that are None are left out."""
    words = [_text(value) for value in given]
    words += [f"{name}={_text(value)}" for name, value in options.items() if value is not None]
    return f"{function}({', '.join(words)})"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)):
        inner = ", ".join(map(_text, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return str(value) if value is None or isinstance(value, bool) else number(value)
