"""One variant with one seed: trained, tested on the held-out images, its figures kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.convert import formats
from segcaffe.data.files import write_bytes
from segcaffe.data.images import read_image
from segcaffe.data.png import write_label
from segcaffe.errors import DataError
from segcaffe.files.there import is_file
from segcaffe.metrics.evaluate import Report, evaluate, find_pairs
from segcaffe.metrics.tally import Tally
from segcaffe.predict.loaded import Settings
from segcaffe.predict.predictor import Predictor
from segcaffe.recipes import embs, tiny
from segcaffe.recipes.study.images import ImageSet, read_kept
from segcaffe.recipes.study.variants import Schedule, Variant
from segcaffe.recipes.tiny import Model
from segcaffe.solver.registry import get_solver
from segcaffe.weights.completeness import load_all

BANDS = 40
"""Pixels of the widest trimap."""
FIGURES, PREDICTED = "figures.json", "predicted"
STEP = 4
"""Sizes of images are a multiple of this plus 1."""
_WHERE = "reproduce"

Figures = dict[str, Any]
"""What `segcaffe.metrics.evaluate.Report.json` writes."""


@dataclass(frozen=True)
class Run:
    """A variant with a seed; ``folder`` has the variants of this seed, a folder each."""

    folder: Path
    seed: int
    variant: Variant
    schedule: Schedule
    images: ImageSet

    @property
    def own(self) -> Path:
        """Where everything of this run is."""
        return self.folder / self.variant.name

    def done(self) -> bool:
        """Whether its results are there already."""
        return is_file(self.own / FIGURES)

    def carry_out(self) -> None:
        """Train, predict, evaluate and keep the figures, which are written last."""
        self.own.mkdir(parents=True, exist_ok=True)
        if self.variant.trained:
            self._train()
        if self.variant.model is not None:
            self._predict(self.variant.model)
        write_bytes(self.own / FIGURES, self._evaluated().encode(), _WHERE)

    def figures(self) -> Figures:
        """What was kept."""
        return read_kept(self.own / FIGURES)

    def _train(self) -> None:
        iterations, rate = self.schedule.of(self.variant)
        net, prefix = self.own / "train.prototxt", self.own / "net"
        write_bytes(net, self._training_net().encode(), _WHERE)
        text = tiny.solver("train_net", str(net), str(prefix), iterations, rate, seed=self.seed)
        solver_file = self.own / "solver.prototxt"
        write_bytes(solver_file, text.encode(), _WHERE)
        solver = get_solver(str(solver_file))
        stored = {str(path): formats.load(path) for path in self._weights(trained=False)}
        load_all(solver.net.layer_list, stored, finetuning=True)
        solver.solve()

    def _training_net(self) -> str:
        crop = self.schedule.crop_size
        images = embs.Images(
            str(self.images.list_of("train")), f"{self.images.root}/", self.schedule.batch_size, crop, embs.RGB_SCALE
        )
        if self.variant.model is None:
            return tiny.train_embeddings(images)
        return tiny.train_test(images, images, self.variant.model, (crop // 2 + 1, crop // 2 + 1))

    def _weights(self, trained: bool) -> Sequence[Path]:
        """Files of weights: its own once it is trained, before that of what it begins with."""
        if trained and self.variant.trained:
            return [_weights_of(self.own)]
        return [_weights_of(self.folder / name) for name in self.variant.begins_with]

    def _predict(self, model: Model) -> None:
        """Write label maps of the test images."""
        height, width = (-(-(side - 1) // STEP) * STEP + 1 for side in (self.images.height, self.images.width))
        text = tiny.deploy((height, width), (height // 2 + 1, width // 2 + 1), model, named=False)
        file = self.own / "deploy.prototxt"
        write_bytes(file, text.encode(), _WHERE)
        predictor = Predictor(file, self._weights(trained=True), Settings(step=STEP))
        predicted = self.own / PREDICTED
        predicted.mkdir(exist_ok=True)
        for image, _ in self.images.test_pairs():
            scores = predictor.scores(read_image(str(image), True, _WHERE))
            write_label(predicted / f"{image.stem}.png", scores.argmax(axis=0).astype(np.uint8), _WHERE)

    def _evaluated(self) -> str:
        """The figures as JSON, as `segcaffe eval` gives them; nothing of embeddings."""
        if self.variant.model is None:
            return "{}"
        tally = Tally(BANDS)
        pairs = find_pairs(str(self.images.list_of("test")), f"{self.images.root}/")
        evaluate(self.own / PREDICTED, pairs, tally)
        return Report.of(tally, self.images.classes).json()


def _weights_of(folder: Path) -> Path:
    found = next(iter(sorted(folder.glob("net_iter_*.caffemodel"))), None)
    if found is None:
        raise DataError(f'"{folder}" has figures but no weights, which others begin with. Remove it to train it again.')
    return found
