"""Transforms of torch.func and forward mode, for which PyTorch's own way with custom operators does not do."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
ops = pytest.importorskip("segcaffe.torch")

from torch.autograd import forward_ad  # noqa: E402


def _random(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _loss(weight: Any, x: Any, e: Any) -> Any:
    """Of every operator with a gradient."""
    mask = torch.exp(-ops.local_distance(e, 3))
    scores = ops.masked_conv2d(x, mask, weight, padding=1)
    scores = ops.bilateral_cascade(ops.local_meanfield(scores, e, kernel_size=3), e, kernel_size=3, scale=0.3)
    scores = ops.permutohedral_meanfield(scores, e, iterations=1, theta_beta=1.0)
    return ops.domain_transform(scores, e[:, :1].detach().abs(), iterations=1).square().sum()


GIVEN = _random(2, 3, 3, 3), _random(2, 3, 4, 5, seed=1), _random(2, 3, 4, 5, seed=2)


def test_gradients_by_transforms_are_those_of_backward() -> None:
    weight, x, e = GIVEN
    asked = weight.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(_loss(asked, x, e), asked)
    torch.testing.assert_close(torch.func.grad(_loss)(weight, x, e), wanted)
    of_one = torch.func.grad(lambda w, one, guide: _loss(w, one[None], guide[None]))
    of_each = torch.func.vmap(of_one, (None, 0, 0))(weight, x, e)
    torch.testing.assert_close(of_each.sum(0), wanted)
    lone = [of_one(weight, *pair) for pair in zip(x, e, strict=True)]
    torch.testing.assert_close(of_each, torch.stack(lone))


def test_a_module_is_mapped_over() -> None:
    conv, (_, x, e) = ops.SegAwareConv2d(3, 2, 3, padding=1).double(), GIVEN
    found = torch.func.vmap(conv)(x[:, None], e[:, None])
    torch.testing.assert_close(found[:, 0], conv(x, e))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_forward_mode_is_refused_where_it_would_be_zero() -> None:
    _, x, e = GIVEN
    with pytest.raises(NotImplementedError, match=r"forward mode.*torch\.func\.vjp"):
        torch.func.jvp(lambda one: ops.local_distance(one, 3), (e,), (e,))
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, x)
        for call in (lambda: ops.local_distance(dual, 3), lambda: ops.local_meanfield(dual, e, kernel_size=3)):
            with pytest.raises(NotImplementedError, match="forward mode"):
                call()
        assert ops.local_distance(e, 3).shape == (2, 9, 4, 5)


def test_gradients_of_gradients_are_refused_in_transforms_too() -> None:
    def slope(e: Any) -> Any:
        return torch.func.grad(lambda one: ops.local_distance(one, 3).square().sum())(e).sum()

    with pytest.raises(RuntimeError, match="local_distance_backward has no gradient of its own"):
        torch.func.grad(slope)(GIVEN[2])
