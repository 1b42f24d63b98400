"""Losses and measures that torch.nn.functional has not, or has with other normalizations."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sigmoid_cross_entropy(x: Tensor, target: Tensor, ignore_label: float) -> tuple[Tensor, Tensor]:
    """The sum of the logistic losses where the target counts, and how many do."""
    target = target.view_as(x)
    counts = target != ignore_label
    losses = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    return torch.where(counts, losses, 0.0).sum(), counts.sum()


def mean_of_valid(loss: tuple[Tensor, Tensor]) -> Tensor:
    """A sum over the number of terms that count; 0 where none does."""
    return loss[0] / loss[1].clamp(min=1)


def hinge_loss(x: Tensor, label: Tensor, squared: bool = False) -> Tensor:
    """One against all: the sum of the violated margins, on average over the items."""
    x = x.flatten(1)
    sign = 2 * F.one_hot(label.flatten().long(), x.shape[1]).to(x.dtype) - 1
    margin = F.relu(1 - sign * x)
    return (margin.square() if squared else margin).sum() / max(1, len(x))


def contrastive_loss(a: Tensor, b: Tensor, similar: Tensor, margin: float, legacy: bool = False) -> Tensor:
    """Similar pairs are pulled together, others are pushed apart up to a margin."""
    squared = (a.flatten(1) - b.flatten(1)).square().sum(1)
    if legacy:
        apart = F.relu(margin - squared)
    else:
        distance = squared.detach().sqrt()
        # Caffe's gradient, which keeps equal vectors finite: that of the first term.
        push = F.relu(margin - distance) / (distance + 1e-4)
        pull = -push * squared
        apart = F.relu(margin - distance).square() + (pull - pull.detach())
    return torch.where(similar.flatten().trunc() != 0, squared, apart).sum() / (2 * max(1, len(a)))


class CenterLoss(nn.Module):
    """Half the mean squared distance of vectors to the centres of their classes.

    The centres' gradient is not that of the loss: for each class the sum of the differences over their number plus 1.
    """

    def __init__(self, classes: int, length: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(classes, length))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        x, label = x.flatten(1), label.flatten().long()
        own = self.centers[label]
        loss = (x - own.detach()).square().sum() / (2 * max(1, len(x)))
        counts = torch.bincount(label, minlength=len(self.centers))[label] + 1
        pull = ((own - x.detach()).square().sum(1) / (2 * counts)).sum()
        return loss + (pull - pull.detach())


def smooth_l1(difference: Tensor, sharpness: float = 1.0) -> Tensor:
    """Quadratic up to 1 / sharpness, linear beyond."""
    size = difference.abs()
    return torch.where(size < 1 / sharpness, 0.5 * sharpness * difference.square(), size - 0.5 / sharpness)


def l1_loss(difference: Tensor, plateau: float = 0.0, by_entries: bool = False) -> Tensor:
    """The sum of the absolute differences that are not NaN over the number of items, or of entries over channels."""
    known = ~difference.isnan()
    difference = torch.where(known, difference, 0.0)
    size = torch.where(known & (difference.abs() >= plateau), difference.abs(), 0.0)
    divisor = known.sum() / difference.shape[1] if by_entries else len(difference)
    return size.sum() / divisor if divisor else size.sum()


def l1_loss_of_lengths(
    difference: Tensor, epsilon: float, plateau: float = 0.0, scale: float = 1.0, by_entries: bool = False
) -> Tensor:
    """The sum of the lengths of the differences over the number of items, or of entries over channels."""
    known = ~difference.isnan()
    squared = scale * torch.where(known, difference, 0.0).square().sum(1)
    squared = torch.where(squared >= plateau**2, squared, 0.0)
    squared = squared + epsilon
    # The root has no slope at 0.
    lengths = torch.where(squared > 0, squared.clamp_min(1e-38).sqrt(), 0.0)
    divisor = known.sum() / difference.shape[1] if by_entries else len(difference)
    return lengths.sum() / divisor if divisor else lengths.sum()


def triplet_loss(reference: Tensor, like: Tensor, unlike: Tensor, margin: float) -> Tensor:
    """Half the mean of how much less than a margin the unlike is further away than the like."""
    near = (reference - like).flatten(1).square().sum(1)
    far = (reference - unlike).flatten(1).square().sum(1)
    return F.relu(margin + near - far).sum() / (2 * max(1, len(reference)))


def triplet_set_loss(x: Tensor, unlikes: int, margin: float, ratio: bool) -> Tensor:
    """The triplet loss of sets: a reference, one like it, and ``unlikes`` that are not."""
    sets = x.flatten(1).unflatten(0, (-1, 2 + unlikes))
    reference, like, unlike = sets[:, :1], sets[:, 1:2], sets[:, 2:]
    near, far = (reference - like).square().sum(2), (reference - unlike).square().sum(2)
    losses = F.relu(1 - far / (near + margin)) if ratio else F.relu(margin + near - far)
    return (losses.sum() + near.sum()) / (2 * max(1, len(sets)))


def infogain_loss(
    x: Tensor, label: Tensor, matrix: Tensor, axis: int, ignore_label: int = -1
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of the losses weighted by the label's row of a matrix, the positions that count, the probabilities."""
    prob = torch.softmax(x, axis)
    scores = prob.movedim(axis, -1)
    label = label.view(scores.shape[:-1]).long()
    counts = label != ignore_label
    rows = matrix.view(scores.shape[-1], -1)[torch.where(counts, label, 0)] * counts[..., None]
    # As the softmax's, the gradient does not end at the floor.
    logs = torch.log_softmax(x, axis).movedim(axis, -1)
    floor = torch.log(torch.tensor(1e-20)).to(x)
    logs = logs.clamp_min(floor).detach() + (logs - logs.detach())
    return -(rows * logs).sum(), counts.sum(), prob


def ctc_loss(scores: Tensor, sequences: list[Tensor], steps: list[int], blank: int) -> Tensor:
    """Connectionist temporal classification on scores (T, N, C), as the mean over the items."""
    logs = torch.log_softmax(scores.reshape(scores.shape[0], scores.shape[1], -1), 2)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    losses = F.ctc_loss(
        logs,
        torch.cat(sequences),
        torch.tensor(steps),
        lengths,
        blank=blank,
        reduction="none",
        zero_infinity=True,
    )
    return losses.sum() / len(sequences)


def without_blanks(label: Tensor, blank: int) -> list[Tensor]:
    """The labels of each item (N, L) that are not blank."""
    return [row[row != blank] for row in label.flatten(1).long()]


def until_negative(label: Tensor, collapse: bool = False) -> list[Tensor]:
    """The labels of each item (L, N) before the first negative one; with collapse equal neighbours are one."""
    sequences = []
    for row in label.flatten(1).long().T:
        row = row[(row < 0).cumsum(0) == 0]
        sequences.append(torch.unique_consecutive(row) if collapse else row)
    return sequences


def steps_of(indicators: Tensor, delay: int = 0) -> list[int]:
    """How many steps each sequence has: up to the first 0 behind the first step."""
    ends = []
    for column in indicators.flatten(1).T:
        starts = torch.nonzero(column[1:] < 0.5)
        ends.append(max(0, (int(starts[0]) + 1 if len(starts) else len(column)) - delay))
    return ends


def labels_of(scores: Tensor, label: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Scores as rows (positions, C), and a class number for each."""
    rows = scores.movedim(axis, -1).flatten(0, -2)
    return rows, label.flatten().long()


def accuracy(x: Tensor, label: Tensor, top_k: int = 1, axis: int = 1, ignore_label: int | None = None) -> Tensor:
    """The share of labels whose score fewer than top_k other classes reach."""
    hit, label = hits(x, label, top_k, axis, ignore_label)
    return hit.to(x.dtype).sum() / max(1, len(label))


def hits(x: Tensor, label: Tensor, top_k: int, axis: int, ignore_label: int | None) -> tuple[Tensor, Tensor]:
    """Whether each label that counts is hit, and those labels."""
    scores, label = labels_of(x, label, axis)
    if ignore_label is not None:
        scores, label = scores[label != ignore_label], label[label != ignore_label]
    own = scores.gather(1, label[:, None])
    return (scores >= own).sum(1) - 1 < top_k, label


def class_accuracy(x: Tensor, label: Tensor, top_k: int = 1, axis: int = 1, ignore_label: int | None = None) -> Tensor:
    """The accuracy of each class."""
    hit, label = hits(x, label, top_k, axis, ignore_label)
    classes = x.shape[axis]
    right, seen = (torch.bincount(one, minlength=classes) for one in (label[hit], label))
    return right.to(x.dtype) / seen.clamp_min(1)


def arg_max(x: Tensor, top_k: int, axis: int) -> tuple[Tensor, Tensor]:
    """The largest values along an axis, the largest first, and their places, of equal ones the last first."""
    values, order = torch.sort(x.flip(axis), dim=axis, descending=True, stable=True)
    places = (x.shape[axis] - 1 - order).to(x.dtype)
    return values.narrow(axis, 0, top_k), places.narrow(axis, 0, top_k)


def arg_max_of_items(x: Tensor, top_k: int, with_values: bool = False) -> Tensor:
    """The places of each item's largest values (N, 1, top_k, ...), or places and values (N, 2, top_k, ...)."""
    values, places = arg_max(x.flatten(1), top_k, 1)
    parts = [places, values] if with_values else [places]
    return torch.stack(parts, 1).reshape(len(x), len(parts), top_k, *(1,) * (x.ndim - 3))


class SegAccuracy(nn.Module):
    """Pixel accuracy, mean class accuracy and mean intersection over union, of all batches since the start."""

    def __init__(self, classes: int, ignore_labels: tuple[int, ...] = (), reset: bool = False) -> None:
        super().__init__()
        self.classes, self.ignore_labels, self.reset = classes, ignore_labels, reset
        self.matrix: Tensor
        self.register_buffer("matrix", torch.zeros(classes, classes, dtype=torch.long), persistent=False)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        label = label.flatten().long()
        # Of equal scores the last.
        guess = (self.classes - 1 - x.flip(1).argmax(1)).flatten()
        for ignored in self.ignore_labels:
            guess, label = guess[label != ignored], label[label != ignored]
        counts = torch.bincount(label * self.classes + guess, minlength=self.classes**2).view_as(self.matrix)
        self.matrix = counts if self.reset else self.matrix + counts
        right, true, guessed = self.matrix.diag(), self.matrix.sum(1), self.matrix.sum(0)
        recall, union = right / true, true + guessed - right
        overlap = torch.where(union > 0, right / union.clamp_min(1), 1.0)
        parts = [right.sum() / true.sum().clamp_min(1), recall[true > 0].sum() / (true > 0).sum().clamp_min(1)]
        return torch.stack([*parts, overlap.mean()]).to(x.dtype).view(1, 1, 1, 3)


def add_margin(x: Tensor, label: Tensor, margin: float, training: bool) -> Tensor:
    """In training the score of the right class less a margin where it is larger; gradients pass as they are."""
    if not training:
        return x
    own = F.one_hot(label.flatten().long(), x[0].numel()).view_as(x).bool()
    return x - margin * (own & (x.detach() > margin)).to(x.dtype)
