"""The values that layers give as examples of what a bottom takes."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.layers.registry import layer_class
from segcaffe.testing import LayerCase
from tests.cases import all_cases

TYPES = {
    "BatchReindex",
    "BiasChannel",
    "CTCGreedyDecoder",
    "Embed",
    "Filter",
    "Im2parity",
    "LSTM",
    "LSTMUnit",
    "Lstm",
    "PSROIPooling",
    "Proposal",
    "RNN",
    "ROIAlign",
    "ROIPooling",
    "UniqueLabel",
    "Upsample",
}


def examples(case: LayerCase, seed: int = 0) -> dict[int, np.ndarray]:
    layer, bottom, _ = case.build()
    rng = np.random.default_rng(seed)
    found = {number: layer.example(number, bottom, rng) for number in range(len(bottom))}
    return {number: np.asarray(values) for number, values in found.items() if values is not None}


CASES = {case.id: case for case in all_cases() if case.type in TYPES}


@pytest.mark.parametrize("name", CASES)
def test_a_layer_takes_its_examples(name: str) -> None:
    case = CASES[name]
    found = examples(case)
    assert found or len(case.bottoms) == 1
    layer, bottom, top = case.build()
    for number, values in found.items():
        assert values.shape == bottom[number].shape
        bottom[number].data[...] = values
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    assert all(np.isfinite(blob.data).all() for blob in top)


def test_examples_differ() -> None:
    case = next(case for case in CASES.values() if case.type == "ROIPooling")
    assert not np.array_equal(examples(case, 0)[1], examples(case, 1)[1])


def test_no_other_type_has_one() -> None:
    """So that the list above is whole."""
    first = {case.type: case for case in all_cases() if case.phase == "TEST"}
    others = {name: case for name, case in first.items() if not (name in TYPES or layer_class(name).label_options)}
    assert {name for name, case in others.items() if examples(case)} == set()


def test_labels_are_classes() -> None:
    case = next(case for case in all_cases() if case.type == "SoftmaxWithLoss")
    (labels,) = examples(case).values()
    classes = case.build()[1][0].shape[1]
    assert set(np.unique(labels)) <= set(range(classes))
