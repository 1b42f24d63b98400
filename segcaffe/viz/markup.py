"""Pages and drawings with names of layers and blobs in them, whatever characters those have.

Everything that stands in HTML or SVG passes through `text`, everything in a script through `script`, a page's parts are
put together by `fill`, and `policy` tells the browser to run nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from html import escape

from segcaffe.text.visible import CONTROL

_UNSEEN = re.compile(f"[{CONTROL}\ufffe\uffff\ud800-\udfff]")
"""Control characters, and what XML cannot hold besides."""
_PLACE = re.compile(r"@([A-Z]+)@")
OF_FOLDER = "'self' file:"
"""Pictures beside the page. A page from disk is of no origin that 'self' could mean, in some browsers."""


def text(value: str) -> str:
    """Return text that may stand between tags and in attributes, a replacement character for what is not seen."""
    return escape(_UNSEEN.sub("\ufffd", value))


def script(value: object) -> str:
    """Return a value as JavaScript writes it, without anything that could end the script it stands in."""
    # A "<!--" before "<script" hides the end of the script, so no "<" is left at all.
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with ``@NAME@`` replaced, in one pass: what is put in is not looked at again."""
    return _PLACE.sub(lambda found: parts[found[1]], template)


def policy(*own: str, pictures: str = "") -> str:
    """Return the element for a page's head that lets a browser use the page's own inline parts, and nothing else.

    Parameters
    ----------
    own:
        The content of each script and style element, exactly as it stands between the tags.
    pictures:
        Where the page's pictures come from, if it has any: `OF_FOLDER`, or "data:" for those that it holds.
    """
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in own)
    images = f"; img-src {pictures}" if pictures else ""
    rules = f"default-src 'none'; script-src {hashes}; style-src {hashes}{images}; base-uri 'none'; form-action 'none'"
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">'
