"""Windows that slide over images."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width."""
    return size if isinstance(size, tuple) else (size, size)


def unfold(
    x: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
) -> Tensor:
    """The window around each position: (N, C, H, W) to (N, C, taps, H', W'), 0 outside the image."""
    options = zip(x.shape[2:], pair(kernel_size), pair(stride), pair(padding), pair(dilation), strict=True)
    size = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in options]
    columns = F.unfold(x, kernel_size, dilation, padding, stride)
    return columns.view(x.shape[0], x.shape[1], -1, *size)


def unfold_axes(x: Tensor, kernel_size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Tensor:
    """The windows over all axes behind (N, C), whose number is any: (N, C, taps, ...)."""
    axes = len(kernel_size)
    for axis, (kernel, step, spread) in enumerate(zip(kernel_size, stride, dilation, strict=True), 2):
        x = x.unfold(axis, spread * (kernel - 1) + 1, step)[..., ::spread]
    return x.permute(0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes)).flatten(2, 1 + axes)


class MaskedConv2d(nn.Conv2d):
    """A convolution whose windows are multiplied by a mask (N, taps, H', W') before the filters see them."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        columns = unfold(x, self.kernel_size, self.stride, self.padding, self.dilation) * mask[:, None]
        weight = self.weight.flatten(1)[:, :, None, None]
        return F.conv2d(columns.flatten(1, 2), weight, self.bias, groups=self.groups)


class LocallyConnected2d(nn.Module):
    """A convolution with weights and biases of its own at each pixel of the output."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        output_size: tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.output_size = kernel_size, stride, padding, output_size
        pixels = output_size[0] * output_size[1]
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels * kernel_size**2, pixels))
        self.bias = nn.Parameter(torch.zeros(out_channels, pixels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        columns = F.unfold(x, self.kernel_size, padding=self.padding, stride=self.stride)
        y = torch.einsum("mkp,nkp->nmp", self.weight, columns)
        if self.bias is not None:
            y = y + self.bias
        return y.unflatten(2, self.output_size)


Sizes = tuple[int, ...]
Sides = tuple[tuple[int, int], ...]


def sides_of(padding: Sides) -> list[int]:
    """Numbers before and behind each axis in the order of F.pad, the last axis first."""
    return [side for pair in reversed(padding) for side in pair]


def same_sides(x: Tensor, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Sides:
    """The padding with which there are as many windows as strides in the image, the odd pixel behind."""
    sides = []
    for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
        sides.append((total // 2, total - total // 2))
    return tuple(sides)


def overhang(x: Tensor, kernel: Sizes, stride: Sizes, padding: Sides, dilation: Sizes) -> Sides:
    """How far Caffe's pooling windows reach beyond the padded image.

    Their number is rounded up, but where there is padding none begins behind the image.
    """
    sides = []
    padded = any(map(any, padding))
    for n, k, s, (before, behind), d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        size, extent = n + before + behind, d * (k - 1) + 1
        count = -(-(size - extent) // s) + 1
        if padded and (count - 1) * s >= n + before:
            count -= 1
        sides.append((0, (count - 1) * s + extent - size))
    return tuple(sides)


LOWEST = -3.4028234663852886e38


def max_pool(x: Tensor, kernel: Sizes, stride: Sizes, padding: Sides, dilation: Sizes) -> Tensor:
    """Maximum pooling with Caffe's sizes, where PyTorch's own has others or not so much padding."""
    hang = overhang(x, kernel, stride, padding, dilation)
    image = F.pad(F.pad(x, sides_of(padding), value=LOWEST), sides_of(hang), value=LOWEST)
    function = F.max_pool3d if len(kernel) == 3 else F.max_pool2d
    return function(image, kernel, stride, dilation=dilation)


def max_pool_places(x: Tensor, kernel: Sizes, stride: Sizes, padding: Sides, dilation: Sizes) -> tuple[Tensor, Tensor]:
    """As `max_pool`, and the maxima's places y * W + x."""
    hang = overhang(x, kernel, stride, padding, dilation)
    image = F.pad(F.pad(x, sides_of(padding), value=LOWEST), sides_of(hang), value=LOWEST)
    y, places = F.max_pool2d(image, kernel, stride, dilation=dilation, return_indices=True)
    rows, columns = places // image.shape[3] - padding[0][0], places % image.shape[3] - padding[1][0]
    return y, (rows * x.shape[3] + columns).to(x.dtype)


def avg_pool(
    x: Tensor, kernel: Sizes, stride: Sizes, padding: Sides, dilation: Sizes, count_include_pad: bool = True
) -> Tensor:
    """Average pooling with Caffe's sizes; what hangs over behind the padding does not count."""
    hang = sides_of(overhang(x, kernel, stride, padding, dilation))
    counted = F.pad(torch.ones_like(x[:1, :1]), sides_of(padding), value=float(count_include_pad))
    image, counted = F.pad(F.pad(x, sides_of(padding)), hang), F.pad(counted, hang)
    sums, counts = (unfold_axes(one, kernel, stride, dilation).sum(2) for one in (image, counted))
    return sums / counts.clamp_min(1)


def float_places(pooled: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Maxima and their places, which are numbers of the same type."""
    return pooled[0], pooled[1].to(pooled[0].dtype)


def stochastic_pool(x: Tensor, kernel: Sizes, stride: Sizes, training: bool) -> Tensor:
    """In training a value of each window drawn in proportion to its size, else what is then expected."""
    padding, dilation = ((0, 0), (0, 0)), (1, 1)
    image = F.pad(x, sides_of(overhang(x, kernel, stride, padding, dilation)))
    values = unfold_axes(image, kernel, stride, dilation)
    if not training:
        return values.square().sum(2) / (values.sum(2) + torch.finfo(torch.float32).tiny)
    values = values.movedim(2, -1)
    chances = values.detach().clamp_min(1e-30).flatten(0, -2)
    return values.flatten(0, -2).gather(1, torch.multinomial(chances, 1)).view(values.shape[:-1])


def spatial_pyramid(x: Tensor, levels: int, average: bool) -> Tensor:
    """Pools into 1, 4, 16 ... windows and joins them as one vector."""
    vectors = []
    for level in range(levels):
        bins = 2**level
        kernel = tuple(-(-n // bins) for n in x.shape[2:])
        padding = tuple(((k * bins - n + 1) // 2,) * 2 for k, n in zip(kernel, x.shape[2:], strict=True))
        pool = avg_pool if average else max_pool
        vectors.append(pool(x, kernel, kernel, padding, (1, 1)).flatten(1))
    return torch.cat(vectors, 1)


def unpool(x: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """Puts each value where max pooling found it, y * W + x (-1: nowhere); 0 elsewhere."""
    # One place more, for those that lie nowhere.
    flat = x.new_zeros(*x.shape[:2], 1 + size[0] * size[1])
    flat = flat.scatter(2, places.long().flatten(2) + 1, x.flatten(2))
    return flat[:, :, 1:].unflatten(2, size)


def middle(x: Tensor, like: Tensor) -> Tensor:
    """The middle of an image, as large as another."""
    for axis in range(2, x.ndim):
        x = x.narrow(axis, (x.shape[axis] - like.shape[axis]) // 2, like.shape[axis])
    return x


def pad_to_power_of_2(x: Tensor) -> Tensor:
    """Zeros around images up to the next powers of two, the odd row below, the odd column on the right."""
    sides: list[int] = []
    for size in x.shape[2:]:
        missing = (1 << max(0, size - 1).bit_length()) - size
        sides = [missing // 2, missing - missing // 2, *sides]
    return F.pad(x, sides)


def affinity(x: Tensor) -> Tensor:
    """The smaller value of each pixel and that below, and of it and that to the right: (N, H, W) to (N, 2, H, W)."""
    here = x[:, :-1, :-1]
    below, right = x[:, 1:, :-1], x[:, :-1, 1:]
    edges = [torch.where(here < other, here, other) for other in (below, right)]
    return F.pad(torch.stack(edges, 1), (0, 1, 0, 1))


def resize_aligned(x: Tensor, shrink: int = 1, zoom: int = 1) -> Tensor:
    """Bilinear resizing by factors of the distances between pixels; the corners stay."""
    size = [(n - 1) // shrink * zoom + 1 for n in x.shape[2:]]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def between(x: Tensor, axis: int, places: Tensor) -> Tensor:
    """Values at places between pixels, on a straight line between their neighbours."""
    low = places.floor().long()
    inside = (low >= 0) & (low < x.shape[axis] - 1)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    weight = torch.where(inside, places - low, 0.0).to(x.dtype).view(shape)
    low = low.clamp(0, x.shape[axis] - 1)
    high = (low + 1).clamp_max(x.shape[axis] - 1)
    return torch.lerp(x.index_select(axis, low), x.index_select(axis, high), weight)


def resize_bilinear(x: Tensor, size: tuple[int, int], half_pixel: bool = False) -> Tensor:
    """TensorFlow's first bilinear resizing, pixel i at i * H / H'; with half_pixel ONNX's pytorch_half_pixel."""
    for axis, out in enumerate(size, 2):
        pixels = torch.arange(out, dtype=torch.float32, device=x.device)
        scale = x.shape[axis] / out
        places = (pixels + 0.5) * scale - 0.5 if half_pixel else pixels * scale
        x = between(x, axis, torch.full_like(places, -0.5) if half_pixel and out == 1 else places)
    return x


def resize_nearest(x: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """The nearest pixel: by aligned corners, or as ONNX has it with half pixels."""
    for axis, out in enumerate(size, 2):
        pixels = torch.arange(out, dtype=torch.float32, device=x.device)
        if align_corners:
            scale = (x.shape[axis] - 1) / (out - 1) if out > 1 else x.shape[axis] / out
            places = pixels * scale + 0.5
        else:
            places = (pixels + 0.5) * (x.shape[axis] / out) - 0.5
        x = x.index_select(axis, places.floor().long().clamp(0, x.shape[axis] - 1))
    return x


def scaled_size(x: Tensor, height: float, width: float) -> tuple[int, int]:
    """The size of an image times factors, rounded down."""
    return math.floor(x.shape[2] * height), math.floor(x.shape[3] * width)
