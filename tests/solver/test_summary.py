"""What a test's passes come to: means, and the precision of detections."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.errors import SegcaffeError
from segcaffe.solver.summary import Summary

NET = """
layer { name: "found" type: "Input" top: "found" input_param { shape { dim: 1 dim: 1 dim: 3 dim: 7 } } }
layer { name: "truth" type: "Input" top: "truth" input_param { shape { dim: 1 dim: 1 dim: 2 dim: 8 } } }
layer { name: "score" type: "Input" top: "score" input_param { shape { dim: 2 } } }
layer { name: "judged" type: "DetectionEvaluate" bottom: "found" bottom: "truth" top: "judged"
        detection_evaluate_param { num_classes: 3 } }
layer { name: "mean" type: "Power" bottom: "score" top: "mean" }
"""
BOX = [0.1, 0.1, 0.5, 0.5]
ELSEWHERE = [0.6, 0.6, 0.9, 0.9]


def _net(folder: Path) -> caffe.Net:
    (folder / "net.prototxt").write_text(NET)
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TEST)
    net.blobs["truth"].data[0, 0] = [[0, 1, 0, *BOX, 0], [0, 2, 0, *BOX, 0]]
    return net


def test_means_and_precisions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Class 1: right at 0.9, wrong at 0.8, right at 0.7 of two; class 2: found once of two."""
    net = _net(tmp_path)
    summary = Summary(net)
    passes = [
        [[0, 1, 0.9, *BOX], [0, 1, 0.8, *ELSEWHERE], [0, 2, 0.3, *BOX]],
        [[0, 1, 0.7, *BOX], [0, -1, -1, -1, -1, -1, -1], [0, 2, 0.4, *ELSEWHERE]],
    ]
    for i, rows in enumerate(passes):
        net.blobs["found"].data[0, 0] = rows
        net.blobs["score"].data[...] = (i, 2)
        net.forward()
        summary.add()
    scores = summary.scores()
    assert list(scores) == list(net.outputs)
    np.testing.assert_allclose(scores["mean"], [0.5, 2])
    precisions = summary.precisions("judged")
    assert precisions == {1: pytest.approx(0.5 * 1 + 0.5 * 2 / 3), 2: pytest.approx(0.5 * 0.5)}
    assert float(scores["judged"]) == pytest.approx(np.mean(list(precisions.values())))
    with caplog.at_level(logging.INFO, logger="segcaffe"):
        summary.report_classes()
    assert [record.message for record in caplog.records] == ["class1: 0.833333", "class2: 0.25"]


def test_versions(tmp_path: Path) -> None:
    net = _net(tmp_path)
    with pytest.raises(SegcaffeError, match=r"ap_version must be one of 11point.*'best'"):
        Summary(net, "best")
