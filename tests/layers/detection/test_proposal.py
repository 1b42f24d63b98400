"""Proposals against Faster R-CNN's rules written out one box at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segcaffe.detection.anchors import base_anchors, deltas, shift
from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase

Box = list[float]
HEIGHT, WIDTH, STRIDE = 5, 6, 16
IMAGES = np.array([[78.0, 95, 1], [70, 90, 1.5]])
OPTIONS = "feat_stride: 16 min_size: 20 pre_nms_topn: 150 post_nms_topn: 25 nms_thresh: 0.6"


def test_anchors_of_the_paper() -> None:
    """The nine that Faster R-CNN's generate_anchors gives, as its source has them."""
    expected = [
        [-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199],
        [-56, -56, 71, 71], [-120, -120, 135, 135], [-248, -248, 263, 263],
        [-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359],
    ]  # fmt: skip
    np.testing.assert_array_equal(base_anchors(16, [0.5, 1, 2], [8, 16, 32]), expected)


def test_deltas_undo_shifts() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (20, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 40, (20, 2))], axis=1)
    moves = rng.normal(0, 0.3, (20, 4))
    moved = shift(boxes, moves)
    # The shift leaves the far corners a pixel further than their size says, as the original does.
    moved[:, 2:] -= 1
    np.testing.assert_allclose(deltas(boxes, moved)[:, 2:], moves[:, 2:], atol=1e-9)
    np.testing.assert_allclose(deltas(boxes, moved)[:, :2], moves[:, :2], atol=1e-9)


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return shared / (areas[0] + areas[1] - shared)


def _expected(inputs: list[np.ndarray]) -> tuple[list[list[float]], list[float]]:
    anchors = base_anchors(16, [0.5, 1, 2], [8, 16, 32]).tolist()
    rows, scores = [], []
    for n, (image_height, image_width, scale) in enumerate(IMAGES.tolist()):
        boxes = []
        for h in range(HEIGHT):
            for w in range(WIDTH):
                for a, anchor in enumerate(anchors):
                    left, top, right, bottom = (v + s * STRIDE for v, s in zip(anchor, (w, h, w, h), strict=True))
                    dx, dy, dw, dh = inputs[1][n, 4 * a : 4 * a + 4, h, w].tolist()
                    wide, high = right - left + 1, bottom - top + 1
                    x, y = left + wide / 2 + dx * wide, top + high / 2 + dy * high
                    wide, high = math.exp(dw) * wide, math.exp(dh) * high
                    box = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]
                    box = [min(max(v, 0), m - 1) for v, m in zip(box, (image_width, image_height) * 2, strict=True)]
                    if min(box[2] - box[0], box[3] - box[1]) + 1 >= 20 * scale:
                        boxes.append((float(inputs[0][n, len(anchors) + a, h, w]), box))
        kept: list[Box] = []
        for score, box in sorted(boxes, key=lambda pair: -pair[0])[:150]:
            if len(kept) < 25 and all(_overlap(box, other) <= 0.6 for other in kept):
                kept.append(box)
                scores.append(score)
        rows += [[n, *box] for box in kept]
    return rows, scores


def _inputs() -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    scores = rng.permutation(2 * 18 * HEIGHT * WIDTH).reshape(2, 18, HEIGHT, WIDTH) / 1100
    return [scores, rng.normal(0, 0.4, (2, 36, HEIGHT, WIDTH)), IMAGES]


def test_one_box_at_a_time() -> None:
    inputs = _inputs()
    case = LayerCase("Proposal", f"proposal_param {{ {OPTIONS} }}", tuple(inputs), tops=2)
    layer, bottom, top = case.build(dtype=np.float64)
    layer.forward(bottom, top)
    rows, scores = _expected(inputs)
    assert 15 < len(rows) < 45
    np.testing.assert_allclose(top[0].data, rows, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(top[1].data[:, 0], scores, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "image", "sentence"),
    [
        ("ratio: 0", IMAGES, "above 0"),
        ("ratio: 1 scale: 8", IMAGES, "1 anchors need 2 probabilities and 4 deltas of each cell"),
        ("", IMAGES[:1], "height, width and scale of each image"),
        ("", IMAGES * 0, "needs height, width and scale above 0"),
    ],
)
def test_what_is_refused(options: str, image: np.ndarray, sentence: str) -> None:
    case = LayerCase("Proposal", f"proposal_param {{ {options} }}", (*_inputs()[:2], image))
    with pytest.raises(SegcaffeError, match=sentence):
        _run(case)


def _run(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    layer.forward(bottom, top)


def test_hardest_regions_of_each_image() -> None:
    regions = np.array([[0, 1, 1, 5, 5], [1, 1, 1, 5, 5], [0, 2, 2, 5, 5], [0, 3, 3, 5, 5]])
    labels, weights = np.array([[3.0], [4], [5], [6]]), np.arange(1, 9).reshape(4, 2)
    losses = (np.array([0.1, 0.0, 0.9, 0.3]), np.array([0.8, 0.0, 0.2, 0.1]))
    for of_each in (losses, (losses[0] + losses[1],)):  # the original takes one loss of each region
        bottoms = (regions, *of_each, labels, weights)
        case = LayerCase("BoxAnnotatorOHEM", "box_annotator_ohem_param { roi_per_img: 2 }", bottoms, tops=2)
        layer, bottom, top = case.build()
        layer.forward(bottom, top)
        assert top[0].data.tolist() == [[3], [4], [5], [-1]]
        assert top[1].data.tolist() == [[1, 2], [3, 4], [5, 6], [0, 0]]
    with pytest.raises(SegcaffeError, match=r"needs regions \(R, 5\), R losses and R labels"):
        _run(LayerCase("BoxAnnotatorOHEM", case.options, (regions, losses[0][:3], labels, weights), 2))


def test_losses_of_each_position() -> None:
    rng = np.random.default_rng(1)
    scores, label = rng.standard_normal((3, 4, 2)), rng.integers(0, 4, (3, 2))
    case = LayerCase("SoftmaxWithLossOHEM", "loss_param { ignore_label: 1 normalization: NONE }", (scores, label), 3)
    layer, bottom, top = case.build(dtype=np.float64)
    layer.forward(bottom, top)
    chosen = np.take_along_axis(scores, label[:, None], axis=1)[:, 0]
    each = np.where(label == 1, 0, np.log(np.exp(scores).sum(axis=1)) - chosen)
    np.testing.assert_allclose(top[2].data, each, rtol=1e-6)
    assert float(top[0].data) == pytest.approx(each.sum(), rel=1e-6)
    a, b = rng.normal(0, 2, (2, 3, 4, 1)), rng.normal(0, 2, (2, 3, 4, 1))
    layer, bottom, top = LayerCase("SmoothL1LossOHEM", "", (a, b), 2).build(dtype=np.float64)
    layer.forward(bottom, top)
    size = np.abs(a - b)
    each = np.where(size < 1, size**2 / 2, size - 0.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(top[1].data, each, rtol=1e-6)
    assert float(top[0].data) == pytest.approx(each.mean(), rel=1e-6)
