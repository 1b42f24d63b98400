"""Layers whose windows slide over images, and that resize, pad and crop them."""

from __future__ import annotations

from typing import Any

from segcaffe.export.torch.dense import window_options
from segcaffe.export.torch.names import call, number, sizes
from segcaffe.export.torch.registry import writes
from segcaffe.export.torch.site import Site
from segcaffe.proto import caffe_pb2

_Method = caffe_pb2.PoolingParameter


@writes("Pooling", "PoolingSK", fresh=True)
def _pooling(site: Site) -> str:
    layer, options = site.layer, site.param.pooling_param
    window, axes = layer.window, layer.window.num_axes
    if options.global_pooling and len(site.top_shapes) == 1 and layer.method != _Method.STOCHASTIC:
        return f"F.adaptive_{'avg' if layer.method == _Method.AVE else 'max'}_pool{axes}d({site.x}, 1)"
    if options.global_pooling:
        raise site.fail("global pooling like this has no counterpart. Give kernel_size")
    if layer.method == _Method.STOCHASTIC:
        return call(site.piece("stochastic_pool"), site.x, window.kernel, window.stride, "self.training")
    rounds_down = options.round_mode == _Method.FLOOR or not (options.ceil_mode or options.HasField("round_mode"))
    if not options.pad_type and _is_usual(layer, rounds_down):
        return _usual(site, rounds_down)
    if rounds_down and any(s > 1 for s in window.stride):
        return _padded_before(site)
    return _unusual(site)


def _is_usual(layer: Any, rounds_down: bool) -> bool:
    """Whether PyTorch's own pooling has Caffe's sizes for every image."""
    window = layer.window
    padded = any(map(any, window.paddings))
    wide = all(s <= e for s, e in zip(window.stride, window.extent, strict=True))
    small = all(2 * p <= k for p, k in zip(window.pad, window.kernel, strict=True))
    plain = layer.method == _Method.MAX or set(window.dilation) == {1}
    return bool(window.is_even and small and plain and (padded or wide or rounds_down))


def _usual(site: Site, rounds_down: bool) -> str:
    layer, window = site.layer, site.layer.window
    average = layer.method == _Method.AVE
    options: dict[str, Any] = window_options(window)
    options["stride"] = sizes(window.stride) if window.stride != window.kernel else None
    if average:
        del options["dilation"]
    # Windows side by side, or one at each pixel, always end where the image does.
    options["ceil_mode"] = True if not rounds_down and set(window.stride) != {1} else None
    if average and layer.pixels_only and any(window.pad):
        options["count_include_pad"] = False
    if len(site.top_shapes) == 2:
        options["return_indices"] = True
        return call(site.piece("float_places"), call("F.max_pool2d", site.x, sizes(window.kernel), **options))
    name = f"F.{'avg' if average else 'max'}_pool{window.num_axes}d"
    return call(name, site.x, sizes(window.kernel), **options)


def _padded_before(site: Site) -> str:
    """Windows whose number is rounded down, over an image that is padded first."""
    layer, window = site.layer, site.layer.window
    average = layer.method == _Method.AVE
    far = any(behind >= e for (_, behind), e in zip(window.paddings, window.extent, strict=True))
    if far or site.param.pooling_param.pad_type or len(site.top_shapes) == 2 or (average and layer.pixels_only):
        raise site.fail("rounding down with such windows has no counterpart. Leave round_mode and ceil_mode out")
    sides = tuple(side for pair in reversed(window.paddings) for side in pair)
    padded = call("F.pad", site.x, sides, value=None if average else float("-inf"))
    options: dict[str, Any] = window_options(window) | {"padding": None}
    if average and set(window.dilation) != {1}:
        raise site.fail("averages with dilation, rounded down, have no counterpart. Leave one of them out")
    return call(f"F.{'avg' if average else 'max'}_pool{window.num_axes}d", padded, sizes(window.kernel), **options)


def _unusual(site: Site) -> str:
    layer, window = site.layer, site.layer.window
    padding = str(tuple(window.paddings))
    if site.param.pooling_param.pad_type:
        padding = call(site.piece("same_sides"), site.x, window.kernel, window.stride, window.dilation)
    given = window.kernel, window.stride, padding, window.dilation
    if len(site.top_shapes) == 2:
        return call(site.piece("max_pool_places"), site.x, *given)
    if layer.method == _Method.MAX:
        return call(site.piece("max_pool"), site.x, *given)
    counts = False if layer.pixels_only else None
    return call(site.piece("avg_pool"), site.x, *given, count_include_pad=counts)


@writes("SPP")
def _spp(site: Site) -> str:
    kind = site.param.spp_param.pool
    if kind == caffe_pb2.SPPParameter.STOCHASTIC:
        raise site.fail("pool: STOCHASTIC has no counterpart here. Use MAX or AVE")
    average = "True" if kind == caffe_pb2.SPPParameter.AVE else "False"
    text = call(site.piece("spatial_pyramid"), site.x, site.layer.levels, average)
    return text if site.layer.levels > 1 else f"{text}[:, :, None, None]"


@writes("SpatialPyramidPooling")
def _pyramid(site: Site) -> str:
    grids = [f"F.adaptive_max_pool2d({site.x}, {bins})" for bins in site.layer.bins]
    return grids[0] if len(grids) == 1 else f"torch.cat([{', '.join(f'{grid}.flatten(1)' for grid in grids)}], 1)"


@writes("Crop")
def _crop(site: Site) -> str:
    x, like = site.bottoms
    axis = site.axis(site.param.crop_param.axis)
    offsets = list(site.param.crop_param.offset)
    if len(offsets) < 2:
        offsets = (offsets or [0]) * (site.ndim - axis)
    parts = [":"] * axis
    for i, offset in enumerate(offsets, axis):
        parts.append(f"{offset} : {offset} + {like}.shape[{i}]" if offset else f": {like}.shape[{i}]")
    return f"{x}[{', '.join(parts)}]"


@writes("SimpleCrop")
def _simple_crop(site: Site) -> str:
    x, like = site.bottoms
    return f"{x}[:, :, : {like}.shape[2], : {like}.shape[3]]"


@writes("MergeCrop", "Mergecrop")
def _merge_crop(site: Site) -> str:
    layer = site.layer
    texts = [site.x, f"{site.piece('middle')}({site.bottoms[1]}, {site.x})"]
    for i, (used, learns) in enumerate(zip(layer.uses, layer.learns, strict=True)):
        if not used:
            texts[i] = f"torch.zeros_like({texts[i]})"
            if learns:
                raise site.fail("a bottom that is not used and gets a gradient has no counterpart. Set backward: false")
        elif not learns:
            texts[i] = f"{texts[i]}.detach()"
    return " + ".join(texts) if layer.adds else f"torch.cat([{', '.join(texts)}], 1)"


@writes("Im2col")
def _im2col(site: Site) -> str:
    layer, window = site.layer, site.layer.window
    if window.behind:
        raise site.fail("its window has different paddings on its sides. Pad the image by a layer of its own")
    x = f"{site.x}.flatten(0, {layer.axis - 1})" if layer.axis > 1 else site.x
    x = f"{x}[None]" if layer.axis == 0 else x
    if window.num_axes == 2:
        text = call(site.piece("unfold"), x, sizes(window.kernel), **window_options(window)) + ".flatten(1, 2)"
    else:
        pad = [side for one in reversed(window.pad) for side in (one, one)]
        padded = f"F.pad({x}, {tuple(pad)})" if any(pad) else x
        given = window.kernel, window.stride, window.dilation
        text = call(site.piece("unfold_axes"), padded, *given) + ".flatten(1, 2)"
    if layer.axis == 0:
        return f"{text}[0]"
    return f"{text}.unflatten(0, {site.x}.shape[:{layer.axis}])" if layer.axis > 1 else text


@writes("Interp", fresh=True)
def _interp(site: Site) -> str:
    layer, (begin, end) = site.layer, site.layer.crop
    x = site.x
    if begin or end:
        part = f"{begin or ''}:{-end if end else ''}"
        x = f"{x}[:, :, {part}, {part}]"
    if layer.factors is not None:
        shrink, zoom = (factor if factor > 1 else None for factor in layer.factors)
        return call(site.piece("resize_aligned"), x, shrink=shrink, zoom=zoom)
    size = str((site.param.interp_param.height, site.param.interp_param.width))
    if layer.sized_by_blob:
        size = f"{site.bottoms[1]}.shape[2:]"
    return f'F.interpolate({x}, size={size}, mode="bilinear", align_corners=True)'


@writes("Pad")
def _pad(site: Site) -> str:
    pairs = list(zip(site.layer.paddings[::2], site.layer.paddings[1::2], strict=True))
    while len(pairs) > 1 and pairs[0] == (0, 0):
        pairs = pairs[1:]
    sides = tuple(side for pair in reversed(pairs) for side in pair)
    return call("F.pad", site.x, sides, value=site.layer.value if site.layer.value else None)


@writes("Padding")
def _padding(site: Site) -> str:
    if site.param.padding_param.pad_to_power_of_2:
        return f"{site.piece('pad_to_power_of_2')}({site.x})"
    return f"F.pad({site.x}, {(*site.layer.columns, *site.layer.rows)})"


@writes("Upsample")
def _upsample(site: Site) -> str:
    layer, options = site.layer, site.param.upsample_param
    if not layer.unpools:
        return _enlarged(site, layer.factors)
    if options.HasField("upsample_h"):
        size = f"({options.upsample_h}, {options.upsample_w})"
    else:
        sides = []
        for axis, factor, less in ((2, layer.factors[0], options.pad_out_h), (3, layer.factors[1], options.pad_out_w)):
            text = f"{site.x}.shape[{axis}] * {factor}" if factor > 1 else f"{site.x}.shape[{axis}]"
            sides.append(f"{text} - {int(less)}" if less else text)
        size = f"({', '.join(sides)})"
    return f"{site.piece('unpool')}({site.x}, {site.bottoms[1]}, {size})"


@writes("UpsampleDarknet")
def _upsample_darknet(site: Site) -> str:
    return _enlarged(site, site.layer.factors)


def _enlarged(site: Site, factors: tuple[int, int]) -> str:
    if site.ndim == 4:
        return f"F.interpolate({site.x}, scale_factor={sizes(factors)})"
    return f"{site.x}.repeat_interleave({factors[0]}, -2).repeat_interleave({factors[1]}, -1)"


def _resized_size(site: Site, options: Any) -> str:
    """The text of (height, width) of what is resized."""
    if options.HasField("output_height") and options.HasField("output_width"):
        return str((options.output_height, options.output_width))
    if options.HasField("output_height") or options.HasField("output_width"):
        raise site.fail("only one of output_height and output_width is given. Give both, or none")
    return call(site.piece("scaled_size"), "{x}", options.scale_height, options.scale_width)


def _with_channels_first(site: Site, last: bool, text: str) -> str:
    """The text with {x} for an image with channels first, of one that has them last where ``last``."""
    if not last:
        return text.replace("{x}", site.x)
    return f"{text.replace('{x}', f'{site.x}.permute(0, 3, 1, 2)')}.permute(0, 2, 3, 1)"


@writes("ResizeBilinear")
def _resize_bilinear(site: Site) -> str:
    options = site.param.resize_bilinear_param
    size = _resized_size(site, options)
    if options.align_corners or options.half_pixel_centers:
        corners = ", align_corners=True" if options.align_corners else ""
        text = f'F.interpolate({{x}}, size={size}, mode="bilinear"{corners})'
    else:
        half = True if options.pytorch_half_pixel else None
        text = call(site.piece("resize_bilinear"), "{x}", size, half_pixel=half)
    return _with_channels_first(site, site.layer.channels_last, text)


@writes("ResizeNearestNeighbor")
def _resize_nearest(site: Site) -> str:
    options = site.param.resize_nearest_neighbor_param
    size = _resized_size(site, options)
    if options.align_corners or options.half_pixel_onnx:
        corners = True if options.align_corners else None
        text = call(site.piece("resize_nearest"), "{x}", size, align_corners=corners)
    else:
        mode = "nearest-exact" if options.half_pixel_centers else "nearest"
        text = f'F.interpolate({{x}}, size={size}, mode="{mode}")'
    return _with_channels_first(site, options.data_format == "NHWC", text)


@writes("Affinity")
def _affinity(site: Site) -> list[str]:
    return [
        f"{site.piece('affinity')}({x}[:, {number(offset)}])"
        for x, offset in zip(site.bottoms, site.layer.offsets, strict=True)
    ]
