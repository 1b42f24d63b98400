"""A right file is proven; a wrong one is caught, and the first blob that differs is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segcaffe.export.proof.described import describe_onnx
from segcaffe.export.proof.prove import Judged, Proof, prove
from segcaffe.export.proof.report import facts, text
from segcaffe.export.runtimes import runtime
from segcaffe.export.source import build_source
from tests.export.proof.exported import NET, change_node, change_weight, placed, source_of, written


def judged(net: Any, file: Path, name: str = "onnxruntime", tolerance: float = 1e-4) -> Judged:
    (found,) = prove(net, file, describe_onnx(file), [runtime(name)], tolerance).judged
    return found


@pytest.mark.parametrize("name", ["onnxruntime", "opencv"])
def test_a_right_file(name: str, tmp_path: Path) -> None:
    source = source_of(NET)
    shapes = {blob: source.net.blobs[blob].shape for blob in source.net.blobs}
    proof = prove(source.net, file := written(source, tmp_path / "net.onnx"), describe_onnx(file), [runtime(name)])
    assert proof.holds
    (one,) = proof.judged
    assert {found.trial.name for found in one.found} == {
        "normal",
        "pixels",
        "zeros",
        "ones",
        "large",
        "batch 2",
        "batch 3",
    }
    worst = one.worst()
    assert worst is not None
    assert 0 < worst.difference.largest < 1e-5
    assert {blob: source.net.blobs[blob].shape for blob in source.net.blobs} == shapes


@pytest.mark.parametrize(
    ("spoil", "layer", "line"),
    [
        (change_weight("conv1/0", 0.01), "conv1", 4),
        (change_weight("conv2/0", 0.01), "conv2", 7),
        (change_weight("scores/1", 0.01), "scores", 10),
        (change_node("relu1", "Identity"), "relu1", 6),
        (change_node("relu2", "Relu"), "relu2", 9),
    ],
    ids=["first weight", "weight", "last bias", "node in place", "option"],
)
def test_a_wrong_file(spoil: Callable[[Any], None], layer: str, line: int, tmp_path: Path) -> None:
    source = build_source(placed(tmp_path / "net.prototxt"))
    one = judged(source.net, written(source, tmp_path / "net.onnx", spoil))
    assert not one.holds(1e-4)
    assert one.blame is not None
    assert one.blame.spot is not None
    assert one.blame.spot.node.name == layer
    assert str(one.blame.spot.place) == f"{tmp_path / 'net.prototxt'}:{line}"


def test_what_is_within_the_tolerance_is_no_difference(tmp_path: Path) -> None:
    source = source_of(NET)
    file = written(source, tmp_path / "net.onnx", change_weight("conv2/0", 0.01))
    assert judged(source.net, file, tolerance=0.5).holds(0.5)


def test_another_batch_is_wrong_only_there(tmp_path: Path) -> None:
    """The present batch is written into a shape: every input of one item agrees."""
    source = source_of(NET.replace("dim: 1 dim: 3", "dim: 2 dim: 3"))

    def spoil(model: Any) -> None:
        from onnx import helper

        first = next(node for node in model.graph.node if node.name == "scores")
        first.output[0] = "apart"
        model.graph.initializer.append(helper.make_tensor("sizes", 7, [4], [2, 5, 7, 6]))
        model.graph.node.append(helper.make_node("Expand", ["apart", "sizes"], ["scores"], name="scores/Expand"))

    one = judged(source.net, written(source, tmp_path / "net.onnx", spoil))
    assert {found.trial.name for found in one.found} == {"normal", "pixels", "zeros", "ones", "large"}
    assert "does not run the file" in one.refused
    assert not one.holds(1e-4)


def test_the_report_of_a_wrong_file(tmp_path: Path) -> None:
    source = build_source(placed(tmp_path / "net.prototxt"))
    file = written(source, tmp_path / "net.onnx", change_node("relu1", "Identity"))
    proof = prove(source.net, file, describe_onnx(file), [runtime("onnxruntime")])
    told = text(proof)
    assert 'net.prototxt:6: layer "relu1" (ReLU), blob "conv1"' in told
    assert "DIFFERS" in told
    assert "NOT compute" in told
    (found,) = facts(proof)["runtimes"]
    assert found["first_difference"]["layer"] == "relu1"
    assert found["first_difference"]["place"].endswith("net.prototxt:6")


def test_what_a_program_does_not_read_is_told(tmp_path: Path) -> None:
    source = source_of(NET)
    one = judged(source.net, written(source, tmp_path / "net.onnx", change_node("relu2", "Unheard")))
    assert one.refused.startswith("onnxruntime")
    assert "Unheard" in one.refused
    assert not one.holds(1e-4)
    assert not one.found


def test_preparation_in_the_file_is_followed(tmp_path: Path) -> None:
    from segcaffe.export.onnx.preprocessing import Preprocessing

    source = source_of(NET)
    wanted = Preprocessing((104.00698793, 116.66876762, 122.67891434), 0.017, bgr_from_rgb=True)
    assert judged(source.net, written(source, tmp_path / "net.onnx", preprocessing=wanted)).holds(1e-5)


def test_a_difference_that_no_output_shows(tmp_path: Path) -> None:
    """The largest of several scores stays the largest."""
    best = 'layer { name: "best" type: "ArgMax" bottom: "scores" top: "best" argmax_param { axis: 1 } }'
    source = build_source(placed(tmp_path / "net.prototxt", NET + best))
    file = written(source, tmp_path / "net.onnx", change_weight("scores/0", 0.0005))
    one = judged(source.net, file)
    assert all(found.difference.within(1e-4) for found in one.found)
    assert not one.holds(1e-4)
    assert one.blame is not None
    assert one.blame.spot is not None
    assert one.blame.spot.node.name == "scores"


def test_blobs_inside_are_counted(tmp_path: Path) -> None:
    source = source_of(NET)
    one = judged(source.net, written(source, tmp_path / "net.onnx"))
    assert one.inside is not None
    assert one.inside.compared == 5
    assert one.inside.worst is not None
    assert one.inside.worst[1].largest < 1e-5
    assert "5 blobs inside" in text(Proof(1e-4, [one]))


def test_a_padded_blob_that_is_an_output_too(tmp_path: Path) -> None:
    """Gather of one process is nothing: the file gives its bottom another name."""
    text_of_net = """
    input: "data" input_shape { dim: 1 dim: 2 dim: 7 dim: 6 }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "msra" } } }
    layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
      pooling_param { pool: AVE kernel_size: 2 stride: 2 pad: 1 } }
    layer { name: "all" type: "Gather" bottom: "conv" top: "all" }
    """
    source = source_of(text_of_net)
    assert judged(source.net, written(source, tmp_path / "net.onnx")).holds(1e-4)


DIVIDED = """
input: "data" input_shape { dim: 1 dim: 2 dim: 3 dim: 4 } input: "by" input_shape { dim: 1 dim: 2 }
layer { name: "share" type: "Eltwise" bottom: "data" bottom: "by" top: "share" eltwise_param { operation: DIV } }
"""
SQUEEZED = """
input: "data" input_shape { dim: 2 dim: 1 dim: 3 dim: 4 }
layer { name: "flat" type: "Squeeze" bottom: "data" top: "flat" squeeze_param { %s } }
"""


@pytest.mark.parametrize(
    ("text_of_net", "trials"), [(DIVIDED, 6), (SQUEEZED % "", 5), (SQUEEZED % "axis: 1", 7)], ids=["by", "any", "one"]
)
def test_axes_of_extent_1_that_may_be_the_batch(text_of_net: str, trials: int, tmp_path: Path) -> None:
    source = source_of(text_of_net)
    one = judged(source.net, written(source, tmp_path / "net.onnx"))
    assert one.holds(1e-4), text(Proof(1e-4, [one]))
    assert len({found.trial.name for found in one.found}) == trials


def test_where_the_net_itself_gives_no_numbers_nothing_is_compared(tmp_path: Path) -> None:
    source = source_of(NET + 'layer { name: "exp" type: "Exp" bottom: "scores" top: "exp" }')
    file = written(source, tmp_path / "net.onnx")
    proof = prove(source.net, file, describe_onnx(file), [runtime("onnxruntime")])
    assert proof.holds
    assert {told.partition(":")[0] for told in proof.left_out} == {"pixels", "large"}
    assert "Not compared: pixels: the net itself gives NaN or infinite values." in text(proof)


def test_two_layers_of_one_name(tmp_path: Path) -> None:
    twice = 'layer { name: "relu1" type: "Power" bottom: "scores" top: "twice" power_param { scale: 2 } }'
    source = source_of(NET + twice)
    one = judged(source.net, written(source, tmp_path / "net.onnx"))
    assert one.holds(1e-4), text(Proof(1e-4, [one]))
