"""``segcaffe segawarify``: what it writes and prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.net.net import Net
from segcaffe.recipes.layers import convolution, image_input

NET = image_input(12, 9) + convolution("conv", "data", 4) + convolution("score", "conv", 3, kernel=1, pad=0)
OTHER = image_input(8, 8) + convolution("conv", "data", 6) + convolution("fine", "conv", 2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("net", NET), ("other", OTHER)):
        Path(f"{name}.prototxt").write_text(text)
        Net(f"{name}.prototxt", 1).save(f"{name}.caffemodel")
    return tmp_path


def test_net_and_weights_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segawarify", "net.prototxt", "net.caffemodel", "--embeddings", "tiny", "--lambda", "0"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "layer  inputs  size  window                 distances",
        "conv   3       12x9  kernel_size: 3 pad: 1  conv_dist",
        "1 convolution masked, by 1 map of distances.",
        "net_segaware.prototxt",
        "net_segaware.caffemodel",
    ]
    assert "masks change nothing" in told.err
    nets = [Net(f"{name}.prototxt", 1, weights=f"{name}.caffemodel") for name in ("net", "net_segaware")]
    image = np.random.default_rng(0).uniform(-9, 9, (1, 3, 12, 9))
    assert np.array_equal(*(net.forward(data=image)["score"] for net in nets))


def test_embeddings_of_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "segawarify net.prototxt net.caffemodel --embeddings other.prototxt:conv --out sub/made.prototxt"
    Path("sub").mkdir()
    assert (
        main([*words.split(), "--embedding_weights", "other.caffemodel", "--norm", "l2", "--crf", "--fixed_lambda"])
        == 0
    )
    net, other = (
        Net("sub/made.prototxt", 1, weights="sub/made.caffemodel"),
        Net("other.prototxt", 1, weights="other.caffemodel"),
    )
    assert np.array_equal(net.params["emb_conv"][0].data, other.params["conv"][0].data)
    assert "score_unary" in net.blobs
    assert not capsys.readouterr().err


def test_files_of_weights_hold_their_nets(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "segawarify net.caffemodel --embeddings other.caffemodel:fine --out made"
    assert main(words.split()) == 0
    assert not capsys.readouterr().err
    made = Net("made.prototxt", 1, weights="made.caffemodel")
    net, other = (Net(f"{name}.prototxt", 1, weights=f"{name}.caffemodel") for name in ("net", "other"))
    assert np.array_equal(made.params["conv"][0].data, net.params["conv"][0].data)
    assert np.array_equal(made.params["fine"][0].data, other.params["fine"][0].data)


def test_a_crf_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segawarify", "net.prototxt", "--embeddings", ":data", "--layers", "", "--crf"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == 'A CRF makes "score" of "score_unary".'
    assert "net_segaware.caffemodel has the weights of the new layers alone" in told.err


def test_weights_that_do_not_meet_the_net_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("part.prototxt").write_text(NET.replace('"score"', '"fine"'))
    Net("part.prototxt", 1).save("part.caffemodel")
    assert main(["segawarify", "net.prototxt", "part.caffemodel", "--embeddings", ":data", "--out", "x"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "NET has not, and that are left out: fine" in told
    assert "WEIGHTS has nothing for score: they begin as their fillers say" in told


@pytest.mark.parametrize(
    ("renamed", "said"),
    [
        ({}, 'parameter 0 of layer "conv" (Convolution) has shape (6, 3, 3, 3) in the file and (4, 3, 3, 3)'),
        ({'"conv"': '"first"'}, "WEIGHTS are of another net"),
    ],
)
def test_weights_of_another_net_are_refused(
    renamed: dict[str, str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = OTHER
    for name, new in renamed.items():
        text = text.replace(name, new)
    Path("stranger.prototxt").write_text(text)
    Net("stranger.prototxt", 1).save("stranger.caffemodel")
    assert main(["segawarify", "net.prototxt", "stranger.caffemodel", "--embeddings", ":data"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(folder.glob("*segaware*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--embeddings nothing", "there is no such file"),
        ("--embeddings other.prototxt:nothing", '"nothing"'),
        ("--embeddings :data --embedding_weights other.caffemodel", "NET's own blob"),
        ("--embeddings :data --layers fc*", 'No convolution fits "fc*". The net\'s convolutions: conv, score.'),
        ("--embeddings :data --layers cnov", 'No convolution is called "cnov". Did you mean "conv"?'),
        ("--embeddings other.prototxt --embedding_weights net.caffemodel", "has shape (4, 3, 3, 3) in the file"),
        ("--embeddings tiny --embedding_weights net.caffemodel", "has none of theirs. It has conv, score; wanted are"),
        ("--embeddings :data --lambda -1", "a number from 0 to 3.4e+38"),
        ("--embeddings :data --lambda 1e300", "a number from 0 to 3.4e+38"),
        ("--embeddings :data --layers=", "--layers names no layer"),
        ("--embeddings :data --crf --scores data", '"data" is what the net is given'),
        ("--embeddings :data --out net", "one of the files that are read"),
        ("--embeddings :data --shape data=3,9", "1 to 3 spatial axes"),
        ("--embeddings :data --image picture", "picture"),
        ("--embeddings :data --out nowhere/x", "nowhere"),
        ("--embeddings :data --out=", "--out names files"),
        ("--embeddings :data --out ..", "--out names files"),
        ("--embeddings :data --shape dat=1,3,9,9", '"dat"'),
        ("--embeddings :data --crf --scores nothing", "nothing"),
        ("--embeddings :data --scores score", "--crf"),
        ("--embeddings :data --set SIDE=3", "SIDE"),
    ],
)
def test_refusals_write_nothing(words: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(["segawarify", "net.prototxt", *words.split()]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
