"""SoftmaxWithLoss against a loop over pixels, and its rules one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.errors import DataError, ShapeError
from segcaffe.testing import LayerCase
from segcaffe.threads import parallel

TINY = float(np.finfo(np.float32).tiny)


def run(scores, labels, options="", weight=1.0):
    """Loss and gradient of the scores."""
    layer, bottom, top = LayerCase("SoftmaxWithLoss", options, (scores, labels)).build()
    layer.forward(bottom, top)
    top[0].diff[...] = weight
    layer.backward(top, [True, False], bottom)
    return float(top[0].data), bottom[0].diff.copy()


def by_hand(scores, labels, ignore, mode, class_weight):
    """(N, C, M) scores, (N, M) labels: loss and gradient, pixel by pixel in float64."""
    loss, weights, gradient = 0.0, 0.0, np.zeros(scores.shape)
    num, classes, pixels = scores.shape
    for n, i in itertools.product(range(num), range(pixels)):
        k = int(labels[n, i])
        if k == ignore:
            continue
        e = np.exp(scores[n, :, i].astype(np.float64) - scores[n, :, i].max())
        p = e / e.sum()
        loss -= class_weight[k] * np.log(max(p[k], TINY))
        weights += class_weight[k]
        gradient[n, :, i] = class_weight[k] * (p - np.eye(classes)[k])
    divisor = {"FULL": num * pixels, "VALID": weights, "BATCH_SIZE": num, "NONE": 1}[mode]
    return loss / max(1, divisor), gradient / max(1, divisor)


@pytest.mark.parametrize("mode", ["FULL", "VALID", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("ignore", [None, 255, 0, -1])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_a_loop_over_pixels(mode, ignore, weighted, tmp_path):
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((2, 4, 5, 131)).astype(np.float32) * 3
    labels = rng.integers(0, 4, (2, 1, 5, 131))
    if ignore is not None:
        labels[rng.random(labels.shape) < 0.3] = ignore
    class_weight = np.array([0.5, 2.0, 0.0, 1.0]) if weighted else np.ones(4)
    options = f"normalization: {mode}" + (f" ignore_label: {ignore}" if ignore is not None else "")
    if weighted:
        (tmp_path / "w.txt").write_text("0.5 2\n0e0\t1.\n")
        options += f' weight_source: "{tmp_path / "w.txt"}"'
    loss, gradient = run(scores, labels, f"loss_param {{ {options} }}")
    expected, expected_gradient = by_hand(scores.reshape(2, 4, -1), labels.reshape(2, -1), ignore, mode, class_weight)
    assert loss == pytest.approx(expected, rel=2e-6)
    np.testing.assert_allclose(gradient.reshape(2, 4, -1), expected_gradient, atol=5e-7 * abs(expected_gradient).max())


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ("", "VALID"),
        ("normalize: true", "VALID"),
        ("normalize: false", "BATCH_SIZE"),
        ("normalize: false normalization: FULL", "FULL"),
    ],
)
def test_the_old_flag_counts_only_where_the_mode_is_not_given(options, mode):
    rng = np.random.default_rng(4)
    scores, labels = rng.standard_normal((2, 3, 4)).astype(np.float32), rng.integers(0, 3, (2, 4))
    labels[0, :2] = 9
    loss, _ = run(scores, labels, f"loss_param {{ ignore_label: 9 {options} }}")
    assert loss == pytest.approx(by_hand(scores, labels, 9, mode, np.ones(3))[0], rel=1e-6)


def test_a_probability_of_zero_counts_as_the_smallest_normal_float():
    loss, gradient = run(np.array([[0.0, 1000.0]]), np.array([0]))
    assert loss == pytest.approx(-np.log(TINY), rel=1e-6)
    np.testing.assert_array_equal(gradient, [[-1, 1]])


def test_a_batch_of_ignored_labels_has_loss_and_gradient_zero():
    loss, gradient = run(np.ones((2, 3, 4)), np.full((2, 4), 7), "loss_param { ignore_label: 7 }")
    assert loss == 0
    assert not gradient.any()


def test_the_gradient_is_scaled_by_the_loss_weight():
    scores, labels = np.arange(6.0).reshape(2, 3), np.array([0, 2])
    np.testing.assert_allclose(run(scores, labels, weight=0.25)[1], 0.25 * run(scores, labels)[1], rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3), (1, 3, 700)], ids=["rows", "blocks"])
def test_nan_scores_give_a_nan_loss(shape):
    scores = np.zeros(shape)
    scores[0, 1] = np.nan
    assert np.isnan(run(scores, np.zeros((shape[0], *shape[2:])))[0])


def test_the_second_top_holds_probabilities_that_others_may_overwrite():
    rng = np.random.default_rng(5)
    layer, bottom, top = LayerCase("SoftmaxWithLoss", "", ((2, 3, 4), np.zeros((2, 4))), tops=2).build()
    bottom[0].data[...] = rng.standard_normal((2, 3, 4))
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[1].data.sum(axis=1), 1, rtol=1e-6)
    top[0].diff[...] = 1
    layer.backward(top, [True, False], bottom)
    before = bottom[0].diff.copy()
    top[1].data[...] = 0
    layer.backward(top, [True, False], bottom)
    np.testing.assert_array_equal(bottom[0].diff, before)


def test_the_loss_does_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(6)
    scores, labels = rng.standard_normal((1, 5, 90, 90)), rng.integers(0, 5, (1, 90, 90))
    threads = parallel.num_threads()
    try:
        losses = set()
        for count in (1, 2, 3):
            parallel.set_num_threads(count)
            losses.add(run(scores, labels)[0])
    finally:
        parallel.set_num_threads(threads)
    assert len(losses) == 1


@pytest.mark.parametrize("label", [5, -1, 255, np.nan, 1e12])
@pytest.mark.parametrize("options", ["", "loss_param { ignore_label: 77 }"])
def test_a_label_that_is_no_class_is_named(label, options):
    labels = np.zeros((2, 4))
    labels[1, 2] = label
    with pytest.raises(
        DataError, match=r'layer "layer" \(SoftmaxWithLoss\): label .* \(number 6 of 8\).* 5 classes'
    ) as e:
        run(np.zeros((2, 5, 4)), labels, options)
    assert f"label {label:g} " in str(e.value)


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((2, 5, 3), (2, 4)), "", "6 labels"),
        (((2, 5), (3,)), "", "needs one label for each position"),
        (((2, 5), (2,)), "softmax_param { axis: 2 }", "axis must lie in"),
        (((2, 0), (2,)), "", "at least one class"),
    ],
)
def test_shapes_that_do_not_fit(shapes, options, message):
    with pytest.raises(ShapeError, match=message):
        LayerCase("SoftmaxWithLoss", options, shapes).build()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be a readable file of 3 numbers"),
        ("1 2", "exactly one non-negative number for each of the 3 classes.*2 numbers"),
        ("1 2 3 4", "4 numbers"),
        ("1 -2 3", "non-negative"),
        ("1 nan 3", "non-negative"),
        ("1 x 3", "could not convert string to float: 'x'"),
    ],
)
def test_bad_weight_files(content, message, tmp_path):
    path = tmp_path / "weights.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        LayerCase("SoftmaxWithLoss", f'loss_param {{ weight_source: "{path}" }}', ((2, 3), (2,))).build()


def test_reshape_to_a_larger_batch_and_another_image_size():
    layer, bottom, top = LayerCase("SoftmaxWithLoss", "", ((1, 3, 4), np.zeros((1, 4)))).build()
    for shape in ((5, 3, 700), (2, 3, 1)):
        bottom[0].reshape(*shape)
        bottom[1].reshape(shape[0], shape[2])
        layer.reshape(bottom, top)
        bottom[0].data[...] = 0
        bottom[1].data[...] = 2
        layer.forward(bottom, top)
        assert float(top[0].data) == pytest.approx(np.log(3))


@pytest.mark.parametrize("weighted", [False, True])
def test_smoothed_labels(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((2, 4, 3)), np.array([[0, 3, 2], [1, 1, 3]])
    weights = [0.5, 2, 1, 3] if weighted else [1.0] * 4
    freqs = f"weight_by_label_freqs: true {' '.join(f'class_weighting: {w}' for w in weights)}" if weighted else ""
    options = f"loss_param {{ label_smoothing: 0.25 ignore_label: 2 normalization: NONE {freqs} }}"
    layer, bottom, top = LayerCase("SoftmaxWithLoss", options, (scores, labels)).build(dtype=np.float64)
    layer.forward(bottom, top)
    top[0].diff[...] = 1
    layer.backward(top, [True, False], bottom)
    loss, grad = 0.0, np.zeros_like(scores)
    for n, i in np.ndindex(2, 3):
        label = labels[n, i]
        if label == 2:
            continue
        chances = np.exp(scores[n, :, i]) / np.exp(scores[n, :, i]).sum()
        target = [0.75 if c == label else 0.25 / 4 for c in range(4)]
        loss -= weights[label] * sum(t * np.log(p) for t, p in zip(target, chances, strict=True))
        # As Intel's: p times the sum of the targets, less the targets.
        grad[n, :, i] = weights[label] * (chances * sum(target) - target)
    assert float(top[0].data) == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(bottom[0].diff, grad, atol=1e-12)


def test_smoothing_is_a_share() -> None:
    with pytest.raises(ShapeError, match="label_smoothing must be 0 or more, and below 1"):
        LayerCase("SoftmaxWithLoss", "loss_param { label_smoothing: 1 }", ((2, 3), np.zeros(2))).build()
