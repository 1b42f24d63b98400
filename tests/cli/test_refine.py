"""`segcaffe refine`: scores of another model, sharpened by an image, features or depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segcaffe import functional
from segcaffe.cli import refine
from segcaffe.cli.main import main
from segcaffe.predict import refinement

SIZE = (24, 30)
COLOURS = np.array([[40, 60, 200], [200, 180, 30]])
FUNCTIONS = {
    "cascade": functional.bilateral_cascade,
    "local-crf": functional.local_meanfield,
    "dense-crf": functional.permutohedral_meanfield,
}
WEIGHT = 5 * np.eye(3, dtype=np.float32)
FOR_COLOURS: dict[str, dict[str, Any]] = {
    "cascade": {"scale": 0.05},
    "local-crf": {"weight": WEIGHT, "scale": 1 / 169},
    "dense-crf": {"theta_beta": 13.0},
}
FOR_FEATURES: dict[str, dict[str, Any]] = {
    "cascade": {},
    "local-crf": {"weight": 5 * np.eye(4)},
    "dense-crf": {"theta_beta": 1.0},
}


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, Any]:
    """The truth: two halves with a border across; beside it noisy scores.npy and the image photo.png of it."""
    monkeypatch.chdir(tmp_path)
    rows, columns = np.indices(SIZE)
    truth = (columns + rows // 2 > 18).astype(np.uint8)
    random = np.random.default_rng(3)
    one_hot = np.stack([truth == 0, truth == 1, np.zeros(SIZE)])
    np.save("scores.npy", (one_hot + random.normal(0, 0.6, one_hot.shape)).astype(np.float32))
    cv2.imwrite("photo.png", (COLOURS[truth] + random.integers(-6, 7, (*SIZE, 3))).astype(np.uint8))
    return truth


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("method", FUNCTIONS)
def test_an_image_sharpens_scores(
    method: str, labels: np.ndarray[Any, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["refine", "scores.npy", "photo.png", "out/labels.png", "--method", method]) == 0
    assert "out/labels.png: 3 x 24 x 30" in capsys.readouterr().out
    before, after = np.load("scores.npy").argmax(axis=0), Image.open("out/labels.png")
    assert after.mode == "P"
    assert (np.array(after) != labels).mean() < 0.3 * (before != labels).mean()


@pytest.mark.parametrize("method", FUNCTIONS)
def test_scores_are_the_functions(method: str, labels: np.ndarray[Any, Any]) -> None:
    assert main(["refine", "scores.npy", "photo.png", "refined.npy", "--method", method]) == 0
    image = cv2.imread("photo.png").transpose(2, 0, 1)[None].astype(np.float32)  # type: ignore[union-attr]
    expected = FUNCTIONS[method](np.load("scores.npy")[None], image, **FOR_COLOURS[method])
    np.testing.assert_array_equal(np.load("refined.npy"), expected[0])


@pytest.mark.parametrize("method", FUNCTIONS)
@pytest.mark.parametrize("shape", [SIZE, (2, *SIZE), (3, 2, *SIZE)])
def test_features_guide_a_batch(method: str, shape: tuple[int, ...], labels: np.ndarray[Any, Any]) -> None:
    random = np.random.default_rng(5)
    scores, features = random.standard_normal((3, 4, *SIZE)), random.standard_normal(shape)
    np.save("batch.npy", scores)
    np.save("features.npy", features)
    assert main(["refine", "batch.npy", "features.npy", "refined.npy", "--method", method]) == 0
    guide = np.broadcast_to(features.reshape((1,) * (4 - len(shape)) + shape), (3, *(1, 1, *shape)[-3:]))
    expected = FUNCTIONS[method](scores, guide, **FOR_FEATURES[method])
    refined = np.load("refined.npy")
    assert refined.dtype == np.float64
    np.testing.assert_array_equal(refined, expected)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("--norm l2", {"norm": "l2", "scale": 0.01}),
        (
            "--norm l2 --scale 0.5 --kernel_size 5 --dilation 2 --rounds 3",
            {"norm": "l2", "scale": 0.5, "kernel_size": 5, "dilation": 2, "rounds": 3},
        ),
        ("--method local-crf --scale 0 --iterations 1 --weight 1", {"scale": 0.0, "iterations": 1}),
        (
            "--method dense-crf --theta-alpha 20 --theta-beta 5 --theta-gamma 2 --spatial 1 --bilateral 4",
            {"theta_alpha": 20.0, "theta_beta": 5.0, "theta_gamma": 2.0, "spatial": 1.0, "bilateral": 4.0},
        ),
    ],
)
def test_options(words: str, options: dict[str, Any], labels: np.ndarray[Any, Any]) -> None:
    guide = np.random.default_rng(7).integers(0, 256, (3, *SIZE), np.uint8)
    np.save("bytes.npy", guide)
    assert main(["refine", "scores.npy", "bytes.npy", "refined.npy", *words.split()]) == 0
    method = next((name for name in FUNCTIONS if name in words), "cascade")
    expected = FUNCTIONS[method](np.load("scores.npy")[None], guide[None].astype(np.float32), **options)
    np.testing.assert_array_equal(np.load("refined.npy"), expected[0])


def test_the_command_knows_the_options_of_the_methods() -> None:
    assert {name: set(names) for name, names in refine._OF.items()} == {
        name: set(method.options) for name, method in refinement.METHODS.items()
    }
    assert list(refine.METHODS) == list(refinement.METHODS)


def test_a_guide_of_another_size_is_resized(labels: np.ndarray[Any, Any], capsys: pytest.CaptureFixture[str]) -> None:
    image = cv2.imread("photo.png")
    assert image is not None
    cv2.imwrite("large.png", cv2.resize(image, (60, 48), interpolation=cv2.INTER_NEAREST))
    assert main(["refine", "scores.npy", "large.png", "large.npy"]) == 0
    assert "the guide, 48 x 60, is resized to the scores, 24 x 30" in told(capsys)
    assert main(["refine", "scores.npy", "photo.png", "same.npy"]) == 0
    assert told(capsys) == ""
    np.testing.assert_array_equal(np.load("large.npy"), np.load("same.npy"))


def test_what_looks_like_probabilities_is_told(
    labels: np.ndarray[Any, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    powers = np.exp(np.load("scores.npy"))
    np.save("softmax.npy", powers / powers.sum(axis=0))
    assert main(["refine", "softmax.npy", "photo.png", "o.npy"]) == 0
    assert "if they are probabilities, give --probabilities" in told(capsys)
    assert main(["refine", "softmax.npy", "photo.png", "o.npy", "--probabilities"]) == 0
    assert told(capsys) == ""


def test_probabilities_of_an_archive(labels: np.ndarray[Any, Any]) -> None:
    powers = np.exp(np.load("scores.npy") * 5)
    probabilities = (powers / powers.sum(axis=0)).astype(np.float16)
    np.savez_compressed("several.npz", probs=probabilities, other=labels)
    np.savez("one.npz", np.log(np.maximum(probabilities.astype(np.float32), 1e-5)))
    assert main(["refine", "several.npz", "photo.png", "a.npy", "--key", "probs", "--probabilities"]) == 0
    assert main(["refine", "one.npz", "photo.png", "b.npy"]) == 0
    np.testing.assert_array_equal(np.load("a.npy"), np.load("b.npy"))


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("none.npy photo.png o.npy", 'SCORES: cannot read "none.npy"'),
        ("photo.png photo.png o.npy", "scores are read from .npy or .npz files"),
        ("text.npy photo.png o.npy", "is not an array of numbers in .npy format"),
        ("text.npz photo.png o.npy", "the .npz file is damaged"),
        ("whole.npy photo.png o.npy", "floating-point numbers. Received: int64 of shape (3, 24, 30)"),
        ("flat.npy photo.png o.npy", "Received: float32 of shape (24, 30)"),
        ("nan.npy photo.png o.npy", "SCORES nan.npy: it has NaN or infinite values"),
        ("scores.npy text.png o.npy", "it is not an image"),
        ("scores.npy nan.npy o.npy", "GUIDE nan.npy: it has NaN"),
        ("scores.npy line.npy o.npy", "or depth (H, W), as numbers. Received: float64 of shape (4,)"),
        ("scores.npy two.npy o.npy", "Received: 2 guides for 1 images"),
        ("last.npy photo.png o.npy", "the scores seem to have channels last. Received: 24 x 30 x 3"),
        ("scores.npy last.npy o.npy", "the guide seems to have channels last. Received: 24 x 30 x 3"),
        ("scores.npy photo.png o.jpg", "name a file .npy (scores) or .png (labels)"),
        ("two.npy photo.png o.png", "Received: 2 of 3 classes"),
        ("one.npy photo.png o.png", "Received: 1 of 1 classes"),
        ("one.npy photo.png o.npy --method local-crf", "scores need 2 or more"),
        ("scores.npy photo.png scores.npy", "it is scores.npy, which is read"),
        ("scores.npy photo.png photo.png", "it is photo.png, which is read"),
        ("scores.npy photo.png link.npy", "it is scores.npy, which is read"),
        ("scores.npy photo.png folder.npy", "is a folder"),
        ("scores.npy photo.png o.npy --probabilities", "probabilities lie from 0 to 1"),
        ("scores.npy photo.png o.npy --key x", "--key names an array of an .npz archive"),
        ("several.npz photo.png o.npy", "Its arrays: a, b"),
        ("several.npz photo.png o.npy --key c", 'has no array "c". Its arrays: a, b'),
        ("scores.npy photo.png o.npy --kernel_size 4", "--kernel_size must be odd"),
        ("scores.npy photo.png o.npy --scale -1", "--scale must be 0 or more"),
        ("scores.npy photo.png o.npy --iterations 2", "--iterations is for --method local-crf and dense-crf"),
        ("scores.npy photo.png o.npy --method dense-crf --norm l1", "--norm is for --method cascade; leave it out"),
        ("scores.npy photo.png o.npy --method dense-crf --theta_beta 0", "--theta_beta must be above 0"),
        (
            "scores.npy photo.png o.npy --method dense-crf --spatial 3e38 --bilateral 3e38",
            "the result has NaN or infinite values",
        ),
    ],
)
def test_refused(words: str, rule: str, labels: np.ndarray[Any, Any], capsys: pytest.CaptureFixture[str]) -> None:
    scores = np.load("scores.npy")
    for name in ("text.npy", "text.npz", "text.png"):
        Path(name).write_text("no array, no archive, no image")
    arrays = {"whole": scores.astype(np.int64), "flat": scores[0], "nan": scores * np.nan, "line": np.zeros(4)}
    arrays |= {"two": np.stack([scores, scores]), "one": scores[:1], "last": np.moveaxis(scores, 0, -1)}
    for name, values in arrays.items():
        np.save(name, values)
    np.savez("several.npz", a=scores, b=scores)
    Path("link.npy").symlink_to("scores.npy")
    Path("folder.npy").mkdir()
    before = {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    assert main(["refine", *words.split()]) == 2
    assert rule in told(capsys)
    assert {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before


def test_an_older_result_is_replaced_only_by_a_whole_one(
    labels: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["refine", "scores.npy", "photo.png", "refined.npy"]
    assert main(words) == 0
    before = Path("refined.npy").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("segcaffe.predict.refinement.np.save", _interrupt)
        assert main([*words, "--rounds", "1"]) == 130
    assert Path("refined.npy").read_bytes() == before
    assert main([*words, "--rounds", "1"]) == 0
    assert Path("refined.npy").read_bytes() != before


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
