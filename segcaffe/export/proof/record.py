"""The ``.proof.json`` beside an exported file: what was compared with what, and what came of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segcaffe.errors import ExportError, SegcaffeError
from segcaffe.export.proof.prove import Proof
from segcaffe.export.proof.report import facts
from segcaffe.files.disk import replacing, unwritable
from segcaffe.files.regular import read_bytes
from segcaffe.predict.files import sha256
from segcaffe.version import __version__

FORMAT = 1
_MOST_BYTES = 1 << 24
"""A longer record is none of ours."""


def record_path(file: Path) -> Path:
    """Where the record of an exported file lies: ``net.onnx.proof.json``."""
    return file.with_name(f"{file.name}.proof.json")


def write_record(proof: Proof, file: Path, sources: Mapping[str, str]) -> Path:
    """Write what came of a proof. Programs that an earlier record of the same files has stay in it.

    Parameters
    ----------
    proof:
        The proof.
    file:
        The exported file.
    sources:
        SHA-256 of the net's file and the weights', by name.
    """
    path = record_path(file)
    head = {
        "format": FORMAT,
        "segcaffe": __version__,
        "file": file.name,
        "sha256": sha256(file),
        "sources": {**sources},
    }
    found = facts(proof)
    runtimes = {one["name"]: one for one in _earlier(path, head)} | {one["name"]: one for one in found["runtimes"]}
    holds = all(one["holds"] for one in runtimes.values())
    content = {**head, **found, "holds": holds, "runtimes": list(runtimes.values())}
    try:
        with replacing(path) as beside:
            beside.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ExportError(unwritable(path, error)) from error
    return path


def _earlier(path: Path, head: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The programs of an earlier record, if it is of the same files."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return []
        known = json.loads(read_bytes(path))
        same = all(known.get(key) == value for key, value in head.items())
        return [one for one in known["runtimes"] if isinstance(one["holds"], bool) and one["name"]] if same else []
    except (SegcaffeError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _plain(value: Any) -> Any:
    """Values as JSON has them: infinity as "inf"."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
