"""Numbers in lists, tables and logs that are too large, negative or none: a sentence, or the line is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.data import windows
from segcaffe.data.annotated.sampling import check_samplers
from segcaffe.data.brightness import unlike_brightness
from segcaffe.data.coco import import_coco
from segcaffe.data.contents import is_integer
from segcaffe.data.importers import _order
from segcaffe.data.label_files import read_labels
from segcaffe.data.lists import Entry, name_and_label
from segcaffe.data.loader import BatchLoader, ListFeed
from segcaffe.data.mean import read_mean_pixel
from segcaffe.data.transformer import Transformer, read_mean
from segcaffe.data.warp import warp
from segcaffe.errors import DataError, PrototxtError
from segcaffe.metrics.evaluate import Report
from segcaffe.metrics.tally import Tally
from segcaffe.predict.notes import parse_notes
from segcaffe.proto.caffe_pb2 import TEST, BatchSampler, BlobProto, TransformationParameter
from segcaffe.text.digits import signed_number
from segcaffe.viz.logs import read_lines

HUGE = "9" * 5000


@pytest.mark.parametrize("text", [HUGE, f"-{HUGE}", "1_0", "\u0663", "\u00b2", "1.0", "", "-", "--1", "+-1"])
def test_what_is_no_number(text: str) -> None:
    assert signed_number(text) is None
    assert not is_integer(text)


@pytest.mark.parametrize(("text", "number"), [("-7", -7), ("+7", 7), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_numbers_with_a_sign(text: str, number: int) -> None:
    assert signed_number(text) == number


def test_a_label_of_too_many_digits() -> None:
    with pytest.raises(DataError, match=r"list\.txt:3: a line must hold an image file and an integer label"):
        name_and_label(Entry(f"a.png {HUGE}", "list.txt:3"), "layer")


@pytest.mark.parametrize("corner", [HUGE, "1e3", "2147483648", "nan"])
def test_corners_of_windows(corner: str, tmp_path: Path) -> None:
    path = tmp_path / "windows.txt"
    path.write_text(f"# 0\na.png\n3\n7\n9\n1\n3 0.9 1 1 {corner} 5\n")
    with pytest.raises(DataError, match="label overlap x1 y1 x2 y2"):
        windows.read_windows(str(path), "layer")


@pytest.mark.parametrize("corners", [(1, 7, 6, 5), (6, 1, 1, 5), (0, 1, 4, 0), (2**31 - 1, 0, 1 - 2**31, 5)])
@pytest.mark.parametrize("square", [True, False])
def test_windows_whose_corners_cross(corners: tuple[int, int, int, int], square: bool) -> None:
    window = windows.Window("a.png", 1, 0.5, *corners, "windows.txt:7")
    with pytest.raises(DataError, match=r"windows\.txt:7: the corners x1 y1 x2 y2 of a window must not cross"):
        warp(np.zeros((7, 9, 3), np.uint8), window, 6, 1, square, False, "layer")


def test_iterations_of_logs() -> None:
    lines = [f"Iteration {HUGE}, loss = 1", "Iteration 5, loss = 2", f"Iteration 5, Testing net (#{HUGE})"]
    assert dict(read_lines(lines)) == {"loss": [(5, 2.0)]}


def test_colours_of_notes() -> None:
    with pytest.raises(PrototxtError, match="256 colours"):
        parse_notes(f"# segcaffe.palette: 0 0 0, {HUGE} 1 1")


def test_digits_that_are_no_decimals_in_names() -> None:
    assert sorted([Path("a\u00b2.png"), Path("a10.png"), Path("a9.png")], key=_order)[0].name == "a9.png"


def test_headers_of_graymaps() -> None:
    assert unlike_brightness(f"P5 2 2 {HUGE}\n".encode()) == ""
    assert unlike_brightness(b"P5 2 2 15\n") == "values of 0 to 15"


@pytest.mark.parametrize("dims", [[2**32, 2**32, 3], [2, 2**63 - 1, 2], [-1, -1, 0], [1, 0, 0]])
def test_shapes_of_means_whose_product_wraps(dims: list[int], tmp_path: Path) -> None:
    message = BlobProto()
    message.shape.dim.extend(dims)
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(message.SerializeToString())
    if dims == [1, 0, 0]:
        assert read_mean(str(path), "layer").shape == (1, 0, 0)
    else:
        with pytest.raises(DataError, match="must hold one image"):
            read_mean(str(path), "layer")


@pytest.mark.parametrize("values", [np.array([b"abc"]), np.zeros(2, [("a", "<f4")]), np.array([1 + 2j])])
def test_means_of_no_numbers(values: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", values)
    with pytest.raises(DataError, match="a mean is C numbers"):
        read_mean_pixel(tmp_path / "mean.npy", "net")


@pytest.mark.parametrize("shape", [(0, 4, 5), (0, 0, 0), (1, 0, 4, 5)])
def test_scores_of_no_classes(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "label.npy", np.zeros(shape, np.float32))
    with pytest.raises(DataError, match="it must hold labels"):
        read_labels(tmp_path / "label.npy", "layer")


@pytest.mark.parametrize("factors", [[float("nan")], [1.0, float("inf")], [0.0], [-1.0]])
def test_scale_factors_that_are_none(factors: list[float]) -> None:
    with pytest.raises(DataError, match="scale_factors must be positive numbers"):
        Transformer(TransformationParameter(scale_factors=factors), TEST, "layer", np.float32)


def test_images_that_grow_too_large() -> None:
    transformer = Transformer(TransformationParameter(scale_factors=[1e38]), TEST, "layer", np.float32)
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(DataError, match=r"makes an image of .* too large"):
        transformer.pair(image, image[:, :, :1], np.random.default_rng(0))


def test_crops_that_no_image_has() -> None:
    with pytest.raises(DataError, match="must be 1048576 at most"):
        Transformer(TransformationParameter(crop_size=2**31), TEST, "layer", np.float32)


def _coco(folder: Path, **changes: Any) -> Path:
    image = {"id": 7, "file_name": "a.jpg", "height": 7, "width": 9} | changes.get("image", {})
    ring = changes.get("ring", [1, 1, 5, 1, 5, 5])
    mark = {"image_id": 7, "category_id": 3, "iscrowd": 0, "area": 12, "segmentation": [ring]} | changes.get("mark", {})
    (folder / "val2017").mkdir()
    (folder / "val2017/a.jpg").touch()
    (folder / "annotations").mkdir()
    content = {"images": [image], "annotations": [mark]}
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"ring": [1, 2**31, 5, 1, 5, 5]}, {"ring": [1, float("nan"), 5, 1, 5, 5]}, {"ring": [1, 1e300, 5, 1]},
        {"image": {"id": [7]}}, {"image": {"id": {}}}, {"image": {"height": 2**40}}, {"image": {"width": 10**400}},
        {"image": {"height": 0}},
        {"mark": {"category_id": 10**30}}, {"mark": {"category_id": 256}}, {"mark": {"category_id": -1}},
    ],
)  # fmt: skip
def test_annotations_that_no_image_has(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="import-coco"):
        import_coco(_coco(tmp_path, **changes), tmp_path / "out")


def test_more_classes_and_wider_trimaps_than_there_are() -> None:
    with pytest.raises(DataError, match="256 classes at most"):
        Report.of(Tally(), 257)
    with pytest.raises(DataError, match="255 pixels wide at most"):
        Tally(256)


def test_batches_ahead_and_trials_without_end() -> None:
    with pytest.raises(DataError, match="prefetch must be 1000 batches at most"):
        BatchLoader(ListFeed([1], False), lambda item, random: (np.zeros(1),), 1, "layer", depth=2**32 - 1)
    with pytest.raises(DataError, match=r"must try 10000 times at most \(max_trials\)"):
        check_samplers([BatchSampler(max_trials=2**32 - 1)], "layer")


def test_batches_that_no_memory_holds() -> None:
    loader = BatchLoader(ListFeed([1], False), lambda item, random: (np.zeros(1),), 2**32 - 1, "layer")
    with pytest.raises(MemoryError, match="are asked for at once"):
        loader.next()
    loader.close()
