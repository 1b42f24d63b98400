"""Mistyped commands and options: one paragraph with what was probably meant, status 2."""

from __future__ import annotations

import pytest

from segcaffe.cli.main import main


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["trian"], "train"),
        (["train", "--sovler", "x"], "--solver"),
        (["train", "-solver", "x", "-wieghts=y"], "--weights"),
        (["data", "shwo", "x"], "show"),
        (["data", "mean", "x", "--rot", "y"], "--root"),
    ],
)
def test_the_nearest_name_is_told(words: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"Did you mean {meant} instead of" in told
    assert "usage:" not in told


def test_a_right_word_is_not_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--solver"])
    assert "Did you mean" not in capsys.readouterr().err


def test_words_too_many_name_the_command_inside_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["weights", "show", "one", "two"])
    told = " ".join(capsys.readouterr().err.split())
    assert (
        told
        == "segcaffe weights show: unrecognized arguments: two. `segcaffe weights show --help` lists what there is."
    )


def test_a_command_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", "no.log"]) == 2
    assert capsys.readouterr().err.startswith('segcaffe plot: cannot read "no.log"')


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: segcaffe" in capsys.readouterr().out
