"""A written net as files: the source, and its weights beside it."""

from __future__ import annotations

from pathlib import Path

from segcaffe.convert import safetensors
from segcaffe.export.source import Source
from segcaffe.export.torch.module import state_of
from segcaffe.export.torch.names import plain
from segcaffe.export.torch.writer import Written, write
from segcaffe.snapshot.files import write_file, writing_together
from segcaffe.version import __version__


def write_source(source: Source, weights: str = "") -> Written:
    """Write a net that is ready for export; ``weights`` is the name of the file that will have its weights."""
    notes = []
    if source.mean is not None and source.scale is not None:
        mean = ", ".join(f"{value:g}" for value in source.mean)
        notes.append(f"Images: (pixel - mean) * {source.scale:g}, mean {mean or 0}, channels in the order B, G, R.")
    if weights:
        file = plain(weights)
        notes.append(f'Weights: model.load_state_dict(safetensors.torch.load_file("{file}")).')
    origin = f", from {plain(source.file)}" if source.file else ""
    return write(source.net, f"{origin}; written by segcaffe {__version__}", notes, source.outputs)


def save(source: Source, target: Path, weights: bool) -> tuple[Written, list[Path]]:
    """Write the source and, where ``weights``, the state beside it as .safetensors; returns it and the files' paths."""
    beside = target.with_suffix(".safetensors")
    written = write_source(source, beside.name if weights else "")
    if not weights:
        write_file(target, written.source.encode())
        return written, [target]
    state = safetensors.encode(state_of(written), {"format": "pt", "source": target.name})
    with writing_together() as together:
        together.write(target, written.source.encode())
        together.write(beside, state)
        together.publish(beside, target)
    return written, [target, beside]
