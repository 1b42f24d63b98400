"""The names of pycaffe's compiled module, the types of what nets hold, and users' own layer objects."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segcaffe as caffe
from tests.pycaffe.nets import lenet, write_lenet

COMPILED = (
    "AdaDeltaSolver AdaGradSolver AdamSolver Blob BlobVec BoolVec DtypeVec IntVec Layer LayerParameter LayerVec NCCL "
    "NesterovSolver Net NetVec RMSPropSolver RawBlobVec SGDSolver Solver SolverParameter StringVec Timer __version__ "
    "get_solver has_nccl init_log layer_type_list log set_device set_mode_cpu set_mode_gpu set_multiprocess "
    "set_random_seed set_solver_count set_solver_rank solver_count solver_rank"
)
PYCAFFE = "AdaDeltaSolver AdaGradSolver AdamSolver NCCL NesterovSolver Net RMSPropSolver SGDSolver Timer"
ON_CLASSES: dict[Any, str] = {
    caffe.Net: "blobs blob_loss_weights layer_dict params inputs outputs top_names bottom_names layers _blobs _inputs",
    caffe.Solver: "net test_nets iter lr param",
    caffe.Blob: "data diff shape num channels height width count",
    caffe.Layer: "blobs type setup reshape",
}
SOURCE = """
    import caffe

    class Source(caffe.Layer):
        def setup(self, bottom, top):
            self.rows = None
            self.types = type(bottom), type(top)
            top[0].reshape(1, 3)
        def set_rows(self, rows):
            self.rows = rows
        def reshape(self, bottom, top):
            pass
        def forward(self, bottom, top):
            top[0].reshape(*self.rows.shape)
            top[0].data[...] = self.rows
        def backward(self, top, propagate_down, bottom):
            pass
"""
NET = """
    layer { name: "in" type: "Python" top: "data" python_param { module: "rows_source" layer: "Source" } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "y"
      inner_product_param { num_output: 2 bias_term: false weight_filler { type: "constant" value: 1 } } }
    layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rows_source.py").write_text(textwrap.dedent(SOURCE))
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "s" test_iter: 0 test_interval: 10'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_modules_have_their_names() -> None:
    assert not [name for name in COMPILED.split() if not hasattr(caffe._caffe, name)]
    assert all(getattr(caffe.pycaffe, name) is getattr(caffe._caffe, name) for name in PYCAFFE.split())
    assert caffe.pycaffe._caffe is caffe._caffe
    shared = set(COMPILED.split()) & set(caffe.__all__)
    assert all(getattr(caffe, name) is getattr(caffe._caffe, name) for name in shared)


def test_classes_show_what_instances_have() -> None:
    for cls, names in ON_CLASSES.items():
        assert not [name for name in names.split() if not hasattr(cls, name)], cls
    assert caffe.Net.blobs.__doc__


def test_what_is_not_there_yet_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Net has no blobs yet"):
        _ = caffe.Net.__new__(caffe.Net).blobs


def test_nets_hold_pycaffes_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lenet(tmp_path)
    monkeypatch.chdir(tmp_path)
    compiled = caffe._caffe
    net = caffe.Net(lenet(), caffe.TEST)
    assert isinstance(net, compiled.Net)
    assert {type(blobs) for blobs in net.params.values()} == {compiled.BlobVec}
    assert {type(layer.blobs) for layer in net.layers} == {compiled.BlobVec}
    assert type(net._blobs) is compiled.BlobVec
    assert type(net.layers) is compiled.LayerVec
    assert type(net._layer_names) is type(net._blob_names) is compiled.StringVec
    assert type(net._inputs) is type(net._outputs) is type(net._top_ids(0)) is compiled.IntVec
    assert type(net._blob_loss_weights) is compiled.DtypeVec
    assert type(caffe.get_solver("lenet_solver.prototxt").test_nets) is compiled.NetVec


def test_any_layer_takes_another_blob() -> None:
    blobs = caffe.Net(lenet(), caffe.TEST).layers[1].blobs
    blob = blobs.add_blob(2, 3)
    assert blobs[-1] is blob
    assert (blob.shape, blob.data.sum()) == ((2, 3), 0)


def test_a_layer_called_by_hand_with_raw_vectors() -> None:
    vector = caffe._caffe.RawBlobVec()
    vector.append(caffe.Net(lenet(), caffe.TEST).blobs["data"])
    assert vector[0].channels == 1


def test_layers_have_the_users_object(folder: Path) -> None:
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    mine = net.layers[0]
    assert type(mine).__name__ == "Source"
    assert isinstance(mine, caffe.Layer)
    assert mine is net.layer_dict["in"] is next(iter(net.layers))
    assert mine.type == "Python"
    assert mine.types == (caffe._caffe.RawBlobVec, caffe._caffe.RawBlobVec)
    mine.set_rows(np.ones((2, 3)))
    assert net.forward()["loss"] == 12


def test_solvers_nets_have_the_users_object_too(folder: Path) -> None:
    solver = caffe.get_solver("solver.prototxt")
    solver.net.layers[0].set_rows(np.ones((4, 3)))
    solver.test_nets[0].layers[0].set_rows(np.ones((1, 3)))
    solver.step(2)
    assert solver.net.blobs["data"].shape == (4, 3)
    np.testing.assert_allclose(solver.net.params["ip"][0].data, 1 - 0.1 * 4 * 2, rtol=1e-6)
    assert solver.test_nets[0].forward()["loss"] == pytest.approx(6 * (1 - 0.1 * 4 * 2), rel=1e-5)
    assert solver.snapshot().weights.exists()
