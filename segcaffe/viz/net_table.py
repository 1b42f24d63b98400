"""A net as a table for people, and as facts for programs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from segcaffe.graph.graph import Graph
from segcaffe.net.net import Net
from segcaffe.plan.memory import MemoryPlan
from segcaffe.proto import caffe_pb2
from segcaffe.text.visible import one_line


@dataclass
class Row:
    """What one layer costs: counts of elements, multiply-adds, bytes.

    ``tops`` are the blobs it makes with their shapes; ``runs`` says how fusion or folding changed the way it runs, with
    a mark of `LEGEND`, or nothing.
    """

    name: str
    type: str
    runs: str
    tops: list[tuple[str, tuple[int, ...]]]
    params: int
    multiply_adds: int
    bytes: int


HEADER = ("layer", "type", "tops", "params", "multiply-adds", "memory")
LEGEND = {
    "fused": "its kernel also does the work of neighbouring layers, those marked (folded) or (on demand)",
    "folded": "its work is done by the kernel of the layer above",
    "on demand": "its result is computed only when it is read; --no-fuse runs each layer by itself",
}
"""What the marks behind types mean."""


def rows(net: Net) -> list[Row]:
    """Return one row per layer; memory is that of the blobs the layer makes (with gradients where it runs backward).

    Blobs that fusion leaves to be computed when they are read take none.
    """
    result = []
    seen: set[int] = set()
    for i, (layer, node) in enumerate(zip(net.layer_list, net.graph.nodes, strict=True)):
        bottom, top = net.bottom_blobs[i], net.top_blobs[i]
        names = [net.graph.blob_names[j] for j in node.tops]
        tops = [(name, tuple(blob.shape)) for name, blob in zip(names, top, strict=True)]
        known = seen | net.graph.on_demand()
        owns = [blob for j, blob in zip(node.tops, top, strict=True) if j not in known]
        shares = {id(blob) for blob in owns for other in bottom if blob.shares_data_with(other)}
        seen.update(node.tops)
        sides = 2 if net.layer_needs_backward[i] else 1
        elements = sum(blob.count * (sides - (id(blob) in shares)) for blob in owns)
        result.append(
            Row(
                layer.name,
                node.param.type,
                _runs(net.graph, i),
                tops,
                sum(blob.count for blob in layer.blobs),
                layer.multiply_adds(bottom, top),
                elements * net.dtype.itemsize,
            )
        )
    return result


def _runs(graph: Graph, index: int) -> str:
    """The mark of a layer that fusion or folding made run in another way."""
    node = graph.nodes[index]
    if graph.lazy.intersection(node.tops):
        return "on demand"
    folded = (*graph.absorbed.values(), *(one.nodes for one in graph.sums.values()))
    if any(index in nodes for nodes in folded):
        return "folded"
    fused = graph.lazy.intersection(node.bottoms) or index in graph.absorbed or index in graph.sums
    return "fused" if fused else ""


def facts(net: Net, recompute: str | Sequence[str] | None = None, read: Collection[str] = ()) -> dict[str, Any]:
    """Return what `table` shows as plain values: counts, and sizes in bytes."""
    body = rows(net)
    layers = [asdict(row) | {"tops": [{"name": n, "shape": list(shape)} for n, shape in row.tops]} for row in body]
    found: dict[str, Any] = {
        "name": net.name,
        "phase": caffe_pb2.Phase.Name(net.phase),
        "inputs": list(net.inputs),
        "outputs": [name for name in net.outputs if name not in read],
        "layers": layers,
        "params": sum(blob.count for blob in net.learnable_params),
        "multiply_adds": sum(row.multiply_adds for row in body),
        "memory": _memory_facts(net.plan_memory()),
    }
    if recompute:
        plan = net.plan_memory(recompute)
        again = _again(plan)
        found["recompute"] = {
            "memory": _memory_facts(plan),
            "layers": [body[i].name for i in again],
            "multiply_adds": sum(body[i].multiply_adds for i in again),
        }
    return found


def _memory_facts(plan: MemoryPlan) -> dict[str, Any]:
    return {
        "total": plan.total,
        "blobs": plan.shared + plan.own,
        "blobs_unshared": plan.unshared + plan.own,
        "params": plan.params,
        "saved_for_backward": plan.saved,
        "workspace": plan.workspace,
        "prepared": plan.prepared,
        "peak": plan.peak_step,
    }


def _again(plan: MemoryPlan) -> list[int]:
    """Layers that the plan's schedule computes again, as often as it does."""
    return [i for layers in plan.schedule.recomputed().values() for i in layers]


def table(net: Net, recompute: str | Sequence[str] | None = None, read: Collection[str] = ()) -> str:
    """Return the net's table, with totals, and the memory it takes; also with ``recompute``, as `Net` takes it.

    Parameters
    ----------
    read:
        Blobs that are no outputs, since layers read them that the net was built without.
    """
    body = rows(net)
    cells = [tuple(map(one_line, line)) for row in body for line in _cells(row)]
    learnable = sum(blob.count for blob in net.learnable_params)
    total = ("total", f"{len(body)} layers", "", _count(learnable), _count(sum(r.multiply_adds for r in body)),
             _bytes(sum(r.bytes for r in body)))  # fmt: skip
    widths = [max(len(row[i]) for row in [HEADER, *cells, total]) for i in range(len(HEADER))]
    rule = "  ".join("-" * width for width in widths)
    lines = [_line(HEADER, widths), rule, *(_line(row, widths) for row in cells), rule, _line(total, widths)]
    phase = caffe_pb2.Phase.Name(net.phase)
    title = f"{one_line(net.name) or '(unnamed net)'}, phase {phase}"
    outputs = [name for name in net.outputs if name not in read]
    inputs = f"inputs: {', '.join(net.inputs) or 'none'}; outputs: {', '.join(outputs) or 'none'}"
    text = [title, one_line(inputs), "", *lines, "", *_legend(body), *_memory(net.plan_memory())]
    if recompute:
        text += ["", *_with_recompute(net, net.plan_memory(recompute))]
    return "\n".join(text)


def _legend(body: list[Row]) -> list[str]:
    """A line for each mark that occurs."""
    return [f"({mark}) {meaning}" for mark, meaning in LEGEND.items() if any(mark == row.runs for row in body)]


def _cells(row: Row) -> list[tuple[str, ...]]:
    """A layer's lines: one for each top, everything else in the first."""
    first, *others = [f"{name} {_shape(shape)}" for name, shape in row.tops] or [""]
    kind = f"{row.type} ({row.runs})" if row.runs else row.type
    numbers = _count(row.params), _count(row.multiply_adds), _bytes(row.bytes)
    return [(row.name, kind, first, *numbers), *(("", "", top, "", "", "") for top in others)]


def _memory(plan: MemoryPlan) -> list[str]:
    """What the net takes in all, and where most of it is in use."""
    blobs, separate = _bytes(plan.shared + plan.own), _bytes(plan.unshared + plan.own)
    return [
        f"memory: {_bytes(plan.total)} = blobs {blobs} (each by itself: {separate}) + parameters {_bytes(plan.params)}"
        f" + saved for backward {_bytes(plan.saved)}",
        *([f"workspace of convolutions: {_bytes(plan.workspace)}"] if plan.workspace else []),
        *([f"packed weights, where its passes repeat: {_bytes(plan.prepared)}"] if plan.prepared else []),
        one_line(f"most of it is in use at: {plan.peak_step}"),
    ]


def _with_recompute(net: Net, plan: MemoryPlan) -> list[str]:
    """What the net takes where some values are computed again, and what that costs."""
    again = _again(plan)
    layers = zip(net.layer_list, net.bottom_blobs, net.top_blobs, strict=True)
    work = [layer.multiply_adds(bottom, top) for layer, bottom, top in layers]
    extra = sum(work[i] for i in again)
    share = f" of {_count(sum(work))} in the forward pass" if extra else ""
    first, *others = _memory(plan)
    return [f"with recompute, {first}", *others, f"recomputed: {len(again)} of {len(work)} layers, "
            f"{_count(extra)} multiply-adds{share}"]  # fmt: skip


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    texts = [f"{cell:<{width}}" for cell, width in zip(row[:3], widths[:3], strict=True)]
    numbers = [f"{cell:>{width}}" for cell, width in zip(row[3:], widths[3:], strict=True)]
    return "  ".join(texts + numbers).rstrip()


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _bytes(number: float) -> str:
    if not number:
        return "-"
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"
