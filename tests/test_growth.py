"""Time grows in proportion to what is read, built, drawn or checked, never with its square, on damaged files too."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.file_cases import DRAWN, FileCase, cases, chain, layer
from benchmarks.files import measure
from segcaffe.errors import GraphError
from segcaffe.graph.graph import build_graph
from segcaffe.graph.rules import net_state
from segcaffe.predict.notes import parse_notes
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.content import content_of
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.template import read_vars, template_names
from segcaffe.proto.text import parse
from segcaffe.viz.net_drawing import draw

SMALLER = 2
"""The sizes here are those of the benchmark divided by this, unless it gives another."""
STEEPEST = 1.45
"""Time of n log n and noise stay below, the square of n does not."""
TRIES = 4


def _text(make: Callable[[int], str]) -> Callable[[int, Path], str]:
    return lambda count, folder: make(count)


def _vars_file(count: int, folder: Path) -> Path:
    path = folder / "values.txt"
    path.write_text(f"NAME=a{count * ' '}b\n")
    return path


def _reader_of_nothing(count: int, folder: Path) -> NetParameter:
    """Nets whose layers make what an excluded one would have read, and one that reads what no layer makes."""
    left_out = layer("no", "ReLU", ["b0"], ["gone"], "exclude { phase: TEST }")
    return parse(chain(count) + left_out + layer("last", "ReLU", ["gone"], ["end"]), NetParameter())


def _refused(net: NetParameter) -> None:
    with pytest.raises(GraphError, match="leaves it out of this net"):
        build_graph(PlacedNet.of(net), net_state(1))


def _stack(count: int, folder: Path) -> NetParameter:
    """A layer of many tops, on each of which another works in place: they stand in one stack of the drawing."""
    tops = [f"t{i}" for i in range(count)]
    text = layer("data", "Input", [], tops) + "".join(layer(f"l{i}", "ReLU", [t], [t]) for i, t in enumerate(tops))
    return parse(text, NetParameter())


def _laid_out(net: NetParameter) -> None:
    draw(net, label=lambda layer: [layer.name], edge_label=lambda layer: "", color=lambda kind: "#fff")


ODD = [
    FileCase("a string that is not closed, with quotes in it", "escape", 100_000,
             _text(lambda n: '${A} "' + n * '\\"'), template_names),
    FileCase("spaces inside a note", "space", 100_000, _text(lambda n: f"# segcaffe.palette: voc{n * ' '}${{A}}"),
             parse_notes),
    FileCase("many notes", "note", 20_000, _text(lambda n: n * "# segcaffe.palette: voc\n"), parse_notes),
    FileCase("spaces inside a value", "space", 100_000, _vars_file, read_vars),
    FileCase("a bottom that the rules leave out", "layer", 8_000, _reader_of_nothing, _refused),
    FileCase("layers in place on the tops of one", "top", 6_000, _stack, _laid_out),
]  # fmt: skip


# At small sizes all edges of that drawing bend: tests/pycaffe/test_draw.py has its limit.
@pytest.mark.parametrize("case", [case for case in (*cases(), *ODD) if case.what != DRAWN], ids=lambda case: case.what)
def test_time_grows_in_proportion(case: FileCase) -> None:
    exponents = []
    for _ in range(TRIES):
        exponents.append(measure(case, case.tested or case.size // SMALLER, runs=1).exponent)
        if exponents[-1] < STEEPEST:
            return
    raise AssertionError(f"{case.what}: the time grows with the size to the power of {min(exponents):.2f}")


def test_comments_before_what_is_no_page() -> None:
    start = time.thread_time()
    assert content_of(24 * b"<!-- -->\n" + b"<svg></svg>") == "a text file"
    # Each way of dividing the comments among a repeated group would take twice as long with each comment.
    assert time.thread_time() - start < 0.5
