"""`segcaffe configs`: the nets and solvers that come with the package, in a folder of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.cli.main import main
from tests.conftest import ROOT

FILES = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*") if path.is_file()}


def held(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_are_written_to_the_folder_configs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["configs"]) == 0
    assert capsys.readouterr().out == f"configs: {len(FILES)} files written\n"
    assert held(tmp_path / "configs") == held(ROOT / "configs")
    assert main(["net", "configs/tiny/plain_deploy.prototxt"]) == 0


def test_what_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["configs", str(folder)]) == 0
    (folder / "tiny" / "embs_train.prototxt").unlink()
    (folder / "notes.txt").write_text("mine")
    assert main(["configs", str(folder)]) == 0
    assert f"1 file written, {len(FILES) - 1} there already" in capsys.readouterr().out
    assert (folder / "notes.txt").read_text() == "mine"


def test_changed_files_are_replaced_only_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny").mkdir()
    changed = tmp_path / "tiny" / "embs_train.prototxt"
    changed.write_text("mine")
    assert main(["configs", str(tmp_path)]) == 2
    assert "tiny/embs_train.prototxt differ" in " ".join(capsys.readouterr().err.split())
    assert held(tmp_path) == {changed.relative_to(tmp_path): b"mine"}, "nothing is written"
    assert main(["configs", str(tmp_path), "--overwrite"]) == 0
    assert held(tmp_path) == held(ROOT / "configs")


def test_a_folder_that_cannot_be_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["configs", str(tmp_path / "file")]) == 2
    assert "file: cannot be written: Not a directory." in " ".join(capsys.readouterr().err.split())
