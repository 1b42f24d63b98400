"""Which of the things that a net can ask for are done.

Caffe does them all: a net's Python layers are imported and run, its sinks write wherever the prototxt says. So do
`segcaffe.Net` and the commands that replace Caffe's. The other commands look at nets, or take them for data.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from segcaffe.errors import DataError, GraphError
from segcaffe.glog import ANNOUNCEMENTS
from segcaffe.trust import paths
from segcaffe.trust.modules import Code, find_file


@dataclass(frozen=True)
class Rules:
    """What is allowed.

    Attributes
    ----------
    python:
        Whether Python layers are run.
    anywhere:
        Whether a net's layers write wherever they say, otherwise only below the current directory.
    advice:
        A sentence on what to do where a Python layer is refused.
    told:
        The modules that were told of.
    """

    python: bool = True
    anywhere: bool = True
    advice: str = ""
    told: set[str] = field(default_factory=set)


_rules = Rules()


@contextmanager
def apply(rules: Rules) -> Iterator[None]:
    """Let these rules hold, in all threads, while it lasts."""
    global _rules
    before, _rules = _rules, rules
    try:
        yield
    finally:
        _rules = before


def check_code(where: str, code: Code) -> None:
    """Say which file code is in before it is run, as far as that is known; GraphError where none is run."""
    if not _rules.python:
        raise GraphError(f"{where}: is Python code ({code}), which is not run here. {_rules.advice}".rstrip())
    file = find_file(code.module)
    if file is not None:
        tell(code.module, file)


def tell(module: str, file: str) -> None:
    """Say which file a module comes from that is run for a net, once for each module."""
    if module not in _rules.told:
        _rules.told.add(module)
        logging.getLogger(ANNOUNCEMENTS).info('Python layers: running the module "%s", %s', module, file)


def check_written(where: str, path: Path) -> None:
    """DataError where a net says what file to write, and that may not lie there."""
    if not _rules.anywhere and not paths.is_inside(".", path):
        raise DataError(
            f'{where}: writes "{path}", outside of the current directory. Only train, test and time let a net write '
            "where it says: run it with one of those, or give it a name that stays below."
        )
