"""Boxes: priors, decoding, non-maximum suppression, and pooling over regions."""

import math

import torch
from torch import Tensor


def prior_boxes(
    x: Tensor,
    image: tuple[float, float],
    sizes: list[tuple[float, float]],
    variances: tuple[float, ...],
    step: tuple[float, float] | None = None,
    offset: float = 0.5,
    clip: bool = True,
) -> Tensor:
    """Boxes of these widths and heights around each cell of x, in parts of the image, and variances: (1, 2, 4 P)."""
    grid, options = x.shape[2:], {"dtype": torch.float64, "device": x.device}
    steps = step or tuple(size / cells for size, cells in zip(image, grid, strict=True))
    y, x_axis = (
        (torch.arange(cells, **options) + offset) * step / size
        for cells, step, size in zip(grid, steps, image, strict=True)
    )
    half = torch.tensor(sizes, **options) / torch.tensor([2 * image[1], 2 * image[0]], **options)
    centers = torch.stack(torch.meshgrid(y, x_axis, indexing="ij")[::-1], -1)[:, :, None]
    boxes = torch.cat([centers - half, centers + half], -1)
    if clip:
        boxes = boxes.clamp(0, 1)
    spread = torch.tensor(variances, **options).expand_as(boxes)
    return torch.stack([boxes.flatten(), spread.flatten()])[None].to(x.dtype)


def decode_boxes(coded: Tensor, priors: Tensor, variances: Tensor | None, code: str) -> Tensor:
    """The boxes (..., P, 4) that numbers relative to priors (P, 4) stand for."""
    if variances is not None:
        coded = coded * variances
    if code == "CORNER":
        return priors + coded
    sizes = priors[:, 2:] - priors[:, :2]
    if code == "CORNER_SIZE":
        return priors + coded * sizes.repeat(1, 2)
    centers = coded[..., :2] * sizes + (priors[:, :2] + priors[:, 2:]) / 2
    halves = torch.exp(coded[..., 2:]) * sizes / 2
    return torch.cat([centers - halves, centers + halves], -1)


def areas(boxes: Tensor) -> Tensor:
    """Areas of boxes (..., 4), 0 where a corner lies on the wrong side of the other."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1)


def suppress(boxes: Tensor, scores: Tensor, overlap: float, top_k: int = -1, eta: float = 1.0) -> Tensor:
    """Non-maximum suppression: the numbers of the boxes that overlap with no better one, the best first.

    With eta below 1 the allowed overlap falls with each box that stays, while it is above 0.5.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[:top_k] if top_k > -1 else order
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        shared = torch.stack(
            [
                torch.maximum(boxes[best, :2], boxes[order, :2]),
                torch.minimum(boxes[best, 2:], boxes[order, 2:]),
            ]
        )
        shared = (shared[1] - shared[0]).clamp_min(0).prod(-1)
        union = areas(boxes[best]) + areas(boxes[order]) - shared
        order = order[shared / torch.where(union > 0, union, 1.0) <= overlap]
        if eta < 1 and overlap > 0.5:
            overlap *= eta
    return torch.stack(kept) if kept else order


def detection_rows(found: list[Tensor], like: Tensor) -> Tensor:
    """Rows (1, 1, K, 7) of item, label, score and corners; a row (item, -1, ...) each where nothing at all is found."""
    rows = torch.cat(found)
    if not len(rows):
        rows = like.new_full((len(found), 7), -1)
        rows[:, 0] = torch.arange(len(found))
    return rows[None, None]


def decode_locations(locations: Tensor, priors: Tensor, code: str, variance_in_target: bool = False) -> Tensor:
    """The boxes of an SSD's locations (N, 4 P), or one for each class: (N, 1 or C, P, 4)."""
    boxes, variances = priors.view(2, -1, 4)
    coded = locations.view(len(locations), len(boxes), -1, 4).transpose(1, 2)
    return decode_boxes(coded, boxes, None if variance_in_target else variances, code)


@torch.no_grad()
def best_boxes(
    boxes: Tensor,
    confidences: Tensor,
    overlap: float,
    least: float = -math.inf,
    background: int = 0,
    top_k: int = -1,
    keep_top_k: int = -1,
    eta: float = 1.0,
) -> Tensor:
    """What an SSD found: of each class but the background what no better box hides, of an item the best, as rows."""
    scores = confidences.view(len(boxes), boxes.shape[2], -1)
    found = []
    for item in range(len(boxes)):
        parts = [boxes.new_zeros(0, 7)]
        for label in range(scores.shape[2]):
            if label == background:
                continue
            own = boxes[item, min(label, boxes.shape[1] - 1)]
            candidates = torch.nonzero(scores[item, :, label] > least)[:, 0]
            chosen = candidates[suppress(own[candidates], scores[item, candidates, label], overlap, top_k, eta)]
            head = own.new_tensor([item, label]).expand(len(chosen), 2)
            parts.append(torch.cat([head, scores[item, chosen, label][:, None], own[chosen]], 1))
        rows = torch.cat(parts)
        rows = rows[torch.argsort(rows[:, 2], descending=True, stable=True)]
        found.append(rows[:keep_top_k] if keep_top_k > -1 else rows)
    return detection_rows(found, boxes)


def decode_grid(x: Tensor, sizes: list[tuple[float, float]]) -> tuple[Tensor, Tensor, Tensor]:
    """Of a YOLO's grid (N, B (5 + C), H, W) the boxes (N, B, H, W, 4), objectness and scores (N, B, C, H, W)."""
    x = x.unflatten(1, (len(sizes), -1)).double()
    height, width = x.shape[3:]
    prior = torch.tensor(sizes, dtype=x.dtype, device=x.device)[:, :, None, None]
    columns = (torch.arange(width, device=x.device) + x[:, :, 0].sigmoid()) / width
    rows = (torch.arange(height, device=x.device)[:, None] + x[:, :, 1].sigmoid()) / height
    half_width = x[:, :, 2].exp() * prior[:, 0] / width / 2
    half_height = x[:, :, 3].exp() * prior[:, 1] / height / 2
    corners = [columns - half_width, rows - half_height, columns + half_width, rows + half_height]
    return torch.stack(corners, -1), x[:, :, 4].sigmoid(), x[:, :, 5:]


def yolo_rows(boxes: Tensor, labels: Tensor, scores: Tensor, item: int, overlap: float, like: Tensor) -> Tensor:
    """The detections (K, 7) of an item, all classes suppressed together; labels are counted from 1."""
    kept = suppress(boxes, scores, overlap)
    head = torch.stack([torch.full_like(scores[kept], item), labels[kept].to(scores.dtype) + 1, scores[kept]], 1)
    return torch.cat([head, boxes[kept]], 1).to(like.dtype)


@torch.no_grad()
def yolo_detections(grids: list[Tensor], sizes: list[tuple[float, float]], least: float, overlap: float) -> Tensor:
    """The boxes that a YOLO v2 found, (1, 1, K, 7)."""
    decoded = [decode_grid(grid, sizes) for grid in grids]
    found = []
    for item in range(len(grids[0])):
        boxes, scores, labels = [], [], []
        for corners, objectness, classes in decoded:
            best, label = classes[item].softmax(1).max(1)
            boxes.append(corners[item].flatten(0, 2))
            scores.append((objectness[item] * best).flatten())
            labels.append(label.flatten())
        near = torch.cat(scores) >= least
        own_boxes, own_labels, own_scores = (torch.cat(part)[near] for part in (boxes, labels, scores))
        found.append(yolo_rows(own_boxes, own_labels, own_scores, item, overlap, grids[0]))
    return detection_rows(found, grids[0])


@torch.no_grad()
def yolov3_detections(
    grids: list[Tensor], sizes: list[list[tuple[float, float]]], least: float, overlap: float
) -> Tensor:
    """The boxes that a YOLO v3 found, (1, 1, K, 7): one for each class that scores enough."""
    decoded = [decode_grid(grid, own) for grid, own in zip(grids, sizes, strict=True)]
    found = []
    for item in range(len(grids[0])):
        boxes = torch.cat([corners[item].flatten(0, 2) for corners, _, _ in decoded])
        chances = [objectness[item][:, None] * classes[item].sigmoid() for _, objectness, classes in decoded]
        scores = torch.cat([one.transpose(0, 1).flatten(1) for one in chances], 1)
        labels, places = torch.nonzero(scores > least, as_tuple=True)
        found.append(yolo_rows(boxes[places], labels, scores[labels, places], item, overlap, grids[0]))
    return detection_rows(found, grids[0])


def round_half_away(x: Tensor) -> Tensor:
    """To the nearest whole number, halves away from zero."""
    return torch.copysign(torch.floor(x.abs() + 0.5), x)


def bins(start: Tensor, size: Tensor, count: int, extent: int) -> list[list[list[int]]]:
    """First and one after the last pixel of each of ``count`` bins of each region."""
    number = torch.arange(count, dtype=size.dtype, device=size.device)
    begin = torch.floor(number * size[:, None] + start[:, None])
    end = torch.ceil((number + 1) * size[:, None] + start[:, None])
    return torch.stack([begin, end], -1).clamp(0, extent).long().tolist()


def roi_pool(x: Tensor, regions: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """The maximum of each of size bins of each region (item, xmin, ymin, xmax, ymax); 0 for empty bins."""
    regions = regions.view(-1, 5)
    corners = round_half_away(regions[:, 1:] * scale)
    sides = (corners[:, 2:] - corners[:, :2] + 1).clamp_min(1)
    pooled = []
    for region, corner, side in zip(regions, corners, sides, strict=True):
        image = x[int(region[0])]
        spans = []
        for axis in (1, 0):
            count, extent = size[1 - axis], image.shape[2 - axis]
            own = bins(side.new_zeros(1), side[axis : axis + 1] / count, count, 1 << 30)[0]
            first = int(corner[axis])
            spans.append([[min(max(edge + first, 0), extent) for edge in pair] for pair in own])
        cells = [
            image[:, top:bottom, left:right].amax((1, 2)) if bottom > top and right > left else image[:, 0, 0] * 0
            for top, bottom in spans[0]
            for left, right in spans[1]
        ]
        pooled.append(torch.stack(cells, 1).unflatten(1, size))
    return torch.stack(pooled) if pooled else x.new_zeros(0, x.shape[1], *size)


def psroi_pool(x: Tensor, regions: Tensor, outputs: int, size: int, scale: float) -> Tensor:
    """The mean of each of size x size bins of each region, each bin of each output from a map of its own."""
    regions = regions.view(-1, 5)
    start = round_half_away(regions[:, 1:3]) * scale
    end = (round_half_away(regions[:, 3:]) + 1) * scale
    side = (end - start).clamp_min(0.1) / size
    columns = bins(start[:, 0], side[:, 0], size, x.shape[3])
    rows = bins(start[:, 1], side[:, 1], size, x.shape[2])
    pooled = []
    for region, own_rows, own_columns in zip(regions, rows, columns, strict=True):
        maps = x[int(region[0])].unflatten(0, (outputs, size, size))
        cells = [
            maps[:, p, q, top:bottom, left:right].mean((1, 2))
            if bottom > top and right > left
            else maps[:, p, q, 0, 0] * 0
            for p, (top, bottom) in enumerate(own_rows)
            for q, (left, right) in enumerate(own_columns)
        ]
        pooled.append(torch.stack(cells, 1).unflatten(1, (size, size)))
    return torch.stack(pooled) if pooled else x.new_zeros(0, outputs, size, size)


def samples(start: Tensor, size: Tensor, bins: int, count: int, extent: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of count samples for each bin the pixels before and behind, and how far they lie between; nothing outside."""
    number = (torch.arange(count * bins, dtype=size.dtype, device=size.device) + 0.5) / count
    place = start[:, None] + number * size[:, None] / bins
    inside = (place >= -1) & (place <= extent)
    place = place.clamp(0, extent - 1)
    low = place.floor()
    weight = torch.stack([1 - (place - low), place - low]) * inside
    return low.long(), (low.long() + 1).clamp_max(extent - 1), weight


def roi_align(x: Tensor, regions: Tensor, size: tuple[int, int], scale: float, count: int = 2) -> Tensor:
    """The mean of count x count samples between pixels of each of size bins of each region."""
    regions = regions.view(-1, 5)
    corners = regions[:, 1:] * scale
    sides = (corners[:, 2:] - corners[:, :2]).clamp_min(1)
    top, bottom, row_weights = samples(corners[:, 1], sides[:, 1], size[0], count, x.shape[2])
    left, right, column_weights = samples(corners[:, 0], sides[:, 0], size[1], count, x.shape[3])
    maps = x[regions[:, 0].long()]
    index = torch.arange(len(regions), device=x.device)[:, None, None]
    y = torch.zeros_like(maps[:1, 0, 0, 0])
    for rows, down in zip((top, bottom), row_weights, strict=True):
        for columns, across in zip((left, right), column_weights, strict=True):
            values = maps[index, :, rows[:, :, None], columns[:, None, :]]
            y = y + values * (down[:, :, None] * across[:, None, :])[..., None]
    y = y.permute(0, 3, 1, 2).unflatten(3, (size[1], count)).unflatten(2, (size[0], count))
    return y.mean((3, 5))


@torch.no_grad()
def propose_regions(
    scores: Tensor,
    deltas: Tensor,
    images: Tensor,
    anchors: list[tuple[float, ...]],
    stride: int,
    smallest: float,
    before: int,
    after: int,
    overlap: float,
) -> tuple[Tensor, Tensor]:
    """The best boxes (R, 5) of a region proposal network, as item and corners in pixels, and their scores (R, 1)."""
    height, width = scores.shape[2:]
    y, x = torch.meshgrid(torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij")
    base = torch.tensor(anchors, dtype=torch.float64)
    boxes = (torch.stack([x, y, x, y], -1)[:, :, None] + base).view(-1, 4).to(scores)
    size = boxes[:, 2:] - boxes[:, :2] + 1
    found, confidences = [], []
    for item in range(len(scores)):
        own = scores[item, len(anchors) :].permute(1, 2, 0).flatten()
        move = deltas[item].permute(1, 2, 0).reshape(-1, 4)
        center = boxes[:, :2] + size / 2 + move[:, :2] * size
        half = torch.exp(move[:, 2:].clamp_max(60)) * size / 2
        rows, columns, scale = images[item].flatten()[:3].tolist()
        limit = own.new_tensor([columns - 1, rows - 1, columns - 1, rows - 1])
        shifted = torch.minimum(torch.cat([center - half, center + half], 1), limit).clamp_min(0)
        large = torch.nonzero((shifted[:, 2:] - shifted[:, :2] + 1 >= smallest * scale).all(1))[:, 0]
        order = large[torch.argsort(own[large], descending=True, stable=True)]
        order = order[:before] if before > 0 else order
        # Both corners belong to a box.
        wide = shifted[order] + own.new_tensor([0, 0, 1, 1])
        kept = order[suppress(wide, own[order], overlap)]
        kept = kept[:after] if after > 0 else kept
        found.append(torch.cat([torch.full_like(shifted[kept, :1], item), shifted[kept]], 1))
        confidences.append(own[kept, None])
    return torch.cat(found), torch.cat(confidences)


@torch.no_grad()
def hardest_regions(
    regions: Tensor, loss: Tensor, label: Tensor, weights: Tensor, count: int, ignore_label: int
) -> tuple[Tensor, Tensor]:
    """Labels and weights of the regions of each image with the largest losses; the others are ignored."""
    items = regions.view(-1, 5)[:, 0]
    order = torch.argsort(loss.flatten(), descending=True, stable=True)
    chosen = torch.zeros(len(items), dtype=torch.bool, device=items.device)
    for item in items.unique():
        chosen[order[items[order] == item][:count]] = True
    rows = [chosen.view(-1, *(1,) * (one.ndim - 1)) for one in (label, weights)]
    return torch.where(rows[0], label, ignore_label), torch.where(rows[1], weights, 0)
