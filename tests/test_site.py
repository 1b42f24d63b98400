"""What the static site is made of; that its links lead somewhere is checked where it is built (tools/docs.sh)."""

from __future__ import annotations

from pathlib import Path

from segcaffe.layers import layer_class, layer_types
from tools.make_site import api_pages, config, gather


def test_the_reference_has_what_users_and_layers_call() -> None:
    pages = api_pages()
    listed = [name for names in pages.values() for name in names]
    assert len(listed) == len(set(listed))
    assert {"segcaffe.net.net", "segcaffe.kernels.pooling", "segcaffe.testing.gradient"} <= set(listed)
    assert {layer_class(name).__module__ for name in layer_types()} <= set(listed)
    assert not [name for name in listed if name.endswith(("_pb2", ".cpu", ".gpu")) or ".cli." in name]


def test_marks_of_tests_are_left_out_of_the_pages(tmp_path: Path) -> None:
    gather(tmp_path)
    page = (tmp_path / "docs" / "adding-a-layer.md").read_text()
    assert "```python\n" in page
    assert "```python " not in page
    assert (tmp_path / "docs" / "images" / "house.svg").exists()


def test_every_gathered_page_is_in_the_navigation(tmp_path: Path) -> None:
    gather(tmp_path)
    told = str(config(list(api_pages()), tmp_path, tmp_path / "site")["nav"])
    pages = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")]
    assert not [page for page in pages if f"'{page}'" not in told]
