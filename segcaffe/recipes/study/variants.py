"""What is compared: the nets, what each begins with, and for how long it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from segcaffe.recipes.tiny import Crf, Masks, Model

EMBEDDINGS = "embeddings"
PLAIN, CONTROL, MASKS, CRF, CASCADE = "plain", "control", "masks", "masks_crf", "cascade"
BASE = Masks(norm="L2", sharpness=1, normalized=True)
"""The masks of the comparison."""


@dataclass(frozen=True)
class Variant:
    """A net of the comparison.

    Attributes
    ----------
    name, title:
        Of its folder; for people.
    model:
        What it is; None for the embeddings, which are no net of scores.
    begins_with:
        The variants whose weights it has at the start.
    trained:
        Whether it is trained then, or used as it is.
    group:
        The ablation that it belongs to; empty in the comparison itself.
    """

    name: str
    title: str
    model: Model | None
    begins_with: tuple[str, ...] = ()
    trained: bool = True
    group: str = ""


@dataclass(frozen=True)
class Schedule:
    """How nets are trained.

    Attributes
    ----------
    first, further:
        Iterations of the embeddings and of the plain net that all others begin with; of all others.
    first_rate, further_rate:
        Learning rates at the start of each.
    batch_size, crop_size:
        In all trainings.
    """

    first: int = 120
    further: int = 120
    first_rate: float = 0.002
    further_rate: float = 0.001
    batch_size: int = 8
    crop_size: int = 65

    def of(self, variant: Variant) -> tuple[int, float]:
        """Iterations and learning rate of a variant."""
        if not variant.trained:
            return 0, 0.0
        return (self.further, self.further_rate) if variant.begins_with else (self.first, self.first_rate)


COMPARED = (
    Variant(EMBEDDINGS, "embeddings", None),
    Variant(PLAIN, "plain, where all others begin", Model()),
    Variant(CONTROL, "plain", Model(), (PLAIN,)),
    Variant(MASKS, "masks", Model(BASE), (PLAIN, EMBEDDINGS)),
    Variant(CRF, "masks and CRF", Model(BASE, Crf()), (PLAIN, EMBEDDINGS)),
    Variant(CASCADE, "plain and the untrained cascade", Model(cascade=True), (CONTROL, EMBEDDINGS), trained=False),
)
"""The comparison. All that is trained after ``plain`` is trained equally long."""


def ablations() -> tuple[Variant, ...]:
    """What becomes of the masks, or of the CRF, when one thing about it is another."""
    of_masks = (
        ("distance", "l1", "L1 distances", replace(BASE, norm="L1")),
        ("layers", "conv5", "masks on conv5 alone", replace(BASE, layers=("conv5",))),
        ("layers", "all_layers", "masks on all five convolutions",
         replace(BASE, layers=("conv1", "conv2", "conv3", "conv4", "conv5"))),
        ("lambda", "fixed_lambda", "lambda not learnt", replace(BASE, learnt=False)),
        ("lambda", "small_lambda", "lambda begins at a tenth", replace(BASE, sharpness=BASE.sharpness / 10)),
        ("lambda", "large_lambda", "lambda begins at ten times", replace(BASE, sharpness=BASE.sharpness * 10)),
        ("weights", "unnormalized", "weights of a window not divided by their mean", replace(BASE, normalized=False)),
        ("embeddings", "frozen", "embeddings fixed", replace(BASE, rate=0)),
    )  # fmt: skip
    both = (PLAIN, EMBEDDINGS)
    found = [Variant(name, title, Model(masks), both, group=group) for group, name, title, masks in of_masks]
    found.append(Variant("no_pretraining", "embeddings begin at random", Model(BASE), (PLAIN,), group="embeddings"))
    found.append(
        Variant("at_test_only", "masks put into the plain net, untrained", Model(BASE), (CONTROL, EMBEDDINGS),
                trained=False, group="training")
    )  # fmt: skip
    of_crf = (
        ("iterations", "crf_three", "CRF of three iterations in place of two", Crf(iterations=3)),
        ("iterations", "crf_five", "CRF of five iterations", Crf(iterations=5)),
        ("dilation", "crf_dense", "CRF, its window not dilated", Crf(dilation=1)),
        ("dilation", "crf_wide", "CRF, its window dilated by 6", Crf(dilation=6)),
    )
    found += [Variant(name, title, Model(BASE, crf), both, group=group) for group, name, title, crf in of_crf]
    found.append(Variant("crf_alone", "CRF without masks", Model(crf=Crf()), both, group="masks"))
    return tuple(found)


def planned(with_ablations: bool, classes: int) -> Sequence[Variant]:
    """All variants, each behind those that it begins with, for so many classes."""
    variants = (*COMPARED, *(ablations() if with_ablations else ()))
    return [replace(variant, model=variant.model and replace(variant.model, classes=classes)) for variant in variants]
