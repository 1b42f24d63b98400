"""Evaluation against slow loops, and what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from segcaffe.cli.main import main
from segcaffe.data.files import BadItems
from segcaffe.data.label_files import read_labels
from segcaffe.data.png import write_label
from segcaffe.data.voc_submission import write_submission
from segcaffe.errors import DataError
from segcaffe.metrics.evaluate import Report, evaluate, find_pairs
from segcaffe.metrics.tally import Tally, band_of

BANDS = 12


def blobs(rng: np.random.Generator, height: int, width: int, classes: int) -> np.ndarray:  # type: ignore[type-arg]
    """A label map of ellipses with borders of 255."""
    label = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        centre = int(rng.integers(width)), int(rng.integers(height))
        axes = int(rng.integers(2, width // 2)), int(rng.integers(2, height // 2))
        cv2.ellipse(label, centre, axes, 0, 0, 360, int(rng.integers(1, classes)), -1)
        cv2.ellipse(label, centre, axes, 0, 0, 360, 255, 1)
    return label


def predicted(rng: np.random.Generator, label: np.ndarray, classes: int) -> np.ndarray:  # type: ignore[type-arg]
    """The label map shifted, without borders, with some noise."""
    prediction = np.roll(label, int(rng.integers(-3, 4)), axis=1)
    prediction[prediction == 255] = 0
    noise = rng.random(label.shape) < 0.1
    prediction[noise] = rng.integers(0, classes, int(noise.sum()))
    return prediction


def slow_bands(label: np.ndarray, bands: int) -> np.ndarray:  # type: ignore[type-arg]
    """Distances to all boundary pixels, one by one."""
    height, width = label.shape
    boundary = [
        (y, x)
        for y in range(height)
        for x in range(width)
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
        if 0 <= y + dy < height and 0 <= x + dx < width and label[y, x] != label[y + dy, x + dx]
    ]
    result = np.full(label.shape, bands)
    points = np.array(sorted(set(boundary)))
    for y in range(height):
        for x in range(width):
            if len(points):
                nearest = ((points - (y, x)) ** 2).sum(axis=1).min()
                # The band's number is the whole part of the distance.
                result[y, x] = next((w for w in range(bands) if nearest < (w + 1) ** 2), bands)
    return result


def slow_figures(pairs, classes: int, width: int | None) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Figures by counting pixel by pixel."""
    counts = np.zeros((classes, classes), int)
    for label, prediction in pairs:
        band = slow_bands(label, BANDS)
        for y in range(label.shape[0]):
            for x in range(label.shape[1]):
                if label[y, x] != 255 and (width is None or band[y, x] < width):
                    counts[label[y, x], prediction[y, x]] += 1
    rows, columns, hits = counts.sum(1), counts.sum(0), counts.diagonal()
    iou = [h / (r + c - h) for h, r, c in zip(hits, rows, columns, strict=True) if r + c > 0]
    accuracy = [h / r for h, r in zip(hits, rows, strict=True) if r > 0]
    weighted = sum(r * h / (r + c - h) for h, r, c in zip(hits, rows, columns, strict=True) if r + c > 0)
    return {
        "mean_iou": sum(iou) / len(iou),
        "mean_accuracy": sum(accuracy) / len(accuracy),
        "pixel_accuracy": hits.sum() / counts.sum(),
        "frequency_weighted_iou": weighted / counts.sum(),
    }


def test_equals_counting_one_by_one() -> None:
    rng = np.random.default_rng(0)
    tally, pairs = Tally(BANDS), []
    for _ in range(4):
        label = blobs(rng, 34, 41, 6)
        pairs.append((label, predicted(rng, label, 7)))
        tally.add(*pairs[-1])
    report = Report.of(tally)
    assert len(report.names) == 7
    for width, agreement in [(None, report.whole), *((w, report.trimap[w]) for w in (1, 2, 5, BANDS))]:
        expected = slow_figures(pairs, 7, width)
        assert agreement.summary() == pytest.approx(expected, rel=1e-12), width


@pytest.mark.parametrize("seed", range(3))
def test_bands_equal_measuring_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = blobs(rng, 40, 50, 5)
    np.testing.assert_array_equal(band_of(label, BANDS), slow_bands(label, BANDS))


def test_an_image_of_one_label_has_no_trimap() -> None:
    assert (band_of(np.full((5, 6), 3, np.uint8), 4) == 4).all()
    tally = Tally(4)
    tally.add(np.full((5, 6), 3, np.uint8), np.full((5, 6), 3, np.uint8))
    report = Report.of(tally)
    assert report.whole.mean_iou == 1
    assert np.isnan(report.trimap[4].mean_iou)
    assert "-" in report.text()


def test_predictions_beyond_the_classes_are_misses() -> None:
    tally = Tally()
    tally.add(np.array([[0, 0, 1, 255]], np.uint8), np.array([[0, 255, 9, 0]], np.uint8))
    whole = Report.of(tally, 2).whole
    assert whole.iou.tolist() == [0.5, 0]
    assert whole.pixel_accuracy == pytest.approx(1 / 3)
    tally.add(np.array([[5]], np.uint8), np.array([[5]], np.uint8))
    with pytest.raises(DataError, match=r"below 2.*Received: 5"):
        Report.of(tally, 2)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Labels a, b, c as PNG, and predictions in three kinds of files."""
    rng = np.random.default_rng(1)
    prediction, labels = tmp_path / "prediction", tmp_path / "labels"
    prediction.mkdir()
    for name in "abc":
        label = blobs(rng, 20, 30, 4)
        write_label(labels / f"{name}.png", label, "test")
        label[label == 255] = 0
        scores = np.eye(4, dtype=np.float32)[label].transpose(2, 0, 1)
        padded = np.zeros((4, 33, 33), np.float32)
        padded[:, :20, :30] = scores
        if name == "a":
            write_label(prediction / "a.png", label, "test")
        elif name == "b":
            np.save(prediction / "b.npy", padded)
        else:
            savemat(prediction / "c_blob_0.mat", {"data": padded[None].T})
    return prediction, labels


def run(prediction: Path, labels: str, bad: BadItems | None = None, root: str = "") -> Report:
    tally = Tally(5)
    evaluate(prediction, find_pairs(labels, root), tally, bad)
    return Report.of(tally)


def test_all_kinds_of_files(folders: tuple[Path, Path]) -> None:
    report = run(folders[0], str(folders[1]))
    assert report.images == 3
    assert report.whole.mean_iou == 1


def test_lists(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[0] / "a.png").rename(folders[0] / "photo.png")
    (tmp_path / "list.txt").write_text("/images/photo.jpg /labels/a.png\n/images/c.jpg /labels/c.png\n")
    assert run(folders[0], str(tmp_path / "list.txt"), root=str(tmp_path)).images == 2


FAULTS = {
    "no prediction": (lambda p, _: (p / "a.png").unlink(), r"no prediction a\.png"),
    "another size": (lambda p, _: write_label(p / "a.png", np.zeros((20, 29)), "t"), "20 x 29.*20 x 30"),
    "truncated": (lambda p, _: (p / "a.png").write_bytes((p / "a.png").read_bytes()[:80]), r"a\.png"),
    "empty label": (lambda _, labels: (labels / "b.png").write_bytes(b""), r"b\.png.*empty"),
    "no array": (lambda p, _: (p / "b.npy").write_bytes(b"hello"), r"b\.npy.*not an array"),
    "no matrix": (lambda p, _: (p / "c_blob_0.mat").write_bytes(b"hello" * 100), r"c_blob_0\.mat"),
    "fractions": (lambda p, _: np.save(p / "b.npy", np.full((20, 30), 0.5)), "must be integers"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault: str, folders: tuple[Path, Path]) -> None:
    make, message = FAULTS[fault]
    make(*folders)
    with pytest.raises(DataError, match=message):
        run(folders[0], str(folders[1]))
    bad = BadItems(1)
    assert run(folders[0], str(folders[1]), bad).images == 2
    assert len(bad.errors) == 1


def test_json_and_table(folders: tuple[Path, Path], tmp_path: Path) -> None:
    report = run(folders[0], str(folders[1]))
    report.write_json(tmp_path / "out" / "report.json")
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert content["mean_iou"] == 1
    assert len(content["trimap"]) == 5
    assert np.array(content["confusion"]).sum() == report.whole.labelled.sum()
    assert "mean IoU" in report.text()


def test_json_on_standard_output(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(folders[0]), str(folders[1]), "--json", "-", "--skip-bad", "9"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] > 0


@pytest.mark.parametrize(
    "names", [b"Stra\xdfe $a^$\n\xd1\xd0\n", "研究 $x_{$\nb\n".encode()], ids=["latin-1", "no letters"]
)
def test_plots_with_any_names(folders: tuple[Path, Path], tmp_path: Path, names: bytes) -> None:
    classes = run(folders[0], str(folders[1])).whole.counts.shape[0]
    (tmp_path / "names.txt").write_bytes(names + b"c\n" * (classes - 2))
    files = ["--names", str(tmp_path / "names.txt"), "--plots", str(tmp_path / "plots")]
    assert main(["eval", str(folders[0]), str(folders[1]), "--skip-bad", "9", *files]) == 0
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["confusion.png", "trimap.png"]


def test_submission(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"b.npy\" is 33 x 33, the size of a net, .*give --images FOLDER"):
        write_submission(folders[0], ["a", "b", "c"], tmp_path / "results.tgz")
    write_submission(folders[0], ["a", "b", "c"], tmp_path / "results.tgz", size_of=lambda _: (20, 30))
    with tarfile.open(tmp_path / "results.tgz") as archive:
        assert archive.getnames() == [f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png" for name in "abc"]
        content = archive.extractfile(archive.getmember(archive.getnames()[0]))
        assert content is not None
        (tmp_path / "a.png").write_bytes(content.read())
    expected = read_labels(folders[0] / "a.png", "test")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png", "test"), expected)
    write_label(folders[0] / "a.png", np.full((2, 2), 21), "test")
    with pytest.raises(DataError, match="label 21"):
        write_submission(folders[0], ["a"], tmp_path / "results.tgz")


MEASURED = """
import re, sys
from segcaffe.cli.main import main
status = main(["eval", sys.argv[1], sys.argv[2], "--json", sys.argv[3], "--threads", "2"])
# Not getrusage: that figure starts with the memory of the process that started this one.
print("peak", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory in kilobytes, as Linux gives it")
def test_the_validation_set_of_voc_in_size(tmp_path: Path) -> None:
    """1,449 pairs of 500 x 375: seconds, and memory that does not grow; the confusion matrix as counted otherwise."""
    rng = np.random.default_rng(0)
    expected = np.zeros((21, 21), np.int64)
    for i in range(60):
        label = blobs(rng, 375, 500, 21)
        prediction = predicted(rng, label, 21)
        write_label(tmp_path / "label" / f"{i}.png", label, "test")
        write_label(tmp_path / "prediction" / f"{i}.png", prediction, "test")
        copies = [j for j in range(i, 1449, 60) if j != i]
        for j in copies:
            for folder in ("label", "prediction"):
                (tmp_path / folder / f"{j}.png").hardlink_to(tmp_path / folder / f"{i}.png")
        counted = label != 255
        np.add.at(expected, (label[counted], prediction[counted]), 1 + len(copies))
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, tmp_path / "prediction", tmp_path / "label", tmp_path / "report.json"],
        capture_output=True,
        text=True,
    )
    after = os.times()
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "report.json").read_text())
    np.testing.assert_array_equal(np.array(content["confusion"])[:, :-1], expected)
    assert int(done.stdout.split()[-1]) < 300_000, "kilobytes"
    # Twenty seconds on two cores, which other programs may be using.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 40
