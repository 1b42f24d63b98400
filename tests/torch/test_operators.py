"""Operators of PyTorch: gradients, the compiler, autocast, layouts, a plain form of each in PyTorch beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
segcaffe_torch = pytest.importorskip("segcaffe.torch")

from torch.nn import functional as F  # noqa: E402, N812

from segcaffe import functional  # noqa: E402
from segcaffe.errors import ShapeError  # noqa: E402
from segcaffe.torch import keeping  # noqa: E402

ops = segcaffe_torch
WINDOW = {"stride": 2, "padding": 2, "dilation": 2}


def _random(*shape: int, seed: int = 0, grad: bool = True, dtype: Any = torch.float64) -> Any:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return values.requires_grad_(grad)


def _taps(x: Any, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Any:
    """(N, C, taps, H', W')."""
    columns = F.unfold(x, kernel, dilation, padding, stride)
    size = [(n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for n in x.shape[2:]]
    return columns.reshape(len(x), x.shape[1], kernel * kernel, *size)


def _plain_distance(e: Any, norm: str, stride: int = 1, padding: int = 0, dilation: int = 1) -> Any:
    taps = _taps(e, 3, stride, padding, dilation)
    inside = _taps(torch.ones_like(e[:, :1]), 3, stride, padding, dilation)[:, 0]
    difference = taps[:, :, 4:5] - taps
    each = difference.abs().sum(1) if norm == "l1" else 0.5 * difference.square().sum(1)
    return each * inside * inside[:, 4:5]


def _plain_masked(x: Any, mask: Any, weight: Any, bias: Any, stride: int, padding: int, dilation: int) -> Any:
    masked = _taps(x, 3, stride, padding, dilation) * mask[:, None]
    return torch.einsum("nctyx,mct->nmyx", masked, weight.flatten(2)) + bias[:, None, None]


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_distances_and_masks_are_those_of_plain_pytorch(norm: Any) -> None:
    x, e, w, b = _random(2, 4, 7, 9), _random(2, 3, 7, 9, seed=1), _random(5, 4, 3, 3, seed=2), _random(5, seed=3)
    grad = _random(2, 5, 4, 5, seed=4, grad=False)

    def ours() -> Any:
        mask = torch.exp(-ops.local_distance(e, 3, 2, norm, stride=2, padding=2))
        return ops.masked_conv2d(x, mask, w, b, **WINDOW)

    def plain() -> Any:
        return _plain_masked(x, torch.exp(-_plain_distance(e, norm, **WINDOW)), w, b, **WINDOW)

    torch.testing.assert_close(ours(), plain(), rtol=1e-10, atol=1e-10)
    found, wanted = (torch.autograd.grad(form(), (x, e, w, b), grad) for form in (ours, plain))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_gradients_by_differences() -> None:
    check = torch.autograd.gradcheck
    x, e, w, b = _random(1, 4, 3, 4), _random(1, 2, 3, 4, seed=1), _random(2, 2, 3, 3, seed=2), _random(2, seed=3)
    mask, scale = _random(1, 9, 3, 4, seed=4), _random(1, seed=5)
    assert check(lambda *a: ops.local_distance(*a, 3), (e,))
    assert check(lambda *a: ops.masked_conv2d(*a, 1, 1, 1, 2), (x, mask, w, b))
    assert check(lambda *a: ops.masked_conv2d(*a, None, 1, 1, 1, 2), (x, mask, w))
    assert check(lambda *a: ops.masked_conv2d(x.detach(), mask.detach(), w.detach(), a[0], 1, 1, 1, 2), (b,))
    assert check(lambda *a: ops.norm_conv2d(*a, padding=1, groups=2, remove_bounds=True), (x, e, w, b, scale))
    unary, weight, compat = _random(1, 2, 3, 4, seed=6), _random(2, 2, seed=7), _random(2, 2, seed=8)
    assert check(lambda *a: ops.local_meanfield(*a, kernel_size=3), (unary, e, weight, compat))


def test_gradients_of_cascade_lattice_and_domain_transform() -> None:
    check = torch.autograd.gradcheck
    scores, guide, edges = _random(1, 2, 3, 4), _random(1, 2, 3, 4, seed=1), _random(1, 1, 3, 4, seed=2)
    matrices = [_random(2, 2, seed=seed) for seed in (3, 4, 5)]
    image = _random(1, 3, 3, 4, seed=6, grad=False)
    assert check(lambda *a: ops.bilateral_cascade(*a, kernel_size=3, scale=0.7), (scores, guide))
    assert check(lambda u, *m: ops.permutohedral_meanfield(u, image, *m, iterations=2), (scores, *matrices))
    assert check(ops.domain_transform, (scores, edges.detach().abs().requires_grad_()))
    torch.library.opcheck(torch.ops.segcaffe.bilateral_cascade.default, (scores, guide, [3, 3], [1, 1], "l2", 0.7, 2))
    lattice = torch.ops.segcaffe.permutohedral_meanfield.default
    torch.library.opcheck(lattice, (scores, image, *matrices, [8.0, 1.0, 3.0], 2))
    given = scores, edges.detach().abs(), 50.0, 5.0, 2, 0.0
    torch.library.opcheck(torch.ops.segcaffe.domain_transform.default, given)
    assert ops.permutohedral_meanfield(scores, image, 1.0, 2.0).shape == scores.shape


def test_operators_are_well_formed() -> None:
    x, w, b = _random(2, 4, 4, 5), _random(6, 2, 3, 3, seed=2), _random(6, seed=3)
    mask, guide = _random(2, 9, 4, 5, seed=4), _random(2, 3, 4, 5, seed=1)
    ones, ours = [1, 1], torch.ops.segcaffe
    torch.library.opcheck(ours.masked_conv2d.default, (x, mask, w, b, ones, ones, ones, 2))
    torch.library.opcheck(ours.local_distance.default, (guide, [3, 3], ones, ones, ones, "l2", False, False))
    torch.library.opcheck(ours.local_parity.default, (guide.detach(), [3, 3], ones, ones, ones, None))
    matrices = _random(4, 4, seed=7), _random(4, 4, seed=8)
    torch.library.opcheck(ours.local_meanfield.default, (x, guide, *matrices, [3, 3], ones, 0.5, 2, True, True))


def test_the_compiler_takes_modules_whole() -> None:
    conv = ops.SegAwareConv2d(4, 6, 3, padding=1)
    crf = ops.LocalMeanField(6, kernel_size=3)
    x, e = _random(2, 4, 5, 7, dtype=torch.float32), _random(2, 3, 3, 4, seed=1, dtype=torch.float32)

    def loss(x: Any, e: Any) -> Any:
        scores = conv(x, e)
        return crf(scores, F.interpolate(e, x.shape[2:])).square().mean()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    parameters = [x, e, *conv.parameters(), *crf.parameters()]
    torch.testing.assert_close(compiled(x, e), loss(x, e))
    last = x.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(compiled(last, e), loss(last, e))
    found, wanted = (torch.autograd.grad(form(x, e), parameters) for form in (compiled, loss))
    torch.testing.assert_close(found, wanted)


def test_autocast_layouts_and_empty_batches() -> None:
    conv = ops.SegAwareConv2d(4, 6, 3, padding=1)
    x, e = _random(2, 4, 5, 7, dtype=torch.float32), _random(2, 3, 5, 7, seed=1, dtype=torch.float32)
    wanted = conv(x, e)
    last = torch.channels_last
    torch.testing.assert_close(conv(x.contiguous(memory_format=last), e.contiguous(memory_format=last)), wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = conv(x.bfloat16(), e.bfloat16())
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)
    assert conv(x[:0], e[:0]).shape == (0, 6, 5, 7)
    for half in (torch.float16, torch.bfloat16):
        with pytest.raises(ShapeError, match=r"float32, or all float64.*torch\.(b?)float16.*autocast"):
            ops.local_distance(e.to(half), 3)


def test_gradients_of_an_empty_batch() -> None:
    conv = ops.SegAwareConv2d(4, 6, 3, 1, 1)
    assert conv.padding == (1, 1)
    empty = _random(0, 3, 5, 7, dtype=torch.float32)
    conv(_random(0, 4, 5, 7, grad=False, dtype=torch.float32), empty).sum().backward()
    assert empty.grad.shape == empty.shape
    assert not any(float(one.grad.abs().sum()) for one in conv.parameters())


def test_what_else_pytorch_takes() -> None:
    x, e = _random(1, 3, 5, 6, dtype=torch.float32), _random(1, 2, 5, 6, seed=1, dtype=torch.float32)
    assert ops.SegAwareConv2d(3, 2, 3, padding="valid")(x, e).shape == (1, 2, 3, 4)
    assert ops.local_distance(e, np.int64(3), np.int32(2)).shape == (1, 9, 5, 6)
    colours = (x.detach() * 99).abs().to(torch.uint8)
    assert torch.equal(ops.permutohedral_meanfield(x, colours), ops.permutohedral_meanfield(x, colours.float()))
    assert "5, kernel_size=9, dilation=1, scale=1.0" in repr(ops.LocalMeanField(5))
    assert "alpha=0.5, beta=2.0" in repr(ops.DistLoss())
    with pytest.raises(ShapeError, match=r"embeddings \(N, E, h, w\). Received: \(1, 3, 5, 6\), \(2, 5, 6\)"):
        ops.SegAwareConv2d(3, 2, 3)(x, e[0])


def test_an_option_that_asks_for_a_gradient_is_refused() -> None:
    x, sharp = _random(1, 3, 5, 6), torch.tensor(2.0, requires_grad=True)
    for call in (
        lambda: ops.local_meanfield(x, x, scale=sharp),
        lambda: ops.bilateral_cascade(x, x, scale=sharp),
        lambda: ops.permutohedral_meanfield(x, x, theta_beta=sharp),
        lambda: ops.domain_transform(x, x[:, :1], range_sigma=sharp),
    ):
        with pytest.raises(ShapeError, match=r"(scale|theta_beta|range_sigma) gets no gradient\..*multiply the guide"):
            call()
    assert ops.bilateral_cascade(x, x, scale=sharp.detach(), kernel_size=3).shape == x.shape


def test_gradients_of_gradients_are_refused() -> None:
    e = _random(1, 2, 4, 4)
    (grad,) = torch.autograd.grad(ops.local_distance(e, 3).square().sum(), e, create_graph=True)
    with pytest.raises(RuntimeError, match=r"segcaffe.local_distance_backward"):
        grad.sum().backward()


def test_dist_loss_has_the_layers_value_and_gradient() -> None:
    import segcaffe
    from segcaffe.proto import caffe_pb2
    from segcaffe.proto.text import parse

    window = "convolution_param { kernel_size: 3 pad: 1 }"
    text = f"""force_backward: true
    layer {{ name: "e" type: "Input" top: "e" input_param {{ shape {{ dim: 2 dim: 4 dim: 5 dim: 6 }} }} }}
    layer {{ name: "l" type: "Input" top: "l" input_param {{ shape {{ dim: 2 dim: 1 dim: 5 dim: 6 }} }} }}
    layer {{ name: "d" type: "Im2dist" bottom: "e" top: "d" {window} im2dist_param {{ norm: L1 }} }}
    layer {{ name: "p" type: "Im2parity" bottom: "l" top: "p" {window} im2parity_param {{ ignore_label: 255 }} }}
    layer {{ name: "y" type: "DistLoss" bottom: "d" bottom: "p" top: "y" loss_weight: 1
      dist_loss_param {{ alpha: 0.5 beta: 2 ignore_label: 255 }} }}"""
    net = segcaffe.Net(parse(text, caffe_pb2.NetParameter(), "net"), segcaffe.TRAIN)
    e = _random(2, 4, 5, 6, dtype=torch.float32)
    labels = torch.randint(0, 3, (2, 5, 6), generator=torch.Generator().manual_seed(2))
    labels[0, 2] = 255
    net.blobs["e"].data[...], net.blobs["l"].data[:, 0] = e.detach().numpy(), labels.numpy()
    net.forward()
    net.backward()
    loss = ops.DistLoss()(e, labels)
    loss.backward()
    torch.testing.assert_close(loss.detach().numpy(), net.blobs["y"].data.reshape(()).copy(), rtol=1e-5, atol=0)
    torch.testing.assert_close(e.grad.numpy(), net.blobs["e"].diff.copy(), rtol=1e-4, atol=1e-7)


def _model() -> Any:
    torch.manual_seed(0)
    nn = torch.nn
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=2, dilation=2))
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(8, 4, 1))


def test_a_model_made_segmentation_aware_is_the_same_at_scale_0() -> None:
    model, x = _model(), _random(2, 3, 12, 10, grad=False, dtype=torch.float32)
    wanted, weight = model(x).detach(), model[3].weight
    aware = ops.segawarify(model, torch.nn.Identity(), scale=0)
    torch.testing.assert_close(aware(x), wanted, rtol=1e-5, atol=1e-6)
    assert aware.scales() == {"0": 0, "3": 0}
    assert aware.model[3].weight is weight
    aware(x).square().mean().backward()
    assert float(aware.model[3].scale.grad) != 0
    with torch.no_grad():
        aware.model[3].scale.fill_(1)
    assert not torch.allclose(aware(x), wanted)


def test_a_masked_model_keeps_its_names_and_takes_what_it_took() -> None:
    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 3, 3, padding=1)
            self.second = self.first

        def forward(self, x: Any, *, doubled: bool = False) -> Any:
            return (2 if doubled else 1) * self.second(self.first(x))

    model, x = Twice(), _random(1, 3, 6, 5, grad=False, dtype=torch.float32)
    wanted, saved = model(x, doubled=True).detach(), model.state_dict()
    aware = ops.segawarify(model, torch.nn.Identity(), scale=0)
    assert aware.model.first is aware.model.second
    torch.testing.assert_close(aware(x, doubled=True), wanted)
    lacking = aware.model.load_state_dict(saved, strict=False)
    assert lacking.missing_keys == ["first.scale", "second.scale"]
    assert lacking.unexpected_keys == []
    with pytest.raises(RuntimeError, match="Call what segawarify returned"):
        aware.model(x)
    lone = ops.segawarify(torch.nn.Conv2d(3, 2, 3), torch.nn.Identity(), scale=3)
    assert lone.scales() == {"": 3}
    assert not torch.allclose(lone(x), torch.nn.functional.conv2d(x, lone.model.weight, lone.model.bias))


def test_convolutions_that_cannot_be_masked_are_left_alone() -> None:
    conv = torch.nn.Conv2d
    kept = [
        conv(3, 3, 4, padding="same"),
        conv(3, 3, 3, padding_mode="circular", padding=1),
        torch.nn.utils.parametrizations.weight_norm(conv(3, 3, 3, padding=1)),
    ]
    aware = ops.segawarify(torch.nn.Sequential(*kept, conv(3, 3, 3, padding="valid")), torch.nn.Identity())
    assert list(aware.scales()) == ["3"]
    hooked = conv(3, 3, 3)
    hooked.register_forward_hook(lambda *given: None)
    with pytest.raises(ValueError, match='"0" has hooks'):
        ops.segawarify(torch.nn.Sequential(hooked), torch.nn.Identity())


def test_only_the_layers_asked_for_are_masked() -> None:
    aware = ops.segawarify(_model(), torch.nn.Identity(), ["3"])
    assert list(aware.scales()) == ["3"]
    with pytest.raises(ValueError, match=r'No convolution larger than one tap is called "5". Those .*: 0, 3'):
        ops.segawarify(_model(), torch.nn.Identity(), "5")
    with pytest.raises(TypeError, match=r"embeddings must be a torch\.nn\.Module\. Received: Tensor"):
        ops.segawarify(_model(), torch.zeros(1))
    with pytest.raises(ValueError, match="pads with zeros"):
        ops.SegAwareConv2d(3, 4, 3, padding_mode="reflect")


def test_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "pytorch.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert names["aware"].scales() == {"0": 0.0, "2": 0.0}
    assert all(one.grad is not None for one in names["conv"].parameters())


def test_dist_loss_does_not_spread_labels_over_a_batch() -> None:
    embeddings = _random(2, 3, 5, 6, dtype=torch.float32)
    for shape in ((1, 5, 6), (2, 1, 1, 6), (2, 5, 1)):
        with pytest.raises(ValueError, match=r"labels must have shape \(2, 1, 5, 6\).* Received: \("):
            ops.DistLoss()(embeddings, torch.zeros(shape))


@pytest.mark.parametrize("sizes", [(0, 5, 3), (3, -1, 3), (3, 5, 0), (3, 5, (3, 0))])
def test_a_convolution_without_weights_is_refused(sizes: Any) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        ops.SegAwareConv2d(*sizes)


def test_backward_uses_what_forward_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    backward = functional.local_meanfield_backward

    def watched(*given: Any, keep: Any = None, **options: Any) -> Any:
        calls.append(keep is not None and keep._state is not None)
        return backward(*given, keep=keep, **options)

    monkeypatch.setattr(functional, "local_meanfield_backward", watched)
    given = _random(1, 3, 5, 16), _random(1, 2, 5, 16, seed=1)
    out = ops.local_meanfield(*given, kernel_size=3)
    first, second = (torch.autograd.grad(out.sum(), given, retain_graph=True) for _ in range(2))
    assert calls == [True, False]
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    with torch.no_grad():
        ops.local_meanfield(*given, kernel_size=3)
    assert keeping.offered() is None
