"""A folder of pictures with an index.html that shows them, readable from disk without a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from segcaffe.data.files import write_bytes, write_picture
from segcaffe.errors import DataError
from segcaffe.viz.markup import OF_FOLDER, policy, text

Array = np.ndarray[Any, Any]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
figure { display: inline-block; margin: 0 .6rem 1rem 0; vertical-align: top; }
figcaption { font-size: .85rem; color: #555; max-width: 20rem; }
img { image-rendering: pixelated; border: 1px solid #ccc; max-width: 100%; }
table { border-collapse: collapse; } th, td { padding: .3rem .9rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
"""


@dataclass
class Report:
    """Builds the page piece by piece; `write` finishes it.

    Parameters
    ----------
    folder:
        Where the pictures and index.html go; made when missing.
    title:
        Heading of the page.
    """

    folder: Path
    title: str
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder}: the report's folder cannot be made: {error.strerror}.") from error

    def heading(self, title: str) -> None:
        """Start a section."""
        self.parts.append(f"<h2>{text(title)}</h2>")

    def text(self, paragraph: str) -> None:
        """Add a paragraph."""
        self.parts.append(f"<p>{text(paragraph)}</p>")

    def picture(self, name: str, image: Array, caption: str, width: int = 0) -> None:
        """Write a BGR or gray picture as ``name``.png and show it, ``width`` pixels wide (0: its own width)."""
        path = self.folder / f"{name}.png"
        write_picture(path, image, "report")
        self.figure(path.name, caption, width)

    def figure(self, file: str, caption: str, width: int = 0) -> None:
        """Show a picture that is in the folder already."""
        size = f' width="{width}"' if width else ""
        below = text(caption)
        self.parts.append(
            f'<figure><img src="{text(quote(file))}"{size} alt="{below}"><figcaption>{below}</figcaption></figure>'
        )

    def link(self, file: str, words: str) -> None:
        """Lead to another page of the folder."""
        self.parts.append(f'<p><a href="{text(quote(file))}">{text(words)}</a></p>')

    def table(self, header: list[str], rows: list[list[str]]) -> None:
        """Add a table."""
        head = "".join(f"<th>{text(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        self.parts.append(f"<table><tr>{head}</tr>{body}</table>")

    def write(self) -> Path:
        """Write index.html; returns its path."""
        title = text(self.title)
        page = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">{policy(STYLE, pictures=OF_FOLDER)}'
            f"<title>{title}</title><style>{STYLE}</style></head>"
            f"<body><h1>{title}</h1>{''.join(self.parts)}</body></html>\n"
        )
        path = self.folder / "index.html"
        write_bytes(path, page.encode(), "report")
        return path
