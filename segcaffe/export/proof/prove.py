"""Run a net and its exported file on the same inputs, in one program after the other, and compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segcaffe.errors import SegcaffeError
from segcaffe.export.proof import blame
from segcaffe.export.proof.blame import Blame
from segcaffe.export.proof.compare import TOLERANCE, Array, Difference, compare
from segcaffe.export.proof.described import Described, value_names
from segcaffe.export.proof.inputs import Stated, Trial, trials
from segcaffe.export.proof.inputs import values as values_of
from segcaffe.export.proof.ours import Ours
from segcaffe.export.proof.spots import spots
from segcaffe.export.runtimes.base import Runtime, RuntimeRefusedError, Session
from segcaffe.kernels.convolution.method import compiled_soon
from segcaffe.net.net import Net

_MOST_BYTES = 1 << 28
"""Of all blobs together: more is not compared blob by blob where the outputs agree."""

_SMALL = 2 * 10**9
"""Multiply-adds of a net whose few passes take less time than to compile the fastest kernels would."""


@dataclass(frozen=True)
class Found:
    """How an output of one trial compares.

    Attributes
    ----------
    output, shape:
        Its name, and the shape that the net gives it.
    trial:
        What both were given.
    difference:
        How far they are apart; where layers make much of rounding, once the net goes on from the file's values.
    """

    output: str
    shape: tuple[int, ...]
    trial: Trial
    difference: Difference


@dataclass
class Judged:
    """What came of one program.

    Attributes
    ----------
    runtime, version:
        The program.
    found:
        Every output of every trial.
    refused:
        What it says if it does not read the file, or run it; otherwise empty.
    blame:
        Of the first trial that failed where the two part; None if none failed.
    amplified:
        Remarks on layers that make much of rounding.
    inside:
        How all blobs compare, with the first trial; None where that was not looked at. Outputs may hide what is wrong:
        probabilities that are 0 and 1, the largest of several scores.
    """

    runtime: str
    version: str
    found: list[Found] = field(default_factory=list)
    refused: str = ""
    blame: Blame | None = None
    amplified: list[str] = field(default_factory=list)
    inside: Blame | None = None

    def worst(self, output: str | None = None) -> Found | None:
        """The largest difference, of one output or of all."""
        chosen = [one for one in self.found if output in (None, one.output)]
        return max(chosen, key=lambda one: one.difference.largest, default=None)

    def holds(self, tolerance: float) -> bool:
        """Whether the program ran the file, and all that was compared agrees."""
        agree = all(one.difference.within(tolerance) for one in self.found)
        return not self.refused and bool(self.found) and agree and self.blame is None


@dataclass
class Proof:
    """What came of all programs.

    Attributes
    ----------
    tolerance:
        What is allowed, of the largest value.
    judged:
        One for each program.
    left_out:
        Trials that the net itself does not run, and why.
    """

    tolerance: float
    judged: list[Judged] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether all agree."""
        return all(one.holds(self.tolerance) for one in self.judged)


def prove(
    net: Net,
    file: Path,
    described: Described,
    runtimes: Iterable[Runtime],
    tolerance: float = TOLERANCE,
    stated: Stated | None = None,
) -> Proof:
    """Compare a net with its exported file.

    Parameters
    ----------
    net:
        In phase TEST, not fused, its blobs in memory of their own.
    file, described:
        The file, and what it says of itself.
    runtimes:
        What runs it.
    tolerance:
        What is allowed, of the largest value of an output.
    stated:
        How images are prepared for the exported file, where the net's file says so.
    """
    ours = Ours(net, described.outputs, described.prepare)
    before = {name: net.blobs[name].shape for name in net.inputs}
    proof = Proof(tolerance)
    try:
        with compiled_soon(ours.multiply_adds() <= _SMALL):
            cases = list(_expected(ours, described, stated, proof))
            for runtime in runtimes:
                proof.judged.append(_Judge(ours, file, described, runtime, tolerance).judge(cases))
    finally:
        ours.resize(before)
    return proof


@dataclass(frozen=True)
class _Case:
    trial: Trial
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def _expected(ours: Ours, described: Described, stated: Stated | None, proof: Proof) -> Iterable[_Case]:
    """Run the net on each trial that it takes; raises what it says if it takes none."""
    refused: SegcaffeError | None = None
    ran = False
    shapes = {name: ours.net.blobs[name].shape for name in ours.net.inputs}
    for trial in trials(described.dimensions, shapes):
        try:
            ours.resize(trial.shapes)
            inputs = values_of(trial, ours.net, None if any(described.prepared.values()) else stated)
            case = _Case(trial, inputs, ours.run(inputs))
        except SegcaffeError as error:
            refused = refused or error
            proof.left_out.append(f"{trial.name}: {error}")
            continue
        if ran and not all(np.isfinite(found).all() for found in case.outputs.values()):
            proof.left_out.append(f"{trial.name}: the net itself gives NaN or infinite values.")
            continue
        ran = True
        yield case
    if refused is not None and not ran:
        raise refused


class _Judge:
    """One program and a file."""

    def __init__(self, ours: Ours, file: Path, described: Described, runtime: Runtime, tolerance: float) -> None:
        self._ours, self._file, self._described = ours, file, described
        self._runtime, self._tolerance = runtime, tolerance
        self._judged = Judged(runtime.name, runtime.version())

    def judge(self, cases: Sequence[_Case]) -> Judged:
        """Compare all cases; the first that fails is followed to where it begins."""
        judged = self._judged
        try:
            session = self._runtime.open(self._file)
            for case in cases:
                judged.found += self._case(case, session)
            if judged.blame is None and self._bytes() <= _MOST_BYTES:
                judged.inside = self._follow(cases[0])
                if judged.inside is not None and judged.inside.spot is not None:
                    judged.blame, judged.inside.trial = judged.inside, cases[0].trial.name
        except RuntimeRefusedError as error:
            judged.refused = str(error)
        return judged

    def _bytes(self) -> int:
        return sum(blob.nbytes for blob in self._ours.net.blob_list)

    def _case(self, case: _Case, session: Session) -> list[Found]:
        theirs = session(case.inputs)
        found = self._compared(case, case.outputs, theirs)
        if all(one.difference.within(self._tolerance) for one in found) or self._judged.blame is not None:
            return found
        where = self._follow(case)
        if where is None or where.spot is not None or not where.amplified:
            self._judged.blame = where or Blame()
            self._judged.blame.trial = case.trial.name
            return found
        again = self._compared(case, where.outputs, theirs)
        if not all(one.difference.within(self._tolerance) for one in again):
            self._judged.blame, where.trial = where, case.trial.name
        self._judged.amplified += [
            f"{spot}: differs by {difference.largest:.1e} for {case.trial.name} because its bottoms differ by rounding"
            for spot, difference in where.amplified
        ]
        return again

    def _compared(self, case: _Case, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> list[Found]:
        found = []
        for name, values in ours.items():
            received = theirs.get(name)
            difference = Difference(math.inf, "not given") if received is None else compare(values, received)
            found.append(Found(name, values.shape, case.trial, difference))
        return found

    def _follow(self, case: _Case) -> Blame | None:
        """Where the case's difference begins; None where the program does not tell."""
        ours, file = self._ours, self._file
        versions = spots(ours.net, value_names(ours.net, self._described))
        try:
            ours.resize(case.trial.shapes)
            return blame.find(
                ours, versions, case.inputs, lambda names: self._runtime.open(file, names)(case.inputs), self._tolerance
            )
        except RuntimeRefusedError:
            return None
