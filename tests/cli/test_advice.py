"""Messages advise only what can be done: the options, commands, packages and scripts that they name are there."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from segcaffe.cli.main import COMMANDS, build_parser
from tests.conftest import ROOT

PACKAGE = ROOT / "segcaffe"
NETS = "train", "test", "time", "classify", "detect", "net", "predict", "explore", "features", "lint", "export"
"""Commands that build a net."""
READ_NETS = *NETS, "draw", "upgrade"
SKIPPING = "data make-db", "data mean", "predict", "eval"
REACHED_FROM: dict[str, tuple[str, ...]] = {
    "glog.py": ("train", "test", "demo", "reproduce"),
    "cli/proving.py": ("export",),
    "export/source.py": ("export", "weights import"),
    "export/input_shapes.py": ("export", "weights import"),
    "export/onnx/model.py": ("export",),
    "export/torch/judged.py": ("export",),
    "export/torch/training.py": ("export",),
    "export/torch/writer.py": ("export",),
    "export/onnx/preprocessing.py": ("export",),
    "kernels/distance/registry.py": (*NETS, "refine"),
    "files/limits.py": (*READ_NETS, "weights", "eval", "plot", "data make-db", "data check"),
    "data/convert_images.py": ("data make-db",),
    "data/database_writer.py": ("data make-db", "data import-mnist", "data import-cifar", "features"),
    "predict/features.py": ("features",),
    "predict/explorer.py": ("explore",),
    "solver/divide.py": ("train",),
    "data/files.py": SKIPPING,
    "data/contents.py": ("data show", "data mean"),
    "data/label_images.py": ("data check", "data show", "data import-folder", "eval"),
    "data/palettes.py": ("data check", "data show", "data import-folder", "eval"),
    "data/voc_submission.py": ("eval",),
    "data/coco.py": ("data import-coco",),
    "data/voc.py": ("data import-voc",),
    "detector.py": ("detect",),
    "device/compat.py": (
        "train",
        "test",
        "time",
        "classify",
        "detect",
        "predict",
        "explore",
        "features",
        "demo",
        "reproduce",
    ),
    "device/memory.py": ("train",),
    "lint/run.py": ("lint",),
    "metrics/tally.py": ("eval",),
    "recipes/study/images.py": ("reproduce",),
    "recipes/study/sources.py": ("reproduce",),
    "recipes/study/study.py": ("reproduce",),
    "weights/importing/load.py": ("weights import",),
    "weights/importing/match.py": ("weights import",),
    "weights/completeness.py": ("predict", "explore", "test", "classify", "detect", "features", "export"),
    "viz/left_out.py": ("net", "draw"),
    "viz/net_table.py": ("net",),
    "predict/box_results.py": ("predict",),
    "predict/given_regions.py": ("predict",),
    "predict/loaded.py": ("predict", "explore"),
    "predict/refinement.py": ("refine",),
    "predict/result_folder.py": ("predict",),
    "predict/predictor.py": ("predict", "explore"),
    "proto/template.py": READ_NETS,
    "recipes/resnet.py": ("train",),
    "recipes/vgg16.py": ("train",),
    "snapshot/files.py": ("train",),
    "surgery/crf.py": ("segawarify",),
    "surgery/grids.py": ("segawarify",),
    "surgery/segawarify.py": ("segawarify",),
    "viz/tensorboard.py": ("train",),
}
"""For modules that are no command: the commands that can end with their messages. Each must have every option named."""
COMMON = {"numpy", "opencv-contrib-python-headless", "pydot", "h5py", "lmdb", "matplotlib", "tensorboardX",
          "nvidia-nccl-cu12", "nvidia-nccl-cu13"}  # fmt: skip
"""Packages that messages may name besides those of the project's extras."""


@cache
def strings(path: Path) -> tuple[tuple[int, str], ...]:
    """Lines and texts of a module's strings, docstrings apart; what f-strings fill in is an ellipsis."""
    return tuple(_strings(path))


def _strings(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text())
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
            silent |= {id(part) for part in node.values}
            yield node.lineno, "".join(map(str, parts))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.lineno, node.value


MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9_-]*)(?![A-Za-z])")
COMMAND = re.compile(r"(?:`|: )segcaffe ([a-z][\w-]*)(?: ([a-z][\w-]*))?")
OTHER_PROGRAM = re.compile(r"pip install .*$")
PACKAGES = re.compile(r"pip install (?!-e )(?:-U )?\"?([\w-]+)")


@cache
def options() -> dict[str, set[str]]:
    """Names of each command's options, dashes for underscores; of actions under "data make-db" and so on."""
    return dict(_options(build_parser(), ""))


def _options(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, set[str]]]:
    flags = {flag.lstrip("-").replace("_", "-") for action in parser._actions for flag in action.option_strings}
    yield name, flags
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below, subparser in action.choices.items():
                yield from _options(subparser, f"{name} {below}".strip())


class Named(NamedTuple):
    """An option in a module's strings, and the command that the sentence gives it to (empty: the one that runs)."""

    line: int
    option: str
    command: str


def named(module: str) -> Iterator[Named]:
    for line, text in strings(PACKAGE / module):
        for option in OPTION.finditer(text):
            before = text[: option.start()]
            commands = COMMAND.findall(before)
            if not OTHER_PROGRAM.search(before):
                yield Named(line, option[1].replace("_", "-").removesuffix("-"), commands[-1][0] if commands else "")


def has(place: str, option: str) -> bool:
    """Whether a command, or one of its actions, has an option."""
    return any(option in flags for name, flags in options().items() if name == place or name.startswith(f"{place} "))


@pytest.mark.parametrize("module", [module for module in MODULES if OPTION.search((PACKAGE / module).read_text())])
def test_options_exist_where_the_message_is_shown(module: str) -> None:
    own = Path(module).stem.replace("_", "-")
    places: tuple[str, ...] = (own,) if module.startswith("cli/") and own in COMMANDS else ()
    if not module.startswith("cli/") or module in REACHED_FROM:
        told = f"{module} names options: say in REACHED_FROM which commands show its messages"
        assert module in REACHED_FROM or all(found.command for found in named(module)), told
        places = REACHED_FROM.get(module, ())
    anywhere = set().union(*options().values())
    for found in named(module):
        assert found.option in anywhere, f"{module}:{found.line}: no command has --{found.option}"
        for place in (found.command,) if found.command else places:
            assert has(place, found.option), f"{module}:{found.line}: segcaffe {place} has no --{found.option}"


def test_commands_exist() -> None:
    known = options()
    for module in MODULES:
        for line, text in strings(PACKAGE / module):
            for command, action in COMMAND.findall(text):
                assert command in COMMANDS, f"{module}:{line}: {text}"
                if any(place.startswith(f"{command} ") for place in known) and action:
                    assert f"{command} {action}" in known, f"{module}:{line}: {text}"


def test_packages_are_those_of_the_extras() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    extras = project[project.index("[project.optional-dependencies]") :]
    extras = extras[: extras.index("\n[", 1)]
    known = {name.lower() for name in re.findall(r'"([\w-]+)', extras)} | {name.lower() for name in COMMON}
    for module in MODULES:
        for line, text in strings(PACKAGE / module):
            for name in PACKAGES.findall(text):
                assert name.lower() in known, f"{module}:{line}: pip install {name}"
                assert name != "segcaffe", f"{module}:{line}: segcaffe is installed from its checkout"


def test_scripts_exist() -> None:
    for module in MODULES:
        for line, text in strings(PACKAGE / module):
            for name in re.findall(r"\b(?:tools|benchmarks|docs)/[\w/.-]*\w", text):
                assert (ROOT / name).exists(), f"{module}:{line}: {name}"
