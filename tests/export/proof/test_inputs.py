"""Inputs to compare on: sizes that are left open, and values that mean something to their layer."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.export.proof.inputs import Stated, Trial, trials, values
from tests.export.proof.exported import source_of

KINDS = ["normal", "pixels", "zeros", "ones", "large"]


def test_sizes_that_are_fixed_stay() -> None:
    assert [trial.name for trial in trials({"data": (1, 3, 8, 8)}, {"data": (1, 3, 8, 8)})] == KINDS


def test_open_sizes_go_both_ways() -> None:
    dimensions = {"data": ("batch", 3, "height", "width"), "boxes": ("4*batch", 5)}
    found = trials(dimensions, {"data": (2, 3, 8, 9), "boxes": (8, 5)})
    assert [trial.name for trial in found[len(KINDS) :]] == [
        "batch 3, height 7, width 10",
        "batch 1, height 9, width 8",
    ]
    assert found[-2].shapes == {"data": (3, 3, 7, 10), "boxes": (12, 5)}


def test_no_size_falls_below_one() -> None:
    found = trials({"data": ("batch", 3)}, {"data": (1, 3)})
    assert [trial.shapes["data"] for trial in found[len(KINDS) :]] == [(2, 3), (3, 3)]


TWICE = """
input: "data" input_shape { dim: 1 dim: 2 dim: 6 dim: 8 } input: "rois" input_shape { dim: 7 dim: 5 }
layer { name: "a" type: "ROIPooling" bottom: "data" bottom: "rois" top: "a"
  roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.5 } }
layer { name: "b" type: "ROIPooling" bottom: "data" bottom: "rois" top: "b"
  roi_pooling_param { pooled_h: 1 pooled_w: 2 spatial_scale: 0.5 } }
"""


@pytest.mark.parametrize("kind", KINDS)
def test_regions_lie_in_the_image(kind: str) -> None:
    """Whatever the images are; two layers read the regions, through a split."""
    net = source_of(TWICE).net
    trial = Trial(kind, kind, {"data": (1, 2, 6, 8), "rois": (7, 5)})
    found = values(trial, net)
    assert found["data"].shape == (1, 2, 6, 8)
    regions = found["rois"]
    assert not regions[:, 0].any()
    assert (regions[:, 1:3] <= regions[:, 3:]).all()
    assert (regions[:, 1:] >= 0).all()
    assert (regions[:, 1:].max(axis=0) < [16, 12, 16, 12]).all()
    np.testing.assert_array_equal(
        regions, values(Trial(kind, kind, {"data": (1, 2, 6, 8), "rois": (7, 5)}), net)["rois"]
    )


def test_pixels_are_prepared_as_the_net_says() -> None:
    net = source_of(TWICE).net
    trial = Trial("pixels", "pixels", {"data": (1, 2, 6, 8), "rois": (7, 5)})
    raw, prepared = values(trial, net), values(trial, net, Stated((100.0, 50.0), 0.5))
    np.testing.assert_allclose(prepared["data"], (raw["data"] - np.array([100, 50]).reshape(1, 2, 1, 1)) / 2)
    np.testing.assert_array_equal(prepared["rois"], raw["rois"])
