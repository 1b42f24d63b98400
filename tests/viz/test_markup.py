"""Names with any characters in drawings."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from segcaffe.cli.main import main
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.pycaffe.draw import draw_net
from segcaffe.viz.report import Report

NAMES = ["@SVG@", "@LAYERS@", "@NOTHING@", "</script><b>", "<!--<script>", "a & b", '"quoted"', "it's", "back\\slash",
         "$x_1$", "\x01\x0b", "\x7f\x9b2J\u202e", "tab\tend\r\n", "<img src=x onerror=alert(1)>",
         "\u5b66\u4e60", r"\1 \g<0>", "]]>"]  # fmt: skip


def _net(name: str) -> NetParameter:
    net = NetParameter(name=name)
    net.layer.add(name=name, type="Input", top=[name]).input_param.shape.add(dim=[1])
    net.layer.add(name=f"{name}2", type="ReLU", bottom=[name], top=["y"])
    return net


@pytest.mark.parametrize("name", NAMES)
def test_html(name: str) -> None:
    page = draw_net(_net(name), "TB", "html").decode()
    (line,) = [line for line in page.splitlines() if line.startswith("const layers =")]
    data = json.loads(line[len("const layers = ") : line.index("], shapes") + 1])
    assert [layer["name"] for layer in data] == [name, f"{name}2"]
    assert page.count("</script>") == 1
    assert page.count("<svg ") == 1
    _check_policy(page)
    _check_svg(re.search("<svg .*</svg>", page, re.DOTALL)[0], name)


@pytest.mark.parametrize("name", NAMES)
def test_svg_and_others(name: str) -> None:
    _check_svg(draw_net(_net(name), "TB", "svg").decode(), name)
    assert draw_net(_net(name), "TB", "dot")


def _check_policy(page: str) -> None:
    """What stands in script and style elements is allowed by its hash, and nothing stands in attributes."""
    (rules,) = re.findall('<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    allowed = {rule.split(" ")[0]: rule.split(" ")[1:] for rule in rules.split("; ")}
    assert allowed["default-src"] == ["'none'"]
    assert not any("unsafe" in rule or "*" in rule for rule in rules.split())
    head = page[: page.index(rules)]
    for kind in ("script", "style"):
        parts = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        assert parts or kind == "script"
        assert f"<{kind}" not in head
        assert len(parts) == page.count(f"<{kind}")
        for part in parts:
            assert f"'sha256-{b64encode(sha256(part.encode()).digest()).decode()}'" in allowed[f"{kind}-src"]
    # Handlers and styles as attributes would need more than hashes.
    attributes: set[str] = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, found: attributes.update(name for name, _ in found)  # type: ignore[method-assign]
    parser.feed(page)
    assert attributes
    assert not [name for name in attributes if name.startswith("on") or name == "style"]


@pytest.mark.parametrize("text", NAMES)
def test_report(tmp_path: Path, text: str) -> None:
    report = Report(tmp_path / "report", text)
    report.heading(text)
    report.text(text)
    report.figure("a b&.png", text, 3)
    report.table([text], [[text]])
    page = report.write().read_text()
    _check_policy(page)
    assert page.count(escape(re.sub("[\x00-\x1f\x7f-\x9f\u202e]", "\ufffd", text))) == 8
    assert 'src="a%20b%26.png"' in page


def _check_svg(text: str, name: str) -> None:
    texts = ["".join(element.itertext()) for element in ElementTree.fromstring(text).iter()]
    assert re.sub("[\x00-\x1f\x7f-\x9f\u202e]", "\ufffd", name) in texts


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
@pytest.mark.parametrize("name", ["$x_1$", "$", "a$b_$\\"])
def test_png_takes_names_as_they_are(name: str) -> None:
    assert draw_net(_net(name), "TB", "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", [".caffemodel", ".npz", ".safetensors"])
def test_the_net_of_weights(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    from segcaffe.convert import formats

    net = NetParameter(name="n")
    net.layer.add(name="d", type="Input", top=["d"]).input_param.shape.add(dim=[1, 3])
    layer = net.layer.add(name="ip", type="InnerProduct", bottom=["d"], top=["y"])
    layer.inner_product_param.num_output = 2
    for shape in ([2, 3], [2]):
        layer.blobs.add(data=[1.0] * (6 if len(shape) > 1 else 2)).shape.dim.extend(shape)
    path, drawing = tmp_path / f"x{suffix}", tmp_path / "x.svg"
    formats.save(net, path)
    assert main(["draw", str(path), str(drawing)]) == 0
    assert "(InnerProduct)" in drawing.read_text()
    assert main(["net", str(path)]) == 0
    assert "ip     InnerProduct  y 1x2" in capsys.readouterr().out
    formats.save(net, tmp_path / "x.h5")
    assert main(["net", str(tmp_path / "x.h5")]) == 2
    assert "holds the names and blobs of layers, but not their types" in " ".join(capsys.readouterr().err.split())
