"""NetSpec writes what the original writes."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

import segcaffe as caffe
from segcaffe.errors import PrototxtError
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.proto.text import parse
from segcaffe.pycaffe.net_spec import NetSpec, Top, assign_proto, to_proto
from segcaffe.pycaffe.net_spec import layers as L  # noqa: N812
from segcaffe.pycaffe.net_spec import params as P  # noqa: N812
from tests.pycaffe.nets import lenet


def text_of(net: Any) -> str:
    return str(net.to_proto() if hasattr(net, "to_proto") else net)


def test_names_fields_and_their_order() -> None:
    n: Any = NetSpec()
    n.data, n.label = L.Data(source="db", backend=P.Data.LMDB, batch_size=4, ntop=2, transform_param={"mirror": True})
    n.conv1 = L.Convolution(
        n.data,
        num_output=2,
        kernel_size=3,
        param=[{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}],
        weight_filler={"type": "xavier"},
    )
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.loss = L.SoftmaxWithLoss(n.pool1, n.label, loss_weight=3)
    assert text_of(n) == textwrap.dedent(
        """\
        layer {
          name: "data"
          type: "Data"
          top: "data"
          top: "label"
          transform_param {
            mirror: true
          }
          data_param {
            source: "db"
            batch_size: 4
            backend: LMDB
          }
        }
        layer {
          name: "conv1"
          type: "Convolution"
          bottom: "data"
          top: "conv1"
          param {
            lr_mult: 1
          }
          param {
            lr_mult: 2
            decay_mult: 0
          }
          convolution_param {
            num_output: 2
            kernel_size: 3
            weight_filler {
              type: "xavier"
            }
          }
        }
        layer {
          name: "relu1"
          type: "ReLU"
          bottom: "conv1"
          top: "conv1"
        }
        layer {
          name: "pool1"
          type: "Pooling"
          bottom: "conv1"
          top: "pool1"
          pooling_param {
            pool: MAX
            kernel_size: 2
            stride: 2
          }
        }
        layer {
          name: "loss"
          type: "SoftmaxWithLoss"
          bottom: "pool1"
          bottom: "label"
          top: "loss"
          loss_weight: 3
        }
        """
    )


def test_automatic_names_count_by_type() -> None:
    data = L.DummyData(shape={"dim": [1, 2]})
    one = L.ReLU(L.InnerProduct(data, num_output=2))
    two = L.ReLU(L.InnerProduct(one, num_output=3), in_place=True)
    both = to_proto(one, two)
    names = ["DummyData1", "InnerProduct1", "ReLU1", "InnerProduct2", "ReLU2"]
    assert [layer.name for layer in both.layer] == names
    assert both.layer[-1].top == both.layer[-1].bottom == ["InnerProduct2"]
    assert [layer.name for layer in two.to_proto().layer] == names
    a, b = L.Slice(data, ntop=2)
    assert list(L.Eltwise(a, b).to_proto().layer[1].top) == ["Slice1", "Slice2"]
    assert L.Eltwise(a, b).to_proto().layer[1].name == "Slice1"


def test_layers_follow_the_order_of_naming_and_of_need() -> None:
    n: Any = NetSpec()
    n.late = L.ReLU(L.Power(L.Input(input_param={"shape": {"dim": 1}})))
    n["early"] = n.late.fn.inputs[0]
    net = n.to_proto()
    assert [layer.name for layer in net.layer] == ["Input1", "early", "late"]


def test_layers_without_tops_and_with_several() -> None:
    n: Any = NetSpec()
    n.a, n.b = L.Python(module="m", layer="X", param_str="{'x': 1}", ntop=2)
    n.none = L.Silence(n.b, ntop=0)
    net = n.to_proto()
    assert net.layer[0].python_param.param_str == "{'x': 1}"
    assert (net.layer[1].name, list(net.layer[1].top)) == ("none", [])
    assert to_proto(L.Silence(n.a, ntop=0)).layer[-1].name == "Silence1"


def test_scalars_lists_dicts_and_messages_become_fields() -> None:
    net = L.Convolution(
        L.DummyData(shape=[{"dim": [1, 2, 3, 3]}]), num_output=1, kernel_size=[3, 1], pad=0, include={"phase": 1}
    ).to_proto()
    conv = net.layer[1]
    assert (list(conv.convolution_param.kernel_size), list(conv.convolution_param.pad)) == ([3, 1], [0])
    assert conv.include[0].phase == caffe.TEST
    layer = LayerParameter()
    assign_proto(layer, "name", "x")
    assign_proto(layer, "bottom", ("a", "b"))
    assign_proto(layer, "pooling_param", conv.pooling_param)
    assign_proto(layer, "loss_weight", [])
    assert (layer.name, list(layer.bottom), layer.HasField("pooling_param")) == ("x", ["a", "b"], True)
    with pytest.raises(AttributeError, match="no field"):
        assign_proto(layer, "nonsense", 1)


@pytest.mark.parametrize(
    ("top", "field"),
    [
        (lambda data: L.Deconvolution(data, num_output=3), "convolution_param"),
        (lambda data: L.LSTM(data, data, num_output=3), "recurrent_param"),
        (lambda data: L.Im2dist(data, remove_center=True), "im2dist_param"),
        (lambda data: L.NormConv(data, data, scale_term=False), "norm_conv_param"),
        (lambda data: L.HDF5Data(source="x"), "hdf5_data_param"),
    ],
    ids=["Deconvolution", "LSTM", "Im2dist", "NormConv", "HDF5Data"],
)
def test_options_go_into_the_layers_own_message(top: Any, field: str) -> None:
    net = top(L.DummyData(shape={"dim": 1})).to_proto()
    assert net.layer[-1].HasField(field)


def test_spec_is_a_mapping_of_names() -> None:
    n: Any = NetSpec()
    n.data = L.Input(input_param={"shape": {"dim": 2}})
    n["out/1"] = L.Power(n.data, scale=2)
    assert n.keys() == ["data", "out/1"]
    assert n.vals() == [n.data, n["out/1"]]
    assert isinstance(n.data, Top)
    n.update("out/1", {"shift": 5})
    assert n.to_proto().layer[1].power_param.shift == 5
    n.more = L.Power(n.data)
    del n.more
    del n["out/1"]
    assert n.keys() == ["data"]
    with pytest.raises(AttributeError, match=r"no top .nothing.. It has: data"):
        _ = n.nothing


def test_written_nets_can_be_read_and_run() -> None:
    net = parse(text_of(lenet()), NetParameter())
    assert net == lenet()
    assert caffe.Net(net, caffe.TEST).blobs["prob"].shape == (4, 10)


def test_errors_say_what_is_wrong() -> None:
    data = L.DummyData(shape={"dim": 1})
    with pytest.raises(TypeError, match=r"L.ReLU: its inputs are tops.*tuple as input 1"):
        L.ReLU(data, L.Slice(data, ntop=2))
    with pytest.raises(PrototxtError, match=r'L.Convolution: .*"kernal_size".*Did you mean "kernel_size"'):
        L.Convolution(data, kernal_size=3).to_proto()
    with pytest.raises(PrototxtError, match=r"L.Convolution: num_output cannot be 'many'"):
        L.Convolution(data, num_output="many").to_proto()
    with pytest.raises(AttributeError, match=r"P.Poling"):
        _ = P.Poling.MAX


@pytest.mark.parametrize(
    ("file", "source", "batch"),
    [
        ("lenet_auto_train", "examples/mnist/mnist_train_lmdb", 64),
        ("lenet_auto_test", "exmaples/mnist/mnist_test_lmdb", 100),
    ],
)
def test_writes_line_by_line_what_pycaffe_wrote(shared: Path, file: str, source: str, batch: int) -> None:
    n: Any = NetSpec()
    xavier = {"type": "xavier"}
    n.data, n.label = L.Data(
        batch_size=batch, backend=P.Data.LMDB, source=source, transform_param={"scale": 1.0 / 255}, ntop=2
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=xavier)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, weight_filler=xavier)
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=500, weight_filler=xavier)
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=xavier)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    recorded = (shared / "models" / "lenet_mnist" / f"{file}.prototxt").read_text()
    # protobuf has since come to print the fewest digits that give the same float32.
    assert text_of(n).splitlines() == recorded.replace("0.00392156862745", "0.00392156886").rstrip().splitlines()
