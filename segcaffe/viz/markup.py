"""Names of layers and blobs in HTML, SVG and scripts, whatever characters they have."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_PLACE = re.compile(r"@([A-Z]+)@")


def text(value: str) -> str:
    """Return text that may stand between tags and in attributes; what XML cannot hold becomes a question mark."""
    return escape(_NOT_IN_XML.sub("\ufffd", value))


def script(value: object) -> str:
    """Return a value as JavaScript writes it, without anything that could end the script it stands in."""
    # A "<!--" before "<script" hides the end of the script, so no "<" is left at all.
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with ``@NAME@`` replaced, in one pass: what is put in is not looked at again."""
    return _PLACE.sub(lambda found: parts[found[1]], template)
