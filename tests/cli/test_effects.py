"""What docs/security.md says of each command: commands are run under an audit hook, and their effects compared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.cli.effects import EFFECTS
from segcaffe.cli.main import build_parser
from segcaffe.cli.parser import Parser
from segcaffe.net.net import Net

WATCH = """
import json, os, sys
from segcaffe.cli.main import main

KINDS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
found = {}

def note(event, arguments):
    if event in KINDS:
        found[command]["started"].append(event)
    elif event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & WRITES:
        found[command]["written"].append(os.path.abspath(os.fsdecode(arguments[0])))
    elif event in ("os.mkdir", "os.rename", "os.remove"):
        found[command]["written"].append(os.path.abspath(os.fsdecode(arguments[0])))
    elif event == "import" and arguments[1] and arguments[1].startswith(os.getcwd()):
        found[command]["imported"].append(arguments[1])

lines = json.loads(sys.argv[1])
out, sys.stdout = sys.stdout, open(os.devnull, "w")
sys.addaudithook(note)
for command, words in lines.items():
    found[command] = {"started": [], "written": [], "imported": []}
    found[command]["status"] = main(words)
print(json.dumps(found), file=out)
"""
NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 kernel_size: 1 } }
"""
LINES: dict[str, list[str]] = {
    "net": ["net", "n.prototxt"],
    "lint": ["lint", "n.prototxt"],
    "weights show": ["weights", "show", "w.caffemodel"],
    "weights diff": ["weights", "diff", "w.caffemodel", "w.caffemodel"],
    "data check": ["data", "check", "list.txt"],
    "draw": ["draw", "n.prototxt", "out/n.svg", "--shapes"],
    "weights convert": ["weights", "convert", "w.caffemodel", "out/w.npz"],
    "upgrade": ["upgrade", "net", "n.prototxt", "out/n.prototxt"],
    "data make-db": ["data", "make-db", "./", "list.txt", "out/db", "--backend", "lmdb"],
    "data mean": ["data", "mean", "list.txt", "out/mean.binaryproto"],
    "data show": ["data", "show", "list.txt", "--out", "out/sheet.png"],
    "predict": ["predict", "n.prototxt", "w.caffemodel", "i.png", "--out", "out/p"],
    "explore": ["explore", "n.prototxt", "w.caffemodel", "i.png", "--out", "out/e.html", "--embeddings", "y"],
    "refine": ["refine", "s.npy", "i.png", "out/r.npy"],
    "segawarify": ["segawarify", "k.prototxt", "--out", "out/k"],
    "export": ["export", "n.prototxt", "w.caffemodel", "out/n.onnx"],
    "verify": ["verify", "n.prototxt", "w.caffemodel", "out/n.onnx"],
    "features": ["features", "w.caffemodel", "n.prototxt", "y", "out/f.npz", "--iterations", "1"],
    "test": ["test", "-model", "n.prototxt", "-weights", "w.caffemodel", "-iterations", "1"],
    "time": ["time", "-model", "n.prototxt", "-iterations", "1", "-phase", "TEST"],
}


def leaves(parser: Parser, name: str = "") -> Iterator[str]:
    nested = parser.commands()
    if not nested:
        yield name
    for word, below in nested.items():
        yield from leaves(below, f"{name} {word}".strip())


def test_every_command_is_told_of() -> None:
    assert sorted(EFFECTS) == sorted(leaves(build_parser()))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, list[str]]]]:
    """A folder, and what each command of `LINES` did in it: programs started, paths written, modules imported."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "out").mkdir()
    (folder / "n.prototxt").write_text(NET)
    (folder / "k.prototxt").write_text(NET.replace("kernel_size: 1", "kernel_size: 3"))
    (folder / "list.txt").write_text("i.png 0\n")
    cv2.imwrite(str(folder / "i.png"), np.zeros((8, 8, 3), np.uint8))
    np.save(folder / "s.npy", np.zeros((2, 8, 8), np.float32))
    Net(str(folder / "n.prototxt"), 1).save(str(folder / "w.caffemodel"))
    done = subprocess.run(
        [sys.executable, "-c", WATCH, json.dumps(LINES)], cwd=folder, check=True, capture_output=True, text=True
    )
    return folder, json.loads(done.stdout)


@pytest.mark.parametrize("command", LINES)
def test_nothing_else_happens(command: str, watched: tuple[Path, dict[str, dict[str, list[str]]]]) -> None:
    folder, found = watched
    effects = found[command]
    assert effects["status"] in (0, 1)
    assert effects["started"] == []
    assert effects["imported"] == []
    written = [path for path in effects["written"] if _is_ours(Path(path), folder)]
    if EFFECTS[command].writes == "nothing":
        assert written == []
    assert all(Path(path).is_relative_to(folder / "out") for path in written)


@pytest.mark.parametrize(
    "command",
    [
        "draw",
        "weights convert",
        "data make-db",
        "predict",
        "explore",
        "refine",
        "segawarify",
        "export",
        "verify",
        "features",
    ],
)
def test_writing_is_seen(command: str, watched: tuple[Path, dict[str, dict[str, list[str]]]]) -> None:
    """The comparison above can fail."""
    folder, found = watched
    assert any(Path(path).is_relative_to(folder / "out") for path in found[command]["written"])


@cache
def _cache_folder() -> Path | None:
    from segcaffe.jit.cache_folder import folder

    return folder()


def _is_ours(path: Path, folder: Path) -> bool:
    """Whether a path is a result, rather than the cache of compiled kernels or a library's own."""
    kept = _cache_folder()
    return (
        path.suffix != ".pyc"
        and "__pycache__" not in path.parts
        and path != Path("/dev/null")
        and not (kept is not None and path.is_relative_to(kept.parent))
    )
