"""A study: all variants with all seeds, one after the other, going on where an earlier run stopped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segcaffe.data.files import write_bytes
from segcaffe.errors import DataError
from segcaffe.files.there import is_file
from segcaffe.recipes.demo import Progress, no_progress
from segcaffe.recipes.study.images import Sample, prepare, read_kept
from segcaffe.recipes.study.page import write_page
from segcaffe.recipes.study.runs import Run
from segcaffe.recipes.study.sources import Source, find_source
from segcaffe.recipes.study.tables import Results
from segcaffe.recipes.study.variants import SCENES, Schedule, Variant, planned
from segcaffe.recipes.tiny import Masks
from segcaffe.version import __version__

_SETTINGS = "settings.json"
REAL = Schedule(iterations=(300, 300, 100))
"""The trainings on images of a data set."""


@dataclass(frozen=True)
class Plan:
    """What a study does.

    Attributes
    ----------
    folder:
        Where everything is written: ``seed_1/data`` the images, ``seed_1/masks`` a net with its figures, ``report``.
    seeds:
        How many: 1, 2, ...; of images (generated, or which are for testing) and of weights.
    data:
        Folder of a data set; None for generated scenes.
    ablations:
        Patterns of names of the ablations that are made, too.
    crf:
        Whether the last stage is, in which a CRF is put behind.
    """

    folder: Path
    seeds: int = 8
    data: Path | None = None
    ablations: tuple[str, ...] = ()
    crf: bool = True
    sample: Sample = field(default_factory=Sample)
    schedule: Schedule = field(default_factory=Schedule)
    masks: Masks = SCENES


class Study:
    """Carries out a plan; ``progress`` shows how far it is."""

    def __init__(self, plan: Plan, progress: Progress = no_progress) -> None:
        self.plan, self.progress = plan, progress
        self.source: Source | None = find_source(plan.data) if plan.data else None
        # Before anything is written, names that no ablation has are told.
        self._variants(classes=2)

    def carry_out(self) -> tuple[Results, Path]:
        """Run what is missing, and write the report; the figures, and the report's path.

        Raises
        ------
        DataError
            The folder has results of other settings, or the data set cannot be read.
        """
        self._settle()
        runs: list[list[Run]] = []
        with self.progress(self.plan.seeds * len(self._variants(classes=2)), "net") as advance:
            for seed in range(1, self.plan.seeds + 1):
                runs.append(list(self._runs(seed)))
                for run in runs[-1]:
                    if not run.done():
                        run.carry_out()
                    advance()
        variants = [run.variant for run in runs[0]]
        figures = {
            variant.name: [of_seed[index].figures() for of_seed in runs]
            for index, variant in enumerate(variants)
            if variant.model is not None
        }
        images = runs[0][0].images
        results = Results(variants, figures, images.described())
        return results, write_page(self.plan.folder / "report", results, images)

    def _variants(self, classes: int) -> Sequence[Variant]:
        return planned(self.plan.masks, self.plan.crf, self.plan.ablations, classes)

    def _runs(self, seed: int) -> Iterator[Run]:
        folder = self.plan.folder / f"seed_{seed}"
        images = prepare(folder / "data", seed, self.plan.sample, self.source)
        for variant in self._variants(images.classes):
            yield Run(folder, seed, variant, self.plan.schedule, images)

    def _settle(self) -> None:
        """Note what results depend on; an error where the folder has those of something else."""
        plan = self.plan
        settings: dict[str, Any] = {
            "version": __version__,
            "data": str(plan.data.resolve()) if plan.data else None,
            "sample": dataclasses.asdict(plan.sample),
            "schedule": dataclasses.asdict(plan.schedule),
            "masks": dataclasses.asdict(plan.masks),
        }
        file, text = plan.folder / _SETTINGS, json.dumps(settings, indent=1)
        if is_file(file):
            before = read_kept(file)
            changed = [name for name, value in json.loads(text).items() if before.get(name) != value]
            if changed:
                raise DataError(
                    f"{plan.folder}: results there were made with another {' and '.join(changed)} ({_SETTINGS} has "
                    "it). Choose another --out, or give the same options to go on."
                )
        else:
            write_bytes(file, text.encode(), "reproduce")
