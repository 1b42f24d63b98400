"""Label maps that are read as gray pictures: their numbers stay, or somebody is told."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe import TEST, Net
from segcaffe.cli.main import main
from segcaffe.data.brightness import unlike_brightness
from segcaffe.data.images import decode
from segcaffe.errors import DataError
from tests.data.test_label_maps import ALL, Labels, Writer, by_opencv, by_pillow, gray_png, labels_below

PICTURES = [kind for kind, (name, _, _) in ALL.items() if not name.endswith((".npy", ".mat"))]
DATA = """
layer {{ name: "d" type: "Data" top: "data" top: "label" data_param {{ source: "{0}" batch_size: 2 backend: LMDB }} }}
"""


@pytest.mark.parametrize("kind", PICTURES)
def test_the_brightness_is_the_number_or_differs(kind: str, tmp_path: Path) -> None:
    name, most, write = ALL[kind]
    labels = labels_below(most)
    write(tmp_path / name, labels)
    content = (tmp_path / name).read_bytes()
    try:
        same = np.array_equal(decode(content, False, "test")[:, :, 0], labels)
    except DataError:
        return  # Nothing is read, so nothing is wrong.
    assert same != bool(unlike_brightness(content))


@pytest.mark.parametrize("kind", ["color", "gray"])
def test_pictures_are_read_without_a_word(kind: str, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3) if kind == "color" else (4, 5), np.uint8)
    for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm" if kind == "color" else ".pgm"):
        cv2.imwrite(str(tmp_path / f"a{suffix}"), image)
        assert unlike_brightness((tmp_path / f"a{suffix}").read_bytes()) == "", suffix


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"GIF89a", b"BM", b"P5\n"])
def test_damaged_images_count_as_pictures(content: bytes) -> None:
    assert unlike_brightness(content) == ""


def database(folder: Path, writers: list[Writer], name: str, *options: str) -> list[Labels]:
    """Make ``folder/db`` of label maps with one file name's suffix; returns the labels."""
    maps = [labels_below(4, seed) for seed in range(len(writers))]
    for i, (write, labels) in enumerate(zip(writers, maps, strict=True)):
        write(folder / f"{i}{name}", labels)
    (folder / "list.txt").write_text("".join(f"{i}{name} {i}\n" for i in range(len(maps))))
    main(["data", "make-db", *options, f"{folder}/", str(folder / "list.txt"), str(folder / "db")])
    return maps


def stored(folder: Path) -> Labels:
    (folder / "n.prototxt").write_text(DATA.format(folder / "db"))
    net = Net(folder / "n.prototxt", TEST)
    net.forward()
    assert net.blobs["label"].data.tolist() == [0, 1]
    return np.array(net.blobs["data"].data[:, 0])


@pytest.mark.parametrize("options", [["--labels"], ["--labels", "--encoded"]], ids=["raw", "encoded"])
@pytest.mark.parametrize("kind", ["gray 2", "gray 4", "gray 16", "palette", "tiff 16", "gif", "bmp palette", "npy"])
def test_a_database_of_label_maps(kind: str, options: list[str], tmp_path: Path) -> None:
    name, _, write = ALL[kind]
    maps = database(tmp_path, [write, write], name[1:], *options)
    np.testing.assert_array_equal(stored(tmp_path), maps)


def test_labels_above_255_are_stored_as_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write(path: Path, labels: Labels) -> None:
        gray_png(16)(path, labels * 300)

    maps = database(tmp_path, [write, write], ".png", "--labels")
    np.testing.assert_array_equal(stored(tmp_path), np.array(maps) * 300)
    database(tmp_path, [write, write], ".png", "--labels", "--encoded", "--overwrite")
    assert "labels up to 900" in " ".join(capsys.readouterr().err.split())


def test_label_maps_are_resized_without_new_labels(tmp_path: Path) -> None:
    write = by_opencv("label")
    maps = database(tmp_path, [write, write], ".png", "--labels", "--resize_height", "14", "--resize_width", "18")
    assert set(np.unique(stored(tmp_path))) <= set(np.unique(maps))


def test_colours_by_a_palette(tmp_path: Path) -> None:
    def write(path: Path, labels: Labels) -> None:
        cv2.imwrite(str(path), np.dstack([np.zeros_like(labels), labels * 10, labels]).astype(np.uint8))

    (tmp_path / "colours.txt").write_text("".join(f"{i} {10 * i} 0\n" for i in range(4)))
    maps = database(tmp_path, [write, write], ".png", "--palette", str(tmp_path / "colours.txt"))
    np.testing.assert_array_equal(stored(tmp_path), maps)


def test_a_gray_database_of_label_maps_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database(tmp_path, [by_opencv("label"), by_pillow("P"), gray_png(2)], ".png", "--gray")
    assert '2 images, "1.png" first, with indices into a palette' in caplog.text
    assert "--labels" in caplog.text


def test_image_data_tells_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(2):
        gray_png(2)(tmp_path / f"{i}.png", labels_below(4, i))
    (tmp_path / "list.txt").write_text("0.png 0\n1.png 0\n")
    (tmp_path / "n.prototxt").write_text(
        'layer { name: "d" type: "ImageData" top: "data" top: "label" image_data_param { is_color: false batch_size: 2 '
        f'source: "{tmp_path}/list.txt" root_folder: "{tmp_path}/" }} }}'
    )
    with caplog.at_level(logging.WARNING):
        Net(tmp_path / "n.prototxt", TEST).forward()
    assert [record.getMessage() for record in caplog.records].count(caplog.messages[0]) == 1
    assert "2-bit values" in caplog.messages[0]
    assert len(caplog.messages) == 1
