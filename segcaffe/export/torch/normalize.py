"""Layers that take out mean, deviation or length."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.export.torch.names import call, number
from segcaffe.export.torch.registry import writes
from segcaffe.export.torch.site import Array, Held, Shape, Site
from segcaffe.proto import caffe_pb2


def _norm_class(site: Site) -> str:
    axes = {4: 2, 5: 3}.get(site.ndim, 1)
    if site.ndim > 5:
        raise site.fail("it has more than three spatial axes, for which torch.nn has no norm. Reshape its bottom")
    return f"BatchNorm{axes}d"


def _stored(index: int) -> Held:
    """A running average: the sum over its factor."""

    def values(layer: Any) -> Array:
        factor = float(layer.blobs[2].data[0])
        average: Array = np.array(layer.blobs[index].data, np.float64) * (1 / factor if factor else 0)
        if index == 1 and layer.adds_eps_behind:
            # The norm adds eps under the root.
            average = (np.sqrt(average) + layer.eps) ** 2 - layer.eps
        return average.astype(layer.dtype)

    return Held(index, values=values)


@writes("BatchNorm", wraps=True, fresh=True)
def _batch_norm(site: Site) -> str:
    layer, options = site.layer, site.param.batch_norm_param
    kind = _norm_class(site)
    if layer.use_stored and options.HasField("use_global_stats"):
        if options.update_global_stats:
            raise site.fail(
                "update_global_stats with use_global_stats, which normalizes by the stored mean while it moves, has no "
                "counterpart. Leave one of them out"
            )
        kind = site.piece(f"Frozen{kind}")
    elif options.HasField("use_global_stats"):
        kind = site.piece(f"Live{kind}")
    elif not layer.averages and not float(layer.blobs[2].data[0]):
        kind = site.piece(f"Starting{kind}")
    else:
        kind = f"nn.{kind}"
    held: dict[str, int | Held] = {}
    if layer.scales:
        held["weight"] = 3
        held |= {"bias": 4} if layer.shifts else {}
    elif site.follower is not None:
        held = {"weight": Held(0, layer=site.follower), "bias": Held(1, layer=site.follower)}
    state = {"running_mean": _stored(0), "running_var": _stored(1), "num_batches_tracked": _TRACKED}
    constructor = call(
        kind,
        layer.channels,
        eps=_eps(layer.eps),
        momentum=_momentum(layer.fraction),
        affine=None if held else False,
    )
    module = site.module(constructor, held | state)
    if layer.scales and not layer.shifts:
        raise site.fail("a scale without a bias has no counterpart in torch.nn's norms. Set bias_term: true")
    if layer.scales and site.follower is not None:
        raise site.fail("a Scale behind a norm with a scale of its own. Leave one of them out")
    return f"{module}({site.x})" if site.ndim > 1 else f"{module}({site.term}[:, None])[:, 0]"


_TRACKED = Held(0, values=lambda layer: np.array(0, np.int64))


def _momentum(fraction: float) -> float | None:
    """What a new batch counts; None for torch.nn's own."""
    momentum = round(1 - float(str(np.float32(fraction))), 9)
    return None if momentum == 0.1 else momentum


@writes("BN", wraps=True, fresh=True)
def _bn(site: Site) -> str | list[str]:
    layer, channels = site.layer, site.layer.channels
    flat = (channels,)
    if layer.folded:
        shape = (channels, *(1,) * (site.ndim - 2))
        module = site.module(call(site.piece("Scale"), shape), {"weight": Held(0, shape), "bias": Held(1, shape)})
        return f"{module}({site.x})"
    held = {"weight": Held(0, flat), "bias": Held(1, flat)}
    kind = _norm_class(site)
    if layer.keeps_averages:
        held |= {"running_mean": _flat(2), "running_var": _flat(3), "num_batches_tracked": _TRACKED}
        kind = site.piece(f"Frozen{kind}") if layer.frozen else f"nn.{kind}"
        momentum = _momentum(site.param.bn_param.momentum)
        module = site.module(call(kind, channels, eps=_eps(layer.eps), momentum=momentum), held)
        return f"{module}({site.x})"
    module = site.module(call(f"nn.{kind}", channels, eps=layer.eps, track_running_stats=False), held)
    if len(site.top_shapes) == 1:
        return f"{module}({site.x})"
    dims = f"({', '.join(str(axis) for axis in range(site.ndim) if axis != 1)})"
    row = f"view(1, {channels}, 1, 1)"
    statistics = [f"{site.term}.mean({dims})", f"{site.term}.var({dims}, correction=0)"]
    return [f"{module}({site.x})", *(f"{text}.detach().{row}" for text in statistics[: len(site.top_shapes) - 1])]


def _flat(index: int) -> Held:
    """A stored average (1, C, 1, 1) as (C,)."""

    def values(layer: Any) -> Array:
        return np.array(layer.blobs[index].data).reshape(-1)

    return Held(index, values=values)


def _eps(eps: float) -> float | None:
    """What is added to the variance; None for torch.nn's own."""
    return None if abs(eps - 1e-5) < 1e-9 else eps


@writes("LRN", fresh=True)
def _lrn(site: Site) -> str:
    options = site.param.lrn_param
    numbers = options.local_size, options.alpha, options.beta
    if options.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS:
        return call("F.local_response_norm", site.x, *numbers, k=options.k if options.k != 1 else None)
    return call(site.piece("response_norm_within_channels"), site.x, *numbers)


@writes("MVN", wraps=True, fresh=True)
def _mvn(site: Site) -> str:
    layer = site.layer
    dims = tuple(range(1 if layer.across_channels else 2, site.ndim))
    if not dims:
        return f"torch.zeros_like({site.x})"
    scale = layer.normalize_variance
    return call(site.piece("mean_variance_norm"), site.x, dims, layer.eps if scale else None)


@writes("Normalize")
def _normalize(site: Site) -> str | list[str]:
    layer = site.layer
    eps = layer.epsilon
    dims = tuple(range(1, site.ndim)) if layer.across_spatial else (1,)
    if not len(layer.blobs):
        length = f"{site.piece('length')}({site.x}, {dims}, {number(eps.inside)})"
        if len(site.top_shapes) == 1:
            return f"{site.x} / {length}"
        shown = length if site.param.normalize_param.bp_norm else f"{length}.detach()"
        return [f"{site.x} / {length}", shown]
    own = tuple(layer.blobs[0].shape)
    shape: Shape = (*own, *(1,) * (site.ndim - 2)) if own else ()
    outside = eps.outside or None
    constructor = call(site.piece("Normalize"), shape, dims, eps.inside, eps_outside=outside)
    return f"{site.module(constructor, {'weight': Held(0, shape)})}({site.x})"


@writes("GRN")
def _grn(site: Site) -> str:
    text = f"{site.x} / {site.piece('length')}({site.x}, (1,), {number(site.layer.eps)})"
    if site.param.grn_param.dummy_backward:
        return f"({text}).detach() + ({site.x} - {site.x}.detach())"
    return text


@writes("L2Normalization")
def _l2(site: Site) -> str:
    return f"{site.x} / {site.piece('length')}({site.x}, {tuple(range(1, site.ndim))}, 1e-30)"


@writes("Softmax", wraps=True)
def _softmax(site: Site) -> str:
    return f"torch.softmax({site.x}, {site.axis(site.layer.axis)})"
