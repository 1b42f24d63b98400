"""What a notebook shows of a net, and the net's summary."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64decode
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

import segcaffe as caffe
from segcaffe.cli.main import main
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.pycaffe.notebook import MOST_DRAWN
from tests.pycaffe.nets import lenet
from tests.viz.test_markup import NAMES


class _Cells(HTMLParser):
    """The elements of a fragment, and its rows of text."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(fragment)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "img":
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def picture(fragment: str) -> ElementTree.Element:
    [drawn] = re.findall('src="data:image/svg\\+xml;base64,([^"]*)"', fragment)
    return ElementTree.fromstring(b64decode(drawn))


def chain(layers: int) -> NetParameter:
    net = NetParameter(name="chain")
    net.layer.add(name="x", type="Input", top=["x"]).input_param.shape.add(dim=[1])
    for i in range(layers - 1):
        net.layer.add(name=f"r{i}", type="Power", bottom=[f"t{i - 1}" if i else "x"], top=[f"t{i}"])
    return net


def test_table() -> None:
    net = caffe.Net(lenet(4, loss=True), caffe.TRAIN)
    cells = _Cells(net._repr_html_())
    assert cells.rows[0] == ["layer", "type", "bottoms → tops", "shapes", "parameters"]
    assert [row[0] for row in cells.rows[1:]] == net.layer_names
    assert cells.rows[1][2:] == ["→ data, label", "(4, 1, 28, 28), (4,)", ""]
    assert cells.rows[2] == ["conv1", "Convolution", "data → conv1", "(4, 8, 24, 24)", "208"]
    assert "9 layers, 16,784 parameters" in net._repr_html_()


def test_graph_without_the_splits() -> None:
    written = lenet()
    written.layer.add(name="second", type="Power", bottom=["conv1"], top=["twice"])
    net = caffe.Net(written, caffe.TEST)
    fragment = net._repr_html_()
    assert "_split_" in fragment
    texts = "".join(picture(fragment).itertext())
    assert "_split" not in texts
    assert {"conv1", "second", "twice", "4 x 8 x 24 x 24"} <= set(picture(fragment).itertext())
    assert fragment.count("<details>") == 1, "the graph is folded up"


def test_large_nets_are_folded_up_and_not_drawn() -> None:
    small, large = (caffe.Net(chain(MOST_DRAWN + more), caffe.TEST)._repr_html_() for more in (0, 1))
    assert "<img" in small
    assert "<details open>" in small
    assert "<img" not in large
    assert "<details open>" not in large
    assert len(_Cells(large).rows) == MOST_DRAWN + 2


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(name: str) -> None:
    net = NetParameter(name=name)
    net.layer.add(name=name, type="Input", top=[name]).input_param.shape.add(dim=[1])
    net.layer.add(name=f"{name}2", type="ReLU", bottom=[name], top=["y"])
    cells = _Cells(caffe.Net(net, caffe.TEST)._repr_html_())
    assert cells.tags == {"details", "summary", "table", "tr", "th", "td", "img"}
    assert len(cells.rows) == 3
    if name.isprintable():
        assert cells.rows[2][0] == unescape(f"{name}2") == f"{name}2"


def test_summary_is_what_the_command_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(str(lenet()))
    assert main(["net", str(path)]) == 0
    assert capsys.readouterr().out == caffe.Net(str(path), caffe.TEST).summary() + "\n"


def test_a_look_needs_no_matplotlib_and_computes_nothing() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import segcaffe as caffe; from tests.pycaffe.nets import lenet\n"
        "net = caffe.Net(lenet(), caffe.TEST)\n"
        "assert '<img' in net._repr_html_() and net.summary()\n"
        "assert not any(blob.allocated for blob in net.blobs.values())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
