"""Segmentation-aware layers: windows weighted by how alike the embeddings in them are [Harley et al. 2017]."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcaffe.export.torch.pieces.windows import pair, unfold

FAR = 3.4028234663852886e36


def centre_tap(kernel_size: int | tuple[int, int]) -> int:
    """The number of a window's tap in the middle."""
    height, width = pair(kernel_size)
    return height // 2 * width + width // 2


def distances(
    x: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    l1: bool = False,
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> Tensor:
    """How far each pixel's embedding is from those around it: half the squared distance, or the sum of differences.

    (N, E, H, W) to (N, taps, H', W'). What is removed, the centre or what lies outside the image, is FAR away.
    """
    around = unfold(x, kernel_size, stride, padding, dilation)
    inside = unfold(torch.ones_like(x[:1, :1]), kernel_size, stride, padding, dilation)[:, 0] > 0
    tap = centre_tap(kernel_size)
    # Where the centre itself lies outside, all distances are 0.
    has_centre = inside[:, tap : tap + 1]
    difference = (around - around[:, :, tap : tap + 1]) * (inside & has_centre)[:, None]
    distance = difference.abs().sum(1) if l1 else 0.5 * difference.square().sum(1)
    if remove_bounds:
        distance = distance.masked_fill(~inside & has_centre, FAR)
    if remove_center:
        is_centre = torch.arange(distance.shape[1], device=x.device).view(-1, 1, 1) == tap
        distance = distance.masked_fill(is_centre & has_centre, FAR)
    return distance


def parities(
    label: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    ignore_label: float | None = None,
) -> Tensor:
    """1 where a pixel of a window has its centre's label, else 0; ignore_label where either label is that."""
    label = label[:, -1:].trunc()
    around = unfold(label, kernel_size, stride, padding, dilation)[:, 0]
    inside = unfold(torch.ones_like(label[:1]), kernel_size, stride, padding, dilation)[:, 0] > 0
    tap = centre_tap(kernel_size)
    centre, has_centre = around[:, tap : tap + 1], inside[:, tap : tap + 1]
    same = ((around == centre) & has_centre).to(label.dtype)
    if ignore_label is None:
        return same
    return same.masked_fill((around == ignore_label) | (centre == ignore_label) | ~has_centre, ignore_label)


def dist_loss(distance: Tensor, parity: Tensor, alpha: float, beta: float, ignore_label: float | None = None) -> Tensor:
    """The mean hinge of distances; its gradient is that of half the mean squared hinge, as in the original."""
    hinge = torch.where(parity.trunc() != 0, F.relu(distance - alpha), F.relu(beta - distance))
    if ignore_label is not None:
        hinge = hinge.masked_fill(parity == ignore_label, 0.0)
    squared = 0.5 * hinge.square().mean()
    return hinge.mean().detach() + (squared - squared.detach())


class NormConv2d(nn.Conv2d):
    """A convolution whose windows are weighted by a softmax of embedding distances."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        scale: float | None = -1.0,
        gain: float = 1.0,
        l1: bool = False,
        remove_center: bool = False,
        remove_bounds: bool = False,
        **options: int,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        self.gain = gain
        self.removal = {"l1": l1, "remove_center": remove_center, "remove_bounds": remove_bounds}
        self.scale = nn.Parameter(torch.ones(1)) if scale is None else scale

    def forward(self, x: Tensor, embeddings: Tensor) -> Tensor:
        window = self.kernel_size, self.stride, self.padding, self.dilation
        weights = torch.softmax(-self.scale * distances(embeddings, *window, **self.removal), 1)
        columns = unfold(x, *window) * weights[:, None]
        filters = self.gain * self.weight.flatten(1)[:, :, None, None]
        return F.conv2d(columns.flatten(1, 2), filters, self.bias, groups=self.groups)


class WindowMeanField(nn.Module):
    """Mean-field inference whose filters average windows, weighted by a softmax of distances in guides.

    For each filter there are the scale of its distances, and their options.
    """

    def __init__(self, classes: int, iterations: int, scales: list[float], filters: list[dict]) -> None:
        super().__init__()
        self.iterations, self.scales, self.filters = iterations, scales, filters
        self.weights = nn.ParameterList(nn.Parameter(torch.eye(classes)) for _ in filters)
        self.compatibility = nn.Parameter(-torch.eye(classes))

    def forward(self, unary: Tensor, q: Tensor, *guides: Tensor) -> Tensor:
        likeness = [
            torch.softmax(-scale * distances(guide, **options), 1)
            for guide, scale, options in zip(guides, self.scales, self.filters, strict=True)
        ]
        for _ in range(self.iterations):
            p = torch.softmax(q, 1)
            messages = 0
            for matrix, options, weights in zip(self.weights, self.filters, likeness, strict=True):
                columns = unfold(p, options["kernel_size"], padding=options["padding"], dilation=options["dilation"])
                messages = messages + torch.einsum("ij,njhw->nihw", matrix, (columns * weights[:, None]).sum(2))
            q = unary - torch.einsum("ij,njhw->nihw", self.compatibility, messages)
        return q


def add_label_bias(
    scores: Tensor, label: Tensor, background: float, foreground: float, ignored: tuple[int, ...] = ()
) -> Tensor:
    """The channels of the labels of each image (N, L), -1 for none, raised by a bias."""
    label = label.flatten(1).trunc().long()
    bias = torch.zeros_like(scores[:, :, :1, :1])
    for column in label.T:
        known = (column >= 0) & ~torch.isin(column, torch.tensor([-1, *ignored], device=label.device))
        raised = torch.where(column == 0, background, foreground) * known
        index = column.clamp_min(0).view(-1, 1, 1, 1)
        bias = bias.scatter_add(1, index, raised.to(bias.dtype).view(-1, 1, 1, 1))
    return scores + bias


def add_pixel_bias(
    scores: Tensor,
    label: Tensor,
    background: float,
    foreground: float,
    ignored: tuple[int, ...] = (),
    background_label: int | None = None,
) -> Tensor:
    """At each pixel the channel of its label raised by a bias, and that of the background wherever there is a label."""
    label = label.trunc().long()
    known = ~torch.isin(label, torch.tensor([-1, *ignored], device=label.device))
    channels = torch.arange(scores.shape[1], device=label.device).view(1, -1, 1, 1)
    bias = foreground * (known & (label == channels)).to(scores.dtype)
    if background_label is not None:
        bias = torch.where(channels == background_label, background * known.to(scores.dtype), bias)
    return scores + bias


def unique_labels(label: Tensor, count: int, ignored: tuple[int, ...] = (), forced: tuple[int, ...] = ()) -> Tensor:
    """The labels of each image, rising, and -1 behind: (N, count, 1, 1)."""
    rows = []
    for one in label:
        present = torch.unique(one)
        present = present[~torch.isin(present.trunc(), torch.tensor(ignored, dtype=present.dtype, device=one.device))]
        present = torch.unique(torch.cat([present, torch.tensor(forced, dtype=present.dtype, device=one.device)]))
        rows.append(F.pad(present, (0, count - len(present)), value=-1))
    return torch.stack(rows)[:, :, None, None]


def domain_transform(
    x: Tensor, edges: Tensor, sizes: Tensor, rates: tuple[float, ...], edge_factor: float, min_weight: float
) -> Tensor:
    """An edge-aware recursive filter: along rows and columns, to and fro, with weights that fall where edges are."""
    items = []
    for one, edge, size in zip(x, edges, sizes.flatten(1).tolist(), strict=True):
        height, width = int(size[0]), int(size[1])
        part = one[:, :height, :width]
        for rate in rates:
            weight = torch.exp(rate * (1 + edge[0, :height, :width] * edge_factor))
            # The gradient passes through the bounds.
            weight = weight.clamp(min_weight, 1).detach() + (weight - weight.detach())
            part = smoothed(part, weight)
            part = smoothed(part.transpose(1, 2), weight.T).transpose(1, 2)
        items.append(torch.cat([torch.cat([part, one[:, :height, width:]], 2), one[:, height:]], 1))
    return torch.stack(items)


def smoothed(x: Tensor, weight: Tensor) -> Tensor:
    """A recursive filter along the last axis, to the right and back."""
    columns, weights = list(x.unbind(2)), weight.unbind(1)
    for i in range(1, len(columns)):
        columns[i] = columns[i] + weights[i] * (columns[i - 1] - columns[i])
    for i in range(len(columns) - 2, -1, -1):
        columns[i] = columns[i] + weights[i + 1] * (columns[i + 1] - columns[i])
    return torch.stack(columns, 2)
