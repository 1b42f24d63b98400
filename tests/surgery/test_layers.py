"""Which convolutions get masks, which stay and why; what masks share; nets of several phases and in place."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.functional import register_distance
from segcaffe.kernels.distance import registry
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, NetParameter
from segcaffe.proto.text import parse
from segcaffe.recipes.layers import convolution, image_input, layer, relu
from segcaffe.surgery import Guide, Masking, SegAware, Setting, Subject, segawarify

DATA = image_input(13, 11)
COLOURS = Guide("data")
TWO = 'bottom: "good" bottom: "one" top: "t1" top: "t2"'
FILL = 'weight_filler { type: "xavier" }'


def conv(name: str, bottom: str, options: str, kind: str = "Convolution", body: str = "") -> str:
    return layer(kind, name, [bottom], body=f"{body}\nconvolution_param {{ num_output: 6 {options} {FILL} }}")


def same_at_0(text: str, **options: object) -> SegAware:
    """Make the net segmentation-aware, at lambda 0, and compare it with what it was."""
    subject = Subject.parse(text)
    net = Net(subject.net, phase=TEST)
    stored = net.to_proto()
    made = segawarify(subject, COLOURS, Masking(sharpness=0, **options), stored=stored)  # type: ignore[arg-type]
    masked = Net(made.net, phase=TEST)
    masked.copy_trained_layers(made.weights(stored))
    images = {name: np.random.default_rng(1).uniform(-1, 1, net.blobs[name].shape) for name in net.inputs}
    expected, found = net.forward(**images), masked.forward(**images)
    for name, values in expected.items():
        assert np.ptp(values) > 0
        assert np.array_equal(found[name], values)
    return made


@pytest.mark.parametrize(
    "options",
    [
        "kernel_size: 3",
        "kernel_size: 2",
        "kernel_size: 3 stride: 2 pad: 1",
        "kernel_size: 3 pad: 4 dilation: 4",
        "kernel_h: 1 kernel_w: 5 pad_w: 2",
        "kernel_size: 3 kernel_size: 5 pad: 1 pad: 2 stride: 1 stride: 2",
        "kernel_size: 3 kstride: 2 pad: 2",
        "kernel_size: 3 pad_t: 1 pad_l: 2 pad_b: 1 pad_r: 2",
        "kernel_size: 3 pad: 5",
        "kernel_size: 3 group: 3 pad: 1",
        "kernel_size: 3 bias_term: false engine: CUDNN",
    ],
)
def test_windows_and_groups(options: str) -> None:
    made = same_at_0(DATA + conv("c", "data", options))
    assert [one.layer for one in made.masked] == ["c"]


def test_what_cannot_be_masked_stays_and_is_told() -> None:
    parts = [
        DATA,
        conv("one", "data", "kernel_size: 1"),
        conv("good", "one", "kernel_size: 3 pad: 1"),
        conv("up", "good", "kernel_size: 4 stride: 2", "Deconvolution"),
        layer("Im2col", "columns", ["good"], body="convolution_param { kernel_size: 3 }"),
        conv("read", "columns", "kernel_size: 3 bottom_is_im2col: true"),
        layer("Reshape", "volume", ["good"], body="reshape_param { shape { dim: 1 dim: 2 dim: 3 dim: 13 dim: 11 } }"),
        conv("cube", "volume", "kernel_size: 3"),
        conv("flat", "good", "kernel_size: 3 axis: 0").replace("axis: 0", "axis: 1 force_nd_im2col: true"),
        conv("sides", "good", "kernel_size: 3 pad_t: 1 pad_l: 0 pad_b: 2 pad_r: 1"),
        conv("two", "good", "kernel_size: 3").replace('bottom: "good" top: "two"', TWO),
    ]  # fmt: skip
    made = segawarify(Subject.parse("".join(parts)), COLOURS)
    assert [one.layer for one in made.masked] == ["good", "flat"]
    reasons = {one.layer: one.why for one in made.left}
    assert sorted(reasons) == ["cube", "read", "sides", "two", "up"]
    assert "2 x 3" in reasons["cube"]
    named = segawarify(Subject.parse("".join(parts)), COLOURS, Masking(("one", "good")))
    assert [(one.layer, one.why) for one in named.left] == [("one", "sees one pixel at a time")]


@pytest.mark.parametrize("kind", ["DepthwiseConvolution", "ConvolutionDepthwise", "HoleConvolution", "ConvolutionSK"])
@pytest.mark.parametrize(
    "options", ["kernel_size: 3 pad: 1", "kernel_size: 3 group: 3", "kernel_size: 3 num_output: 3"]
)
def test_other_names_of_convolutions(kind: str, options: str) -> None:
    text = DATA + conv("c", "data", options, kind)
    if "num_output: 3" in options:
        text = text.replace("num_output: 6 ", "")
        text = text.replace(" num_output: 3", "") if "epthwise" in kind else text
    made = same_at_0(text)
    assert made.text_kept
    assert made.net.layer[-1].type == "Convolution"


def test_a_pattern_that_no_convolution_fits() -> None:
    with pytest.raises(SegcaffeError, match='Did you mean "good"'):
        segawarify(Subject.parse(DATA + conv("good", "data", "kernel_size: 3")), COLOURS, Masking(("goot",)))


def test_nothing_to_mask() -> None:
    with pytest.raises(SegcaffeError, match=r'"up": a Deconvolution has no columns'):
        segawarify(Subject.parse(DATA + conv("up", "data", "kernel_size: 3", "Deconvolution")), COLOURS)


def test_distances_are_shared_where_grid_and_window_agree() -> None:
    parts = [
        DATA,
        conv("a", "data", "kernel_size: 3 pad: 1"),
        conv("b", "a", "kernel_size: 3 pad: 1"),
        conv("wide", "b", "kernel_size: 3 pad: 2 dilation: 2"),
        conv("half", "b", "kernel_size: 3 pad: 1 stride: 2"),
        conv("c", "half", "kernel_size: 3 pad: 1"),
        conv("d", "c", "kernel_size: 3 pad: 1"),
    ]
    made = segawarify(Subject.parse("".join(parts)), Guide("data"))
    distances = {one.layer: one.distances for one in made.masked}
    assert distances["a"] == distances["b"]
    assert distances["c"] == distances["d"]
    assert len(set(distances.values())) == 4
    types = [one.type for one in made.net.layer]
    assert (types.count("Im2dist"), types.count("Interp"), types.count("Scale")) == (4, 1, 6)


def test_convolutions_that_share_a_weight_share_lambda() -> None:
    body = 'param { name: "w" } param { name: "b" }'
    text = DATA + "".join(conv(name, "data", "kernel_size: 3", body=body) for name in ("left", "right"))
    net = Net(segawarify(Subject.parse(text), COLOURS).net, phase=TEST)
    net.params["left_sharpness"][0].data[...] = 7
    assert net.params["right_sharpness"][0].data == 7


def test_another_size_of_image_is_taken() -> None:
    text = DATA + conv("c", "data", "kernel_size: 3 stride: 2") + conv("d", "c", "kernel_size: 3 pad: 1")
    made = segawarify(Subject.parse(text), Guide.recipe("tiny"))
    net = Net(made.net, phase=TEST)
    net.blobs["data"].reshape(2, 3, 40, 31)
    assert net.forward()["d"].shape == (2, 6, 19, 15)


TWO_PHASES = """
layer { name: "data" type: "MemoryData" top: "data" top: "label" include { phase: TRAIN }
  memory_data_param { batch_size: 4 channels: 3 height: 12 width: 12 } }
layer { name: "data" type: "MemoryData" top: "data" top: "label" include { phase: TEST }
  memory_data_param { batch_size: 1 channels: 3 height: 17 width: 15 } }
layer { name: "only" type: "Convolution" bottom: "data" top: "only" include { phase: TRAIN }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "both" type: "Convolution" bottom: "data" top: "both"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "quiet" type: "Silence" bottom: "label" }
layer { name: "extra" type: "Silence" bottom: "only" include { phase: TRAIN } }
"""


def test_rules_of_phases() -> None:
    made = segawarify(Subject.parse(TWO_PHASES), Guide.recipe("tiny"))
    assert {one.layer: one.size for one in made.masked} == {"only": (12, 12), "both": (17, 15)}
    training, testing = (Net(made.net, phase=phase) for phase in (TRAIN, TEST))
    assert "only_dist" in training.blobs
    assert "only_dist" not in testing.blobs
    assert testing.blobs["both_dist"].shape == (1, 9, 17, 15)


def test_an_image_that_is_changed_in_place() -> None:
    text = (
        DATA
        + layer("Power", "half", ["data"], ["data"], "power_param { scale: 0.5 }")
        + conv("c", "data", "kernel_size: 3")
    )
    made = segawarify(Subject.parse(text), Guide.recipe("tiny"))
    assert [one.type for one in made.net.layer][:2] == ["Input", "Power"]
    net = Net(made.net, phase=TEST)
    image = np.random.default_rng(0).uniform(0, 1, net.blobs["data"].shape)
    net.forward(data=image)
    assert np.allclose(net.blobs["data"].data, image)
    assert np.allclose(net.blobs["data_copy"].data, image / 2)


def test_propagate_down_stays() -> None:
    made = segawarify(Subject.parse(DATA + conv("c", "data", "kernel_size: 3", body="propagate_down: false")), COLOURS)
    assert list(made.net.layer[-1].propagate_down) == [False]
    assert [note for note in made.notes if "written to memory" in note]
    Net(made.net, phase=TEST)


def test_a_net_whose_other_parts_do_not_fit_together() -> None:
    made = segawarify(Subject.parse(DATA + conv("c", "data", "kernel_size: 3") + relu("nothing", "r")), COLOURS)
    assert [one.layer for one in made.masked] == ["c"]
    assert made.notes == ()


def test_what_a_mask_needs_comes_first() -> None:
    text = (
        DATA
        + conv("early", "data", "kernel_size: 3 pad: 1")
        + relu("early", "r")
        + conv("late", "early", "kernel_size: 3")
    )
    made = segawarify(Subject.parse(text), Guide("early"))
    assert [one.layer for one in made.masked] == ["late"]
    assert [one.why for one in made.left] == ["stands before the embeddings"]


def test_embeddings_of_another_image_are_no_guide() -> None:
    second = DATA.replace('"data"', '"second"')
    text = DATA + second + conv("a", "data", "kernel_size: 3") + conv("b", "second", "kernel_size: 3")
    made = segawarify(Subject.parse(text), Guide.recipe("tiny"))
    assert [one.layer for one in made.masked] == ["a"]
    assert "--image" in made.left[0].why
    other = segawarify(Subject.parse(text), Guide.recipe("tiny"), setting=Setting(image="second"))
    assert [one.layer for one in other.masked] == ["b"]
    Net(other.net, phase=TEST)


def test_unknown_sizes_are_asked_for() -> None:
    text = (
        'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "${DB}/lmdb" batch_size: 3 } }\n'
    )
    text += conv("c", "data", "kernel_size: 3")
    with pytest.raises(SegcaffeError, match=r"--shape data=1,3,HEIGHT,WIDTH"):
        segawarify(Subject.parse(text), COLOURS)
    made = segawarify(Subject.parse(text), COLOURS, setting=Setting({"data": (1, 1, 9, 9)}))
    assert made.masked[0].channels == 1
    assert "${DB}/lmdb" in made.text


def test_a_second_top_whose_size_is_a_guess() -> None:
    text = 'layer { name: "d" type: "Python" top: "data" top: "other" python_param { module: "m" layer: "L" } }\n'
    text += (
        conv("a", "data", "kernel_size: 3") + conv("b", "other", "kernel_size: 3") + conv("c", "b", "kernel_size: 3")
    )
    shapes = {"data": (1, 3, 9, 9)}
    made = segawarify(Subject.parse(text), COLOURS, Masking(("a", "b")), setting=Setting(shapes))
    assert "--shape other=" in made.left[0].why
    with pytest.raises(SegcaffeError, match="shape of other is a guess; say it: --shape other="):
        segawarify(Subject.parse(text), COLOURS, setting=Setting(shapes))
    made = segawarify(Subject.parse(text), COLOURS, setting=Setting(shapes | {"other": (1, 3, 7, 7)}))
    assert [one.size for one in made.masked] == [(9, 9), (7, 7), (5, 5)]


def test_images_that_fillers_make() -> None:
    shape = 'dummy_data_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } data_filler { type: "gaussian" } }'
    text = layer("DummyData", "data", body=shape) + conv("a", "data", "kernel_size: 3")
    net = Net(segawarify(Subject.parse(text), Guide.recipe("tiny")).net, phase=TEST)
    assert net.forward()["a"].shape == (2, 6, 6, 6)


def test_fixed_lambda_and_norm() -> None:
    made = segawarify(Subject.parse(DATA + convolution("c", "data", 4)), COLOURS, Masking(norm="l2", learn=False))
    layers = {one.name: one for one in made.net.layer}
    assert layers["c_sharpness"].param[0].lr_mult == 0
    assert made.net == parse(made.text, NetParameter())
    assert "norm: L2" in made.text


def test_a_distance_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    register_distance("capped", lambda d: min(abs(d), 1.0), lambda d: math.copysign(1.0, d) if abs(d) < 1 else 0.0)
    made = same_at_0(DATA + conv("c", "data", "kernel_size: 3"), norm="capped")
    assert 'distance: "capped"' in made.text


@pytest.mark.parametrize("wrong", [{"norm": "l3"}, {"sharpness": -1.0}, {"sharpness": float("nan")}])
def test_options_are_judged(wrong: dict[str, object]) -> None:
    with pytest.raises(SegcaffeError, match=r"Received|There is no distance"):
        Masking(**wrong)  # type: ignore[arg-type]
