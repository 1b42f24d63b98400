"""A process that compiles what it is told to, into the cache that its parent reads."""

from __future__ import annotations

import importlib
import pickle
from typing import BinaryIO

from segcaffe.jit.compiled import KEPT

DONE, FAILED = b"+", b"-"


def run(orders: BinaryIO, answers: BinaryIO) -> None:
    """Compile (place of a function, signature) after another, answering each, until there are no more."""
    while True:
        try:
            place, signature = pickle.load(orders)
        except EOFError:
            return
        try:
            importlib.import_module(place[0])
            KEPT[place].compile(signature)
            answer = DONE
        except Exception:  # The parent meets it again, and can tell.
            answer = FAILED
        answers.write(answer)
        answers.flush()
