"""Gathers what the static site is made of, and has MkDocs build it: python tools/make_site.py [FOLDER].

The site holds the pages of docs/, README and the like, under the paths that they have in the checkout, so that links
lead to the same places, and an API reference: a page for each room of the package, and for each family of layers, from
signatures and docstrings. A link or an anchor that leads nowhere is an error. Nothing is fetched, neither here nor by
a browser that shows the site.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.draw_house import FLOORS, ROOT, modules, room

SITE = ROOT / "build" / "site"
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "protos/README.md", "docs/*.md", "docs/images/*")
MARK = re.compile(r"^(```\w+) .*$", re.MULTILINE)
"""What makes a block of code an example that a test runs: MkDocs would take it for no code."""
NOT_API = ("cli", "__main__")
"""Rooms without a page: docs/cli.md has the commands."""
CONTRACTS = re.compile(r"segcaffe\.kernels(\.\w+)?$")
"""Of the kernels, the modules that declare them; implementations have no interface of their own."""
OPTIONS = {
    "docstring_style": "numpy",
    "docstring_options": {"warnings": False},
    "docstring_section_style": "list",
    "heading_level": 2,
    "members_order": "source",
    "separate_signature": True,
    "show_root_heading": True,
    "show_root_full_path": True,
    "show_signature_annotations": True,
    "show_source": False,
}
FOREIGN = re.compile(r'<(?:script|img|iframe)[^>]*\bsrc="?https?:|<link[^>]*rel="?stylesheet[^>]*\bhref="?https?:')


def api_pages() -> dict[str, list[str]]:
    """The modules of each page of the reference, by the page's name: ``segcaffe.net``, ``segcaffe.layers.loss``."""
    pages: dict[str, list[str]] = {}
    for name, path in modules(ROOT / "segcaffe").items():
        hidden = room(name) in NOT_API or path.stem == "caffe_pb2" or name.rpartition(".")[2].startswith("_")
        if hidden or (room(name) == "kernels" and not CONTRACTS.match(name)):
            continue
        parts = name.split(".")
        family = room(name) == "layers" and len(parts) + (path.name == "__init__.py") > 3
        pages.setdefault(".".join(parts[: 3 if family else 2]), []).append(name)
    return pages


def config(api: list[str], source: Path, site: Path) -> dict[str, Any]:
    """MkDocs' configuration."""
    floors = {floor: [f"api/{page}.md" for page in api if room(page) in rooms] for floor, rooms in FLOORS.items()}
    reference = [{floor[0].upper() + floor[1:]: pages} for floor, pages in reversed(floors.items())]
    guide = re.findall(r"^- \[[^]]*\]\((\S+\.md)\)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8"), re.M)
    return {
        "site_name": "segcaffe",
        "docs_dir": str(source),
        "site_dir": str(site),
        "strict": True,
        "use_directory_urls": False,
        "theme": {"name": "material", "font": False, "features": ["navigation.indexes", "toc.follow"]},
        "extra": {"generator": False},
        "plugins": ["search", {"mkdocstrings": {"handlers": {"python": {"paths": [str(ROOT)], "options": OPTIONS}}}}],
        "markdown_extensions": ["tables", "fenced_code", {"toc": {"permalink": True}}, "pymdownx.highlight"],
        "validation": {
            "nav": {"omitted_files": "warn"},
            "links": dict.fromkeys(("anchors", "not_found", "unrecognized_links", "absolute_links"), "warn"),
        },
        "nav": [
            "README.md",
            {"Documentation": ["docs/README.md", *(f"docs/{page}" for page in guide if not page.startswith("../"))]},
            {"Work on it": ["CONTRIBUTING.md", "protos/README.md", "CHANGELOG.md"]},
            {"API": reference},
        ],
    }


def gather(folder: Path) -> None:
    """Copy the pages, without the marks that tests follow, and write those of the reference, which MkDocs fills."""
    for path in (path for pattern in PAGES for path in ROOT.glob(pattern)):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(MARK.sub(r"\1", path.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copy2(path, target)
    (folder / "api").mkdir()
    for page, names in api_pages().items():
        text = "\n".join(f"::: {name}\n" for name in names)
        (folder / "api" / f"{page}.md").write_text(f"# {page}\n\n{text}", encoding="utf-8")


def main() -> int:
    """Build the site; return 1 where MkDocs finds a fault, or a page fetches something from elsewhere."""
    site = Path(sys.argv[1]).resolve() if sys.argv[1:] else SITE
    source = site.with_name(f"{site.name}-source")
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    gather(source / "pages")
    settings = source / "mkdocs.yml"
    settings.write_text(json.dumps(config(list(api_pages()), source / "pages", site), indent=1), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--clean", "--config-file", str(settings)]
    # Its theme tells of a version of MkDocs to come, which pyproject.toml keeps out.
    if subprocess.run(command, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=False).returncode:
        return 1
    fetching = [path for path in site.rglob("*.html") if FOREIGN.search(path.read_text(encoding="utf-8"))]
    print("\n".join(f"{path} fetches something from elsewhere" for path in fetching) or f"{site / 'index.html'}")
    return 1 if fetching else 0


if __name__ == "__main__":
    sys.exit(main())
