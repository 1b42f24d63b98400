"""Layers that rearrange, join, cut and add up."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.export.torch.names import call, number
from segcaffe.export.torch.neuron import scaled
from segcaffe.export.torch.registry import writes
from segcaffe.export.torch.site import Site
from segcaffe.proto import caffe_pb2


@writes("BatchReindex")
def _batch_reindex(site: Site) -> str:
    return f"{site.x}[{site.bottoms[1]}.long()]"


@writes("BatchToSpaceND")
def _batch_to_space(site: Site) -> str:
    return call(site.piece("batch_to_space"), site.x, site.layer.block, _pairs(site.layer.margins))


@writes("SpaceToBatchND")
def _space_to_batch(site: Site) -> str:
    return call(site.piece("space_to_batch"), site.x, site.layer.block, _pairs(site.layer.margins))


def _pairs(margins: object) -> str:
    return str(margins)


@writes("Concat", fresh=True)
def _concat(site: Site) -> str:
    if len(site.bottoms) == 1:
        return f"torch.cat([{site.x}], {site.axis(site.layer.axis)})"
    return f"torch.cat([{', '.join(site.bottoms)}], {site.axis(site.layer.axis)})"


@writes("ContinuationIndicator")
def _continuation(site: Site) -> str:
    options = site.param.continuation_indicator_param
    items = f"{site.x}.shape[{site.axis(options.axis)}]"
    return call(site.piece("continuation"), options.time_step, items, f"{site.x}")


@writes("DepthToSpace")
def _depth_to_space(site: Site) -> str:
    size, order = site.layer.size, site.layer.format
    if order == "CRD":
        return f"F.pixel_shuffle({site.x}, {size})"
    text = site.x if order != "NHWC" else f"{site.x}.permute(0, 3, 1, 2)"
    made = call(site.piece("depth_to_space"), text, size)
    return made if order != "NHWC" else f"{made}.permute(0, 2, 3, 1)"


@writes("SpaceToDepth")
def _space_to_depth(site: Site) -> str:
    if site.layer.format != "NHWC":
        return call(site.piece("space_to_depth"), site.x, site.layer.size)
    made = call(site.piece("space_to_depth"), f"{site.x}.permute(0, 3, 1, 2)", site.layer.size)
    return f"{made}.permute(0, 2, 3, 1)"


@writes("Reorg")
def _reorg(site: Site) -> str:
    if site.layer.reverse:
        return call(site.piece("depth_to_space"), site.x, site.layer.stride)
    return call(site.piece("reorg"), site.x, site.layer.stride)


@writes("ShuffleChannel")
def _shuffle(site: Site) -> str:
    group = site.param.shuffle_channel_param.group
    return f"{site.x}.unflatten(1, ({group}, -1)).transpose(1, 2).flatten(1, 2)"


@writes("Eltwise", fresh=True)
def _eltwise(site: Site) -> str:
    layer, kinds = site.layer, caffe_pb2.EltwiseParameter
    first, *others = _with_like_axes(site)
    if layer.operation in (kinds.PROD, kinds.DIV):
        return (" * " if layer.operation == kinds.PROD else " / ").join([first, *others])
    if layer.operation != kinds.SUM:
        function = "torch.maximum" if layer.operation == kinds.MAX else "torch.minimum"
        for other in others:
            first = f"{function}({first}, {other})"
        return first
    text = scaled(layer.coeff[0], first)
    for factor, other in zip(layer.coeff[1:], others, strict=True):
        text += f" - {scaled(-factor, other)}" if factor < 0 else f" + {scaled(factor, other)}"
    return text


def _with_like_axes(site: Site) -> list[str]:
    """The bottoms, the second with axes of 1 where it counts for all of an axis of the first."""
    bottoms = list(site.bottoms)
    if not site.layer.spread:
        return bottoms
    whole, part, spread = *site.bottom_shapes[:2], site.layer.spread
    own = iter(range(len(part)))
    places = [None if size == 1 and whole[i] != 1 else next(own, None) for i, size in enumerate(spread)]
    if len(part) == sum(place is not None for place in places):
        bottoms[1] += f"[{', '.join('None' if place is None else ':' for place in places)}]"
    else:
        bottoms[1] += f".view({', '.join(map(str, spread))})"
    return bottoms


@writes("Filter")
def _filter(site: Site) -> list[str]:
    *values, selector = site.bottoms
    return [f"{x}[{selector}.flatten() != 0]" for x in values]


@writes("Flatten", wraps=True)
def _flatten(site: Site) -> str:
    options = site.param.flatten_param
    end = site.axis(options.end_axis)
    start = site.axis(options.axis)
    if end == site.ndim - 1:
        return f"torch.flatten({site.x}, {start})" if start else f"torch.flatten({site.x})"
    return f"torch.flatten({site.x}, {start}, {end})"


@writes("Gather")
def _gather(site: Site) -> list[str]:
    if not site.layer.chooses:
        return list(site.bottoms)
    axis, shape, indices = site.layer.axis, site.layer.shape, site.layer.indices
    before = ":, " * axis
    if not shape:
        return [f"{x}[{before}{indices[0]}]" for x in site.bottoms]
    where = f"torch.tensor({indices}, device={site.x}.device)"
    if len(shape) == 1:
        return [f"{x}.index_select({axis}, {where})" for x in site.bottoms]
    return [f"{x}.index_select({axis}, {where}).unflatten({axis}, {shape})" for x in site.bottoms]


@writes("Parameter")
def _parameter(site: Site) -> str:
    return site.parameter(0)


@writes("DummyData")
def _constants(site: Site) -> list[str]:
    """Where fillers are constant, or positions; others make values of which a module takes what it is given."""
    fillers = list(site.param.dummy_data_param.data_filler) or [caffe_pb2.FillerParameter()]
    fillers = fillers * len(site.top_shapes) if len(fillers) == 1 else fillers
    made = zip(site.top_shapes, fillers, strict=True)
    return [site.constant(_filled(site, shape, filler), f"{i}") for i, (shape, filler) in enumerate(made)]


def _filled(site: Site, shape: Sequence[int], filler: caffe_pb2.FillerParameter) -> str:
    if filler.type != "xy":
        return call("torch.full", str(tuple(shape)), filler.value)
    batch, _, height, width = shape
    return call(site.piece("positions"), batch, height, width)


@writes("Permute")
def _permute(site: Site) -> str:
    return f"{site.x}.permute({', '.join(map(str, site.layer.axes))})"


@writes("Transpose")
def _transpose(site: Site) -> str:
    axes = site.layer.axes
    if not axes and site.ndim == 4:
        return f"{site.x}.flatten(2).mT.flatten(0, 1)[..., None, None]"
    if not axes and site.ndim == 5:
        return f"{site.x}.transpose(1, 2).flatten(0, 1)"
    return f"{site.x}.permute({', '.join(map(str, axes))})" if axes else site.x


@writes("Reduction")
def _reduction(site: Site) -> str:
    layer, kinds = site.layer, caffe_pb2.ReductionParameter
    axis = site.axis(layer.axis)
    dims = ", ".join(map(str, range(axis, site.ndim)))
    dims = "" if axis == 0 else dims if axis == site.ndim - 1 else f"({dims})"
    values = {kinds.ASUM: f"{site.x}.abs()", kinds.SUMSQ: f"{site.x}.square()"}.get(layer.operation, site.x)
    return scaled(layer.coeff, f"{values}.{'mean' if layer.operation == kinds.MEAN else 'sum'}({dims})")


@writes("Reshape")
def _reshape(site: Site) -> str:
    layer, shape = site.layer, site.bottom_shapes[0]
    start = layer.axis if layer.axis >= 0 else len(shape) + layer.axis + 1
    stop = len(shape) if layer.num_axes == -1 else start + layer.num_axes

    def extent(axis: int) -> str:
        return f"{site.x}.shape[{axis}]"

    dims = [extent(start + i) if dim == 0 else str(dim) for i, dim in enumerate(layer.dims)]
    dims = [*map(extent, range(start)), *dims, *map(extent, range(stop, len(shape)))]
    if len(dims) == 2 and dims == [extent(0), "-1"] and len(shape) > 1:
        return f"torch.flatten({site.x}, 1)"
    return f"{site.x}.reshape({', '.join(dims) if dims else '()'})"


@writes("Reverse")
def _reverse(site: Site) -> str:
    axes = sorted({site.axis(axis) for axis in site.param.reverse_param.axis or [0]})
    return f"{site.x}.flip({', '.join(map(str, axes))})"


@writes("Slice")
def _slice(site: Site) -> str:
    layer, count = site.layer, len(site.top_shapes)
    axis = site.axis(layer.axis)
    if count == 1:
        return site.x
    if layer.points:
        return f"torch.tensor_split({site.x}, {tuple(layer.points) if count > 2 else layer.points}, {axis})"
    return f"torch.chunk({site.x}, {count}, {axis})"


@writes("Squeeze")
def _squeeze(site: Site) -> str:
    axes = sorted({site.axis(axis) for axis in site.param.squeeze_param.axis})
    return f"{site.x}.squeeze({_axes(axes)})" if axes else f"{site.x}.squeeze()"


def _axes(axes: list[int]) -> str:
    return str(axes[0]) if len(axes) == 1 else str(tuple(axes))


def _repeated(site: Site, axis: int, count: int) -> str:
    times = [count if i == axis else 1 for i in range(site.ndim)]
    return f"{site.x}.repeat({', '.join(map(str, times))})"


@writes("Tile")
def _tile(site: Site) -> str:
    return _repeated(site, site.axis(site.layer.axis), site.layer.tiles)


@writes("Replicate")
def _replicate(site: Site) -> str:
    return _repeated(site, site.axis(site.param.replicate_param.axis), site.layer.copies)


@writes("ChannelReduce")
def _channel_reduce(site: Site) -> str:
    groups = f"{site.x}.unflatten(1, ({number(site.layer.num_channels)}, -1))"
    return f"{groups}.amax(2)" if site.layer.maximum else f"{groups}.sum(2)"
