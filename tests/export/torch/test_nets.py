"""Whole nets as modules: values, other sizes, and training that goes the same way."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch

from segcaffe.export.torch import state_of, to_module, write
from segcaffe.export.torch.names import ATTRIBUTES
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.template import read_vars
from segcaffe.proto.text import parse
from segcaffe.solver.registry import get_solver

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "configs"
MODELS = ROOT.parent / "shared" / "models"
SIZES = {"HEIGHT": 33, "WIDTH": 33, "HALF_HEIGHT": 17, "HALF_WIDTH": 17}


def fill(net: Net) -> None:
    """Give parameters and inputs values, those of a trained net's size, that are the same each time."""
    for name, blobs in net.params.items():
        kind, rng = net.layer_dict[name].type, np.random.default_rng(zlib.crc32(name.encode()))
        for i, blob in enumerate(blobs):
            scale = np.sqrt(2 / max(1, np.prod(blob.shape[1:]))) if i == 0 else 0.1
            values: Any = scale * rng.standard_normal(blob.shape)
            if kind in ("BatchNorm", "BN", "Scale", "PReLU"):
                values = rng.uniform(0.5, 1, blob.shape)
            if "eanfield" not in kind:
                blob.data[...] = values
    for i, name in enumerate(net.inputs):
        net.blobs[name].data[...] = np.random.default_rng(i).standard_normal(net.blobs[name].shape)


def compare(net: Net, module: Any, names: list[str], tolerance: float) -> None:
    """Run both on what the net's inputs hold."""
    net.forward()
    with torch.no_grad():
        result = module(*(torch.tensor(np.array(net.blobs[name].data)) for name in names))
    found = result if isinstance(result, dict) else {net.outputs[0]: result}
    assert set(found) == set(net.outputs)
    for name, tensor in found.items():
        wanted = net.blobs[name].data
        assert tuple(tensor.shape) == wanted.shape
        np.testing.assert_allclose(tensor.numpy(), wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


DEPLOYS = ("enet/deploy", "segnet/deploy", "ssd/deploy", "tiny/lenet_deploy", "tiny/segaware_crf_deploy",
           "tiny/segaware_deploy", "vgg16/deploy", "embs/deploy")  # fmt: skip


@pytest.mark.parametrize("config", [*DEPLOYS, pytest.param("resnet/deploy", marks=pytest.mark.slow)])
def test_configs(config: str) -> None:
    path = CONFIGS / f"{config}.prototxt"
    values = {name: str(size) for name, size in SIZES.items()}
    if (path.parent / "voc.vars").exists():
        values |= {"NUM_LABELS": "21", **read_vars(path.parent / "voc.vars")} | values
    net = Net(path, phase=caffe_pb2.TEST, variables=values if "${" in path.read_text() else None, dtype=np.float64)
    fill(net)
    compare(net, to_module(net), write(net).arguments, 1e-7)


@pytest.mark.parametrize("config", ["tiny/segaware_deploy", "tiny/plain_deploy"])
def test_another_batch_and_size(config: str) -> None:
    net = Net(CONFIGS / f"{config}.prototxt", phase=caffe_pb2.TEST, dtype=np.float64)
    module, names = to_module(net), write(net).arguments
    for name in net.inputs:
        _, channels, height, width = net.blobs[name].shape
        net.blobs[name].reshape(2, channels, height + 8, width + 16)
    net.reshape()
    fill(net)
    module.load_state_dict({key: torch.from_numpy(values) for key, values in state_of(write(net)).items()})
    compare(net, module, names, 1e-7)


MODELS_BESIDE = (
    "lenet_mnist/lenet:lenet_basic_iter_10000",
    "v1_mnist_cifar/cifar10_full:cifar10_full_iter_70000",
    "mtcnn/det1:det1",
    "mtcnn/det2:det2",
    "ultraface/RFB-320:RFB-320",
)
"""Net and weights."""


@pytest.mark.skipif(not MODELS.exists(), reason="the models that were recorded with the original are not here")
@pytest.mark.parametrize("model", MODELS_BESIDE)
def test_trained_models(model: str) -> None:
    path, _, weights = model.partition(":")
    file = MODELS / f"{path}.prototxt"
    net = Net(file, phase=caffe_pb2.TEST, weights=file.with_name(f"{weights}.caffemodel"))
    for name in net.inputs:
        net.blobs[name].data[...] = np.random.default_rng(0).standard_normal(net.blobs[name].shape)
    compare(net, to_module(net), write(net).arguments, 1e-5)


LENET = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 6 dim: 1 dim: 28 dim: 28 } shape { dim: 6 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" param { lr_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 6 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 20 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


def test_sgd_with_momentum_goes_the_way_of_our_solver(tmp_path: Path) -> None:
    text = 'type: "SGD" base_lr: 0.01 momentum: 0.9 weight_decay: 0.005 lr_policy: "fixed"'
    param = parse(f'{text} snapshot_prefix: "{tmp_path / "s"}"', caffe_pb2.SolverParameter())
    parse(LENET, param.net_param)
    solver = get_solver(param)
    net = solver.net
    written, module = write(net), to_module(net)
    assert module.training
    optimizer = torch.optim.SGD(module.parameter_groups(0.01, 0.005), lr=0.01, momentum=0.9)
    rng = np.random.default_rng(0)
    for _ in range(5):
        net.blobs["data"].data[...] = rng.standard_normal((6, 1, 28, 28))
        net.blobs["label"].data[...] = rng.integers(0, 10, 6)
        loss = module(*(torch.tensor(np.array(net.blobs[name].data)) for name in written.arguments))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        solver.step(1)
        assert loss.item() == pytest.approx(float(net.blobs["loss"].data), rel=1e-5)
    for key, values in state_of(written).items():
        np.testing.assert_allclose(module.state_dict()[key].numpy(), values, rtol=0, atol=1e-5 * np.abs(values).max())


def test_running_statistics_begin_as_caffes_do() -> None:
    text = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 5 dim: 5 } } }
      layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { moving_average_fraction: 0.9 } }"""
    net = Net(parse(text, caffe_pb2.NetParameter()), phase=caffe_pb2.TRAIN, dtype=np.float64)
    module, rng = to_module(net), np.random.default_rng(0)
    for _ in range(4):
        net.blobs["x"].data[...] = rng.standard_normal((4, 3, 5, 5)) + np.arange(1, 4)[:, None, None]
        compare(net, module, ["x"], 1e-9)
    stored = state_of(write(net))
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(module.state_dict()[f"bn.{name}"].numpy(), stored[f"bn.{name}"], rtol=1e-7)


def test_the_state_goes_into_the_source_without_segcaffe() -> None:
    net = Net(CONFIGS / "tiny" / "lenet_deploy.prototxt", phase=caffe_pb2.TEST)
    written = write(net)
    namespace: dict[str, Any] = {"__name__": "written"}
    exec(written.source, namespace)
    assert "segcaffe" not in written.source
    module = namespace[written.class_name]()
    result = module.load_state_dict({key: torch.from_numpy(values) for key, values in state_of(written).items()})
    assert not result.missing_keys
    assert not result.unexpected_keys


def test_initial_values_are_those_of_the_fillers() -> None:
    net = Net(parse(LENET, caffe_pb2.NetParameter()), phase=caffe_pb2.TRAIN)
    namespace: dict[str, Any] = {"__name__": "written"}
    exec(write(net).source, namespace)
    module = namespace["Net"]()
    weight = module.ip1.weight.detach().numpy()
    bound = np.sqrt(3 / 96)
    assert 0.95 * bound < np.abs(weight).max() <= bound
    assert not module.conv1.bias.any()


def test_the_names_that_a_module_has_are_known() -> None:
    have = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    assert have <= set(ATTRIBUTES)
