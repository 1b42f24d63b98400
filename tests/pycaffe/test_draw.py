"""Drawings: what they show, that nothing overlaps, every format, the command."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.cli.main import main
from segcaffe.errors import SegcaffeError
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.encoding import from_bytes
from segcaffe.pycaffe import draw
from segcaffe.pycaffe.net_spec import NetSpec
from segcaffe.pycaffe.net_spec import layers as L  # noqa: N812
from segcaffe.viz.layered_layout import layout
from segcaffe.viz.net_drawing import Drawing
from tests.pycaffe.nets import lenet

DIRECTIONS = ("TB", "BT", "LR", "RL")


def residual() -> NetParameter:
    n: Any = NetSpec()
    n.data = L.Input(input_param={"shape": {"dim": [1, 3, 8, 8]}})
    for name in ("res2a", "res2b"):
        start = n.vals()[-1]
        for k in "abc":
            conv = L.Convolution(n.vals()[-1], num_output=3, kernel_size=3, pad=1)
            n[f"{name}_branch2{k}"] = conv
            n[f"bn{name}{k}"] = L.BatchNorm(conv, in_place=True)
            n[f"relu{name}{k}"] = L.ReLU(n[f"bn{name}{k}"], in_place=True)
        n[name] = L.Eltwise(n[f"{name}_branch2c"], start)
    net = n.to_proto()
    net.name = "residual <&> net"
    return net


def boxes(drawing: Drawing) -> np.ndarray:
    """(left, top, right, bottom) of each node."""
    return np.array([
        (x - node.size[0] / 2, y - node.size[1] / 2, x + node.size[0] / 2, y + node.size[1] / 2)
        for node, (x, y) in zip(drawing.nodes, drawing.centres, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("rankdir", DIRECTIONS)
def test_nodes_stand_apart_inside_the_picture_along_the_arrows(rankdir: str) -> None:
    drawing = draw.make_drawing(residual(), rankdir)
    found = boxes(drawing)
    assert found.min() >= 0
    assert found[:, 2].max() <= drawing.width
    assert found[:, 3].max() <= drawing.height
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    axis, sign = {"TB": (1, 1), "BT": (1, -1), "LR": (0, 1), "RL": (0, -1)}[rankdir]
    for start, end, _ in drawing.edges:
        assert sign * (drawing.centres[end][axis] - drawing.centres[start][axis]) > 0


def test_every_layer_is_there_and_in_place_layers_are_stacked() -> None:
    net = residual()
    drawing = draw.make_drawing(net, "TB")
    cells = [cell for node in drawing.nodes for cell in node.cells]
    assert sorted(cell.layer for cell in cells if cell.layer is not None) == list(range(len(net.layer)))
    stack = next(node for node in drawing.nodes if node.cells[0].lines[0] == "res2a_branch2a")
    assert [cell.lines[0] for cell in stack.cells] == ["res2a_branch2a", "bnres2aa", "relures2aa"]
    assert stack.cells[0].color == "#FF5050"
    assert stack.cells[1].color == "#90EE90"


def test_families_get_frames_around_them_alone() -> None:
    drawing = draw.make_drawing(residual(), "TB")
    assert sorted(frame.name for frame in drawing.frames) == ["res2a", "res2b"]
    found = boxes(drawing)
    for frame in drawing.frames:
        left, top, right, bottom = frame.box
        inside = (found[:, 0] > left) & (found[:, 1] > top) & (found[:, 2] < right) & (found[:, 3] < bottom)
        assert {node.family for node, within in zip(drawing.nodes, inside, strict=True) if within} == {frame.name}


def test_long_arrows_pass_beside_other_nodes() -> None:
    sizes = [(40.0, 20.0)] * 6
    plan = layout(sizes, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)])
    for x, y in plan.routes[-1][1:-1]:
        for cx, cy in plan.centres:
            assert not (abs(x - cx) < 20 and abs(y - cy) < 10)
    assert layout([], []).centres == []


def test_the_longest_of_very_many_arrows_run_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = [(i, j) for i in range(12) for j in range(i + 1, 12)]
    monkeypatch.setattr("segcaffe.viz.layered_layout._MOST_POINTS", 60)
    routes = layout([(20.0, 10.0)] * 12, edges).routes
    passed = [len(route) // 2 - 1 for route in routes]
    assert 40 < sum(passed) <= 60
    bent = max(j - i for (i, j), points in zip(edges, passed, strict=True) if points == j - i - 1)
    straight = [j - i for (i, j), points in zip(edges, passed, strict=True) if points != j - i - 1]
    assert straight
    assert min(straight) >= bent


def test_labels_and_colours_are_caffes() -> None:
    by_name = {layer.name: layer for layer in lenet(loss=True).layer}
    assert draw.get_layer_label(by_name["conv1"], "LR") == "conv1\n(Convolution)\nkernel size: 5 stride: 1 pad: 0"
    assert draw.get_layer_label(by_name["pool1"], "TB") == "pool1\n(MAX Pooling)\nkernel size: 2 stride: 2 pad: 0"
    assert draw.get_edge_label(by_name["conv1"]) == "8"
    assert draw.get_edge_label(by_name["score"]) == "10"
    assert draw.get_edge_label(by_name["relu1"]) == ""
    colours = [draw.choose_color_by_layertype(name) for name in ("Convolution", "Pooling", "InnerProduct", "Softmax")]
    assert colours == ["#FF5050", "#FF9900", "#CC33FF", "#6495ED"]
    assert draw.get_pooling_types_dict()[1] == "AVE"
    conv = L.Convolution(
        L.Input(), kernel_h=3, kernel_w=1, dilation=2, num_output=1, param=[{"lr_mult": 1}, {"lr_mult": 0.5}]
    )
    layer = conv.to_proto().layer[1]
    assert "kernel size: 3x1 stride: 1 pad: 0 dilation: 2\nlr mult: 1, 0.5" in draw.get_layer_label(layer, "LR", True)
    pool = L.Pooling(L.Input(), global_pooling=True).to_proto().layer[1]
    assert draw.get_layer_label(pool, "LR").endswith("global")


def test_phase_selects_layers_and_both_phases_share_the_data_blob() -> None:
    n: Any = NetSpec()
    n.data = L.Data(batch_size=64, include={"phase": caffe.TRAIN})
    n.test_data = L.Data(batch_size=100, include={"phase": caffe.TEST})
    n.out = L.ReLU(n.data)
    net = n.to_proto()
    net.layer[1].top[0] = "data"
    both = draw.make_drawing(net)
    assert [node.cells[0].blob for node in both.nodes if node.cells[0].blob] == ["data", "out"]
    assert [label for _, _, label in both.edges] == ["Batch 64", "Batch 100", "", ""]
    train = draw.make_drawing(net, phase=caffe.TRAIN)
    assert [node.cells[0].lines[0] for node in train.nodes if node.cells[0].layer is not None] == ["data", "out"]


def test_svg_is_well_formed_and_names_layers() -> None:
    tree = ET.fromstring(draw.draw_net(residual(), "TB", "svg").decode())
    space = "{http://www.w3.org/2000/svg}"
    assert tree.find(f"{space}title").text == "residual <&> net"
    groups = tree.findall(f"{space}g")
    assert {int(g.get("data-layer")) for g in groups if g.get("data-layer")} == set(range(len(residual().layer)))
    shapes = draw.draw_net(lenet(), "TB", "svg", shapes={"conv1": (4, 8, 24, 24)}).decode()
    assert "4 x 8 x 24 x 24" in shapes


def test_html_stands_alone() -> None:
    net = residual()
    net.layer[0].name = "</script><b>"
    page = draw.draw_net(net, "TB", "html", shapes={"data": (1, 3, 8, 8)}).decode()
    assert page.startswith("<!DOCTYPE html>")
    assert not re.findall(r'(?:src|href)="', page)
    assert page.count("</script>") == 1
    assert "const layers = [{" in page
    assert not re.findall("@[A-Z]+@", page)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
USER = """<script>
const told = [], box0 = picture.getAttribute("viewBox"), group = document.querySelector("[data-layer='1']");
const click = target => target.dispatchEvent(new MouseEvent("click", { bubbles: true }));
const mouse = (type, x, y) => new PointerEvent(type, { clientX: x, clientY: y, bubbles: true });
click(group.querySelector("text"));
told.push("chosen " + document.querySelectorAll(".chosen").length, details.querySelector("dd").textContent);
view.dispatchEvent(new WheelEvent("wheel", { deltaY: -500, clientX: 300, clientY: 200, bubbles: true }));
told.push("zoom " + (box[2] / full[2]).toFixed(3));
const under = at({ clientX: 300, clientY: 200 });
view.dispatchEvent(mouse("pointerdown", 300, 200));
window.dispatchEvent(mouse("pointermove", 360, 230));
const moved = at({ clientX: 360, clientY: 230 });
told.push("grip " + (Math.hypot(moved[0] - under[0], moved[1] - under[1]) < 0.01));
window.dispatchEvent(mouse("pointerup", 360, 230));
document.getElementById("all").click();
told.push("whole " + (picture.getAttribute("viewBox") === box0));
const find = document.getElementById("find");
for (const text of ["res2b", "branch2c"]) {
  find.value = text; find.dispatchEvent(new Event("change")); told.push(details.querySelector("dd").textContent);
}
document.body.append(element("output", told.join("|")));
</script></body>"""


def test_html_answers_mouse_and_search(tmp_path: Path) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"needs a browser: {', '.join(BROWSERS)}")
    page = tmp_path / "net.html"
    draw.draw_net_to_file(residual(), page)
    # The page's policy lets its own scripts run and no other, not even this one.
    text, policies = re.subn('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    assert policies == 1
    page.write_text(text.replace("</body>", USER))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    dom = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120).stdout
    told = re.search("<output>(.*)</output>", dom)
    assert told is not None, dom[-2000:]
    assert told[1].split("|") == [
        "chosen 1",
        "res2a_branch2a",
        "zoom 0.368",
        "grip true",
        "whole true",
        "res2b",
        "res2a_branch2c",
    ]


@pytest.mark.parametrize("suffix", ["png", "pdf", "eps", "svg", "html", "dot"])
def test_every_format_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net.{suffix}"
    draw.draw_net_to_file(lenet(), path, "TB")
    content = path.read_bytes()
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "eps": b"%!PS", "svg": b"<svg", "html": b"<!DOC", "dot": b"digraph"}
    assert content.startswith(starts[suffix])
    if suffix == "png":
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        red = (image == (0x50, 0x50, 0xFF)).all(axis=2).mean()
        assert 0.02 < red < 0.5


def test_dot_has_all_nodes_and_edges() -> None:
    drawing = draw.make_drawing(residual(), "LR")
    text = draw.dot(drawing, "LR")
    cells = sum(len(node.cells) for node in drawing.nodes)
    assert text.count("[shape=") == cells
    assert text.count("->") == len(drawing.edges) + cells - len(drawing.nodes)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pydot", "ignore::DeprecationWarning:pyparsing")
def test_pydot_graph_or_how_to_get_pydot() -> None:
    try:
        import pydot
    except ImportError:
        with pytest.raises(SegcaffeError, match="pip install pydot"):
            draw.get_pydot_graph(lenet(), "LR")
    else:
        drawing = draw.make_drawing(residual(), "LR")
        graph = draw.get_pydot_graph(residual(), "LR")
        assert isinstance(graph, pydot.Dot)
        within = sum(len(node.cells) - 1 for node in drawing.nodes)
        assert len(graph.get_edges()) == len(drawing.edges) + within


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(SegcaffeError, match=r"format is one of svg.*Received: gif"):
        draw.draw_net(lenet(), "LR", "gif")
    with pytest.raises(SegcaffeError, match="a name without one"):
        draw.draw_net_to_file(lenet(), tmp_path / "net")
    with pytest.raises(SegcaffeError, match="rankdir is LR"):
        draw.draw_net(lenet(), "XY")
    with pytest.raises(SegcaffeError, match="cannot be written: No such file"):
        draw.draw_net_to_file(lenet(), tmp_path / "no folder" / "net.svg")


def test_command_draws_with_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "net.prototxt", tmp_path / "net.svg"
    source.write_text(str(lenet()))
    assert main(["draw", str(source), str(out), "--shapes", "--rankdir", "LR", "--display_lrm"]) == 0
    assert "4 x 16 x 4 x 4" in out.read_text()
    assert str(out) in capsys.readouterr().out
    assert main(["draw", str(source), str(out), "--phase", "TRAIN"]) == 0
    assert main(["draw", str(tmp_path / "missing"), str(out)]) == 2


def test_letters_that_the_font_lacks(tmp_path: Path) -> None:
    net = NetParameter()
    net.layer.add(name=from_bytes("研究".encode() + b"\xdf"), type="Input", top=["x"])
    draw.draw_net_to_file(net, tmp_path / "net.png")
    assert cv2.imread(str(tmp_path / "net.png")) is not None
