"""Tensors in other layouts, modules that have more or less than a layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.errors import WeightsError
from tests.weights.importing.files import (
    conv,
    decided,
    from_tensors,
    imported,
    inner,
    layer,
    net_of,
    normalized,
    statistics,
    values,
)


def test_batch_norm_and_the_scale_behind_it(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 4, 3, "bias_term: false") + normalized("c", "c"), tmp_path)
    tensors = {"c.weight": values(4, 3, 3, 3), **statistics("n", 4)}
    report = from_tensors(net, tensors, tmp_path)
    found = decided(report)
    assert found["bn_c/1"] == ("n.running_var", "shape")
    assert found["scale_c/0"] == ("n.weight", "shape")
    assert found["bn_c/2"] == (None, "shape")
    assert net.params["bn_c"][2].data == 1
    assert np.array_equal(net.params["bn_c"][0].data, tensors["n.running_mean"])
    assert np.array_equal(net.params["scale_c"][1].data, tensors["n.bias"])
    assert not report.unused


def test_batch_norm_without_factors(tmp_path: Path) -> None:
    tensors = {name: array for name, array in statistics("n", 3).items() if "running" in name}
    net = net_of(normalized("c", "data"), tmp_path)
    from_tensors(net, tensors, tmp_path)
    assert net.params["scale_c"][0].data.tolist() == [1, 1, 1]
    assert net.params["scale_c"][1].data.tolist() == [0, 0, 0]


def test_factors_that_the_net_has_no_layer_for(tmp_path: Path) -> None:
    net = net_of(normalized("c", "data", scale=False), tmp_path)
    tensors = statistics("n", 3)
    with pytest.raises(WeightsError, match=r"bn_c .*nothing in the file fits"):
        from_tensors(net, tensors, tmp_path)
    with pytest.raises(WeightsError, match=r"bn_c has no parameter for n.bias, of shape \(3,\)"):
        from_tensors(net, tensors, tmp_path, pairs={"bn_c": "n"})
    tensors |= {"n.weight": np.ones(3, np.float32), "n.bias": np.zeros(3, np.float32)}
    from_tensors(net, tensors, tmp_path)
    assert np.array_equal(net.params["bn_c"][0].data, tensors["n.running_mean"])


def test_the_four_blobs_of_pspnets_bn(tmp_path: Path) -> None:
    net = net_of(layer("n", "BN", "data", "bn_param { eps: 0.00001 }"), tmp_path)
    tensors = statistics("n", 3)
    from_tensors(net, tensors, tmp_path)
    for index, role in enumerate(("weight", "bias", "running_mean", "running_var")):
        assert net.params["n"][index].shape == (1, 3, 1, 1)
        assert np.array_equal(net.params["n"][index].data.ravel(), tensors[f"n.{role}"])


def test_biases_that_only_one_side_has(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 4), tmp_path)
    net.params["c"][1].data[...] = 5
    from_tensors(net, {"q.weight": values(4, 3, 3, 3)}, tmp_path)
    assert not net.params["c"][1].data.any()
    bare = net_of(conv("c", "data", 4, 3, "bias_term: false"), tmp_path)
    tensors = {"q.weight": values(4, 3, 3, 3), "q.bias": values(4)}
    with pytest.raises(WeightsError, match="nothing in the file fits"):
        from_tensors(bare, tensors, tmp_path)
    with pytest.raises(WeightsError, match=r"c has no parameter for q\.bias"):
        from_tensors(bare, tensors, tmp_path, pairs={"c": "q"})
    from_tensors(bare, tensors | {"q.bias": np.zeros(4, np.float32)}, tmp_path)


def test_matrices_and_kernels(tmp_path: Path) -> None:
    """A convolution over the whole image is a matrix behind a Flatten, and one of single pixels, too."""
    net = net_of(conv("wide", "data", 5, 8) + conv("pixel", "data", 7, 1) + inner("flat", "data", 6), tmp_path)
    tensors = {"x.weight": values(5, 192), "x.bias": values(5), "y.weight": values(7, 3), "y.bias": values(7),
               "z.weight": values(6, 3, 8, 8), "z.bias": values(6)}  # fmt: skip
    from_tensors(net, tensors, tmp_path)
    for mine, theirs in (("wide", "x"), ("pixel", "y"), ("flat", "z")):
        assert np.array_equal(net.params[mine][0].data.ravel(), tensors[f"{theirs}.weight"].ravel())


def test_a_matrix_of_another_shape_is_not_turned_around(tmp_path: Path) -> None:
    net = net_of(inner("fc", "data", 6), tmp_path)
    with pytest.raises(WeightsError, match=r"fc.*nothing in the file fits"):
        from_tensors(net, {"z.weight": values(192, 6), "z.bias": values(6)}, tmp_path)


def test_the_option_transpose(tmp_path: Path) -> None:
    for outputs in (6, 192):
        net = net_of(inner("fc", "data", outputs, "transpose: true"), tmp_path)
        weight = values(outputs, 192)
        report = from_tensors(net, {"z.weight": weight, "z.bias": values(outputs)}, tmp_path)
        assert np.array_equal(net.params["fc"][0].data, weight.T)
        assert report.rows[0].assignment.how == "transposed"


def test_groups_and_deconvolutions(tmp_path: Path) -> None:
    up = layer(
        "up", "Deconvolution", "data", "convolution_param { num_output: 6 kernel_size: 4 group: 3 bias_term: false }"
    )
    net = net_of(conv("g", "data", 6, 3, "group: 3") + up, tmp_path)
    tensors = {"a.weight": values(6, 1, 3, 3), "a.bias": values(6), "b.weight": values(3, 2, 4, 4)}
    from_tensors(net, tensors, tmp_path)
    assert np.array_equal(net.params["g"][0].data, tensors["a.weight"])
    assert np.array_equal(net.params["up"][0].data, tensors["b.weight"])


def test_one_slope_for_all_channels(tmp_path: Path) -> None:
    net = net_of(layer("p", "PReLU", "data", "prelu_param { channel_shared: true }"), tmp_path)
    from_tensors(net, {"act.weight": values(1)}, tmp_path)
    assert net.params["p"][0].data == values(1)[0]


def test_lstm_of_pytorch(tmp_path: Path) -> None:
    """Our LSTM with PyTorch's weights gives what PyTorch's gives."""
    torch = pytest.importorskip("torch")
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 3 } } }\n'
        'layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 4 dim: 2 } } }\n'
        'layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param { num_output: 5 } }\n'
    )
    net = net_of(text, tmp_path)
    lstm = torch.nn.LSTM(3, 5)
    torch.save(lstm.state_dict(), tmp_path / "w.pt")
    assert decided(imported(net, tmp_path / "w.pt"))["lstm/0"] == ("weight_ih_l0", "shape")
    steps = values(4, 2, 3)
    net.blobs["x"].data[...] = steps
    net.blobs["cont"].data[...] = [[0, 0], [1, 1], [1, 1], [1, 1]]
    with torch.no_grad():
        expected = lstm(torch.from_numpy(steps))[0].numpy()
    assert np.allclose(net.forward()["h"], expected, atol=1e-6)


def test_a_tensor_that_could_be_missed_is_told_of(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 4), tmp_path)
    report = from_tensors(net, {"c.weight": values(4, 3, 3, 3), "other.shift": values(4)}, tmp_path)
    assert report.notes == ("c/1 had no tensor, though the file has other.shift of its size, which is not used.",)
