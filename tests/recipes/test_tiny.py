"""The small nets: masks that leave a plain net as it is, and the published cascade."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.functional import bilateral_cascade
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.recipes.tiny import CASCADE_SHARPNESS, COLOURS, TRUNK, Crf, Masks, Model, deploy

SIZE = (25, 33)
HALF = (13, 17)
EVERY = tuple(name for name, _, _ in TRUNK)


def _net(model: Model) -> Net:
    return Net(parse(deploy(SIZE, HALF, model, named=False), caffe_pb2.NetParameter()), caffe_pb2.TEST)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (1, 3, *SIZE)).astype(np.float32)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_masks_of_lambda_0_change_nothing(image: np.ndarray, norm: str, normalized: bool) -> None:
    plain = _net(Model(classes=5))
    masked = _net(Model(Masks(EVERY, norm, sharpness=0, normalized=normalized), classes=5))
    masked.copy_trained_layers(plain.to_proto(), "the plain net")
    expected = plain.forward(data=image)["scores"]
    assert expected.shape == (1, 5, *SIZE)
    np.testing.assert_allclose(masked.forward(data=image)["scores"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalized", [False, True])
def test_what_is_fixed_does_not_learn(normalized: bool) -> None:
    net = _net(Model(Masks(normalized=normalized, rate=0, learnt=False)))
    rates = {layer.name: [spec.lr_mult for spec in layer.param.param] for layer in net.layer_list}
    assert rates["emb1"] == [0, 0]
    assert rates["conv4"][:2] == [1, 2]
    assert (rates["conv4"][2:] if normalized else rates["conv4_sharpness"]) == [0]


def test_masks_of_colours_need_no_embeddings(image: np.ndarray) -> None:
    net = _net(Model(Masks(norm="L2", guide=COLOURS)))
    assert "emb" not in net.blobs
    net.forward(data=image)
    # Half the sum of squares over a window of three by three; the one of the last column's left neighbour is number 3.
    colours, distances = net.blobs["data_shrink4"].data[0], net.blobs["conv3_dist"].data[0, 3]
    np.testing.assert_allclose(distances[:, 1:], 0.5 * (np.diff(colours, axis=2) ** 2).sum(0), rtol=1e-4, atol=1e-6)


def test_a_mean_field_of_colours_stands_behind_masks_of_embeddings() -> None:
    net = _net(Model(Masks(), Crf(guide=COLOURS, factor=8)))
    assert net.blobs["scaled_emb"].shape == (1, 3, *HALF)
    assert net.params["scaled_emb"][0].data == 8
    assert net.blobs["conv3_dist"].shape == (1, 9, 7, 9)


@pytest.mark.parametrize("model", [Model(cascade=True, classes=4), Model(Masks(), Crf(3, 2), True, 4)])
def test_the_cascade_is_that_of_arrays(image: np.ndarray, model: Model) -> None:
    net = _net(model)
    net.forward(data=image)
    before = net.blobs["crf" if model.crf else "score_big"].data
    after = bilateral_cascade(before, net.blobs["emb_shrink2"].data, scale=CASCADE_SHARPNESS)
    np.testing.assert_allclose(net.blobs["two_halfsize_sharp_normalized"].data, after, rtol=1e-4, atol=1e-5)
    assert net.blobs["scores"].data.shape == (1, 4, *SIZE)
