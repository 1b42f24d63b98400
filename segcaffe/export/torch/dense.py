"""Layers with a weight for each pair of input and output."""

from __future__ import annotations

from typing import Any

from segcaffe.export.torch.names import call, sizes
from segcaffe.export.torch.registry import writes
from segcaffe.export.torch.site import Held, Site
from segcaffe.window import Window


def padding_of(window: Any) -> tuple[str | None, str]:
    """The option ``padding``, None for 0, and where the sides differ what F.pad is to do before."""
    if window.behind:
        sides = zip(reversed(window.pad), reversed(window.behind), strict=True)
        return None, str(tuple(side for pair in sides for side in pair))
    return sizes(window.pad) if any(window.pad) else None, ""


def window_options(window: Any) -> dict[str, str | None]:
    """Stride, padding and dilation as options, those left out that change nothing."""
    return {
        "stride": sizes(window.stride) if set(window.stride) != {1} else None,
        "padding": padding_of(window)[0],
        "dilation": sizes(window.dilation) if set(window.dilation) != {1} else None,
    }


def _applied(site: Site, module: str, axis: int, before: str = "") -> list[str]:
    """The module's result for each bottom, whose batch may be several axes."""
    made = []
    for x in site.bottoms:
        text = f"F.pad({x}, {before})" if before else x
        if axis > 1:
            made.append(f"{module}({text}.flatten(0, {axis - 1})).unflatten(0, {x}.shape[:{axis}])")
        else:
            made.append(f"{module}({text})")
    return made


@writes("Convolution", "ConvolutionSK", "HoleConvolution", "DepthwiseConvolution", "ConvolutionDepthwise", fresh=True)
def _convolution(site: Site) -> list[str]:
    layer, window = site.layer, site.layer.window
    bias, groups = None if layer.bias_term else False, layer.group if layer.group > 1 else None
    shape, kernel = None, sizes(window.kernel)
    options, channels = window_options(window), layer.channels
    if layer.is_im2col:
        channels, kernel, options = layer.channels * window.taps, "1", {}
        shape = (layer.num_output, channels // layer.group, *(1,) * window.num_axes)
    constructor = call(
        f"nn.Conv{window.num_axes}d", channels, layer.num_output, kernel, **options, groups=groups, bias=bias
    )
    held = {"weight": Held(0, shape)} | ({"bias": Held(1)} if layer.bias_term else {})
    before = "" if layer.is_im2col else padding_of(window)[1]
    return _applied(site, site.module(constructor, held), layer.axis, before)


@writes("MaskedConvolution", fresh=True)
def _masked_convolution(site: Site) -> str:
    layer = site.layer
    window = Window.from_convolution(site.node.further["im2col"].convolution_param, 2, site.node.where)
    if window.behind:
        raise site.fail("its window has different paddings on its sides. Pad the image by a layer of its own")
    kernel, groups = sizes(window.kernel), layer.group if layer.group > 1 else None
    options = window_options(window) | {"groups": groups, "bias": None if layer.bias_term else "False"}
    constructor = call(site.piece("MaskedConv2d"), layer.channels, layer.num_output, kernel, **options)
    shape = (layer.num_output, layer.channels // layer.group, *window.kernel)
    held = {"weight": Held(0, shape)} | ({"bias": Held(1)} if layer.bias_term else {})
    return f"{site.module(constructor, held)}({site.x}, {site.bottoms[1]})"


@writes("Deconvolution", fresh=True)
def _deconvolution(site: Site) -> list[str]:
    layer, window = site.layer, site.layer.window
    options: dict[str, Any] = window_options(window)
    cut = ""
    if window.behind:
        options["padding"] = None
        sides = zip(reversed(window.pad), reversed(window.behind), strict=True)
        cut = str(tuple(-side for pair in sides for side in pair))
    options |= {"groups": layer.group if layer.group > 1 else None, "bias": None if layer.bias_term else False}
    # Before the dilation nn.ConvTranspose2d has output_padding, so that all are named.
    constructor = call(
        f"nn.ConvTranspose{window.num_axes}d", layer.channels, layer.num_output, sizes(window.kernel), **options
    )
    held = {"weight": 0} | ({"bias": 1} if layer.bias_term else {})
    made = _applied(site, site.module(constructor, held), layer.axis)
    return [f"F.pad({text}, {cut})" for text in made] if cut else made


@writes("InnerProduct", fresh=True)
def _inner_product(site: Site) -> str:
    layer = site.layer
    kind = site.piece("NormalizedLinear") if site.param.inner_product_param.normalize else "nn.Linear"
    constructor = call(kind, layer.length, layer.num_output, bias=None if layer.bias_term else False)
    held = {"weight": Held(0, transposed=layer.transpose)} | ({"bias": Held(1)} if layer.bias_term else {})
    module = site.module(constructor, held)
    rest = site.ndim - layer.axis
    if rest == 1:
        return f"{module}({site.x})"
    flat = f"{site.x}.flatten()" if layer.axis == 0 else f"{site.x}.flatten({layer.axis})"
    if rest == 0:
        flat = f"{site.x}[..., None]"
    return f"{module}({flat})"


@writes("Embed")
def _embed(site: Site) -> str:
    layer = site.layer
    module = site.module(call("nn.Embedding", layer.input_dim, layer.num_output), {"weight": 0})
    rows = f"{module}({site.x}.long())"
    return f"{rows} + {site.parameter(1, 'bias')}" if layer.bias_term else rows


@writes("Local", fresh=True)
def _local(site: Site) -> str:
    layer, window = site.layer, site.layer.window
    options = {"stride": window.stride[0], "padding": window.pad[0], "bias": layer.bias_term}
    options = {key: value for key, value in options.items() if value != {"stride": 1, "padding": 0, "bias": True}[key]}
    given = layer.shape[0], layer.num_output, window.kernel[0], tuple(layer.output)
    pixels, rows = layer.output[0] * layer.output[1], layer.shape[0] * window.taps
    held = {"weight": Held(0, (layer.num_output, rows, pixels))}
    if layer.bias_term:
        held["bias"] = Held(1, (layer.num_output, pixels))
    module = site.module(call(site.piece("LocallyConnected2d"), *given, **options), held)
    return f"{module}({site.x})"
