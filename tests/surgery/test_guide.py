"""Embeddings from recipes, from nets of users, and from blobs of the net itself."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST
from segcaffe.recipes import embs
from segcaffe.recipes.layers import convolution, image_input, layer, relu
from segcaffe.surgery import Guide, SegAware, Subject, segawarify

NET = Subject.parse(image_input(12, 9) + convolution("conv1", "data", 4) + convolution("conv2", "conv1", 4))
OTHER = (
    image_input(5, 5).replace('"data"', '"image"')
    + convolution("conv1", "image", 6)
    + relu("conv1", "relu1")
    + convolution("fine", "conv1", 2, kernel=1, pad=0)
)


def blobs_of(made: SegAware) -> Net:
    net = Net(made.net, phase=TEST)
    net.copy_trained_layers(made.weights())
    net.forward(data=np.random.default_rng(0).uniform(-1, 1, net.blobs["data"].shape))
    return net


def test_names_that_collide_get_a_prefix_and_their_weights() -> None:
    theirs = Net(Subject.parse(OTHER).net, phase=TEST)
    made = segawarify(NET, Guide(net=Subject.parse(OTHER), weights=theirs.to_proto()))
    net = blobs_of(made)
    assert np.array_equal(net.params["emb_conv1"][0].data, theirs.params["conv1"][0].data)
    assert np.array_equal(net.params["fine"][0].data, theirs.params["fine"][0].data)
    theirs.blobs["image"].reshape(*net.blobs["data"].shape)
    expected = theirs.forward(image=net.blobs["data"].data)["fine"]
    assert np.array_equal(net.blobs["fine"].data, expected)
    assert not made.notes


def test_weights_that_a_file_lacks_are_told() -> None:
    stored = Net(Subject.parse(OTHER).net, phase=TEST).to_proto()
    stored.layer.remove(next(layer for layer in stored.layer if layer.name == "fine"))
    made = segawarify(NET, Guide(net=Subject.parse(OTHER), weights=stored))
    assert [note.partition(" are ")[0] for note in made.notes] == ["the embeddings' weights of fine"]


def test_embeddings_without_parameters_need_no_weights() -> None:
    smaller = layer("Pooling", "small", ["data"], body="pooling_param { kernel_size: 2 stride: 2 }")
    assert not segawarify(NET, Guide(net=Subject.parse(image_input(8, 8) + smaller))).notes


def test_embeddings_are_maps() -> None:
    flat = layer("InnerProduct", "flat", ["conv1"], body="inner_product_param { num_output: 2 }")
    with pytest.raises(SegcaffeError, match=r'"flat" has shape 1 x 2\. Name another blob: --embeddings the net:BLOB'):
        segawarify(NET, Guide(net=Subject.parse(OTHER.partition('layer {\n  name: "fine')[0] + flat)))
    net = image_input(12, 9) + convolution("conv1", "data", 4) + flat + convolution("conv2", "conv1", 4)
    with pytest.raises(SegcaffeError, match=r'"flat" has shape 1 x 2\. Name another blob: --embeddings :BLOB'):
        segawarify(Subject.parse(net), Guide("flat"))


def test_a_prefix_never_meets_another_name() -> None:
    text = OTHER.replace('"fine"', '"emb_conv1"')
    made = segawarify(NET, Guide("emb_conv1", Subject.parse(text)))
    assert {"emb_conv1", "emb_conv1_2"} <= {one.name for one in made.net.layer}
    blobs_of(made)


def test_names_of_stored_weights_are_not_taken() -> None:
    stored = Net(NET.net, phase=TEST).to_proto()
    stored.layer.add(name="fine", type="Convolution").blobs.add()
    made = segawarify(NET, Guide(net=Subject.parse(OTHER)), stored=stored)
    assert "emb_fine" in {one.name for one in made.net.layer}


def test_a_net_for_training_gives_its_embeddings() -> None:
    text = OTHER + layer("Im2dist", "d", ["fine"], body="convolution_param { kernel_size: 3 }")
    text += layer("DummyData", "parity", body="dummy_data_param { shape { dim: 1 dim: 9 dim: 3 dim: 3 } }")
    text += layer("DistLoss", "loss", ["d", "parity"], body="convolution_param { kernel_size: 3 }")
    made = segawarify(NET, Guide(net=Subject.parse(text)))
    assert {one.type for one in made.net.layer}.isdisjoint({"DistLoss", "DummyData"})
    blobs_of(made)


def test_maps_of_the_image_follow_its_size() -> None:
    made = segawarify(NET, Guide(net=Subject.parse(embs.deploy(33, 33))))
    net = blobs_of(made)
    assert net.blobs["weighted_avg"].shape == (1, 64, 12, 9)


@pytest.mark.parametrize(("text", "said"), [
    (OTHER + layer("Split", "s", ["fine"], ["a", "b"]), "a, b"),
    (OTHER.replace('"image"', '"x"') + image_input(5, 5) + layer("Eltwise", "both", ["fine", "data"]), "data, x"),
])  # fmt: skip
def test_what_is_not_clear_is_asked(text: str, said: str) -> None:
    with pytest.raises(SegcaffeError, match=said):
        segawarify(NET, Guide(net=Subject.parse(text)))


@pytest.mark.parametrize("guide", [Guide("conv9"), Guide("conv9", Subject.parse(OTHER))])
def test_a_blob_that_is_not_there(guide: Guide) -> None:
    with pytest.raises(SegcaffeError, match="conv9"):
        segawarify(NET, guide)


def test_weights_that_do_not_fit() -> None:
    other = Net(Subject.parse(OTHER.replace("num_output: 6", "num_output: 5")).net, phase=TEST)
    with pytest.raises(SegcaffeError, match="the embeddings' weights"):
        segawarify(NET, Guide(net=Subject.parse(OTHER), weights=other.to_proto()))


def test_images_of_another_scale_are_brought_to_that_of_the_embeddings() -> None:
    text = OTHER.replace("mean_value", "scale: 0.5 mean_value", 1)
    net = blobs_of(segawarify(NET, Guide(net=Subject.parse(text))))
    assert np.allclose(net.blobs["emb_data"].data, net.blobs["data"].data / 2)


def test_another_mean_and_one_that_is_not_known_are_told() -> None:
    other = OTHER.replace("104.008", "90")
    assert "90" in segawarify(NET, Guide(net=Subject.parse(other))).notes[0]
    shape = "input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } }"
    bare = Subject.parse(layer("Input", "data", body=shape) + convolution("c", "data", 2))
    assert "does not say how" in segawarify(bare, Guide.recipe()).notes[0]


def test_recipes_have_names() -> None:
    with pytest.raises(SegcaffeError, match="embs, tiny"):
        Guide.recipe("large")
