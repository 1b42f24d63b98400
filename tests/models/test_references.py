"""Published models: our outputs beside those of the original Caffe or of OpenCV 4, which reads the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.blob.proto import array_of
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from tests.golden import Array, assert_close

TOLERANCE = 1e-4
WHOLE_NETS = {
    "lenet_mnist/lenet_basic_iter_10000": "lenet.prototxt",
    "v1_mnist_cifar/lenet_iter_10000": "lenet.prototxt",
    "v1_mnist_cifar/cifar10_full_iter_70000": "cifar10_full.prototxt",
    "mtcnn/det1": "det1.prototxt",
    "mtcnn/det2": "det2.prototxt",
    "ultraface/RFB-320": "RFB-320.prototxt",
}
SINGLE_LAYERS = (
    "convolution", "deconvolution", "inner_product", "lrn_channels", "lrn_spatial", "mvn", "pooling_ave",
    "pooling_max", "softmax",
)  # fmt: skip


def _load(shared: Path, name: str) -> Net:
    weights = shared / "models" / f"{name}.caffemodel"
    return Net(weights.parent / WHOLE_NETS[name], phase=caffe_pb2.TEST, weights=weights)


def _feed(net: Net, record: dict[str, Array]) -> None:
    for key, values in record.items():
        if key.startswith("in:"):
            net.blobs[key[3:]].reshape(*values.shape)
            net.blobs[key[3:]].data[...] = values


def _check_outputs(net: Net, record: dict[str, Array]) -> None:
    _feed(net, record)
    net.forward()
    outputs = [key for key in record if key.startswith("out:")]
    assert outputs
    for key in outputs:
        assert_close(key, net.blobs[key[4:]].data, record[key], TOLERANCE)


@pytest.mark.parametrize("name", WHOLE_NETS, ids=lambda name: name.replace("/", "-"))
def test_whole_net(shared: Path, name: str) -> None:
    record = dict(np.load(shared / "models" / f"{name}.cv2ref.npz"))
    _check_outputs(_load(shared, name), record)


def test_net_on_an_image_of_another_size(shared: Path) -> None:
    record = dict(np.load(shared / "models" / "mtcnn" / "det1_fullconv_61x45.cv2ref.npz"))
    _check_outputs(_load(shared, "mtcnn/det1"), record)


@pytest.mark.parametrize("name", ["lenet_iter_10000", "cifar10_full_iter_70000"])
def test_layer_after_layer(shared: Path, name: str) -> None:
    record = dict(np.load(shared / "models" / "v1_mnist_cifar" / f"{name}.cv2layers.npz"))
    net = _load(shared, f"v1_mnist_cifar/{name}")
    _feed(net, record)
    for key, values in record.items():
        if key.startswith("layer:"):
            # Stopping at each layer shows what later ones, working in place, overwrite.
            (found,) = net.forward(end=key[6:]).values()
            assert_close(key, found, values, TOLERANCE)


def test_net_with_weights_in_hdf5(shared: Path) -> None:
    folder = shared / "models" / "hdf5_cifar10"
    weights = folder / "cifar10_quick_iter_5000.caffemodel.h5"
    net = Net(folder / "cifar10_quick.prototxt", phase=caffe_pb2.TEST, weights=weights)
    image = (np.random.RandomState(7).rand(1, 3, 32, 32) * 255 - 128).astype(np.float32)
    net.forward(data=image)
    # OpenCV 4.14's scores for the same image, the weights converted to a binary file.
    expected = [
        -2.738548, -0.8208795, -0.07488142, -2.216522, 1.830467, -4.129954, 9.481192, -2.212433, -7.003801, 2.413329,
    ]  # fmt: skip
    assert_close("ip2", net.blobs["ip2"].data, np.array(expected), 1e-6)


def test_mean_image(shared: Path) -> None:
    message = caffe_pb2.BlobProto.FromString((shared / "models/hdf5_cifar10/mean.binaryproto").read_bytes())
    mean = array_of(message, "mean.binaryproto")
    assert mean.shape == (1, 3, 32, 32)
    assert 110 < mean.mean() < 130


@pytest.mark.parametrize("layer", SINGLE_LAYERS)
def test_single_layer_of_the_original(shared: Path, layer: str) -> None:
    folder = shared / "models" / "single_layers"
    weights = folder / f"layer_{layer}.caffemodel"
    prototxt = folder / f"layer_{layer}.prototxt"
    net = Net(prototxt, phase=caffe_pb2.TEST, weights=weights if weights.exists() else None)
    inputs = folder / f"layer_{layer}.input.npy"
    net.forward(input=np.load(inputs if inputs.exists() else folder / "blob.npy"))
    assert_close(layer, net.blobs["output"].data, np.load(folder / f"layer_{layer}.npy"), TOLERANCE)
