"""A proof as a table for people and as data for files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segcaffe.export.proof.blame import Blame
from segcaffe.export.proof.compare import Difference
from segcaffe.export.proof.prove import Found, Judged, Proof
from segcaffe.text.words import counted

Row = tuple[str, ...]
_TITLES: Row = ("output", "shape", "largest difference", "with")


def text(proof: Proof) -> str:
    """What came of it: for each program a table of the outputs, then remarks and the verdict."""
    parts = [part for judged in proof.judged for part in _one(judged, proof.tolerance)]
    return "\n".join([*parts, *(f"Not compared: {reason}" for reason in proof.left_out)])


def facts(proof: Proof) -> dict[str, Any]:
    """The same as values that JSON knows."""
    return {
        "holds": proof.holds,
        "tolerance": proof.tolerance,
        "runtimes": [_facts(judged, proof.tolerance) for judged in proof.judged],
        "left_out": proof.left_out,
    }


def _one(judged: Judged, tolerance: float) -> Iterator[str]:
    title = f"{judged.runtime} {judged.version}".rstrip()
    if judged.found:
        tried = dict.fromkeys(one.trial.name for one in judged.found)
        yield f"{title}, on {counted(len(tried), 'input')} ({'; '.join(tried)}):"
        yield from _table([_TITLES, *(_row(one, tolerance) for one in _outputs(judged))])
    inside = judged.inside
    if inside is not None and inside.spot is None and inside.worst is not None:
        spot, difference = inside.worst
        told = f"largest difference {difference.largest:.1e}, in {spot.blob}"
        yield f"  {counted(inside.compared, 'blob')} inside, with the first input: {told}"
    yield from judged.amplified
    if judged.refused:
        yield judged.refused
    blame = judged.blame
    if blame is not None and blame.spot is not None:
        by = _told(blame.difference.largest, blame.difference.note)
        yield f"The first blob that differs, with {blame.trial}: {blame.spot}: {by}."
    elif blame is not None:
        yield "Asked for blobs one by one, the program gives the right ones; only its outputs differ."
    worst = judged.worst()
    if judged.holds(tolerance) and worst is not None:
        yield (
            f"The file computes what the net does: largest difference {worst.difference.largest:.1e} of the largest "
            f"value, {tolerance:g} allowed."
        )
    elif not judged.refused:
        yield f"The file does NOT compute what the net does: {tolerance:g} of the largest value is allowed."


def _row(one: Found, tolerance: float) -> Row:
    told = _told(one.difference.largest, one.difference.note)
    mark = "" if one.difference.within(tolerance) else "  DIFFERS"
    return one.output, "x".join(map(str, one.shape)) or "scalar", told + mark, one.trial.name


def _told(largest: float, note: str) -> str:
    return f"{largest:.1e}{f' ({note})' if note else ''}" if largest < float("inf") else note


def _table(rows: list[Row]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _outputs(judged: Judged) -> list[Found]:
    """Of each output the trial with the largest difference."""
    found = (judged.worst(name) for name in dict.fromkeys(one.output for one in judged.found))
    return [one for one in found if one is not None]


def _facts(judged: Judged, tolerance: float) -> dict[str, Any]:
    blame = judged.blame
    spot = blame.spot if blame is not None else None
    return {
        "name": judged.runtime,
        "version": judged.version,
        "holds": judged.holds(tolerance),
        "refused": judged.refused,
        "outputs": [
            {
                "name": one.output,
                "shape": list(one.shape),
                "largest_difference": one.difference.largest,
                "input": one.trial.name,
                "note": one.difference.note,
            }
            for one in _outputs(judged)
        ],
        "blobs": _blobs(judged.inside),
        "inputs": [{"name": name, "seed": seed} for name, seed in _seeds(judged).items()],
        "first_difference": None
        if blame is None or spot is None
        else {
            "blob": spot.blob,
            "layer": spot.node.name,
            "type": spot.node.param.type,
            "place": str(spot.place or ""),
            "input": blame.trial,
            "difference": blame.difference.largest,
        },
        "remarks": judged.amplified,
    }


def _blobs(inside: Blame | None) -> dict[str, Any] | None:
    """How the blobs inside compare; None where that was not looked at."""
    if inside is None:
        return None
    spot, difference = inside.worst or (None, Difference(0.0))
    return {
        "compared": inside.compared,
        "largest_difference": difference.largest,
        "name": spot.blob if spot is not None else "",
    }


def _seeds(judged: Judged) -> dict[str, int]:
    return {one.trial.name: one.trial.seed for one in judged.found}
