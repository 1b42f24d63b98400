"""Which tensors a net's parameters get."""

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

BLOCK = (
    conv("branch1", "data", 8, 1, "bias_term: false")
    + normalized("1", "branch1")
    + conv("a", "data", 3, 1, "bias_term: false")
    + normalized("a", "a")
    + conv("b", "a", 3, 3, "pad: 1 bias_term: false")
    + normalized("b", "b")
    + conv("c", "b", 8, 1, "bias_term: false")
    + normalized("c", "c")
    + 'layer { name: "sum" type: "Eltwise" bottom: "branch1" bottom: "c" top: "sum" }\n'
)
"""A block of a ResNet, the shortcut first, as Caffe's nets have it."""


def _block() -> dict[str, np.ndarray]:
    """A block of a ResNet in PyTorch, the shortcut last."""
    found = {}
    parts = {
        "conv1": ("bn1", (3, 3, 1, 1)),
        "conv2": ("bn2", (3, 3, 3, 3)),
        "conv3": ("bn3", (8, 3, 1, 1)),
        "downsample.0": ("downsample.1", (8, 3, 1, 1)),
    }
    for name, (norm, shape) in parts.items():
        found[f"layer1.0.{name}.weight"] = values(*shape, seed=len(found))
        found |= statistics(f"layer1.0.{norm}", shape[0], seed=len(found))
    return found


def _save(tensors: dict[str, np.ndarray], file: Path) -> Path:
    import torch

    torch.save({name: torch.from_numpy(np.asarray(array)) for name, array in tensors.items()}, file)
    return file


def test_numbers_in_names_tell_the_order(tmp_path: Path) -> None:
    """VGG's features from a file that has 10 before 2."""
    names = ["features.0", "features.2", "features.10", "features.12"]
    net = net_of("".join(conv(f"c{i}", f"c{i - 1}" if i else "data", 3, 3, "pad: 1") for i in range(4)), tmp_path)
    tensors = {}
    for seed, name in enumerate(names):
        tensors |= {f"{name}.weight": values(3, 3, 3, 3, seed=seed), f"{name}.bias": values(3, seed=seed)}
    report = from_tensors(net, tensors, tmp_path)
    found = decided(report)
    assert [found[f"c{i}/0"] for i in range(4)] == [(f"{name}.weight", "numbers") for name in names]
    for i, name in enumerate(names):
        assert np.array_equal(net.params[f"c{i}"][0].data, tensors[f"{name}.weight"])
        assert np.array_equal(net.params[f"c{i}"][1].data, tensors[f"{name}.bias"])
    assert not report.unused


def test_names_that_tell_no_order(tmp_path: Path) -> None:
    text = conv("one", "data", 3) + conv("two", "one", 3)
    tensors = {f"{name}.{role}": values(*shape, seed=ord(name[0])) for name in ("encoder", "decoder")
               for role, shape in (("weight", (3, 3, 3, 3)), ("bias", (3,)))}  # fmt: skip
    net = net_of(text, tmp_path)
    before = net.params["one"][0].data.copy()
    with pytest.raises(
        WeightsError, match=r"one \(one/0 3x3x3x3, one/1 3\): could be any of decoder, encoder; two .*--map"
    ):
        from_tensors(net, tensors, tmp_path)
    assert np.array_equal(net.params["one"][0].data, before)
    found = decided(from_tensors(net, tensors, tmp_path, pairs={"one": "encoder"}))
    assert found["one/0"] == ("encoder.weight", "map")
    assert found["two/0"] == ("decoder.weight", "shape")
    found = decided(imported(net, _save(tensors, tmp_path / "w.pt")))
    assert found["one/0"] == ("encoder.weight", "order")


def test_an_order_that_shapes_contradict_decides_nothing(tmp_path: Path) -> None:
    """The shortcut is first here and last there: by order it would be taken for the block's third convolution."""
    net = net_of(BLOCK, tmp_path)
    file = _save(_block(), tmp_path / "w.pt")
    by_names = from_tensors(net, _block(), tmp_path, pairs={"branch1": "layer1.0.downsample.0"})
    with pytest.raises(WeightsError, match=r"branch1 .*could be any of layer1.0.conv3, layer1.0.downsample.0"):
        imported(net, file)
    found = decided(imported(net, file, {"branch1": "layer1.0.downsample.0"}))
    assert found == decided(by_names)
    assert found["c/0"] == ("layer1.0.conv3.weight", "shape")
    assert found["a/0"] == ("layer1.0.conv1.weight", "shape")
    for mine, theirs in (("1", "downsample.1"), ("a", "bn1"), ("b", "bn2"), ("c", "bn3")):
        assert found[f"bn_{mine}/0"] == (f"layer1.0.{theirs}.running_mean", "behind the one before")
        assert found[f"scale_{mine}/1"] == (f"layer1.0.{theirs}.bias", "behind the one before")


def test_names_win(tmp_path: Path) -> None:
    net = net_of(conv("x/1", "data", 3) + conv("x/2", "x/1", 3), tmp_path)
    tensors = {f"module.{name}.{role}": values(*shape, seed=ord(name[2])) for name in ("x_2", "x_1")
               for role, shape in (("weight", (3, 3, 3, 3)), ("bias", (3,)))}  # fmt: skip
    for report in (from_tensors(net, tensors, tmp_path), imported(net, _save(tensors, tmp_path / "w.pth"))):
        assert decided(report)["x/1/0"] == ("module.x_1.weight", "name")
        assert decided(report)["x/2/1"] == ("module.x_2.bias", "name")


def test_a_name_with_another_shape_is_an_error(tmp_path: Path) -> None:
    net = net_of(conv("conv1", "data", 3), tmp_path)
    tensors = {
        "conv1.weight": values(4, 3, 3, 3),
        "conv1.bias": values(4),
        "b.weight": values(3, 3, 3, 3),
        "b.bias": values(3),
    }
    with pytest.raises(
        WeightsError, match=r"conv1 and conv1 belong together .*shape \(4, 3, 3, 3\), conv1/0 \(3, 3, 3, 3\)"
    ):
        from_tensors(net, tensors, tmp_path)
    assert decided(from_tensors(net, tensors, tmp_path, pairs={"conv1": "b"}))["conv1/0"] == ("b.weight", "map")


def test_more_candidates_than_layers(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 3), tmp_path)
    tensors = {f"f.{i}.{role}": values(*shape, seed=i) for i in (0, 1)
               for role, shape in (("weight", (3, 3, 3, 3)), ("bias", (3,)))}  # fmt: skip
    with pytest.raises(WeightsError, match=r"could be any of f\.0, f\.1"):
        from_tensors(net, tensors, tmp_path)
    report = from_tensors(net, tensors, tmp_path, pairs={"c": "f.1"})
    assert set(report.unused) == {"f.0.weight", "f.0.bias"}


def test_layers_for_which_nothing_fits(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 3) + inner("fc", "c", 7), tmp_path)
    tensors = {"q.weight": values(3, 3, 3, 3), "q.bias": values(3), "fc9.weight": values(9, 108), "fc9.bias": values(9)}
    with pytest.raises(WeightsError, match=r"fc \(fc/0 7x108, fc/1 7\): nothing in the file fits.*--allow-partial"):
        from_tensors(net, tensors, tmp_path)
    report = from_tensors(net, tensors, tmp_path, partial=True)
    assert set(decided(report)) == {"c/0", "c/1"}
    assert "fc" in report.left
    assert set(report.unused) == {"fc9.weight", "fc9.bias"}


def test_parameters_one_by_one(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 3), tmp_path)
    tensors = {"kernel": values(3, 3, 3, 3), "addend": values(3)}
    found = decided(from_tensors(net, tensors, tmp_path, pairs={"c/0": "kernel", "c/1": "addend"}))
    assert found == {"c/0": ("kernel", "map"), "c/1": ("addend", "map")}
    for pairs, words in (({"d": "kernel"}, 'no layer with parameters "d"'), ({"c/0": "kernels"}, 'or module "kernels"'),
                         ({"c/0": "addend"}, r"c/0 has the shape \(3, 3, 3, 3\), addend")):  # fmt: skip
        with pytest.raises(WeightsError, match=words):
            from_tensors(net, tensors, tmp_path, pairs=pairs)


def test_tensors_are_renamed(tmp_path: Path) -> None:
    net = net_of(conv("conv1", "data", 3) + conv("conv2", "conv1", 3), tmp_path)
    tensors = {f"{name}.{role}": values(*shape) for name in ("last", "first")
               for role, shape in (("weight", (3, 3, 3, 3)), ("bias", (3,)))}  # fmt: skip
    found = decided(from_tensors(net, tensors, tmp_path, **{"first.*": "conv1.*", "last.*": "conv2.*"}))
    assert found["conv1/0"] == ("first.weight", "name")
    with pytest.raises(WeightsError, match='no tensor "none"'):
        from_tensors(net, tensors, tmp_path, none="x")
    with pytest.raises(WeightsError, match='2 tensors would be called "x"'):
        from_tensors(net, tensors, tmp_path, **{"*.bias": "x"})


def test_shared_parameters_are_taken_once(tmp_path: Path) -> None:
    shared = 'param { name: "w" } param { name: "b" } '
    text = conv("one", "data", 3).replace("convolution_param", shared + "convolution_param", 1)
    text += conv("two", "data", 3).replace("convolution_param", shared + "convolution_param", 1)
    net = net_of(text, tmp_path)
    tensors = {"c.weight": values(3, 3, 3, 3), "c.bias": values(3)}
    assert set(decided(from_tensors(net, tensors, tmp_path))) == {"one/0", "one/1"}
    assert np.array_equal(net.params["two"][0].data, tensors["c.weight"])


def test_the_users_own_layers_keep_their_names(tmp_path: Path) -> None:
    """What `segcaffe weights convert` writes, and ONNX files of `segcaffe export`, name tensors by layer and index."""
    net = net_of(layer("p", "PReLU", "data") + conv("c/d", "p", 3), tmp_path)
    tensors = {"p/0": values(3), "c/d/0": values(3, 3, 3, 3), "c/d/1": values(3)}
    assert decided(from_tensors(net, tensors, tmp_path)) == {name: (name, "name") for name in tensors}
    del tensors["c/d/0"]
    with pytest.raises(WeightsError, match="no tensor c/d/0, though it has others of layer c/d"):
        from_tensors(net, tensors, tmp_path)


def test_kernels_of_another_branch_are_not_taken_for_those_behind(tmp_path: Path) -> None:
    """Of two branches of equal shapes, what stands behind the stem's module may be either."""
    text = conv("stem", "data", 4) + conv("left", "stem", 4, 3) + conv("right", "stem", 4, 3)
    tensors = {f"{name}.{role}": values(*shape, seed=len(name)) for name in ("base", "b", "aa")
               for role, shape in (("weight", (4, 3 if name == "base" else 4, 3, 3)), ("bias", (4,)))}  # fmt: skip
    found = decided(imported(net_of(text, tmp_path), _save(tensors, tmp_path / "w.pt")))
    assert found["left/0"] == ("b.weight", "order")
    assert found["right/0"] == ("aa.weight", "order")
