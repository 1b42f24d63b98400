"""Rules of the other losses: what they refuse, and what recorded cases do not show."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.blob.proto import from_array
from segcaffe.errors import DataError, SegcaffeError, WeightsError
from segcaffe.testing import LayerCase


def run(layer_type, options, *bottoms, weight=1.0):
    """Loss, and gradients of the bottoms that can have one."""
    layer, bottom, top = LayerCase(layer_type, options, bottoms).build()
    layer.forward(bottom, top)
    top[0].diff[...] = weight
    wanted = [layer.allows_gradient(i) for i in range(len(bottom))]
    layer.backward(top, wanted, bottom)
    return float(top[0].data), [blob.diff.copy() for blob, want in zip(bottom, wanted, strict=True) if want]


REFUSED = [
    ("EuclideanLoss", "", ((2, 3), (2, 4)), "as many elements"),
    ("EuclideanLoss", "", ((2, 3), (3, 2)), "same batch size"),
    ("SigmoidCrossEntropyLoss", "", ((2, 3), (2, 4)), "one target for each score"),
    ("SigmoidCrossEntropyLoss", "", ((2, 3), (1, 6)), "same batch size"),
    ("MultinomialLogisticLoss", "", ((2, 3), (2, 2)), "one label for each of the N items"),
    ("MultinomialLogisticLoss", "", ((2, 0), (2,)), "needs scores"),
    ("HingeLoss", "", ((2, 3), (2, 3)), "one label for each of the N items"),
    ("ContrastiveLoss", "", ((2, 3), (2, 3), (2, 2)), "each of the N pairs"),
    ("ContrastiveLoss", "", ((2, 3), (2, 4), (2,)), "two bottoms of N vectors"),
    ("ContrastiveLoss", "", ((2, 3, 2, 2), (2, 3, 2, 2), (2,)), "two bottoms of N vectors"),
    ("InfogainLoss", "", ((2, 3), np.zeros(2)), "needs the matrix H"),
    ("InfogainLoss", "", ((2, 3), np.zeros(2), (2, 3)), "3 x 3 elements"),
    ("InfogainLoss", "infogain_loss_param { axis: 5 }", ((2, 3), np.zeros(2), (3, 3)), "axis must lie in"),
    ("L1Loss", "", ((2, 3), (2, 4)), "one shape"),
    ("L1Loss", "", ((3,),), "at least two axes"),
    ("L1Loss", "l1_loss_param { plateau: -1 }", ((2, 3),), "must not be negative"),
    ("SmoothL1Loss", "", ((2, 3), (2, 3), (2, 4)), "one shape"),
]


@pytest.mark.parametrize(("layer_type", "options", "shapes", "message"), REFUSED)
def test_what_does_not_fit_is_refused(layer_type, options, shapes, message):
    with pytest.raises(SegcaffeError, match=rf'layer "layer" \({layer_type}\).*{message}'):
        LayerCase(layer_type, options, shapes).build()


@pytest.mark.parametrize(
    ("layer_type", "bottoms"),
    [
        ("MultinomialLogisticLoss", (np.full((2, 3), 0.3), np.array([0, 3]))),
        ("HingeLoss", (np.ones((2, 3)), np.array([0, -1]))),
        ("InfogainLoss", (np.ones((2, 3)), np.array([0, np.nan]), np.eye(3))),
    ],
)
def test_a_label_that_is_no_class_is_named(layer_type, bottoms):
    layer, bottom, top = LayerCase(layer_type, "", bottoms).build()
    with pytest.raises(DataError, match=rf'layer "layer" \({layer_type}\): label .* \(number 1 of 2\).*3 classes'):
        layer.forward(bottom, top)


def test_infogain_with_the_identity_is_softmax_loss():
    rng = np.random.default_rng(1)
    scores, labels = rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    labels[0, 1] = 8
    options = "loss_param { ignore_label: 8 }"
    loss, (gradient,) = run("InfogainLoss", options, scores, labels, np.eye(3), weight=0.5)
    expected, (expected_gradient,) = run("SoftmaxWithLoss", options, scores, labels, weight=0.5)
    assert loss == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-8)


def test_infogain_reads_its_matrix_from_a_file(tmp_path):
    rng = np.random.default_rng(2)
    scores, labels, matrix = rng.standard_normal((4, 3)), rng.integers(0, 3, 4), rng.random((1, 1, 3, 3))
    path = tmp_path / "h.binaryproto"
    path.write_bytes(from_array(matrix.astype(np.float32)).SerializeToString())
    options = f'infogain_loss_param {{ source: "{path}" }}'
    from_file = run("InfogainLoss", options, scores, labels)
    from_bottom = run("InfogainLoss", "", scores, labels, matrix)
    assert from_file[0] == from_bottom[0]
    np.testing.assert_array_equal(from_file[1][0], from_bottom[1][0])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, DataError),
        (b"\x0d\x0d\x0dnot a blob", DataError),
        (b"\x0a\x04\x01\x02", DataError),
        (b"\x08\x02\x10\x01\x18\x01\x20\x01", WeightsError),
    ],
)
def test_infogain_with_a_damaged_file(content, error, tmp_path):
    path = tmp_path / "h.binaryproto"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=r"infogain_loss_param\.source"):
        LayerCase("InfogainLoss", f'infogain_loss_param {{ source: "{path}" }}', ((2, 3), (2,))).build()


def test_sigmoid_cross_entropy_of_large_scores_is_finite():
    scores, targets = np.array([[1e4, -1e4, 300.0, -300.0]]), np.array([[1.0, 0.0, 0.0, 1.0]])
    loss, (gradient,) = run("SigmoidCrossEntropyLoss", "", scores, targets)
    assert loss == pytest.approx(600)
    np.testing.assert_allclose(gradient, [[0, 0, 1, -1]], atol=1e-12)


def test_sigmoid_cross_entropy_over_many_elements_equals_numpy():
    rng = np.random.default_rng(3)
    scores, targets = rng.standard_normal((3, 70000)) * 4, rng.random((3, 70000))
    loss, (gradient,) = run("SigmoidCrossEntropyLoss", "", scores, targets)
    expected = np.maximum(scores, 0) - scores * targets + np.log1p(np.exp(-np.abs(scores)))
    assert loss == pytest.approx(expected.sum() / 3, rel=1e-5)
    np.testing.assert_allclose(gradient, (1 / (1 + np.exp(-scores)) - targets) / 3, atol=1e-6)


def test_equal_vectors_that_should_differ_have_no_direction_to_go():
    loss, gradients = run("ContrastiveLoss", "", np.ones((1, 3)), np.ones((1, 3)), np.array([0]))
    assert loss == pytest.approx(0.5)
    assert not gradients[0].any()
    assert not gradients[1].any()


@pytest.mark.parametrize("option", ["", "l2_per_location: true"])
def test_l1_loss_skips_what_is_not_known(option):
    a = np.array([[[[1.0, np.nan]], [[2.0, 5.0]]]])
    loss, gradients = run("L1Loss", f"l1_loss_param {{ {option} epsilon: 0 }}", a, np.zeros((1, 2, 1, 2)))
    assert loss == pytest.approx(np.sqrt(5) + 5 if option else 8)
    assert gradients[0][0, 0, 0, 1] == 0
    np.testing.assert_array_equal(gradients[1], -gradients[0])


def test_l1_loss_per_known_entry():
    a = np.array([[[[1.0, np.nan]], [[2.0, 5.0]]]])
    assert run("L1Loss", "l1_loss_param { normalize_by_num_entries: true }", a)[0] == pytest.approx(8 / 1.5)
    nothing = np.full((1, 2, 1, 2), np.nan)
    loss, (gradient,) = run("L1Loss", "l1_loss_param { normalize_by_num_entries: true }", nothing)
    assert loss == 0
    assert not gradient.any()


def test_l1_loss_on_the_plateau_has_no_gradient():
    a = np.array([[[[0.4, -3.0]]]])
    loss, (gradient,) = run("L1Loss", "l1_loss_param { plateau: 0.5 }", a)
    assert loss == pytest.approx(3)
    np.testing.assert_array_equal(gradient, [[[[0, -1]]]])


@pytest.mark.parametrize(("bottoms", "divisor"), [(2, 12), (3, 12), (4, 2)])
def test_smooth_l1_divides_by_positions_unless_weighted_outside(bottoms, divisor):
    shape = (2, 1, 2, 3)
    values = [np.full(shape, 0.5), np.zeros(shape), np.ones(shape), np.ones(shape)][:bottoms]
    assert run("SmoothL1Loss", "", *values)[0] == pytest.approx(12 * 0.125 / divisor)
