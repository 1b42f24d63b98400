"""Label maps: the stored numbers, whatever the kind and depth of the file, or an error."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from segcaffe import TEST, Net
from segcaffe.cli.main import main
from segcaffe.data.label_files import read_few_labels, read_labels
from segcaffe.data.palettes import cityscapes, read_palette, voc
from segcaffe.data.png import write_label
from segcaffe.errors import DataError
from tests.data.test_images import chunk

Labels = np.ndarray
Writer = Callable[[Path, Labels], None]


def gray_png(depth: int, alpha: bool = False) -> Writer:
    """A writer of gray PNGs of a depth."""

    def write(path: Path, labels: Labels) -> None:
        height, width = labels.shape
        if depth == 16:
            pixels = np.dstack([labels, np.full_like(labels, 65535)]) if alpha else labels
            lines = [b"\0" + line.astype(">u2").tobytes() for line in pixels]
        else:
            bits = (labels[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
            lines = [b"\0" + np.packbits(line.ravel()).tobytes() for line in bits]
        header = struct.pack(">IIBBBBB", width, height, depth, 4 if alpha else 0, 0, 0, 0)
        parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"".join(lines))), chunk(b"IEND", b"")]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))

    return write


def by_pillow(mode: str, **options: object) -> Writer:
    """A writer through Pillow; palettes are not gray, so that brightness would be something else."""

    def write(path: Path, labels: Labels) -> None:
        kind = {"1": np.bool_, "I;16": np.uint16, "F": np.float32, "I": np.int32}.get(mode, np.uint8)
        image = Image.fromarray(labels.astype(kind))
        if mode == "P":
            image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
        image.save(path, **options)

    return write


def by_opencv(*planes: str) -> Writer:
    """A writer through OpenCV, of the labels in each plane, or of noise where alpha is asked for."""

    def write(path: Path, labels: Labels) -> None:
        labels = labels.astype(np.uint8 if labels.max() < 256 else np.uint16)
        alpha = np.random.default_rng(1).integers(0, 256, labels.shape, np.uint8).astype(labels.dtype)
        cv2.imwrite(str(path), np.dstack([labels if plane == "label" else alpha for plane in planes]).squeeze())

    return write


def white_is_zero(path: Path, labels: Labels) -> None:
    # Pillow turns the values round in writing.
    Image.fromarray(255 - labels.astype(np.uint8)).save(path, tiffinfo={262: 0})
    assert labels.astype(np.uint8).tobytes() in path.read_bytes()


def interlaced(path: Path, labels: Labels) -> None:
    """The seven passes of an interlaced palette PNG."""
    height, width = labels.shape
    lines = b""
    for y, x, dy, dx in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        part = labels[y::dy, x::dx].astype(np.uint8)
        lines += b"".join(b"\0" + line.tobytes() for line in part) if part.size else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 1)
    palette = np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes()
    parts = [chunk(b"IHDR", header), chunk(b"PLTE", palette), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def plain_pbm(path: Path, labels: Labels) -> None:
    rows = "\n".join(" ".join(map(str, row)) for row in labels.tolist())
    path.write_text(f"P1\n{labels.shape[1]} {labels.shape[0]}\n{rows}\n")


def plain_pgm(path: Path, labels: Labels) -> None:
    rows = "\n".join(" ".join(map(str, row)) for row in labels.tolist())
    path.write_text(f"P2\n{labels.shape[1]} {labels.shape[0]}\n{max(1, labels.max())}\n{rows}\n")


ALL = {
    "gray 1": ("a.png", 2, gray_png(1)),
    "gray 2": ("a.png", 4, gray_png(2)),
    "gray 4": ("a.png", 16, gray_png(4)),
    "gray 8": ("a.png", 256, gray_png(8)),
    "gray 16": ("a.png", 60000, gray_png(16)),
    "gray 16, small": ("a.png", 21, gray_png(16)),
    "gray 16 and alpha": ("a.png", 60000, gray_png(16, alpha=True)),
    "gray 8, one value transparent": ("a.png", 256, by_pillow("L", transparency=3)),
    "gray 16, one value transparent": ("a.png", 60000, by_pillow("I;16", transparency=3)),
    "palette": ("a.png", 256, by_pillow("P")),
    "palette, transparent": ("a.png", 256, by_pillow("P", transparency=b"\0\x80")),
    "palette 1": ("a.png", 2, by_pillow("P", bits=1)),
    "palette 4": ("a.png", 16, by_pillow("P", bits=4)),
    "interlaced": ("a.png", 256, interlaced),
    "equal colours": ("a.png", 256, by_opencv("label", "label", "label")),
    "equal colours and alpha": ("a.png", 256, by_opencv("label", "label", "label", "alpha")),
    "equal colours 16": ("a.png", 60000, by_opencv("label", "label", "label")),
    "tiff 1": ("a.tif", 2, by_pillow("1")),
    "tiff 8": ("a.tif", 256, by_pillow("L")),
    "tiff 8 compressed": ("a.tiff", 256, by_pillow("L", compression="tiff_lzw")),
    "tiff 16": ("a.tif", 60000, by_pillow("I;16")),
    "tiff 32": ("a.tif", 60000, by_pillow("I")),
    "tiff float": ("a.tif", 60000, by_pillow("F")),
    "tiff palette": ("a.tif", 256, by_pillow("P")),
    "tiff, white is zero": ("a.tif", 256, white_is_zero),
    "bmp 8": ("a.bmp", 256, by_opencv("label")),
    "bmp 1": ("a.bmp", 2, by_pillow("1")),
    "bmp palette": ("a.bmp", 256, by_pillow("P")),
    "gif": ("a.gif", 256, by_pillow("P", optimize=False)),
    "webp": ("a.webp", 256, by_pillow("L", lossless=True)),
    "pgm": ("a.pgm", 200, plain_pgm),
    "pgm 16": ("a.pgm", 60000, plain_pgm),
    "pbm": ("a.pbm", 2, plain_pbm),
    "pbm, packed": ("a.pbm", 2, lambda path, labels: Image.fromarray(labels == 0).save(path)),
    "pgm, packed": ("a.pgm", 200, by_opencv("label")),
    "npy": ("a.npy", 60000, np.save),
    "mat": ("a.mat", 60000, lambda path, labels: savemat(path, {"data": labels.T})),
    "another name": ("a.jpg", 16, gray_png(4)),
}


def labels_below(most: int, seed: int = 0) -> Labels:
    labels = np.random.default_rng(seed).integers(0, most, (11, 13))
    labels[0, 0] = most - 1
    return labels


@pytest.mark.parametrize("kind", ALL)
def test_stored_numbers_are_labels(kind: str, tmp_path: Path) -> None:
    name, most, write = ALL[kind]
    labels = labels_below(most)
    write(tmp_path / name, labels)
    found = read_labels(tmp_path / name, "test")
    assert found.dtype == (np.uint8 if most <= 256 else np.uint16)
    np.testing.assert_array_equal(found, labels)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image and a list of one pair; the label map is to be written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    cv2.imwrite("images/a.png", np.random.default_rng(0).integers(0, 256, (11, 13, 3), np.uint8))
    Path("list.txt").write_text("images/a.png labels/a.png\n")
    return tmp_path


def layer(kind: str) -> Net:
    options = "label_type: PIXEL" if kind == "ImageSegData" else ""
    tops = 'top: "data" top: "label"'
    source = f'image_data_param {{ source: "list.txt" batch_size: 1 {options} }}'
    Path("net.prototxt").write_text(f'layer {{ name: "d" type: "{kind}" {tops} {source} }}')
    return Net("net.prototxt", TEST)


@pytest.mark.parametrize("kind", ["gray 2", "gray 16", "palette 4", "gray 16 and alpha"])
def test_everything_reads_the_same_labels(kind: str, pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, most, write = ALL[kind]
    most = min(most, 300)
    labels = labels_below(most)
    write(pair / "labels" / "a.png", labels)
    for source in ("TwoImageData", "ImageSegData"):
        net = layer(source)
        net.forward()
        np.testing.assert_array_equal(net.blobs["label"].data[0, 0], labels)
    assert main(["data", "check", "list.txt", f"--classes={most - 1}"]) == 1
    output = capsys.readouterr().out
    assert f"labels outside 0..{most - 2}: {most - 1}" in output
    if most <= 256:
        assert main(["data", "import-folder", "images", "labels", "out", "--map=1=0"]) == 0
        np.testing.assert_array_equal(read_labels(pair / "out/labels/a.png", "t"), np.where(labels == 1, 0, labels))
        assert main(["eval", "labels", "labels", "--trimap=0", "--ignore=300"]) == 0
        output = capsys.readouterr().out
        assert all(f"\n{label} " in output for label in np.unique(labels)[1:])


def test_more_labels_than_eval_counts_are_an_error(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gray_png(16)(pair / "labels" / "a.png", np.full((11, 13), 300))
    assert main(["eval", "labels", "labels"]) == 2
    assert "holds labels up to 300" in " ".join(capsys.readouterr().err.split())


COLOURED = Image.fromarray(voc().colours[labels_below(21)])


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_colours_are_refused_and_a_palette_is_offered(name: str, mode: str, tmp_path: Path) -> None:
    COLOURED.convert(mode).save(tmp_path / name)
    with pytest.raises(DataError, match=r"Received: the colours of --palette voc\. With --palette voc, cityscapes"):
        read_labels(tmp_path / name, "test")
    np.testing.assert_array_equal(read_labels(tmp_path / name, "test", voc()), labels_below(21))


@pytest.mark.parametrize("kind", ["TwoImageData", "ImageSegData"])
def test_layers_refuse_colours(kind: str, pair: Path) -> None:
    COLOURED.save(pair / "labels/a.png")
    with pytest.raises(DataError, match=r'layer "d" .*list.txt:1: cannot read "labels/a.png".*--palette'):
        layer(kind).forward()


def test_a_palette_for_every_command(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    COLOURED.save(pair / "labels/a.png")
    assert main(["data", "check", "list.txt"]) == 1
    assert "--palette voc" in capsys.readouterr().out
    assert main(["data", "check", "list.txt", "--palette", "voc", "--classes=21"]) == 0
    assert main(["data", "show", "list.txt", "--palette", "voc", "--out=sheet.png"]) == 0
    assert main(["data", "import-folder", "images", "labels", "out", "--palette", "voc"]) == 0
    np.testing.assert_array_equal(read_labels(pair / "out/labels/a.png", "test"), labels_below(21))
    capsys.readouterr()
    assert main(["eval", "labels", "out/labels", "--palette", "voc", "--trimap=0"]) == 0
    assert "100.00" in capsys.readouterr().out
    assert main(["eval", "labels", "--palette", "voc", "--submission", "s.tgz"]) == 0
    assert main(["eval", "labels", "--submission", "s.tgz"]) == 2


def test_cityscapes_colours_are_train_ids() -> None:
    palette = cityscapes()
    assert len(np.unique(palette.colours, axis=0)) == len(palette.colours)
    found = palette.labels_of(np.array([[(128, 64, 128), (119, 11, 32), (0, 0, 0), (153, 153, 153)]], np.uint8))
    assert found.tolist() == [[0, 18, 255, 5]]


@pytest.mark.parametrize(
    "text",
    [
        "64 128 64\n1 2 3\n0 0 0 255\n",
        "64,128,64\n1,2,3\n0,0,0,255\n",
        "# CamVid\n64 128 64\tAnimal\n1 2 3 Archway\n0 0 0 255 Void\n",
        "name,r,g,b\nAnimal,64,128,64\nArchway,1,2,3\nVoid,0,0,0,255\n",
    ],
)
def test_a_file_of_colours(text: str, tmp_path: Path) -> None:
    path = tmp_path / "colours.txt"
    path.write_text(text)
    palette = read_palette(str(path))
    image = np.array([[(0, 0, 0), (1, 2, 3), (64, 128, 64)]], np.uint8)
    assert palette.labels_of(image).tolist() == [[255, 1, 0]]
    with pytest.raises(DataError, match=r"row 0, column 1 has the colour \(9, 9, 9\), .*so have 1 of 2 pixels"):
        palette.labels_of(np.array([[(1, 2, 3), (9, 9, 9)]], np.uint8))


@pytest.mark.parametrize(("text", "message"), [
    ("1 2\n", r"colours.txt:1: a line must hold R G B"),
    ("1 2 3\n1 2 300\n", r"colours.txt:2: a line must hold R G B"),
    ("1 2 3\n1 2 3\n", r"colours.txt:2: the colour \(1, 2, 3\) has the label 0 already"),
    ("heading\n", r"colours.txt.*has no colours"),
])  # fmt: skip
def test_files_of_colours_with_faults(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "colours.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_palette(str(tmp_path / "colours.txt"))


@pytest.mark.parametrize("values", [np.full((2, 2), -1.0), np.full((2, 2), 0.5), np.full((2, 2), 7e4)])
def test_numbers_that_are_no_labels(values: Labels, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", values)
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "a.tif")
    for name in ("a.npy", "a.tif"):
        with pytest.raises(DataError, match="labels must be integers from 0 to 65535"):
            read_labels(tmp_path / name, "test")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "kind", ["palette", "gray 4", "pgm", "tiff palette", "tiff 8 compressed", "bmp palette", "gif"]
)
def test_damage_is_an_error_or_harmless(kind: str, tmp_path: Path) -> None:
    name, most, write = ALL[kind]
    labels = labels_below(most)
    write(tmp_path / name, labels)
    good = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(good)
        content[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        (tmp_path / name).write_bytes(content[: int(rng.choice([len(good), rng.integers(9, len(good))]))])
        try:
            found = read_labels(tmp_path / name, "test")
        except DataError:
            continue
        if name.endswith("png"):
            np.testing.assert_array_equal(found, labels, "a checksum should have told")


def test_palette_pngs_hold_their_labels_whatever_the_number_of_colours(tmp_path: Path) -> None:
    for colours in (1, 3, 21, 256):
        write_label(tmp_path / "a.png", labels_below(256), "test", voc().colours[:colours])
        np.testing.assert_array_equal(read_few_labels(tmp_path / "a.png", "test"), labels_below(256))
    assert Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())).mode == "P"
