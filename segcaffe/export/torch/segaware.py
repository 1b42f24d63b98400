"""Segmentation-aware layers, and others of that paper's Caffe."""

from __future__ import annotations

from typing import Any

from segcaffe.export.torch.dense import window_options
from segcaffe.export.torch.names import call, sizes
from segcaffe.export.torch.registry import refuses, writes
from segcaffe.export.torch.site import Held, Site
from segcaffe.kernels.distance.registry import L1, L2


def _window(site: Site, window: Any) -> dict[str, str | None]:
    """The options of a window that is not 1 wide."""
    if window.behind:
        raise site.fail("its window has different paddings on its sides. Pad the image by a layer of its own")
    return window_options(window)


def _images(site: Site, text: str, axis: int) -> tuple[str, str]:
    """The image with one batch axis, and what brings the result back."""
    if axis > 1:
        return f"{text}.flatten(0, {axis - 1})", f".unflatten(0, {text}.shape[:{axis}])"
    return (f"{text}[None]", "[0]") if axis == 0 else (text, "")


def _is_l1(site: Site) -> bool:
    """Whether a layer's distances are L1, not L2."""
    distance = site.layer.distance
    if distance not in (L1, L2):
        raise site.fail(f'distance "{distance.name}" is a function of this process, which a file does not hold')
    return bool(distance is L1)


@writes("Im2dist")
def _im2dist(site: Site) -> str:
    layer = site.layer
    x, back = _images(site, site.x, layer.axis)
    options = {
        "l1": _is_l1(site) or None,
        "remove_center": layer.remove_center or None,
        "remove_bounds": layer.remove_bounds or None,
    }
    window = _window(site, layer.window)
    return call(site.piece("distances"), x, sizes(layer.window.kernel), **window, **options) + back


@writes("Im2parity")
def _im2parity(site: Site) -> str:
    layer = site.layer
    x, back = _images(site, site.x, layer.axis)
    window = _window(site, layer.window)
    kernel = sizes(layer.window.kernel)
    return call(site.piece("parities"), x, kernel, **window, ignore_label=layer.ignore_label) + back


@writes("DistLoss")
def _dist_loss(site: Site) -> str:
    layer = site.layer
    return call(site.piece("dist_loss"), *site.bottoms, layer.alpha, layer.beta, ignore_label=layer.ignore_label)


@writes("NormConv")
def _norm_conv(site: Site) -> str:
    layer, window = site.layer, site.layer.window
    options: dict[str, Any] = {
        "scale": "None" if layer.scale_term else None,
        "gain": layer.gain if layer.gain != 1 else None,
        "l1": _is_l1(site) or None,
        "remove_center": layer.remove_center or None,
        "remove_bounds": layer.remove_bounds or None,
        "groups": layer.group if layer.group > 1 else None,
        "bias": None if layer.bias_term else False,
    }
    options |= _window(site, window)
    held: dict[str, int | Held] = {"weight": 0}
    held |= {"bias": 1} if layer.bias_term else {}
    held |= {"scale": len(layer.blobs) - 1} if layer.scale_term else {}
    outputs = layer.blobs[0].shape[0]
    module = site.module(call(site.piece("NormConv2d"), layer.channels, outputs, sizes(window.kernel), **options), held)
    return f"{module}({site.x}, {site.bottoms[1]})"


@writes("NormConvMeanfield", "NospConvMeanfield")
def _mean_field(site: Site) -> str:
    layer = site.layer
    filters = []
    for window, center, bounds in zip(layer.windows, layer.remove_center, layer.remove_bounds, strict=True):
        filters.append(
            f'{{"kernel_size": {window.kernel[0]}, "padding": {window.pad[0]}, "dilation": {window.dilation[0]}, '
            f'"remove_center": {bool(center)}, "remove_bounds": {bool(bounds)}}}'
        )
    count, shape = len(filters), (layer.classes, layer.classes)
    held: dict[str, int | Held] = {f"weights.{i}": Held(i, shape) for i in range(count)}
    held["compatibility"] = Held(count, shape)
    scales = [float(scale) for scale in layer.scales]
    constructor = call(site.piece("WindowMeanField"), layer.classes, layer.num_iterations, scales, filters)
    guides = [site.bottoms[i] for i in layer.guides]
    return call(site.module(constructor, held), *site.bottoms[:2], *guides)


@writes("BiasChannel")
def _bias_channel(site: Site) -> str:
    layer = site.layer
    ignored = tuple(int(label) for label in layer.ignored[1:])
    given = *site.bottoms, layer.bg_bias, layer.fg_bias
    options: dict[str, Any] = {"ignored": ignored or None}
    if not layer.per_pixel:
        return call(site.piece("add_label_bias"), *given, **options)
    options["background_label"] = layer.background if layer.has_background else None
    return call(site.piece("add_pixel_bias"), *given, **options)


@writes("UniqueLabel")
def _unique_label(site: Site) -> str:
    layer = site.layer
    options = {"ignored": tuple(layer.ignored) or None, "forced": tuple(layer.forced) or None}
    return call(site.piece("unique_labels"), site.x, layer.max_labels, **options)


@writes("DomainTransform", "DomainTransformForwardOnly")
def _domain_transform(site: Site) -> str:
    layer = site.layer
    rates = tuple(float(f"{rate:.9g}") for rate in layer.recursion.rates)
    return call(
        site.piece("domain_transform"), *site.bottoms, rates, layer.recursion.edge_factor, layer.recursion.min_weight
    )


refuses(
    "its filters over the whole image work on a permutohedral lattice, which PyTorch has not. Cut the net before it, "
    "and run the layer here",
    "DenseCRF",
    "MultiStageMeanfield",
)
refuses(
    "it adapts scores image by image in random order while training, without a gradient. Train with it here, and write "
    "the net in phase TEST, without it",
    "AdaptiveBiasChannel",
)
