"""A distance of the user's in functions, layers (fused and not), files and on the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segcaffe import functional
from segcaffe.cli.main import main
from segcaffe.device import compat
from segcaffe.errors import ShapeError
from segcaffe.kernels import dispatch
from segcaffe.kernels.distance import registry
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.testing.gradient import check_gradients
from segcaffe.testing.layer_case import LayerCase
from tests import fake_gpu
from tests.test_fake_device_layers import run_case

PLUGIN = """
from segcaffe.functional import register_distance


def charbonnier(d):
    return (d * d + 1) ** 0.5 - 1


def slope(d):
    return d / (d * d + 1) ** 0.5


register_distance("charbonnier", charbonnier, slope)
"""
WINDOW = "convolution_param { kernel_size: 3 pad: 1 }"
MASKED = """
layer { name: "in" type: "Input" top: "x" top: "e" input_param {
  shape { dim: 1 dim: 4 dim: 7 dim: 8 } shape { dim: 1 dim: 3 dim: 7 dim: 8 } } }
layer { name: "dist" type: "Im2dist" bottom: "e" top: "dist" convolution_param { kernel_size: 3 pad: 1 }
  im2dist_param { distance: "charbonnier" } }
layer { name: "mask" type: "Exp" bottom: "dist" top: "mask" exp_param { scale: -1 } }
layer { name: "tiled" type: "Tile" bottom: "mask" top: "tiled" tile_param { axis: 1 tiles: 4 } }
layer { name: "columns" type: "Im2col" bottom: "x" top: "columns" convolution_param { kernel_size: 3 pad: 1 } }
layer { name: "hit" type: "Eltwise" bottom: "columns" bottom: "tiled" top: "hit" eltwise_param { operation: PROD } }
layer { name: "conv" type: "Convolution" bottom: "hit" top: "y" convolution_param {
  num_output: 2 kernel_size: 3 pad: 1 bottom_is_im2col: true weight_filler { type: "xavier" } } }
"""


def _charbonnier(d: float) -> float:
    return float((d * d + 1) ** 0.5 - 1)


def _slope(d: float) -> float:
    return float(d / (d * d + 1) ** 0.5)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    yield
    sys.modules.pop("charbonnier_plugin", None)


@pytest.fixture
def _registered(_as_it_was: None) -> None:
    functional.register_distance("charbonnier", _charbonnier, _slope)


def _by_numpy(e: np.ndarray) -> np.ndarray:
    """Charbonnier distances of 3x3 windows, tap by tap."""
    padded = np.pad(e, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="constant", constant_values=np.nan)
    height, width = e.shape[2:]
    found = []
    for i in range(3):
        for j in range(3):
            d = e - padded[:, :, i : i + height, j : j + width]
            found.append(np.nan_to_num(((d * d + 1) ** 0.5 - 1).sum(1)))
    return np.stack(found, 1)


@pytest.mark.usefixtures("_registered")
def test_functions_take_it() -> None:
    rng = np.random.default_rng(0)
    e, x = rng.normal(size=(2, 3, 6, 7)), rng.normal(size=(2, 4, 6, 7))
    distance = functional.local_distance(e, 3, norm="charbonnier")
    np.testing.assert_allclose(distance, _by_numpy(e), rtol=1e-12)
    weights = np.exp(-distance) / np.exp(-distance).sum(1, keepdims=True)
    weight = rng.normal(size=(5, 4, 3, 3))
    expected = functional.masked_conv2d(x, weights, weight, padding=1)
    received = functional.norm_conv2d(x, e, weight, padding=1, norm="charbonnier")
    np.testing.assert_allclose(received, expected, rtol=1e-9)
    sharpened = functional.bilateral_cascade(x, e, kernel_size=3, norm="charbonnier", scale=2.0, rounds=1)
    assert sharpened.shape == x.shape
    assert not np.allclose(sharpened, functional.bilateral_cascade(x, e, kernel_size=3, norm="l1", scale=2.0, rounds=1))


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("case", [
    LayerCase("Im2dist", WINDOW + 'im2dist_param { distance: "charbonnier" }'),
    LayerCase("Im2dist", "convolution_param { kernel_size: 3 stride: 2 pad: 2 } "
              'im2dist_param { distance: "charbonnier" remove_bounds: false }', suffix="stride"),
    LayerCase("NormConv", "convolution_param { num_output: 2 kernel_size: 3 pad: 1 } "
              'norm_conv_param { distance: "charbonnier" scale_filler { value: 0.5 } }',
              ((1, 2, 4, 5), (1, 3, 4, 5))),
], ids=lambda case: case.id)  # fmt: skip
def test_gradients(case: LayerCase) -> None:
    assert check_gradients(case) > 0


@pytest.mark.usefixtures("_registered")
def test_fused_and_not() -> None:
    message, outputs = parse(MASKED, caffe_pb2.NetParameter()), []
    rng = np.random.default_rng(1)
    inputs = {"x": rng.normal(size=(1, 4, 7, 8)), "e": rng.normal(size=(1, 3, 7, 8))}
    weight = rng.normal(size=(2, 4, 3, 3))
    for fuse in (True, False):
        net = Net(message, caffe_pb2.TEST, fuse=fuse)
        assert (type(net.layer_list[-1]).__name__ == "MaskedConvolution") == fuse
        net.params["conv"][0].data[...] = weight
        net.forward(**inputs)
        net.blobs["y"].diff[...] = 1
        net.backward()
        outputs.append((net.blobs["y"].data.copy(), net.blobs["e"].diff.copy()))
    np.testing.assert_allclose(outputs[0][0], outputs[1][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs[0][1], outputs[1][1], rtol=1e-4, atol=1e-5)
    expected = functional.masked_conv2d(inputs["x"], np.exp(-_by_numpy(inputs["e"])), weight, padding=1)
    np.testing.assert_allclose(outputs[0][0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("_registered")
def test_what_options_cannot_say() -> None:
    for options, says in (
        ('distance: "charbonier"', 'Did you mean "charbonnier"?.*--plugin MODULE'),
        ('distance: "charbonnier" norm: L1', "give norm or distance, not both"),
    ):
        text = MASKED.replace('distance: "charbonnier"', options)
        with pytest.raises(ShapeError, match=says.replace("?", r"\?")):
            Net(parse(text, caffe_pb2.NetParameter()), caffe_pb2.TEST)
    with pytest.raises(ShapeError, match=r"or names another distance.*There are: charbonnier, l1, l2"):
        functional.local_distance(np.zeros((1, 1, 3, 3)), 3, norm="l3")


def test_commands_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("charbonnier_plugin.py").write_text(PLUGIN)
    Path("broken_plugin.py").write_text("import segcaffe\n1 / 0\n")
    Path("lacking_plugin.py").write_text("import there_is_no_such_module\n")
    Path("ending_plugin.py").write_text("import sys\nsys.exit(0)\n")
    Path("unread_plugin.py").write_text("\n\ndef value(d:\n")
    Path("wrong_plugin.py").write_text(PLUGIN.replace("- 1\n", "\n"))
    Path("net.prototxt").write_text(MASKED)
    assert main(["net", "net.prototxt"]) == 2
    assert "--plugin" in capsys.readouterr().err
    assert main(["net", "net.prototxt", "--plugin", "charbonnier_plugin"]) == 0
    assert str(tmp_path) not in sys.path
    np.save("s.npy", np.random.default_rng(0).normal(size=(3, 6, 7)).astype(np.float32))
    refine = ["refine", "s.npy", "s.npy", "r.npy", "--norm", "charbonnier", "--plugin", "charbonnier_plugin"]
    assert main([*refine, "--scale", "1"]) == 0
    capsys.readouterr()
    for words, says in (
        (refine, "say with --scale how fast weights fall"),
        (["net", "net.prototxt", "--plugin", "charbonnier_plugin.py"], "not huber.py"),
        (["net", "net.prototxt", "--plugin", "there_is_no_such_plugin"], "there is no such module"),
        (["net", "net.prototxt", "--plugin", "broken_plugin"], "broken_plugin.py:2): ZeroDivisionError"),
        (["net", "net.prototxt", "--plugin", "lacking_plugin"], "lacking_plugin.py:1): ModuleNotFoundError"),
        (["net", "net.prototxt", "--plugin", "ending_plugin"], "ending_plugin.py:2): SystemExit: 0"),
        (["net", "net.prototxt", "--plugin", "unread_plugin"], "unread_plugin.py:3): SyntaxError"),
        (["net", "net.prototxt", "--plugin", "wrong_plugin"], "a pixel is at distance 0 from itself"),
    ):
        assert main(words) == 2
        assert says in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("suffix", ["onnx", "py"])
def test_exports_refuse_it(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if suffix == "onnx":
        pytest.importorskip("onnx", reason="writes ONNX")
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(MASKED)
    assert main(["export", "net.prototxt", f"out.{suffix}"]) == 2
    assert "is a function of this process" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("_registered")
def test_pytorchs_operators_take_it() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch's operators")
    from segcaffe.torch import local_distance

    embeddings = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    expected = _by_numpy(embeddings.detach().numpy())
    np.testing.assert_allclose(local_distance(embeddings, 3, norm="charbonnier").detach().numpy(), expected, rtol=1e-12)
    assert torch.autograd.gradcheck(lambda e: local_distance(e, 3, norm="charbonnier"), embeddings)


@pytest.mark.usefixtures("_registered")
def test_on_a_device_it_runs_on_the_host_and_says_so() -> None:
    dispatch._warn_once.cache_clear()
    case = LayerCase("Im2dist", WINDOW + 'im2dist_param { distance: "charbonnier" }')
    expected = run_case(case, on_device=False)
    compat.substitute_gpu_module(fake_gpu.module)
    with pytest.warns(dispatch.HostFallbackWarning, match=r"distance\.(forward|backward) has no CUDA version yet"):
        received = run_case(case, on_device=True)
    for name, values in expected.items():
        np.testing.assert_allclose(received[name], values, rtol=1e-6, err_msg=name)
