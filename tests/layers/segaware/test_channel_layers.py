"""SpatialProduct, ChannelReduce, Replicate, UniqueLabel and the channel biases against loops, and their errors."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase


def forward(type_name: str, options: str, *inputs: np.ndarray) -> np.ndarray:
    case = LayerCase(type_name, options, tuple(x.shape for x in inputs))
    layer, bottom, top = case.build(np.float64, list(inputs))
    layer.forward(bottom, top)
    return top[0].data


@pytest.mark.parametrize("operation", ["MAX", "SUM"])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_channel_reduce_takes_runs_of_channels(groups: int, operation: str) -> None:
    x = np.random.default_rng(0).integers(0, 3, (2, 6, 4, 5)).astype(float)
    options = f"channel_reduce_param {{ num_channels: {groups} operation: {operation} }}"
    layer, bottom, top = LayerCase("ChannelReduce", options).build(np.float64, [x])
    layer.forward(bottom, top)
    top[0].diff[...] = np.arange(top[0].count).reshape(top[0].shape)
    layer.backward(top, [True], bottom)
    size = 6 // groups
    expected = np.zeros(x.shape)
    for n, g, y, z in np.ndindex(2, groups, 4, 5):
        run = x[n, g * size : (g + 1) * size, y, z]
        assert top[0].data[n, g, y, z] == (run.max() if operation == "MAX" else run.sum())
        taken = slice(g * size, (g + 1) * size) if operation == "SUM" else g * size + list(run).index(run.max())
        expected[n, taken, y, z] = top[0].diff[n, g, y, z]
    np.testing.assert_array_equal(bottom[0].diff, expected)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("copies", [1, 2, 3])
def test_replicate_concatenates(copies: int, axis: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    options = f"replicate_param {{ num_copies: {copies} axis: {axis} }}"
    layer, bottom, top = LayerCase("Replicate", options).build(np.float64, [x])
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, np.concatenate([x] * copies, axis))
    top[0].diff[...] = np.random.default_rng(1).standard_normal(top[0].shape)
    layer.backward(top, [True], bottom)
    np.testing.assert_allclose(bottom[0].diff, sum(np.split(top[0].diff, copies, axis)))


def test_unique_label_sorts_ignores_and_forces() -> None:
    labels = np.array([[5, 2, 5, 255, -3, 0], [1, 1, 1, 1, 255, 2]], float).reshape(2, 1, 2, 3)
    options = "unique_label_param { max_labels: 6 ignore_label: 255 ignore_label: 0 force_label: 3 }"
    found = forward("UniqueLabel", options, labels)
    assert found.shape == (2, 6, 1, 1)
    np.testing.assert_array_equal(found[:, :, 0, 0], [[-3, 2, 3, 5, -1, -1], [1, 2, 3, -1, -1, -1]])


def test_bias_of_the_channels_of_an_image() -> None:
    scores = np.random.default_rng(0).standard_normal((2, 4, 3, 5))
    labels = np.array([[0, 2, -1, 9], [3, 3, 1, -1]], float).reshape(2, 4, 1, 1)
    found = forward("BiasChannel", "bias_channel_param { bg_bias: 0.5 fg_bias: 3 ignore_label: 9 }", scores, labels)
    raised = np.array([[0.5, 0, 3, 0], [0, 3, 0, 6]])
    np.testing.assert_allclose(found, scores + raised[:, :, None, None])


@pytest.mark.parametrize("background", [None, 0, 2])
@pytest.mark.parametrize("bg_bias", [None, 0.5])
def test_bias_of_the_channels_of_each_pixel(background: int | None, bg_bias: float | None) -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((2, 4, 5, 6)), rng.choice([0, 1, 2, 3, 255, -1], (2, 1, 5, 6))
    options = "label_type: PIXEL fg_bias: 3 ignore_label: 255"
    options += "" if background is None else f" background_label: {background}"
    options += "" if bg_bias is None else f" bg_bias: {bg_bias}"
    found = forward("BiasChannel", f"bias_channel_param {{ {options} }}", scores, labels.astype(float))
    expected = scores.copy()
    for n, y, x in np.ndindex(2, 5, 6):
        label = labels[n, 0, y, x]
        if label in (-1, 255):
            continue
        if background is not None or bg_bias is not None:
            expected[n, background or 0, y, x] += 1 if bg_bias is None else bg_bias
            if label == (background or 0):
                continue
        expected[n, label, y, x] += 3
    np.testing.assert_allclose(found, expected)


def adapted(scores: np.ndarray, labels: list[int], bg: float, fg: float, suppress: bool) -> np.ndarray:
    """One round for labels in the given order."""
    scores = scores.reshape(len(scores), -1).copy()
    pixels = scores.shape[1]
    if suppress:
        for i in range(pixels):
            lowest = min(scores[label, i] for label in labels)
            for c in set(range(len(scores))) - set(labels):
                if scores[c, i] > lowest:
                    scores[c, i] = lowest - 0.25
    best = scores[labels].max(0)
    before = best.mean()
    for label in labels:
        distance = sorted(best - scores[label])
        scores[label] += distance[min(int((fg if label else bg) * pixels), pixels - 1)]
        best = np.maximum(best, scores[label])
    return scores + before - best.mean()


@pytest.mark.parametrize("suppress", [True, False])
@pytest.mark.parametrize(("bg", "fg"), [(0.25, 0.5), (1, 0), (0, 1)])
def test_adaptive_bias_gives_each_class_its_share(bg: float, fg: float, suppress: bool) -> None:
    scores = np.random.default_rng(0).standard_normal((3, 4, 3, 4))
    labels = np.array([[2, 0, -1], [-1, -1, -1], [3, -1, -1]], float).reshape(3, 3, 1, 1)
    options = f"bg_portion: {bg} fg_portion: {fg} margin_others: 0.25 suppress_others: {str(suppress).lower()}"
    found = forward("AdaptiveBiasChannel", f"adaptive_bias_channel_param {{ {options} }}", scores, labels)
    np.testing.assert_array_equal(found[1], scores[1])
    for n, order in ((0, [0, 2]), (2, [3])):
        expected = adapted(scores[n], order, bg, fg, suppress).reshape(4, 3, 4)
        np.testing.assert_allclose(found[n], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("type_name", "options", "shapes", "message"),
    [
        ("SpatialProduct", "", ((1, 2, 4, 4), (1, 2, 4, 4)), r"map must be \(N, 1, H, W\)"),
        ("SpatialProduct", "", ((1, 2, 4, 4), (1, 1, 4, 5)), r"map must be \(N, 1, H, W\)"),
        ("SpatialProduct", "", ((1, 2, 4, 4),), "takes exactly 2 bottoms"),
        ("ChannelReduce", "channel_reduce_param { num_channels: 4 }", ((1, 6, 4, 4),), "must divide"),
        ("ChannelReduce", "channel_reduce_param { num_channels: 0 }", ((1, 6, 4, 4),), "must divide"),
        ("ChannelReduce", "", ((6,),), "must have channels"),
        ("Replicate", "replicate_param { num_copies: 0 }", ((1, 2),), "num_copies must be 1 or more"),
        ("Replicate", "replicate_param { num_copies: -1 }", ((1, 2),), "num_copies must be 1 or more"),
        ("Replicate", "replicate_param { axis: 2 }", ((1, 2),), "axis must lie in"),
        ("UniqueLabel", "", ((1, 1, 4, 4),), "max_labels must leave room"),
        ("UniqueLabel", "unique_label_param { max_labels: 1 force_label: 0 }", ((1, 1, 4, 4),), "leave room"),
        ("UniqueLabel", "unique_label_param { max_labels: 3 }", ((1, 2, 4, 4),), "one channel"),
        ("UniqueLabel", "unique_label_param { max_labels: 3 }", ((1, 1, 4, 4),), "more labels than max_labels"),
        ("BiasChannel", "bias_channel_param { fg_bias: -1 }", ((1, 2, 4, 4), (1, 3, 1, 1)), "must be 0 or more"),
        ("BiasChannel", "", ((1, 2, 4, 4), (1, 1, 4, 4)), r"labels \(N, L, 1, 1\)"),
        ("BiasChannel", "bias_channel_param { label_type: PIXEL }", ((1, 2, 4, 4), (1, 1, 4, 5)), "PIXEL needs"),
        (
            "BiasChannel",
            "bias_channel_param { label_type: PIXEL background_label: 2 }",
            ((1, 2, 4, 4), (1, 1, 4, 4)),
            "must be a channel",
        ),
        ("BiasChannel", "", ((1, 2, 4, 4), (1, 30, 1, 1)), "labels must be channels"),
        (
            "AdaptiveBiasChannel",
            "adaptive_bias_channel_param { num_iter: 0 }",
            ((1, 2, 4, 4), (1, 3, 1, 1)),
            "num_iter",
        ),
        ("AdaptiveBiasChannel", "adaptive_bias_channel_param { fg_portion: 2 }", ((1, 2, 4, 4), (1, 3)), r"\[0, 1\]"),
        ("AdaptiveBiasChannel", "adaptive_bias_channel_param { margin_others: -1 }", ((1, 2, 4, 4), (1, 3)), "margin"),
        ("AdaptiveBiasChannel", "", ((1, 1, 4, 4), (1, 3)), "at least 2 channels"),
        ("AdaptiveBiasChannel", "", ((1, 2, 4, 4), (2, 3)), "labels must be"),
        ("AdaptiveBiasChannel", "", ((1, 2, 4, 4), (1, 30)), "labels must be channels"),
    ],
)
def test_options_shapes_and_labels_that_break_a_rule(type_name: str, options: str, shapes, message: str) -> None:
    labels = 4 * np.random.default_rng(0).standard_normal(shapes[-1]).round()
    with pytest.raises(SegcaffeError, match=message) as error:
        forward(type_name, options, *(np.ones(shape) for shape in shapes[:-1]), labels)
    assert f'layer "layer" ({type_name})' in str(error.value)
