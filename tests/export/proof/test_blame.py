"""Layers that decide by rounding are not taken for wrong ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from segcaffe.export.proof.blame import Blame, find
from segcaffe.export.proof.ours import Ours
from segcaffe.export.proof.spots import Spot, spots
from segcaffe.net.net import Net
from tests.export.proof.exported import Array, source_of

TIE = """
input: "data" input_shape { dim: 1 dim: 3 dim: 2 dim: 2 }
layer { name: "twice" type: "Power" bottom: "data" top: "twice" power_param { scale: 2 } }
layer { name: "label" type: "Threshold" bottom: "twice" top: "label" threshold_param { threshold: 1 } }
layer { name: "half" type: "Power" bottom: "label" top: "half" power_param { scale: 0.5 } }
"""


def versions_of(net: Net, *layers: str) -> list[Spot]:
    """The tops of layers, which a file calls as the layers are called."""
    return spots(net, {(net.layer_names.index(name), 0): name for name in layers})


def blamed(theirs: Mapping[str, Array]) -> Blame:
    """What is found where the file gives these values, and twice and half of them behind the label as it should be."""
    net = source_of(TIE).net
    versions = versions_of(net, "twice", "label", "half")
    inputs = {"data": np.full((1, 3, 2, 2), 0.5, np.float32)}

    def read(names: Sequence[str]) -> Mapping[str, Array]:
        return {name: theirs[name] for name in names}

    return find(Ours(net, ["half"]), versions, inputs, read, 1e-4)


def full(value: float) -> Array:
    return np.full((1, 3, 2, 2), value, np.float32)


def test_rounding_that_decides_is_no_fault() -> None:
    found = blamed({"twice": full(1.000001), "label": full(1), "half": full(0.5)})
    assert found.spot is None
    assert [spot.blob for spot, _ in found.amplified] == ["label"]
    np.testing.assert_array_equal(found.outputs["half"], full(0.5))


def test_a_decision_that_does_not_follow_is_a_fault() -> None:
    found = blamed({"twice": full(1), "label": full(1), "half": full(0.5)})
    assert found.spot is not None
    assert found.spot.blob == "label"


def test_what_stands_behind_a_decision_is_judged_too() -> None:
    found = blamed({"twice": full(1.000001), "label": full(1), "half": full(0.75)})
    assert found.spot is not None
    assert found.spot.blob == "half"
    assert found.difference.largest == pytest.approx(0.5)


def test_bottoms_that_differ_are_blamed_first() -> None:
    found = blamed({"twice": full(1.1), "label": full(1), "half": full(0.5)})
    assert found.spot is not None
    assert found.spot.blob == "twice"


EQUAL = """
input: "data" input_shape { dim: 1 dim: 2 dim: 3 dim: 4 }
layer { name: "norm" type: "MVN" bottom: "data" top: "norm" }
"""


@pytest.mark.parametrize(("value", "fault"), [(1e-3, False), (100.0, True)])
def test_the_deviation_of_equal_values_is_rounding(value: float, fault: bool) -> None:
    """Where all values are 0.1, their mean is 0.1 but for rounding, which is divided by next to nothing."""
    net = source_of(EQUAL).net
    theirs = np.full((1, 2, 3, 4), value, np.float32)
    inputs = {"data": np.full((1, 2, 3, 4), 0.1, np.float32)}
    versions = versions_of(net, "norm")
    found = find(Ours(net, ["norm"]), versions, inputs, lambda names: {"norm": theirs}, 1e-4)
    assert (found.spot is not None) == fault


INFINITE = """
input: "data" input_shape { dim: 1 dim: 1 dim: 1 dim: 2 }
layer { name: "exp" type: "Exp" bottom: "data" top: "exp" }
layer { name: "twice" type: "Power" bottom: "exp" top: "twice" power_param { scale: 2 } }
"""


@pytest.mark.parametrize(("value", "fault"), [(2.0, False), (3.0, True)])
def test_what_is_made_of_infinity_does_not_count(value: float, fault: bool) -> None:
    net = source_of(INFINITE).net
    theirs = {"exp": np.array([[[[np.inf, 1]]]], np.float32), "twice": np.array([[[[np.nan, value]]]], np.float32)}
    inputs = {"data": np.array([[[[1000, 0]]]], np.float32)}
    versions = versions_of(net, "exp", "twice")
    found = find(Ours(net, ["twice"]), versions, inputs, lambda names: theirs, 1e-4)
    assert (found.spot is not None) == fault
