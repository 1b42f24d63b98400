"""Windows of images: cutting them out, classifying them, laying out grids; the commands classify and detect."""

from __future__ import annotations

import csv
import os
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.cli.detect import read_windows
from segcaffe.cli.main import main
from segcaffe.errors import DataError
from segcaffe.pycaffe import io
from segcaffe.pycaffe.detector import grid_windows

SIZE = 12
NET = """
name: "colour"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 12 dim: 12 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "score" type: "InnerProduct" bottom: "mean" top: "score" inner_product_param { num_output: 3 } }
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A net that gives the mean colour of its input, and an image: left half red, right half blue."""
    model, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    model.write_text(NET)
    net = caffe.Net(str(model), caffe.TEST)
    net.params["score"][0].data[...] = np.eye(3)
    net.params["score"][1].data[...] = 0
    net.save(weights)
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30, 2] = 255
    image[:, 30:, 0] = 255
    cv2.imwrite(str(tmp_path / "image.png"), image)
    return {"model": str(model), "weights": str(weights), "image": str(tmp_path / "image.png")}


def detector(files: dict[str, str], **options: Any) -> caffe.Detector:
    return caffe.Detector(files["model"], files["weights"], **options)


def test_windows_get_predictions_in_their_order(files: dict[str, str]) -> None:
    windows = [(0, 0, 20, 20), (0, 40, 40, 60), (10, 20, 30, 40), (0, 0, 40, 60), (5, 5, 6, 6)]
    found = detector(files, raw_scale=255, channel_swap=(2, 1, 0)).detect_windows([(files["image"], windows)])
    assert [tuple(item["window"]) for item in found] == windows
    assert {item["filename"] for item in found} == {files["image"]}
    colours = np.array([item["prediction"] for item in found])
    expected = [[0, 0, 255], [255, 0, 0], [127.5, 0, 127.5], [127.5, 0, 127.5], [0, 0, 255]]
    np.testing.assert_allclose(colours, expected, atol=1)
    assert detector(files).detect_windows([]) == []


def test_images_may_be_open_files(files: dict[str, str]) -> None:
    windows = [(0, 0, 10, 10)]
    stream = BytesIO(Path(files["image"]).read_bytes())
    net = detector(files)
    by_path, by_stream = (net.detect_windows([(image, windows)])[0] for image in (files["image"], stream))
    np.testing.assert_array_equal(by_stream["prediction"], by_path["prediction"])
    assert by_stream["filename"] is stream
    assert len(net.detect_grid([stream], scales=(1,))) == 1


def test_crop_without_context_is_the_window(files: dict[str, str]) -> None:
    image = io.load_image(files["image"])
    np.testing.assert_array_equal(detector(files).crop(image, (3, 4, 10, 20)), image[3:10, 4:20])
    with pytest.raises(DataError, match="window is"):
        detector(files).crop(image, (3, 4, 3, 20))


def test_context_widens_the_window_and_fills_with_the_mean(files: dict[str, str]) -> None:
    mean = np.array([1.0, 2.0, 3.0])
    net = detector(files, mean=mean, raw_scale=255, channel_swap=(2, 1, 0), context_pad=3)
    image = io.load_image(files["image"])
    inside = net.crop(image, (10, 10, 21, 21))
    assert inside.shape == (SIZE, SIZE, 3)
    # 12 pixels with 3 of context on each side show twice the extent of the window.
    np.testing.assert_allclose(inside, io.resize_image(image[4:28, 4:28], (SIZE, SIZE)), atol=1e-6)
    corner = net.crop(image, (0, 0, 11, 11))
    filler = mean[[2, 1, 0]] / 255
    np.testing.assert_allclose(corner[0, 0], filler, rtol=1e-5)
    np.testing.assert_allclose(corner[-1, -1], [1, 0, 0], atol=1e-6)
    with pytest.raises(DataError, match="context_pad must leave room"):
        detector(files, context_pad=6)


def test_grid_covers_the_image() -> None:
    windows = grid_windows((40, 60), scales=(1, 0.5))
    assert windows[0] == (0, 0, 40, 60)
    assert len(windows) == 1 + 9
    covered = np.zeros((40, 60), bool)
    for ymin, xmin, ymax, xmax in windows[1:]:
        assert (ymax - ymin, xmax - xmin) == (20, 30)
        covered[ymin:ymax, xmin:xmax] = True
    assert covered.all()
    with pytest.raises(DataError, match=r"\(0, 1\]"):
        grid_windows((40, 60), scales=(2,))


def test_selective_search_is_used_or_missed(files: dict[str, str]) -> None:
    if hasattr(cv2, "ximgproc"):
        assert detector(files).detect_selective_search([files["image"]])
    else:
        with pytest.raises(DataError, match="opencv-contrib"):
            detector(files).detect_selective_search([files["image"]])


def test_classifier_needs_an_input_and_images(files: dict[str, str]) -> None:
    with pytest.raises(DataError, match="at least one image"):
        caffe.Classifier(files["model"], files["weights"]).predict([])
    small = caffe.Classifier(files["model"], files["weights"], image_dims=(4, 4))
    with pytest.raises(DataError, match="smaller than the net's input"):
        small.predict([io.load_image(files["image"])], oversample=False)
    Path(files["model"]).write_text(
        'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } }'
    )
    with pytest.raises(DataError, match="no input"):
        caffe.Classifier(files["model"], files["weights"])


def test_command_classify_saves_predictions(files: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    np.save(tmp_path / "mean.npy", np.array([0.0, 0.0, 55.0]))
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"], "--mean_file", ""]
    assert main(["classify", files["image"], str(out), *options, "--mean_file", str(tmp_path / "mean.npy")]) == 0
    np.testing.assert_allclose(np.load(out), [[127.5, 0, 127.5 - 55]], atol=3)
    assert main(["classify", str(tmp_path), str(out), *options, "--ext", "png", "--center_only"]) == 0
    assert np.load(out).shape == (1, 3)
    np.save(tmp_path / "images.npy", np.ones((5, 16, 16, 3)))
    assert main(["classify", str(tmp_path / "images.npy"), str(out), *options, "--images_dim", "14,13"]) == 0
    np.testing.assert_allclose(np.load(out), np.full((5, 3), 255), rtol=1e-4)


@pytest.mark.parametrize("command", ["classify", "detect"])
def test_commands_fill_templates(files: dict[str, str], tmp_path: Path, command: str) -> None:
    Path(files["model"]).write_text(NET.replace("num_output: 3", "num_output: ${CLASSES}"))
    (tmp_path / "list.txt").write_text(f"{files['image']}\n")
    source = files["image"] if command == "classify" else str(tmp_path / "list.txt")
    out = tmp_path / ("out.npy" if command == "classify" else "out.csv")
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"], "--set", "CLASSES=3"]
    options += ["--crop_mode", "grid", "--context_pad", "0"] if command == "detect" else []
    assert main([command, source, str(out), *options]) == 0
    assert out.is_file()


@pytest.mark.parametrize("command", ["classify", "detect"])
def test_output_that_cannot_be_written_is_told_first(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the net is looked for: results of hours are not lost at their end."""
    suffix = "npy" if command == "classify" else "csv"
    (tmp_path / f"folder.{suffix}").mkdir()
    (tmp_path / "file").touch()
    options = ["--model_def", "missing", "--pretrained_model", "missing"]
    source = str(tmp_path / "file")
    for out, message in [
        (f"folder.{suffix}", "is a folder"),
        (f"file/out.{suffix}", "the folder of .* cannot be made"),
    ]:
        assert main([command, source, str(tmp_path / out), *options]) == 2
        assert re.search(message, " ".join(capsys.readouterr().err.split()))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main([command, source, str(tmp_path / f"out.{suffix}"), *options]) == 2
    assert "may not be written to" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"filename,ymin,xmin,ymax,xmax\na,1\n", r"list.csv:2: a coordinate is no number"),
        (b"\xff\xfe\x00", "has the columns filename"),
        (b"filename,ymin,xmin,ymax,xmax\n" + b"a" * 200_000, r"list.csv:\d: this is no line of a CSV file"),
    ],
)
def test_lists_of_windows_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_windows(tmp_path / "list.csv")


def test_command_classify_explains_what_is_wrong(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"]]
    assert main(["classify", str(tmp_path), "out.npy", *options, "--ext", "gif"]) == 2
    assert "holds no *.gif" in capsys.readouterr().err
    assert main(["classify", files["image"], "out.npy", *options, "--images_dim", "14"]) == 2
    assert "2 whole numbers" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["list", "grid"])
def test_command_detect_writes_scores(files: dict[str, str], tmp_path: Path, mode: str) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    if mode == "list":
        source.write_text(f"filename,ymin,xmin,ymax,xmax\n{files['image']},0,0,20,20\n{files['image']},0,30,20,60\n")
    else:
        source.write_text(files["image"] + "\n")
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"], "--context_pad", "0"]
    options += ["--mean_file", ""]
    assert main(["detect", str(source), str(out), *options, *(["--crop_mode", mode] if mode == "grid" else [])]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == (2 if mode == "list" else len(grid_windows((40, 60))))
    if mode == "list":
        np.testing.assert_allclose([float(row["class0"]) for row in rows], [0, 255], atol=1)


def test_command_detect_explains_a_bad_list(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.csv"
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"], "--context_pad", "0"]
    source.write_text("name,x\na,1\n")
    assert main(["detect", str(source), "out.csv", *options]) == 2
    assert "has the columns filename,ymin" in capsys.readouterr().err.replace("\n", " ")
    source.write_text("filename,ymin,xmin,ymax,xmax\na,1,2,3,four\n")
    assert main(["detect", str(source), "out.csv", *options]) == 2
    assert "in.csv:2: a coordinate is no number" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(("row", "reason"), [
    ("1,1,5", "a coordinate is no number"),
    ("nan,1,5,5", "with extent"),
    ("1,1,inf,5", "with extent"),
    ("1,1,1e300,5", "with extent"),
    ("100,100,105,105", "must have pixels of its image, 40 x 60"),
    ("-9,-9,-5,-5", "must have pixels of its image"),
    ("5,5,5,5" + "0" * 200_000, "no line of a CSV file"),
])  # fmt: skip
@pytest.mark.parametrize("context", ["0", "3"])
def test_command_detect_explains_a_bad_window(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, reason: str, context: str
) -> None:
    (tmp_path / "in.csv").write_text(f"filename,ymin,xmin,ymax,xmax\n{files['image']},{row}\n")
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"], "--context_pad", context]
    assert main(["detect", str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), *options]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("suffix", [".csv", ".h5"])
def test_command_detect_takes_names_in_any_encoding(files: dict[str, str], tmp_path: Path, suffix: str) -> None:
    name = b"Stra\xdfe.png"
    try:
        (tmp_path / os.fsdecode(name)).write_bytes(Path(files["image"]).read_bytes())
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    row = os.fsencode(tmp_path) + b"/" + name
    (tmp_path / "in.csv").write_bytes(b"filename,ymin,xmin,ymax,xmax\n" + row + b",1,1,9,9\n")
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"], "--context_pad", "0"]
    assert main(["detect", str(tmp_path / "in.csv"), str(tmp_path / f"out{suffix}"), *options]) == 0
    assert row in (tmp_path / f"out{suffix}").read_bytes()


def classified(files: dict[str, str], out: Path, *options: str) -> np.ndarray[Any, Any]:
    """What the command classify writes for the image."""
    given = ["--model_def", files["model"], "--pretrained_model", files["weights"]]
    assert main(["classify", files["image"], str(out), *given, *options]) == 0
    return np.asarray(np.load(out))


def test_command_classify_has_the_defaults_of_caffes_script(files: dict[str, str], tmp_path: Path) -> None:
    out, mean = tmp_path / "out.npy", np.array([104.00698793, 116.66876762, 122.67891434])
    np.save(tmp_path / "mean.npy", np.tile(mean[:, None, None], (1, 4, 5)))
    plain = classified(files, out)
    image = io.load_image(files["image"])
    net = caffe.Classifier(files["model"], files["weights"], (256, 256), mean, raw_scale=255, channel_swap=(2, 1, 0))
    np.testing.assert_allclose(plain, net.predict([image]), rtol=1e-5)
    np.testing.assert_allclose(plain, classified(files, out, "--mean_file", str(tmp_path / "mean.npy")), rtol=1e-5)
    np.testing.assert_allclose(classified(files, out, "--mean_file", "") - plain, [mean], rtol=1e-4)
    np.testing.assert_array_equal(classified(files, out, "--images_dim", "256,256"), plain)
    assert (classified(files, out, "--images_dim", "12,12") != plain).any()


def test_a_deploy_file_says_how_its_images_are_prepared(files: dict[str, str], tmp_path: Path) -> None:
    stated = "transform_param { mean_value: 10 mean_value: 20 mean_value: 30 scale: 0.5 }"
    text = NET.replace('top: "data" input_param', f'top: "data" {stated} input_param')
    Path(files["model"]).write_text("# segcaffe.channel_order: RGB\n" + text)
    expected = (np.array([127.5, 0, 127.5]) - [10, 20, 30]) * 0.5
    np.testing.assert_allclose(classified(files, tmp_path / "out.npy"), [expected], atol=1)
    swapped = classified(files, tmp_path / "out.npy", "--channel_swap", "2,1,0", "--input_scale", "1", "--mean_file=")
    np.testing.assert_allclose(swapped, [[127.5, 0, 127.5]], atol=2)


def test_a_net_of_one_channel_needs_no_options(files: dict[str, str], tmp_path: Path) -> None:
    Path(files["model"]).write_text(
        NET.replace("dim: 4 dim: 3", "dim: 4 dim: 1").replace("num_output: 3", "num_output: 1")
    )
    net = caffe.Net(files["model"], caffe.TEST)
    net.params["score"][0].data[...] = 1
    net.save(files["weights"])
    red, blue = (cv2.cvtColor(np.uint8([[colour]]), cv2.COLOR_BGR2GRAY)[0, 0] for colour in ([0, 0, 255], [255, 0, 0]))
    np.testing.assert_allclose(classified(files, tmp_path / "out.npy"), [[(int(red) + int(blue)) / 2]], atol=2)
    (tmp_path / "in.csv").write_text(f"filename,ymin,xmin,ymax,xmax\n{files['image']},0,0,20,20\n")
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"], "--context_pad", "0"]
    assert main(["detect", str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), *options]) == 0
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    np.testing.assert_allclose(float(row["class0"]), int(red), atol=1)


def test_the_five_best_are_printed(files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "words.txt"
    labels.write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\nplain\n")
    classified(files, tmp_path / "out.npy", "--mean_file", "", "--labels", str(labels))
    told = capsys.readouterr().out.splitlines()
    at = told.index(files["image"])
    assert {line.split(maxsplit=1)[1] for line in told[at + 1 : at + 3]} == {
        "class 0  tench, Tinca tinca",
        "class 2  plain",
    }
    labels.write_text("one\ntwo\n")
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"], "--labels_file", str(labels)]
    assert main(["classify", files["image"], str(tmp_path / "no.npy"), *options]) == 2
    assert "a line for each of the 3 classes" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "no.npy").exists()


@pytest.mark.parametrize("name", ["out.h5", "out.HDF5", "out.CSV"])
def test_command_detect_writes_the_format_of_the_suffix(files: dict[str, str], tmp_path: Path, name: str) -> None:
    source, out = tmp_path / "in.csv", tmp_path / name
    source.write_text(f"filename,ymin,xmin,ymax,xmax\n{files['image']},0,0,20,20\n{files['image']},0,30,20,60\n")
    options = ["--model_def", files["model"], "--pretrained_model", files["weights"], "--context_pad", "0"]
    assert main(["detect", str(source), str(out), *options, "--mean_file", ""]) == 0
    if name == "out.CSV":
        assert out.read_text().startswith("filename,ymin,xmin,ymax,xmax,class0")
        return
    h5py = pytest.importorskip("h5py")
    with h5py.File(out) as file:
        assert [text.decode() for text in file["filename"][:]] == [files["image"]] * 2
        np.testing.assert_array_equal(file["window"][:], [[0, 0, 20, 20], [0, 30, 20, 60]])
        np.testing.assert_allclose(file["prediction"][:], [[0, 0, 255], [255, 0, 0]], atol=1)


@pytest.mark.parametrize(("command", "name"), [("detect", "out.json"), ("detect", "out"), ("classify", "out.csv")])
def test_other_suffixes_are_refused_before_anything_is_computed(
    files: dict[str, str], tmp_path: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text(f"filename,ymin,xmin,ymax,xmax\n{files['image']},0,0,20,20\n")
    source = tmp_path / "in.csv" if command == "detect" else files["image"]
    options = ["--model_def", files["model"], "--pretrained_model", "absent.caffemodel"]
    assert main([command, str(source), str(tmp_path / name), *options]) == 2
    assert f"{name}: " in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob("out*"))
