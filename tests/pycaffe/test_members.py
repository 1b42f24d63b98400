"""Every public member of pycaffe, with its parameters, has its counterpart here.

The lists are pycaffe's of Caffe 1.0. A function may take more than pycaffe's, but everything pycaffe's takes, under the
same name and in the same order.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.blob import Blob
from segcaffe.blob.vectors import BlobVec
from segcaffe.pycaffe import classifier, coord_map, detector, draw, io, net_spec
from tests.pycaffe.nets import lenet, write_lenet

FUNCTIONS: dict[tuple[Any, str], str] = {
    (caffe, "set_mode_cpu"): "",
    (caffe, "set_mode_gpu"): "",
    (caffe, "set_device"): "device_id",
    (caffe, "set_random_seed"): "seed",
    (caffe, "layer_type_list"): "",
    (caffe, "get_solver"): "",
    (caffe, "init_log"): "level stderr",
    (caffe, "log"): "message",
    (caffe, "solver_count"): "",
    (caffe, "set_solver_count"): "count",
    (caffe, "solver_rank"): "",
    (caffe, "set_solver_rank"): "rank",
    (caffe, "set_multiprocess"): "multiprocess",
    (caffe, "has_nccl"): "",
    (caffe, "to_proto"): "tops",
    (caffe.Net, "forward"): "self blobs start end inputs",
    (caffe.Net, "backward"): "self diffs start end tops",
    (caffe.Net, "forward_all"): "self blobs kwargs",
    (caffe.Net, "forward_backward_all"): "self blobs diffs kwargs",
    (caffe.Net, "set_input_arrays"): "self data labels",
    (caffe.Net, "reshape"): "self",
    (caffe.Net, "copy_from"): "self weights",
    (caffe.Net, "share_with"): "self other",
    (caffe.Net, "save"): "self path",
    (caffe.Net, "save_hdf5"): "self filename write_diff",
    (caffe.Net, "load_hdf5"): "self filename",
    (caffe.Net, "clear_param_diffs"): "self",
    (caffe.Net, "before_forward"): "self hook",
    (caffe.Net, "after_forward"): "self hook",
    (caffe.Net, "before_backward"): "self hook",
    (caffe.Net, "after_backward"): "self hook",
    (Blob, "reshape"): "self shape",
    (BlobVec, "add_blob"): "self shape",
    (caffe.Layer, "setup"): "self bottom top",
    (caffe.Layer, "reshape"): "self bottom top",
    (caffe.Layer, "forward"): "self bottom top",
    (caffe.Layer, "backward"): "self top propagate_down bottom",
    (caffe.Solver, "step"): "self iterations",
    (caffe.Solver, "solve"): "self resume_file",
    (caffe.Solver, "restore"): "self path",
    (caffe.Solver, "snapshot"): "self",
    (caffe.Solver, "apply_update"): "self",
    (caffe.Solver, "add_callback"): "self on_start on_gradients_ready",
    (caffe.Solver, "share_weights"): "self net",
    (caffe.Timer, "start"): "self",
    (caffe.Timer, "stop"): "self",
    (caffe.NCCL, "new_uid"): "",
    (io, "blobproto_to_array"): "blob return_diff",
    (io, "array_to_blobproto"): "arr diff",
    (io, "arraylist_to_blobprotovector_str"): "arraylist",
    (io, "blobprotovector_str_to_arraylist"): "str",
    (io, "array_to_datum"): "arr label",
    (io, "datum_to_array"): "datum",
    (io, "load_image"): "filename color",
    (io, "resize_image"): "im new_dims interp_order",
    (io, "oversample"): "images crop_dims",
    (io.Transformer, "__init__"): "self inputs",
    (io.Transformer, "preprocess"): "self in_ data",
    (io.Transformer, "deprocess"): "self in_ data",
    (io.Transformer, "set_transpose"): "self in_ order",
    (io.Transformer, "set_channel_swap"): "self in_ order",
    (io.Transformer, "set_raw_scale"): "self in_ scale",
    (io.Transformer, "set_mean"): "self in_ mean",
    (io.Transformer, "set_input_scale"): "self in_ scale",
    (classifier.Classifier, "__init__"): (
        "self model_file pretrained_file image_dims mean input_scale raw_scale channel_swap"
    ),
    (classifier.Classifier, "predict"): "self inputs oversample",
    (detector.Detector, "__init__"): (
        "self model_file pretrained_file mean input_scale raw_scale channel_swap context_pad"
    ),
    (detector.Detector, "detect_windows"): "self images_windows",
    (detector.Detector, "detect_selective_search"): "self image_fnames",
    (detector.Detector, "crop"): "self im window",
    (detector.Detector, "configure_crop"): "self context_pad",
    (net_spec, "param_name_dict"): "",
    (net_spec, "to_proto"): "tops",
    (net_spec, "assign_proto"): "proto name val",
    (net_spec.NetSpec, "keys"): "self",
    (net_spec.NetSpec, "vals"): "self",
    (net_spec.NetSpec, "update"): "self name params",
    (net_spec.NetSpec, "to_proto"): "self",
    (net_spec.Top, "__init__"): "self fn n",
    (net_spec.Top, "to_proto"): "self",
    (net_spec.Function, "__init__"): "self type_name inputs params",
    (coord_map, "crop_params"): "fn",
    (coord_map, "conv_params"): "fn",
    (coord_map, "coord_map"): "fn",
    (coord_map, "compose"): "base_map next_map",
    (coord_map, "inverse"): "coord_map",
    (coord_map, "coord_map_from_to"): "top_from top_to",
    (coord_map, "crop"): "top_from top_to",
    (draw, "get_pooling_types_dict"): "",
    (draw, "get_edge_label"): "layer",
    (draw, "get_layer_lr_mult"): "layer",
    (draw, "get_layer_label"): "layer rankdir display_lrm",
    (draw, "choose_color_by_layertype"): "layertype",
    (draw, "get_pydot_graph"): "caffe_net rankdir label_edges phase display_lrm",
    (draw, "draw_net"): "caffe_net rankdir ext phase display_lrm",
    (draw, "draw_net_to_file"): "caffe_net filename rankdir phase display_lrm",
}
NAMES: dict[Any, str] = {
    caffe: (
        "AdaDeltaSolver AdaGradSolver AdamSolver Blob Classifier Detector Layer LayerParameter NCCL NesterovSolver Net "
        "NetSpec RMSPropSolver SGDSolver Solver SolverParameter TEST TRAIN Timer __version__ io layers params proto"
    ),
    coord_map: "AxisMismatchException PASS_THROUGH_LAYERS UndefinedMapException",
    draw: "BLOB_STYLE LAYER_STYLE_DEFAULT NEURON_LAYER_STYLE",
    net_spec: "Function Layers NetSpec Parameters Top layers params",
    classifier: "Classifier",
    detector: "Detector",
}
NET_ATTRIBUTES = (
    "blobs blob_loss_weights layers layer_dict params inputs outputs top_names bottom_names "
    "_layer_names _blob_names _blobs _inputs _outputs _blob_loss_weights _forward _backward _top_ids _bottom_ids _batch"
)
BLOB_ATTRIBUTES = "data diff shape num channels height width count"
LAYER_ATTRIBUTES = "blobs type setup reshape"
SOLVER_ATTRIBUTES = "net test_nets iter lr param"
SOLVER_PARAM_ATTRIBUTES = "max_iter display base_lr layer_wise_reduce"


def _name(owner: Any) -> str:
    return str(getattr(owner, "__name__", owner))


@pytest.mark.parametrize(("owner", "name"), FUNCTIONS, ids=lambda value: _name(value))
def test_function_takes_what_pycaffes_takes(owner: Any, name: str) -> None:
    function: Callable[..., Any] = getattr(owner, name)
    ours = list(inspect.signature(function).parameters)
    wanted = FUNCTIONS[owner, name].split()
    assert ours[: len(wanted)] == wanted


@pytest.mark.parametrize("owner", NAMES, ids=_name)
def test_names_exist(owner: Any) -> None:
    missing = [name for name in NAMES[owner].split() if not hasattr(owner, name)]
    assert not missing


def test_attributes_of_nets_blobs_and_layers() -> None:
    net = caffe.Net(lenet(), caffe.TEST)
    assert not [name for name in NET_ATTRIBUTES.split() if not hasattr(net, name)]
    assert not [name for name in BLOB_ATTRIBUTES.split() if not hasattr(net.blobs["data"], name)]
    assert not [name for name in LAYER_ATTRIBUTES.split() if not hasattr(net.layers[0], name)]


def test_attributes_of_solvers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lenet(tmp_path)
    monkeypatch.chdir(tmp_path)
    solver = caffe.SGDSolver("lenet_solver.prototxt")
    assert not [name for name in SOLVER_ATTRIBUTES.split() if not hasattr(solver, name)]
    assert not [name for name in SOLVER_PARAM_ATTRIBUTES.split() if not hasattr(solver.param, name)]


def test_net_has_all_forms_of_construction(tmp_path: Path) -> None:
    write_lenet(tmp_path)
    model, weights = str(tmp_path / "lenet.prototxt"), str(tmp_path / "lenet.caffemodel")
    nets = [
        caffe.Net(model, caffe.TEST, weights=weights),
        caffe.Net(network_file=model, phase=caffe.TEST, level=0, stages=["a"], weights=weights),
        caffe.Net(model, caffe.TEST, 0, None, weights),
        caffe.Net(model, caffe.TEST, 1, ["a", "b"], weights),
        caffe.Net(model, weights, caffe.TEST),
        caffe.Net(Path(model), phase=caffe.TEST, weights=Path(weights)),
    ]
    for net in nets[1:]:
        for name, blobs in nets[0].params.items():
            assert np.array_equal(net.params[name][0].data, blobs[0].data)


def test_every_lazy_name_loads() -> None:
    assert not [name for name in caffe.__all__ if not hasattr(caffe, name)]
    assert set(caffe.__all__) <= set(dir(caffe))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = caffe.nonsense


def test_layers_are_a_package_and_a_pseudo_module() -> None:
    import segcaffe.layers.registry as registry

    assert caffe.layers.layer_types is registry.layer_types
    assert caffe.layers.Input(input_param={}).fn.type_name == "Input"
    with pytest.raises(AttributeError, match="input"):
        _ = caffe.layers.input


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("numba", "cv2", "scipy", "h5py", "lmdb", "matplotlib", "google.protobuf", "segcaffe.net")
    code = f"import sys, segcaffe; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
