"""The documentation says what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from segcaffe.cli.main import COMMANDS, main
from segcaffe.layers import layer_class, layer_types
from segcaffe.layers.base import NeuronLayer
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.fields import SEVERAL
from segcaffe.proto.fork_options import EFFECTS
from segcaffe.testing import LayerCase
from tests.cases import all_cases

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    pages: dict[str, str] = runpy.run_path(str(ROOT / "tools" / "make_docs.py"))["pages"]()
    return pages


@pytest.mark.parametrize("name", ["layers.md", "cli.md", "security.md", "export.md", "export-pytorch.md"])
def test_generated_pages_are_up_to_date(name: str, generated: dict[str, str]) -> None:
    assert (ROOT / "docs" / name).read_text() == generated[name], "run: python tools/make_docs.py"


def test_solver_page_has_every_field_with_its_default() -> None:
    text = (ROOT / "docs" / "solver.md").read_text()
    rows = dict(re.findall(r"^\| (\w+) \| ([^|]*?) ?\|[^|]*\|$", text[text.index("## Every field") :], re.MULTILINE))
    rows.pop("field")
    fields = [field for field in SolverParameter.DESCRIPTOR.fields if f"SolverParameter.{field.name}" not in EFFECTS]
    fields = [field for field in fields if not field.name.endswith(SEVERAL)]
    assert set(rows) == {field.name for field in fields}
    for field in fields:
        if field.has_default_value and field.enum_type is None and field.name != "rms_decay":
            kind = type(field.default_value)
            told = {"true": True, "false": False}.get(rows[field.name], rows[field.name])
            assert kind(told) == pytest.approx(field.default_value), field.name


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.id)
def test_parameter_blobs_are_told(case: LayerCase) -> None:
    layer, _, _ = case.build()
    if layer.blobs:
        assert re.search(r"\bblobs?:|Parameters:", type(layer).__doc__ or "")


@pytest.mark.parametrize("name", layer_types())
def test_bottoms_and_tops_are_told(name: str) -> None:
    cls = layer_class(name)
    text = (cls.__doc__ or "").lower()
    if not issubclass(cls, NeuronLayer):
        assert "top" in text
        assert "bottom" in text or cls.source


def test_every_type_is_timed_or_named_as_left_out() -> None:
    pytest.importorskip("torch")
    from benchmarks.layer_cases import benches, left_out

    timed = {bench.case.type for bench in benches()}
    assert not timed & set(left_out())
    assert timed | set(left_out()) == set(layer_types())


def test_differences_name_known_types() -> None:
    text = (ROOT / "docs" / "differences.md").read_text()
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) <= set(layer_types())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            other = page.parent / target if target else page
            assert other.exists(), f"{page.name} links to {target}"
            assert not heading or heading in headings(other), f"{page.name} links to {target}#{heading}"


def headings(page: Path) -> set[str]:
    """What links to the headings of a page end with."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    """Files of the package and of the checkout, wherever folders have moved."""
    for name in re.findall(r"`([a-z_]+/[\w./-]+\.(?:py|cu|cuh|cpp|proto|prototxt|vars|sh|md))`", page.read_text()):
        found = [above for above in ("", "segcaffe", "docs", "tests") if (ROOT / above / name).exists()]
        assert found, f"{page.name} names {name}"


def test_python_in_the_text_runs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for page in PAGES for line in re.findall(r'`python -c "([^"]*)"`', page.read_text())]
    assert lines
    for line in lines:
        exec(compile(line, line, "exec"), {})
        assert capsys.readouterr().out


@pytest.mark.parametrize("page", ["design", "planner"])
def test_files_and_folders_of_the_design_exist(page: str) -> None:
    """Paths from the checkout or from the package; a name without a folder from anywhere in the package."""
    names = set(re.findall(r"`([\w./-]+(?:\.py|\.sh|/))`", (ROOT / "docs" / f"{page}.md").read_text()))
    assert names
    package = ROOT / "segcaffe"
    for name in names:
        assert any((folder / name).exists() for folder in (ROOT, package)) or any(package.rglob(name)), name


def test_every_page_is_listed_once() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    listed = re.findall(r"^- \[[^]]*\]\((\S+\.md)\)", text, re.MULTILINE)
    assert sorted(listed) == sorted(
        [page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"] + ["../protos/README.md"]
    )


def test_pictures_are_shown_somewhere() -> None:
    shown = {Path(name).name for page in PAGES for name in re.findall(r"!\[[^]]*\]\((\S+)\)", page.read_text())}
    assert {path.name for path in (ROOT / "docs" / "images").glob("*.png")} <= shown


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: segcaffe" in capsys.readouterr().out


def test_commands_in_the_readme_exist() -> None:
    for command in re.findall(r"^segcaffe (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert command in COMMANDS
