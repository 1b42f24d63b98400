"""Prediction in shared memory: the same scores, whatever sizes come in turn."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from segcaffe import device
from segcaffe.net.net import Net
from segcaffe.predict import loaded
from segcaffe.predict.loaded import Settings
from segcaffe.predict.predictor import Predictor
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import read_net
from segcaffe.pycaffe.classifier import Classifier
from tests.conftest import ROOT

DEPLOY = ROOT / "configs" / "tiny" / "segaware_deploy.prototxt"
SIZES = ((40, 50), (90, 70), (30, 30), (90, 70), (64, 64))


def _predictor(settings: Settings) -> Predictor:
    device.set_random_seed(4)
    made = Predictor(DEPLOY, [], settings)
    for blob in made.net.learnable_params:
        if blob.ndim == 4 and not blob.data.any():
            blob.data[...] = np.random.default_rng(blob.count).standard_normal(blob.shape) / np.sqrt(blob.shape[1])
    return made


@pytest.mark.parametrize("blob", ["", "conv1"])
def test_images_of_several_sizes(blob: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(blob=blob, size=(33, 33), step=8, scales=(0.75, 1, 1.25), mirror=True)
    shared = _predictor(settings)
    real = loaded.Net
    monkeypatch.setattr(loaded, "Net", lambda *args, **options: real(*args, **options | {"share_memory": False}))
    plain = _predictor(settings)
    assert shared.net.shares_memory
    assert not plain.net.shares_memory
    rng = np.random.default_rng(5)
    for size in SIZES:
        image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        assert np.array_equal(shared.scores(image), plain.scores(image))


def test_blobs_that_are_computed_when_read_can_be_kept() -> None:
    param = read_net(DEPLOY)
    build = partial(Net, param, caffe_pb2.TEST)
    names = [name for i, name in enumerate(build().blobs) if i in build().graph.lazy]
    assert names
    nets = []
    for options in ({"share_memory": True, "keep": names}, {}):
        device.set_random_seed(4)
        nets.append(build(**options))
        nets[-1].blobs["data"].data[...] = np.random.default_rng(6).standard_normal(nets[-1].blobs["data"].shape)
        nets[-1].forward()
    for name in names:
        assert np.array_equal(nets[0].blobs[name].data, nets[1].blobs[name].data)


def test_classifier_shares_memory_only_where_asked(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("classifier")
    text = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
          convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
        layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
          inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
        layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }"""
    (folder / "net.prototxt").write_text(text)
    Net(folder / "net.prototxt", caffe_pb2.TEST).save(folder / "w.caffemodel")
    images = np.random.default_rng(7).random((3, 10, 12, 3)).astype(np.float32)
    made = [Classifier(folder / "net.prototxt", folder / "w.caffemodel", share_memory=share) for share in (False, True)]
    assert [one.shares_memory for one in made] == [False, True]
    assert np.array_equal(*(one.predict(list(images)) for one in made))
