"""`segcaffe completion`: what shells offer is what the parsers take."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from segcaffe.cli.completion import SCRIPTS, places
from segcaffe.cli.main import COMMANDS, build_parser, main


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    found = list(places(build_parser()))
    return {shell: make(found) for shell, make in SCRIPTS.items()}


def offered(script: str, *words: str) -> list[str]:
    """What bash offers at the end of a line of words, the last of which may be empty."""
    lines = [script, f"COMP_WORDS=({' '.join(map(repr, words))})", f"COMP_CWORD={len(words) - 1}"]
    lines += ["_segcaffe", 'printf "%s\\n" "${COMPREPLY[@]}"']
    done = subprocess.run(["bash", "-euc", "\n".join(lines)], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("segcaffe tr", ["train"]),
        ("segcaffe data make_", []),
        ("segcaffe data make-", ["make-db", "make-annotated-db", "make-scenes"]),
        ("segcaffe data make_db --backe", ["--backend"]),
        ("segcaffe data make-db --backend ", ["lmdb", "leveldb"]),
        ("segcaffe data make-db --backend = le", ["leveldb"]),
        ("segcaffe train --gpu 0 --max_", ["--max_iter"]),
        ("segcaffe upgrade ", ["net", "solver"]),
        ("segcaffe refine --method ", ["cascade", "local-crf", "dense-crf"]),
        ("segcaffe segawarify net.prototxt --embedd", ["--embeddings", "--embedding_weights"]),
        ("segcaffe train --solver ", []),
        ("segcaffe net ", []),
    ],
)
def test_bash(words: str, expected: list[str], scripts: dict[str, str]) -> None:
    assert offered(scripts["bash"], *words.split(" ")) == expected


def test_bash_offers_all_commands(scripts: dict[str, str]) -> None:
    assert offered(scripts["bash"], "segcaffe", "") == list(COMMANDS)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_option_and_value_is_in_the_script(shell: str, scripts: dict[str, str]) -> None:
    text = scripts[shell]
    for place in places(build_parser()):
        for word in (*place.commands, *place.options):
            name = word.text.lstrip("-")
            assert name in text, f"{place.command}: {word.text}"
            assert all(value in text for value in word.values)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_shells_read_the_script(shell: str, scripts: dict[str, str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(scripts[shell])
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


def test_the_command_prints_the_script(scripts: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 0
    assert capsys.readouterr().out == scripts["fish"]
