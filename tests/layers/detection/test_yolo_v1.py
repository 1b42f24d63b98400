"""DetectionLoss and BoxData against YOLO's Caffe written out box by box."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.errors import SegcaffeError
from segcaffe.proto.caffe_pb2 import Datum
from segcaffe.testing import LayerCase

SIDE, CLASSES, OBJECTS, ITEMS = 3, 4, 2, 3
CELLS = SIDE * SIDE
SCALES = {"object_scale": 2.0, "noobject_scale": 0.5, "class_scale": 3.0, "coord_scale": 5.0}


def _iou(a: list[float], b: list[float]) -> float:
    sides = [
        min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2) for i in (0, 1)
    ]
    if min(sides) < 0:
        return 0.0
    return sides[0] * sides[1] / (a[2] * a[3] + b[2] * b[3] - sides[0] * sides[1])


def _reference(values: np.ndarray, labels: np.ndarray, roots: bool, in_cells: bool) -> tuple[float, np.ndarray]:
    """Loss and errors, cell by cell."""
    grad, parts, empty, count = np.zeros_like(values), 0.0, 0.0, 0
    for n in range(ITEMS):
        for j in range(CELLS):
            sure = [values[n, CLASSES + k, j] for k in range(OBJECTS)]
            for k in range(OBJECTS):
                grad[n, CLASSES + k, j] = 0.5 * sure[k]
            empty += sum(0.5 * s * s for s in sure)
            if not labels[n, 1, j]:
                continue
            count += 1
            for c in range(CLASSES):
                off = values[n, c, j] - (c == labels[n, 2, j])
                grad[n, c, j], parts = 3 * off, parts + 3 * off * off
            truth = labels[n, 3:].reshape(CELLS, 4)[j].tolist()
            boxes = [[float(values[n, CLASSES + OBJECTS + 4 * k + i, j]) for i in range(4)] for k in range(OBJECTS)]
            plain = []
            for x, y, w, h in boxes:
                x, y = ((j % SIDE + x) / SIDE, (j // SIDE + y) / SIDE) if in_cells else (x, y)
                plain.append([x, y, *((w * w, h * h) if roots else (w, h))])
            ious = [_iou(box, truth) for box in plain]
            gaps = [math.dist(box, truth) for box in plain]
            best = (
                max(range(OBJECTS), key=lambda k: ious[k])
                if max(ious) > 0
                else min(range(OBJECTS), key=lambda k: gaps[k])
            )
            empty -= 0.5 * sure[best] ** 2
            parts += 2 * (sure[best] - 1) ** 2
            grad[n, CLASSES + best, j] = 2 * (sure[best] - ious[best])
            x, y, w, h = truth
            x, y = (x * SIDE - j % SIDE, y * SIDE - j // SIDE) if in_cells else (x, y)
            for i, wanted in enumerate([x, y, *((math.sqrt(w), math.sqrt(h)) if roots else (w, h))]):
                off = boxes[best][i] - wanted
                grad[n, CLASSES + OBJECTS + 4 * best + i, j], parts = 5 * off, parts + 5 * off * off
    return parts / count + empty / (ITEMS * CELLS * OBJECTS - count), grad / ITEMS


@pytest.mark.parametrize("roots", [True, False])
@pytest.mark.parametrize("in_cells", [True, False])
def test_the_loss_cell_by_cell(roots: bool, in_cells: bool) -> None:
    rng = np.random.default_rng(5)
    values = rng.uniform(0.05, 0.9, (ITEMS, CLASSES + 5 * OBJECTS, CELLS))
    labels = np.zeros((ITEMS, 7, CELLS))
    labels[:, 1], labels[:, 2] = rng.random((ITEMS, CELLS)) < 0.6, rng.integers(0, CLASSES, (ITEMS, CELLS))
    # Small ones, so that some overlap with no box.
    labels[:, 3:] = rng.uniform(0.02, 0.6, (ITEMS, CELLS, 4)).reshape(ITEMS, 4, CELLS)
    scales = " ".join(f"{name}: {value}" for name, value in SCALES.items())
    flags = f"sqrt: {str(roots).lower()} constriant: {str(in_cells).lower()}"
    options = f"detection_loss_param {{ side: {SIDE} num_class: {CLASSES} num_object: {OBJECTS} {scales} {flags} }}"
    inputs = (values.reshape(ITEMS, -1), labels.reshape(ITEMS, -1))
    layer, bottom, top = LayerCase("DetectionLoss", options, inputs).build(dtype=np.float64)
    layer.forward(bottom, top)
    loss, grad = _reference(values, labels, roots, in_cells)
    assert float(top[0].data) == pytest.approx(loss, rel=1e-9)
    top[0].diff[...] = 1
    layer.backward(top, [True, False], bottom)
    np.testing.assert_allclose(bottom[0].diff, grad.reshape(ITEMS, -1), atol=1e-9)


def test_what_the_loss_refuses() -> None:
    good = ((2, 9 * 14), np.zeros((2, 63)))
    for options, inputs, told in (
        ("side: 0", good, "side must be 1 or more"),
        ("side: 3 num_class: 5", good, "need bottom 0 of 135 numbers"),
        ("side: 3 num_class: 4", (good[0], np.zeros((2, 62))), "need bottom 1 of 63 numbers"),
    ):
        with pytest.raises(SegcaffeError, match=told):
            LayerCase("DetectionLoss", f"detection_loss_param {{ {options} }}", inputs).build()
    labels = np.zeros((2, 7, 9))
    labels[0, 1:3, 0] = 1, 4
    layer, bottom, top = LayerCase(
        "DetectionLoss", "detection_loss_param { side: 3 num_class: 4 }", (good[0], labels.reshape(2, -1))
    ).build()
    with pytest.raises(SegcaffeError, match=r"class of an object lies in 0\.\.3. Received: 4"):
        layer.forward(bottom, top)


ROWS = [[2, 0, 0.5, 0.25, 0.2, 0.3], [0, 1, 0.9, 0.95, 0.1, 0.1], [7, 0, 0.55, 0.3, 0.4, 0.2]]


def _database(folder: Path, rows: list[list[float]], **more: object) -> Path:
    """Two equal items whose red is the column and green the row of a pixel."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 2], image[..., 1] = np.arange(60), np.arange(40)[:, None]
    data = cv2.imencode(".png", image)[1].tobytes()
    fields = {"encoded": True, "data": data, "float_data": [value for row in rows for value in row], **more}
    with lmdb.open(str(folder / "db"), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key in (b"a", b"b"):
            transaction.put(key, Datum(**fields).SerializeToString())
    return folder / "db"


def _read(path: Path, options: str = "", transform: str = "", tops: int = 2, phase: str = "TEST") -> list[np.ndarray]:
    param = f'data_param {{ source: "{path}" backend: LMDB batch_size: 2 {options} }} transform_param {{ {transform} }}'
    layer, _, top = LayerCase("BoxData", param, (), tops, phase=phase).build()
    layer.forward([], top)
    return [blob.data.copy() for blob in top]


def test_rows_of_a_yolo_v2(tmp_path: Path) -> None:
    image, rows = _read(_database(tmp_path, ROWS), "side: 13")
    assert image.shape == (2, 3, 40, 60)
    assert rows.shape == (2, 150)
    expected = np.array([[row[0], *row[2:]] for row in ROWS])
    np.testing.assert_allclose(rows[1].reshape(30, 5)[:3], expected, rtol=1e-6)
    assert not rows[:, 15:].any()
    assert (_read(_database(tmp_path, ROWS))[1] == rows).all()


def test_boxes_mirrored_with_their_images(tmp_path: Path) -> None:
    seen, path = set(), _database(tmp_path, ROWS)
    for seed in range(8):
        caffe.set_random_seed(seed)
        for image, own in zip(*_read(path, "side: 13", "mirror: true"), strict=True):
            mirrored = bool(image[2, 0, 0])
            seen.add(mirrored)
            expected = [[row[0], 1 - row[2] if mirrored else row[2], *row[3:]] for row in ROWS]
            np.testing.assert_allclose(own.reshape(30, 5)[:3], expected, rtol=1e-6)
            assert image[2, 0, 0] == (59 if mirrored else 0)
    assert seen == {False, True}


def test_cells_of_a_yolo_v1(tmp_path: Path) -> None:
    _, of_default, of_three = _read(_database(tmp_path, ROWS), "side: 7 side: 3", tops=3)
    cells = of_three[0].reshape(7, 9)
    # Boxes 0 and 2 lie in cell (0, 1): the last counts; box 1 lies in the last cell.
    assert np.flatnonzero(cells[1]).tolist() == [1, 8]
    assert cells[2].tolist() == [-1, 7, -1, -1, -1, -1, -1, -1, 0]
    assert cells[0].tolist() == [0] * 8 + [1]
    np.testing.assert_allclose(cells[3:].reshape(9, 4)[[1, 8]], [ROWS[2][2:], ROWS[1][2:]], rtol=1e-6)
    assert of_default.shape == (2, 7 * 49)


def test_parts_of_images_and_their_boxes(tmp_path: Path) -> None:
    path, seen = _database(tmp_path, ROWS[:2]), set()
    for seed in range(30):
        caffe.set_random_seed(seed)
        images, rows = _read(path, "side: 13", phase="TRAIN")
        for image, own in zip(images, rows.reshape(2, 30, 5), strict=True):
            boxes = own[own[:, 3] > 0]
            seen.add(len(boxes))
            for label, x, y, w, h in boxes:
                row = next(row for row in ROWS if row[0] == label)
                # The colours there tell which pixel of the whole image is seen.
                column, line = (min(int(v), n - 1) for v, n in ((x * 60, 60), (y * 40, 40)))
                assert abs(float(image[2, line, column]) - row[2] * 60) < 2.5
                assert abs(float(image[1, line, column]) - row[3] * 40) < 2.5
                assert row[4] <= w + 0.02 < row[4] / 0.68 + 0.02
                assert row[5] - 0.03 <= h < row[5] / 0.66
    assert seen == {1, 2}


@pytest.mark.parametrize(
    ("options", "transform", "tops", "told"),
    [
        ("side: 7 side: 9", "", 2, "needs a top for each side"),
        ("side: 7", "crop_size: 9", 2, "do not go along with a crop"),
        ("side: 0", "", 2, "side must be 1 or more"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, options: str, transform: str, tops: int, told: str) -> None:
    with pytest.raises(SegcaffeError, match=told):
        _read(_database(tmp_path, ROWS), options, transform, tops)


@pytest.mark.parametrize(
    ("rows", "more"),
    [([[1, 2, 3]], {}), ([[-1, 0, 0.5, 0.5, 0.1, 0.1]], {}), ([[1, 0, math.nan, 0.5, 0.1, 0.1]], {}),
     (ROWS, {"encoded": False})],
)  # fmt: skip
def test_items_that_are_none(tmp_path: Path, rows: list[list[float]], more: dict[str, object]) -> None:
    with pytest.raises(SegcaffeError, match='key "a": a Datum must be an encoded image whose float_data'):
        _read(_database(tmp_path, rows, **more))
