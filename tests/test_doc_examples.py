"""What the documentation tells people to type works, page by page, in a folder with nothing but configs/.

A block marked ``run`` is executed; one marked ``file=NAME`` is written to that file, one marked ``into=NAME`` to its
end or, with ``before=WORD``, before the first line that begins with that word. Pages for those who work on the package
have a copy of the checkout beside configs/. To be quick, nets are trained for two iterations and few images are made.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT

INSIDE = ("adding-a-kernel", "adding-a-command")
"""Pages about work on the package itself."""
CHECKOUT = ("segcaffe", "tests", "tools", "docs", "protos", "pyproject.toml")
PAGES = (
    "../README",
    "getting-started",
    "recipes",
    "adding-a-layer",
    "weights",
    "export",
    "export-pytorch",
    "solver",
    "json",
    "segawarify",
    "opencv-5",
    "planner",
    "performance",
    "security",
    "reliability",
    *INSIDE,
)
BLOCK = re.compile(r"^```(\w+)(?: (run|file=\S+|into=\S+(?: before=\S+)?))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TRAINED = "plain", "embs"
"""Nets that pages may take for trained."""


class Block(NamedTuple):
    language: str
    mark: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text())]


def shortened(text: str) -> str:
    """The same commands with less to do."""
    text = re.sub(r"(segcaffe train (?!.*--max_iter).*)", r"\1 --max_iter 2", text)
    text = re.sub(r"_iter_120\b", "_iter_2", text)
    text = re.sub(r"(_iter_|--max_iter )140\b", r"\g<1>4", text)
    text = re.sub(r"(make-scenes \S+ --classes).*", r"\1 --train 10 --test 2", text)
    return re.sub(r"--iterations 12\b", "--iterations 2", text)


def copy_checkout(folder: Path) -> None:
    """What a checkout has to run its own tests."""
    for path in (ROOT / name for name in CHECKOUT):
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, folder)


def write_into(mark: str, text: str, folder: Path) -> None:
    """Put a block into a file as its mark says."""
    name, _, word = mark.removeprefix("into=").partition(" before=")
    path = folder / name
    lines = path.read_text().splitlines(keepends=True)
    starts = [i for i, line in enumerate(lines) if word and line.lstrip().startswith(word)]
    assert starts or not word, f"no line of {name} begins with {word}"
    place = starts[0] if starts else len(lines)
    path.write_text("".join([*lines[:place], text, *lines[place:]]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    variables = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if (folder / "segcaffe").exists():
        variables["PYTHONPATH"] = str(folder)
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page: str, folder: Path) -> None:
    script: list[str] = []
    if page in ("weights", "opencv-5"):
        _train(folder)
    if page in INSIDE:
        copy_checkout(folder)
    for block in blocks(page):
        if block.mark.startswith("file="):
            file = folder / block.mark.removeprefix("file=")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.mark.startswith("into="):
            write_into(block.mark, block.text, folder)
        elif block.mark == "run" and block.language == "sh":
            run(["bash", "-euc", shortened(block.text)], folder)
        elif block.mark == "run":
            script.append(shortened(block.text))
    if script:
        run([sys.executable, "-c", "\n".join(script)], folder)


def _train(folder: Path) -> None:
    run(["bash", "-euc", "segcaffe data make-scenes scenes --classes --train 10 --test 2"], folder)
    for net in TRAINED:
        command = f"segcaffe train --solver configs/tiny/{net}_solver.prototxt --set SCENES=scenes --set OUT=model"
        run(["bash", "-euc", f"{command} --max_iter 2"], folder)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in INSIDE])
def test_commands_parse(page: str) -> None:
    """Those that are not run, too, name commands and options that there are; pages of ``INSIDE`` add some first."""
    import shlex

    from segcaffe.cli.main import build_parser

    lines = [line for block in blocks(page) if block.language == "sh" for line in block.text.splitlines()]
    for line in lines:
        if line.startswith("segcaffe ") and "--version" not in line:
            build_parser().parse_args(shlex.split(re.split(r" (?:\|\||>) ", line)[0])[1:])
