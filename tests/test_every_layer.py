"""One list of promises, held against every registered layer type."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.errors import SegcaffeError
from segcaffe.layers import layer_class, layer_types
from segcaffe.layers.base import Layer
from segcaffe.testing import LayerCase
from segcaffe.testing.gradient import check_gradients
from segcaffe.threads.recording import Tape, recording
from segcaffe.threads.together import is_playable, joined
from tests.cases import all_cases

CASES = all_cases()
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def _has_gradient(case: LayerCase) -> bool:
    cls = layer_class(case.type)
    return case.gradient and (cls.gradient_to is None or len(cls.gradient_to) > 0)


def _forward(case: LayerCase, inputs: list[np.ndarray] | None = None) -> tuple[list[Blob], list[Blob]]:
    layer, bottom, top = case.build(inputs=inputs)
    layer.forward(bottom, top)
    return bottom, top


def _backward(case: LayerCase, wanted: list[bool] | None = None) -> tuple[object, list[Blob], list[Blob]]:
    layer, bottom, top = case.build()
    layer.param_propagate_down = [True] * len(layer.blobs)
    layer.forward(bottom, top)
    for blob in top:
        blob.diff[...] = np.linspace(-1, 1, blob.count).reshape(blob.shape)
    for blob in bottom:
        blob.diff[...] = 7
    for blob in layer.blobs:
        blob.diff[...] = 0
    layer.backward(top, wanted or [layer.allows_gradient(i) for i in range(len(bottom))], bottom)
    return layer, bottom, top


def test_every_type_has_a_case() -> None:
    missing = sorted(set(layer_types()) - {case.type for case in CASES})
    assert not missing, f"layer types without a LayerCase in tests/cases: {missing}"


def test_case_names_are_unique() -> None:
    names = [case.id for case in CASES]
    assert sorted(set(names)) == sorted(names)


@every_case
def test_class_name_is_the_type_and_has_a_docstring(case: LayerCase) -> None:
    cls = layer_class(case.type)
    assert cls.__name__ == case.type
    assert cls.__doc__


@every_case
def test_forward_gives_finite_values_of_the_declared_shape(case: LayerCase) -> None:
    _, top = _forward(case)
    for blob in top:
        assert blob.data.shape == blob.shape
        assert np.isfinite(blob.data).all()


@every_case
def test_own_blobs_are_declared(case: LayerCase) -> None:
    """What a layer keeps in blobs of its own is known to the planner and to recordings: it comes from `own_blob`."""
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    known = [*bottom, *top, *layer.blobs, *layer.saved_blobs.values(), *layer.state_blobs.values()]
    for name, value in vars(layer).items():
        blobs = [blob for blob in (value if isinstance(value, list) else [value]) if isinstance(blob, Blob)]
        assert all(any(blob is other for other in known) for blob in blobs), f"{name} is not made by own_blob"
    stated = layer.memory(bottom, top, True)
    assert stated.saved == sum(blob.nbytes for blob in layer.saved_blobs.values())
    assert stated.state >= sum(blob.nbytes for blob in layer.state_blobs.values())


def _plain_values(layer: Layer) -> dict[str, object]:
    return {name: value for name, value in vars(layer).items() if isinstance(value, (bool, int, float, str, tuple))}


@every_case
def test_passes_that_a_gpu_replays_change_no_plain_value(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    if not layer.replayable or layer.source or layer.reshape_always:
        return
    layer.forward(bottom, top)
    before = _plain_values(layer)
    for blob in bottom:
        # Other values, but labels remain labels.
        blob.data[...] = np.repeat(blob.data.reshape(-1)[:1], blob.count).reshape(blob.shape)
    layer.forward(bottom, top)
    assert _plain_values(layer) == before


@every_case
def test_forward_twice_is_the_same(case: LayerCase) -> None:
    if not case.deterministic:
        pytest.skip("the layer draws random numbers or has a state that moves")
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    first = [blob.data.copy() for blob in top]
    layer.forward(bottom, top)
    for before, blob in zip(first, top, strict=True):
        np.testing.assert_array_equal(before, blob.data)


@every_case
def test_forward_leaves_its_bottoms_alone(case: LayerCase) -> None:
    inputs = case.inputs()
    bottom, _ = _forward(case)
    for before, blob in zip(inputs, bottom, strict=True):
        np.testing.assert_array_equal(before.astype(np.float32), blob.data)


@every_case
def test_float32_and_float64_agree(case: LayerCase) -> None:
    if not case.deterministic:
        pytest.skip("the layer draws random numbers")
    _, top = _forward(case)
    layer, bottom, top64 = case.build(np.float64, [x.astype(np.float32) for x in case.inputs()])
    layer.forward(bottom, top64)
    for single, double in zip(top, top64, strict=True):
        scale = max(np.abs(double.data).max(initial=0), 1e-30)
        assert np.abs(single.data - double.data).max(initial=0) <= 2e-4 * scale


@pytest.mark.parametrize("case", [c for c in CASES if _has_gradient(c)], ids=lambda case: case.id)
def test_gradients(case: LayerCase) -> None:
    assert check_gradients(case) > 0 or layer_class(case.type).source


@pytest.mark.parametrize("case", [c for c in CASES if _has_gradient(c)], ids=lambda case: case.id)
def test_backward_overwrites_bottoms_and_adds_to_parameters(case: LayerCase) -> None:
    if not case.deterministic:
        pytest.skip("the layer draws random numbers")
    layer, bottom, top = _backward(case)
    bottoms = [blob.diff.copy() for blob in bottom]
    params = [blob.diff.copy() for blob in layer.blobs]
    wanted = [layer.allows_gradient(i) for i in range(len(bottom))]
    layer.backward(top, wanted, bottom)
    for i, blob in enumerate(bottom):
        if wanted[i]:
            np.testing.assert_allclose(blob.diff, bottoms[i], rtol=1e-5, atol=1e-7)
    for blob, before in zip(layer.blobs, params, strict=True):
        scale = max(np.abs(before).max(initial=0), 1e-30)
        np.testing.assert_allclose(blob.diff, 2 * before, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("case", [c for c in CASES if _has_gradient(c) and c.bottoms], ids=lambda case: case.id)
def test_propagate_down_is_respected(case: LayerCase) -> None:
    _, reference, _ = _backward(case)
    for skipped in range(len(case.bottoms)):
        allowed = [layer_class(case.type).allows_gradient(i) for i in range(len(case.bottoms))]
        wanted = [ok and i != skipped for i, ok in enumerate(allowed)]
        _, bottom, _ = _backward(case, wanted)
        assert (bottom[skipped].diff == 7).all(), f"the gradient of bottom {skipped} was written though not wanted"
        for i, blob in enumerate(bottom):
            if wanted[i] and case.deterministic:
                np.testing.assert_allclose(blob.diff, reference[i].diff, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case", [c for c in CASES if layer_class(c.type).in_place], ids=lambda case: case.id)
def test_in_place_equals_not_in_place(case: LayerCase) -> None:
    if not case.deterministic:
        pytest.skip("the layer draws random numbers")
    _, bottom, top = _backward(case)
    layer, bottom2, top2 = case.build()
    layer, bottom2, top2 = case.build()
    inplace_layer = layer_class(case.type)(layer.param, layer.phase, layer.dtype)
    top2 = [bottom2[0]]
    inplace_layer.setup(bottom2, top2)
    inplace_layer.reshape(bottom2, top2)
    inplace_layer.param_propagate_down = [True] * len(inplace_layer.blobs)
    for mine, theirs in zip(inplace_layer.blobs, layer.blobs, strict=True):
        mine.data[...] = theirs.data
    inplace_layer.forward(bottom2, top2)
    np.testing.assert_allclose(top2[0].data, top[0].data, rtol=1e-5, atol=1e-6)
    if _has_gradient(case):
        top2[0].diff[...] = np.linspace(-1, 1, top2[0].count).reshape(top2[0].shape)
        wanted = [layer.allows_gradient(i) for i in range(len(bottom2))]
        inplace_layer.backward(top2, wanted, bottom2)
        np.testing.assert_allclose(bottom2[0].diff, bottom[0].diff, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", [c for c in CASES if c.batched and c.bottoms], ids=lambda case: case.id)
def test_a_batch_is_its_items_one_by_one(case: LayerCase) -> None:
    inputs = [values.astype(np.float32) for values in case.inputs()]
    num = inputs[0].shape[0] if inputs[0].ndim else 1
    cls = layer_class(case.type)
    if cls.loss or not case.deterministic or num < 2 or any(x.ndim == 0 or x.shape[0] != num for x in inputs):
        pytest.skip("not a batch of independent items")
    _, top = _forward(case)
    items = [_forward(case, [x[n : n + 1] for x in inputs])[1] for n in range(num)]
    for j, blob in enumerate(top):
        joined = np.concatenate([item[j].data for item in items])
        np.testing.assert_allclose(joined, blob.data, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(joined).max())))


@every_case
def test_reshape_to_another_batch(case: LayerCase) -> None:
    if not case.batched or not case.bottoms:
        pytest.skip("the layer's shapes do not follow the batch")
    inputs = [values.astype(np.float32) for values in case.inputs()]
    if any(x.ndim == 0 for x in inputs):
        pytest.skip("a scalar bottom has no batch")
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    doubled = [np.concatenate([x, x]) for x in inputs]
    for blob, values in zip(bottom, doubled, strict=True):
        blob.reshape(*values.shape)
        blob.data[...] = values
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    if case.deterministic:
        fresh, fresh_bottom, fresh_top = case.build(inputs=doubled)
        for mine, theirs in zip(fresh.blobs, layer.blobs, strict=True):
            mine.data[...] = theirs.data
        fresh.forward(fresh_bottom, fresh_top)
        for blob, expected in zip(top, fresh_top, strict=True):
            assert blob.shape == expected.shape
            np.testing.assert_allclose(blob.data, expected.data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [c for c in CASES if c.batched and c.bottoms], ids=lambda case: case.id)
def test_an_empty_batch_passes_through(case: LayerCase) -> None:
    inputs = case.inputs()
    if any(x.ndim == 0 or x.shape[0] != inputs[0].shape[0] for x in inputs) or case.type in ("LSTM", "RNN", "LSTMUnit"):
        pytest.skip("axis 0 is not that of the items")
    layer, bottom, top = case.build(inputs=[x[:0] for x in inputs])
    layer.param_propagate_down = [True] * len(layer.blobs)
    layer.forward(bottom, top)
    assert all(np.isfinite(blob.data).all() for blob in top)
    if _has_gradient(case):
        layer.backward(top, [layer.allows_gradient(i) for i in range(len(bottom))], bottom)
        assert all((blob.diff == 0).all() for blob in layer.blobs)


@every_case
def test_wrong_number_of_bottoms_or_tops_is_an_error(case: LayerCase) -> None:
    cls = layer_class(case.type)
    layer = cls(case.layer_param(), 1)
    for kind, (_, high) in (("bottom", cls.bottom_count), ("top", cls.top_count)):
        if high is not None:
            counts = (high + 1, len(case.bottoms) and case.tops) if kind == "bottom" else (len(case.bottoms), high + 1)
            with pytest.raises(SegcaffeError, match='layer "layer"'):
                layer.check_counts(*counts)


RECORDED = [
    case
    for case in CASES
    if getattr(layer_class(case.type).forward, "recordable", False) and case.phase == "TEST" and case.bottoms
]
NOT_RECORDED = {
    *("Power_zeroth", "Power_constant", "Dropout_scaled_in_test", "BatchNorm_batch_stats_in_test", "BN_batch_in_test"),
    *("Pooling_max_places", "Pooling_max_volume", "Pooling_average_volume", "Eltwise_minimum_of_four"),
    *("Eltwise_quotient_of_two", "Eltwise_channels", "Eltwise_last_axes", "Eltwise_quotient_of_rows"),
    *("Eltwise_minimum_of_channels", "Eltwise_one_number", "Normalize", "Normalize_channels", "Normalize_rows"),
}
"""Cases whose options have a layer do more than kernels tell of."""


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.id)
def test_what_is_recorded_of_a_pass_does_with_other_values_what_the_layer_does(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    tape = Tape()
    with recording(tape):
        layer.forward(bottom, top)
    assert tape.complete == (case.id not in NOT_RECORDED)
    if not tape.complete:
        return
    others = [values.ravel()[::-1].reshape(values.shape).copy() for values in case.inputs()]
    again, inputs, wanted = case.build(inputs=others)
    again.forward(inputs, wanted)
    plays = [lambda: [call.function(*call.arguments) for call in tape.calls]]
    if all(is_playable(call) for call in tape.calls):
        plays.append(joined(tape.calls))
    for play in plays:
        for blob in top:
            blob.data[...] = 7
        for blob, values in zip(bottom, others, strict=True):
            blob.data[...] = values
        play()
        for blob, expected in zip(top, wanted, strict=True):
            assert blob.data.tobytes() == expected.data.tobytes()
