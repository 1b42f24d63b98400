"""What lower rooms ask of higher ones, which they do not import.

The package itself, which knows every room, gives the answers when it is imported (``segcaffe/__init__.py``): whoever
imports a module of the package has imported that before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

layer_types: Callable[[], list[str]]
"""The registered layer types: the parser tells an unknown type from an unknown option."""

layer_function: Callable[[str], Callable[..., Any]]
"""The function that describes a layer of a type: pycaffe has these functions in the package of the layers."""

net_table: Callable[[Any], str]
"""The table of a net, as `segcaffe net` prints it: `Net.summary`."""

net_as_html: Callable[[Any], str]
"""What a notebook shows of a net: `Net._repr_html_`."""
