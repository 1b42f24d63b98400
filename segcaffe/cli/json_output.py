"""``--json``: results as one JSON object on standard output, in the structure that docs/json.md describes."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from typing import Any

from segcaffe.cli.common import add_option

FORMAT = 1
"""Number of the structure; it grows when something is removed or changes its meaning, not when something is added."""


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    add_option(parser, "json", "print the results as one JSON object (docs/json.md)", action="store_true")


def print_json(command: str, content: Mapping[str, Any]) -> None:
    """Print the object with its head: the command, the program's version and the structure's number."""
    from segcaffe.version import __version__

    head = {"command": command, "segcaffe": __version__, "format": FORMAT}
    print(json.dumps({**head, **_plain(dict(content))}, indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    """The value as JSON has it: numbers that are not finite, which JSON has not, as "nan", "inf" and "-inf"."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    return value
