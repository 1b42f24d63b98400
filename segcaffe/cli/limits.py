"""``--max-bytes``: how much may be made of a file whose size would not allow it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from segcaffe.errors import SegcaffeError
from segcaffe.files.limits import max_bytes, parse_amount, set_max_bytes


def add_limit_option(parser: argparse.ArgumentParser) -> None:
    """Add the option; see `segcaffe.files.limits`."""
    parser.add_argument("--max-bytes", help="what a file may unfold to in memory, as 500M or 8G, where its size does "
                        "not allow as much (docs/limits.md)", metavar="BYTES")  # fmt: skip


@contextmanager
def limits(options: argparse.Namespace) -> Iterator[None]:
    """Allow what ``--max-bytes`` says while a command runs."""
    given = getattr(options, "max_bytes", None)
    before = max_bytes()
    if given is not None:
        count = parse_amount(given)
        if count is None:
            raise SegcaffeError(f"--max-bytes takes a number of bytes, as 8000000000, 500M or 8G. Received: {given}.")
        set_max_bytes(count)
    try:
        yield
    finally:
        set_max_bytes(before)
