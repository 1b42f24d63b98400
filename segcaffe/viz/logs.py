"""Figures in training logs: ours, and the original Caffe's of any age."""

from __future__ import annotations

import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from segcaffe.errors import DataError
from segcaffe.files.disk import why_unreadable
from segcaffe.files.regular import opened

_NUMBER = r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf))"
# Between the two stand speed, epochs and the like, in ways of their own in each Caffe: "Iteration 20 (12.5/s), lr = 1".
_LOSS = re.compile(rf"Iteration ([0-9]{{1,18}})\b[^=]*?, loss = {_NUMBER}")
_RATE = re.compile(rf"Iteration ([0-9]{{1,18}})\b[^=]*?, lr = {_NUMBER}")
_TESTING = re.compile(r"Iteration ([0-9]{1,18}), Testing net \(#([0-9]{1,18})\)")
_OUTPUT = re.compile(
    rf"(Train|Test) net output #\d+: (.+?) = {_NUMBER}(?: \(\*.*?\))?(?: \((?!\*|mean of \d)([^)]+)\))?"
)

LOSS, RATE = "loss", "lr"
Series = dict[str, list[tuple[int, float]]]


@dataclass
class LogReader:
    """Reads a log line by line.

    Attributes
    ----------
    series:
        Pairs of iteration and value by name: ``loss``, ``lr``, ``train <output>``, ``test <output>`` (``test#1 …`` for
        a second test net; ``train <output>[1]`` the output's second value, ``train <output> (mean IoU)`` one that the
        line names).
    """

    series: Series = field(default_factory=lambda: defaultdict(list))
    _iteration: int | None = None
    _told: Counter[str] = field(default_factory=Counter)
    _test_net: str = ""

    def read(self, line: str) -> tuple[str, int, float] | None:
        """Take in a line; returns name, iteration and value if it told one."""
        found = self._parse(line)
        if found is not None:
            name, iteration, value = found
            points = self.series[name]
            # A run that was continued from a snapshot goes over some iterations again: the later figures count.
            while points and points[-1][0] >= iteration:
                points.pop()
            points.append((iteration, value))
        return found

    def _parse(self, line: str) -> tuple[str, int, float] | None:
        if match := _LOSS.search(line):
            self._begin(match[1])
            return LOSS, int(match[1]), float(match[2])
        if match := _RATE.search(line):
            return RATE, int(match[1]), float(match[2])
        if match := _TESTING.search(line):
            self._begin(match[1])
            self._test_net = "test" if match[2] == "0" else f"test#{match[2]}"
            return None
        if (match := _OUTPUT.search(line)) and self._iteration is not None:
            kind = "train" if match[1] == "Train" else self._test_net or "test"
            number = self._told[match[2]]
            self._told[match[2]] += 1
            suffix = f" ({match[4]})" if match[4] else f"[{number}]" if number else ""
            return f"{kind} {match[2]}{suffix}", self._iteration, float(match[3])
        return None

    def _begin(self, iteration: str) -> None:
        self._iteration = int(iteration)
        self._told.clear()


def read_lines(lines: Iterable[str]) -> Series:
    """The figures of a log's lines."""
    reader = LogReader()
    for line in lines:
        reader.read(line)
    return reader.series


def read_log(path: str) -> Series:
    """The figures of a log file; DataError if it can't be read or has none."""
    try:
        with io.TextIOWrapper(opened(path), "utf-8", "replace") as file:
            series = read_lines(file)
    except OSError as error:
        raise DataError(f'cannot read "{path}": {why_unreadable(error, path)}') from error
    if not series:
        raise DataError(f'"{path}" has no lines such as "Iteration 100, loss = 0.5"; is it a training log?')
    return dict(series)
