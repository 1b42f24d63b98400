"""What is said of layers that are code, which whoever looks at a net does not run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from segcaffe.graph.code import Looked
from segcaffe.text.visible import one_line
from segcaffe.text.words import counted

_SHOWN = 8


def sentences(looked: Looked) -> list[str]:
    """A line for each layer that is code, and one for what follows from them; none where there is no code."""
    if not looked.code:
        return []
    lines = ["Python layers are code and were not run, so these were left out (--allow-python runs them):"]
    for layer, code in looked.code:
        made = f"; shape unknown: {', '.join(layer.top)}" if layer.top else ""
        lines.append(one_line(f'  layer "{layer.name}" ({layer.type}): {code}{made}'))
    if looked.after:
        blobs = dict.fromkeys(name for layer in looked.after for name in layer.top)
        count = counted(len(looked.after), "layer")
        lines.append(one_line(f"  {count} that read them: {_few(layer.name for layer in looked.after)}"))
        lines.append(one_line(f"  shape unknown, too: {_few(blobs)}"))
    return lines


def facts(looked: Looked) -> list[dict[str, Any]]:
    """The layers that were left out as plain values; ``module`` and ``class`` are null for those that are no code."""
    code = {layer.name: found for layer, found in looked.code}
    return [
        {
            "name": layer.name,
            "type": layer.type,
            "tops": list(layer.top),
            "module": code[layer.name].module if layer.name in code else None,
            "class": code[layer.name].name if layer.name in code else None,
        }
        for layer in looked.left_out
    ]


def _few(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
