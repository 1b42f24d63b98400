"""A mean field behind the scores, which keep their name."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, TRAIN
from segcaffe.recipes.layers import convolution, image_input, layer, relu
from segcaffe.surgery import Crf, Guide, Masking, SegAware, Setting, Subject, segawarify
from tests.surgery.nets import fcn, lenet

BODY = convolution("conv", "data", 4) + relu("conv", "relu") + convolution("score", "conv", 3)
LOSS = layer("SoftmaxWithLoss", "loss", ["score", "label"])


def with_crf(text: str, crf: Crf | None = None, **setting: object) -> SegAware:
    return segawarify(Subject.parse(text), Guide("data"), Masking(), crf or Crf(), setting=Setting(**setting))  # type: ignore[arg-type]


def test_scores_are_made_by_the_mean_field() -> None:
    made = with_crf(image_input(12, 9) + BODY)
    net = Net(made.net, phase=TEST)
    net.copy_trained_layers(made.weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 12, 9))
    scores = net.forward(data=image)["score"]
    assert scores.shape == (1, 3, 12, 9)
    assert not np.allclose(scores, net.blobs["score_unary"].data)
    assert {"score_scaled_emb", "score_scaled_xy", "score_scaled_xy2", "score_crf"} <= {
        one.name for one in made.new.layer
    }


@pytest.mark.parametrize(
    ("behind", "named", "scores"),
    [
        (LOSS, "", "score"),
        (layer("Softmax", "prob", ["score"]), "", "score"),
        (relu("score", "r"), "", "score"),
        (layer("Interp", "large", ["score"], body="interp_param { zoom_factor: 2 }"), "", "large"),
        (layer("Interp", "large", ["score"], body="interp_param { zoom_factor: 2 }"), "score", "score"),
    ],
)
def test_which_scores(behind: str, named: str, scores: str) -> None:
    label = layer("DummyData", "label", body="dummy_data_param { shape { dim: 1 dim: 12 dim: 9 } }")
    made = with_crf(image_input(12, 9) + (label if behind is LOSS else "") + BODY + behind, Crf(named))
    field = next(one for one in made.net.layer if one.type == "NormConvMeanfield")
    assert field.top == [scores]
    Net(made.net, phase=TRAIN)


def test_positions_of_both_phases() -> None:
    data = [
        layer(
            "ImageData",
            "data",
            [],
            ["data", "n"],
            f'include {{ phase: {phase} }}\nimage_data_param {{ source: "x" batch_size: {batch} }}\n'
            f"transform_param {{ crop_size: {side} }}",
        )
        for phase, batch, side in (("TRAIN", 4, 60), ("TEST", 2, 80))
    ]
    made = with_crf("".join(data) + BODY)
    shapes = [list(one.dummy_data_param.shape[0].dim) for one in made.net.layer if one.type == "DummyData"]
    assert sorted(shapes) == [[2, 2, 80, 80], [4, 2, 60, 60]]
    options = next(one for one in made.net.layer if one.type == "NormConvMeanfield").norm_conv_meanfield_param
    assert list(options.dilation) == [2, 1]


def test_an_fcn_and_a_net_without_maps() -> None:
    Net(with_crf(fcn()).net, phase=TEST)
    with pytest.raises(SegcaffeError, match="scores of each pixel"):
        with_crf(lenet())


def test_a_crf_alone() -> None:
    made = segawarify(Subject.parse(image_input(12, 9) + BODY), Guide("data"), Masking(()), Crf())
    assert made.masked == ()
    assert made.text.startswith("# A CRF of 2 iterations on embeddings from the net's own")
    assert "Im2dist" not in {one.type for one in made.net.layer}
    Net(made.net, phase=TEST)


def test_scores_that_are_not_clear() -> None:
    with pytest.raises(SegcaffeError, match=r"--scores BLOB\. Candidates: score, other"):
        with_crf(image_input(12, 9) + BODY + convolution("other", "conv", 2))
    with pytest.raises(SegcaffeError, match='no blob "nowhere"'):
        with_crf(image_input(12, 9) + BODY, Crf("nowhere"))


@pytest.mark.parametrize("wrong", [{"kernel": 4}, {"iterations": 1}, {"dilation": 0}])
def test_options_are_judged(wrong: dict[str, int]) -> None:
    with pytest.raises(SegcaffeError, match="CRF"):
        Crf(**wrong)  # type: ignore[arg-type]
