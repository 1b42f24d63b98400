"""What is compared: the nets, what each begins with, and for how long it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from segcaffe.errors import SegcaffeError
from segcaffe.recipes.tiny import COLOURS, TRUNK, Crf, Masks, Model

EMBEDDINGS = "embeddings"
PLAIN, CONTROL, MASKS, CASCADE = "plain", "control", "masks", "cascade"
LONGER, MASKS_LONGER, CRF = "control_longer", "masks_longer", "masks_crf"
SCENES = Masks(norm="L2", sharpness=0.3)
"""The masks of the comparison on generated scenes."""
PHOTOGRAPHS = Masks(norm="L2", sharpness=3, normalized=True)
"""Those on images of data sets: a net that begins as the plain one does best if its windows keep their weight."""
LAST = 2
"""The stage in which a CRF is put behind."""
EVERY = tuple(name for name, _, _ in TRUNK)


@dataclass(frozen=True)
class Variant:
    """A net of the comparison.

    Attributes
    ----------
    name, title:
        Of its folder; for people, who count stages from 1.
    model:
        What it is; None for the embeddings, which are no net of scores.
    begins_with:
        The variants whose weights it has at the start.
    stage:
        Of the training, counted from 0.
    trained:
        Whether it is trained then, or used as it is.
    against:
        Of an ablation, the variant that it is compared with; empty in the comparison itself.
    """

    name: str
    title: str
    model: Model | None
    begins_with: tuple[str, ...] = ()
    stage: int = 1
    trained: bool = True
    against: str = ""


@dataclass(frozen=True)
class Schedule:
    """How nets are trained, in three stages: what all begin with, masks put in, a CRF put behind.

    Attributes
    ----------
    iterations, rates:
        Of each stage; the learning rate is that of the stage's beginning.
    batch_size, crop_size:
        In all trainings.
    """

    iterations: tuple[int, int, int] = (120, 120, 120)
    rates: tuple[float, float, float] = (0.002, 0.001, 0.0005)
    batch_size: int = 8
    crop_size: int = 65

    def of(self, variant: Variant) -> tuple[int, float]:
        """Iterations and learning rate of a variant."""
        return (self.iterations[variant.stage], self.rates[variant.stage]) if variant.trained else (0, 0.0)


def compared(masks: Masks) -> tuple[Variant, ...]:
    """The comparison. What is compared is of one stage, so that it is trained equally long."""
    both = (PLAIN, EMBEDDINGS)
    return (
        Variant(EMBEDDINGS, "embeddings", None, stage=0),
        Variant(PLAIN, "plain, stage 1", Model(), stage=0),
        Variant(CONTROL, "plain, stage 2", Model(), (PLAIN,)),
        Variant(
            CASCADE, "plain + untrained cascade, stage 2", Model(cascade=True), (CONTROL, EMBEDDINGS), trained=False
        ),
        Variant(MASKS, "masks, stage 2", Model(masks), both),
        Variant(LONGER, "plain, stage 3", Model(), (CONTROL,), stage=LAST),
        Variant(MASKS_LONGER, "masks, stage 3", Model(masks), (MASKS,), stage=LAST),
        Variant(CRF, "masks + CRF, stage 3", Model(masks, Crf()), (MASKS,), stage=LAST),
    )


def ablations(masks: Masks) -> tuple[Variant, ...]:
    """What becomes of the masks, or of the CRF, when one thing about it is another."""
    both, normalized = (PLAIN, EMBEDDINGS), not masks.normalized
    sharper = replace(masks, sharpness=masks.sharpness * 10)
    weights = "divided by their mean" if normalized else "not divided by their mean"
    of_masks = (
        ("l1", "L1 distances", replace(masks, norm="L1")),
        ("conv3", "masks on conv3 alone", replace(masks, layers=("conv3",))),
        ("conv5", "masks on conv5 alone", replace(masks, layers=("conv5",))),
        ("all_layers", "masks on all five convolutions", replace(masks, layers=EVERY)),
        ("fixed_lambda", "lambda not learnt", replace(masks, learnt=False)),
        ("small_lambda", "lambda begins at a tenth", replace(masks, sharpness=masks.sharpness / 10)),
        ("large_lambda", "lambda begins at ten times", sharper),
        ("lambda_zero", "lambda 0, not learnt: no masks", replace(masks, sharpness=0, learnt=False)),
        ("normalization", f"weights of a window {weights}", replace(masks, normalized=normalized)),
        ("frozen", "embeddings fixed", replace(masks, rate=0)),
        ("frozen_sharp", "embeddings fixed, lambda begins at ten times", replace(sharper, rate=0)),
    )
    of_colours = (
        ("colours", "distances of colours, lambda begins at 3", replace(masks, guide=COLOURS, sharpness=3)),
        ("sharp_colours", "distances of colours, lambda begins at 30", replace(masks, guide=COLOURS, sharpness=30)),
    )
    of_crf = (
        ("crf_three", "CRF of three iterations in place of two, the least", Crf(iterations=3)),
        ("crf_five", "CRF of five iterations", Crf(iterations=5)),
        ("crf_dense", "CRF, its window not dilated", Crf(dilation=1)),
        ("crf_wide", "CRF, its window dilated by 6", Crf(dilation=6)),
        ("crf_colours", "CRF on colours, times 8 in the beginning", Crf(guide=COLOURS, factor=8)),
    )
    return (
        *(Variant(name, title, Model(changed), both, against=MASKS) for name, title, changed in of_masks),
        *(Variant(name, title, Model(changed), (PLAIN,), against=MASKS) for name, title, changed in of_colours),
        Variant("no_pretraining", "embeddings begin at random", Model(masks), (PLAIN,), against=MASKS),
        Variant("at_test_only", "masks put into the plain net, untrained", Model(masks), (CONTROL, EMBEDDINGS),
                trained=False, against=MASKS),
        Variant("sharp_at_test_only", "masks put into the plain net, lambda ten times", Model(sharper),
                (CONTROL, EMBEDDINGS), trained=False, against=MASKS),
        # Layers of normalised masks keep lambda with their weights, which a plain convolution does not take.
        *(() if masks.normalized else (
            Variant("masks_off", "trained with masks, tested without", Model(), (MASKS,), trained=False, against=MASKS),
        )),
        *(Variant(name, title, Model(masks, crf), (MASKS,), LAST, against=CRF) for name, title, crf in of_crf),
        Variant("crf_alone", "CRF behind the plain net", Model(crf=Crf()), (CONTROL, EMBEDDINGS), LAST, against=CRF),
    )  # fmt: skip


def chosen(masks: Masks, patterns: Sequence[str]) -> list[Variant]:
    """The ablations whose names fit a pattern; SegcaffeError for a pattern that no name fits."""
    found = ablations(masks)
    for pattern in patterns:
        if not any(fnmatchcase(variant.name, pattern) for variant in found):
            names = ", ".join(variant.name for variant in found)
            raise SegcaffeError(f'No ablation is called "{pattern}". There are: {names}.')
    return [variant for variant in found if any(fnmatchcase(variant.name, pattern) for pattern in patterns)]


def planned(masks: Masks, with_crf: bool, ablated: Sequence[str], classes: int) -> Sequence[Variant]:
    """All variants, each behind those that it begins with; ``with_crf`` those of the last stage, too.

    ``ablated`` are patterns of names of ablations.
    """
    variants = (*compared(masks), *chosen(masks, ablated))
    return [
        replace(variant, model=variant.model and replace(variant.model, classes=classes))
        for variant in variants
        if with_crf or variant.stage < LAST
    ]
