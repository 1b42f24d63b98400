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
_ITERATION = re.compile(r"Iteration ([0-9]{1,18})\b")
_LOSS = re.compile(rf", loss = {_NUMBER}")
_RATE = re.compile(rf", lr = {_NUMBER}")
_TESTING = re.compile(r"Iteration ([0-9]{1,18}), Testing net \(#([0-9]{1,18})\)")
_OUTPUT = re.compile(r"(Train|Test) net output #\d+: ")
_VALUE = re.compile(rf"(.+?) = {_NUMBER}(?: \(\*.*?\))?(?: \((?!\*|mean of \d)([^)]+)\))?")

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
        if "Iteration" in line:
            if found := _figure(line, _LOSS):
                self._begin(found[0])
                return LOSS, *found
            if found := _figure(line, _RATE):
                return RATE, *found
            if match := _TESTING.search(line):
                self._begin(int(match[1]))
                self._test_net = "test" if match[2] == "0" else f"test#{match[2]}"
                return None
        if (match := _OUTPUT.search(line)) and (value := _VALUE.match(line, match.end())):
            return self._output(match[1], value)
        return None

    def _output(self, net: str, value: re.Match[str]) -> tuple[str, int, float] | None:
        if self._iteration is None:
            return None
        kind = "train" if net == "Train" else self._test_net or "test"
        number = self._told[value[1]]
        self._told[value[1]] += 1
        suffix = f" ({value[3]})" if value[3] else f"[{number}]" if number else ""
        return f"{kind} {value[1]}{suffix}", self._iteration, float(value[2])

    def _begin(self, iteration: int) -> None:
        self._iteration = iteration
        self._told.clear()


def _figure(line: str, figure: re.Pattern[str]) -> tuple[int, float] | None:
    """Iteration and value of a line that tells a figure.

    Between the two stand speed, epochs and the like, in ways of their own in each Caffe, but no other figure:
    "Iteration 20 (12.5/s), lr = 1".
    """
    for value in figure.finditer(line):
        start = line.rfind("=", 0, value.start()) + 1
        if iteration := _ITERATION.search(line, start, value.start()):
            return int(iteration[1]), float(value[1])
    return None


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
