"""The demo: train the paper's embeddings on generated images and show what they learnt.

Everything it does can be done by hand with the files it leaves behind: ``data/`` the images and lists, ``config/`` the
prototxt files, ``model/`` the snapshots, ``features/`` the embeddings of the test images, ``report/`` the pictures.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.data.files import write_bytes
from segcaffe.data.images import read_image
from segcaffe.data.label_files import read_labels
from segcaffe.data.synthetic import SyntheticSet, write_set
from segcaffe.metrics.pairs import PairScores, score_pairs
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.recipes import embs
from segcaffe.recipes.layers import MEAN_BGR
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from segcaffe.viz.curves import loss_curve
from segcaffe.viz.embedding import heat, label_colours, local_mask, principal_colours
from segcaffe.viz.explore.page import page as masks_page
from segcaffe.viz.explore.scene import Scene, View
from segcaffe.viz.report import Report

Array = np.ndarray[Any, Any]

MASK_RADIUS = 12
ZOOM = 2
MASK_ZOOM = 4
"""So that three rows of a window and two masks fit side by side into the page."""
_EXPLORED = 3
_EXPLORED_BYTES = 3_800_000
"""Images on the page to look through masks, and what each may take: embeddings of 144 x 144 pixels fit, in 8 bits."""


@dataclass(frozen=True)
class Plan:
    """What the demo does.

    Attributes
    ----------
    folder:
        Where everything is written.
    scenes:
        Number of training images. Each is cropped only a few times, so that the embeddings learn what textures have in
        common: with a fifth of the images, scores on those stay 0.03 above the scores on held-out ones.
    iterations, batch_size, crop_size, learning_rate:
        Of the training.
    seed:
        Of the images and of the training: the same seed gives the same report.
    """

    folder: Path
    scenes: int = 240
    iterations: int = 480
    batch_size: int = 4
    crop_size: int = 65
    learning_rate: float = 2e-3
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """Scores on the held-out images, the training loss on them before and after training, and where the report is."""

    pixels: PairScores
    before: PairScores
    after: PairScores
    losses: list[float]
    held_out: tuple[float, float]
    page: Path


Progress = Callable[[int, str], AbstractContextManager[Callable[[], object]]]
"""Given a number and a unit, a context whose function is called after each: it may move a bar."""


@contextmanager
def no_progress(total: int, unit: str) -> Iterator[Callable[[], object]]:
    """Show nothing."""
    yield lambda: None


class Demo:
    """Runs the steps of the demo one after the other; ``say`` tells the user about each, ``progress`` how far it is."""

    def __init__(self, plan: Plan, say: Callable[[str], object] = print, progress: Progress = no_progress) -> None:
        self.plan = plan
        self.say = say
        self.progress = progress
        self.losses: list[float] = []

    def prepare(self) -> Solver:
        """Write the images and the prototxt files, make the solver, and look at the untrained net."""
        plan = self.plan
        self.say(f"Writing images and prototxt files to {plan.folder} ...")
        self.data = write_set(plan.folder / "data", plan.scenes, seed=plan.seed)
        solver_file = _write_config(plan, self.data)
        solver = get_solver(solver_file)
        self.images = [_read_pair(self.data.root, line) for line in self.data.test_list.read_text().splitlines()]
        self.say("Running the untrained network over the held-out images ...")
        self.before = self._embed(solver.net)
        self.loss_before = self._held_out_loss(solver.net)
        return solver

    def train(self, solver: Solver) -> None:
        """Train to the last iteration, keeping the losses."""
        solver.add_progress(lambda progress: self.losses.append(progress.loss))
        start = time.perf_counter()
        self.say(f"Training for {self.plan.iterations} iterations ...")
        solver.solve()
        self.say(f"Trained in {time.perf_counter() - start:.0f} s. Mean loss of the first 20 batches "
                 f"{_mean(self.losses[:20]):.2f}, of the last 20 {_mean(self.losses[-20:]):.2f}.")  # fmt: skip

    def test(self, solver: Solver) -> tuple[float, float]:
        """Run the trained net over the held-out images: the training's loss before and after, embeddings as .mat."""
        self.say("Running the trained network over the held-out images ...")
        self.after = self._embed(solver.net)
        loss = self._held_out_loss(solver.net)
        net = Net(self.plan.folder / "config" / "test.prototxt", caffe_pb2.TEST)
        net.copy_trained_layers(solver.net.to_proto(), "the trained net")
        for _ in self.images:
            net.forward()
        self.say(f"The same loss on held-out images: {self.loss_before:.2f} before training, {loss:.2f} after.")
        return self.loss_before, loss

    def report(self, held_out: tuple[float, float]) -> Outcome:
        """Score the embeddings, draw the pictures and write the page."""
        labels = [label for _, label in self.images]
        pixels = score_pairs([_prepare(image) for image, _ in self.images], labels)
        before, after = score_pairs(self.before, labels), score_pairs(self.after, labels)
        page = Report(self.plan.folder / "report", "What the embeddings learnt")
        page.text(
            "A network was trained so that the embeddings of neighbouring pixels lie close together within a region "
            "and far apart across a boundary. Below: how well distances tell the two cases apart on images it has not "
            "seen, then the embeddings themselves, and the local masks that the paper's convolutions use."
        )
        page.heading("Same or different region? (ROC AUC over neighbouring pixels)")
        page.text(AUC)
        page.table(HEADER, score_rows(pixels, before, after))
        self._training(page, held_out)
        self._pictures(page)
        return Outcome(pixels, before, after, self.losses, held_out, page.write())

    def _training(self, page: Report, held_out: tuple[float, float]) -> None:
        page.heading("Training")
        told = (f"Loss of {self.plan.iterations} iterations; the same loss on the held-out images is {held_out[0]:.2f} "
                f"before training and {held_out[1]:.2f} after")  # fmt: skip
        if importlib.util.find_spec("matplotlib") is None:
            page.text(f"{told}. (For the curve: pip install matplotlib.)")
            return
        limits = {"held-out images, before": held_out[0], "held-out images, after": held_out[1]}
        loss_curve(page.folder / "loss.png", self.losses, limits=limits)
        page.figure("loss.png", told)

    def _pictures(self, page: Report) -> None:
        page.heading("Held-out images")
        page.text("Embeddings are shown by their first three principal components, as red, green and blue.")
        for i, (image, label) in enumerate(self.images[:4]):
            pieces = [image, label_colours(label), principal_colours(self.before[i]), principal_colours(self.after[i])]
            captions = ["image", "labels", "embedding before training", "embedding after training"]
            for name, piece, caption in zip("abcd", pieces, captions, strict=True):
                page.picture(f"image_{i}{name}", _enlarge(piece, ZOOM), caption, width=264)
            page.parts.append("<br>")
        page.heading("Local masks")
        write_bytes(page.folder / "masks.html", self._masks_page().encode(), "demo")
        page.link("masks.html", "Look through the masks: a page that shows them under the pointer")
        page.text(
            f"For a few pixels: the window of {2 * MASK_RADIUS + 1} x {2 * MASK_RADIUS + 1} pixels around each, and "
            "its mask exp(-distance / mean distance): bright where the network sees the pixel's own region."
        )
        for i, (image, label) in enumerate(self.images[:3]):
            for k, (y, x) in enumerate(_marked_pixels(label)):
                self._mask_row(page, f"{i}{k}", image, (y, x), i)
            page.parts.append("<br>")

    def _masks_page(self) -> str:
        """The page on which one looks through the masks, before and after training."""
        scenes, views = [], []
        told = "Masks exp(-distance / mean distance) of the embeddings"
        for when, found in (("after", self.after), ("before", self.before)):
            name, scale = f"{when} training", 1 / _mean_distance(found[0])
            views.append(View(name, when, 2 * MASK_RADIUS + 1, scale=scale, about=f"{told} {name}."))
        for i, (image, label) in enumerate(self.images[:_EXPLORED]):
            embeddings, labels = {"after": self.after[i], "before": self.before[i]}, {"truth": label.astype(np.uint8)}
            scenes.append(Scene(f"held-out image {i + 1}", image, image.shape[:2], embeddings, labels))
        return masks_page("Look through the masks", scenes, views, scene_bytes=_EXPLORED_BYTES)

    def _mask_row(self, page: Report, name: str, image: Array, centre: tuple[int, int], index: int) -> None:
        y, x = centre
        window = image[y - MASK_RADIUS : y + MASK_RADIUS + 1, x - MASK_RADIUS : x + MASK_RADIUS + 1]
        panels = [_enlarge(window, MASK_ZOOM)]
        for embedding in (self.before[index], self.after[index]):
            sharpness = 1 / _mean_distance(embedding)
            panels.append(_enlarge(heat(local_mask(embedding, y, x, MASK_RADIUS, sharpness)), MASK_ZOOM))
        _cross(panels[0])
        page.picture(f"mask_{name}", np.hstack(panels), f"pixel ({y}, {x}): window, mask before, mask after")

    def _embed(self, trained: Net) -> list[Array]:
        """Embeddings (E, H, W) of the test images by the net's present weights."""
        height, width = self.images[0][0].shape[:2]
        deploy = parse(embs.deploy(height, width, embs.RGB_SCALE), caffe_pb2.NetParameter())
        net = Net(deploy, caffe_pb2.TEST)
        net.copy_trained_layers(trained.to_proto(), "the net in training")
        with self.progress(len(self.images), "image") as advance:
            embeddings = []
            for image, _ in self.images:
                embeddings.append(net.forward(data=_prepare(image)[None])["weighted_avg"][0].copy())
                advance()
        return embeddings

    def _held_out_loss(self, trained: Net) -> float:
        """The training's mean loss on crops of test images, the same each time, by the net's present weights."""
        state = device.get_state()
        device.set_random_seed(self.plan.seed)
        # In phase TRAIN, as the training: of whole images the border, where neighbours are missing, has another share.
        net = Net(self.plan.folder / "config" / "held_out.prototxt", caffe_pb2.TRAIN)
        net.copy_trained_layers(trained.to_proto(), "the net in training")
        losses = []
        for _ in self.images:
            net.forward()
            losses.append(net.loss)
        device.set_state(state)
        return _mean(losses)


AUC = (
    "The area under the ROC curve (AUC) is the chance that, of a pair of neighbours within a region and a pair across "
    "a boundary, the second lies further apart: 0.5 is guessing, 1 is never wrong."
)
HEADER = ["", "all neighbours", "at boundaries"]


def score_rows(pixels: PairScores, before: PairScores, after: PairScores) -> list[list[str]]:
    """Rows of the score table."""
    named = (("colours of the pixels", pixels), ("embeddings before training", before),
             ("embeddings after training", after))  # fmt: skip
    return [[name, f"{scores.all:.3f}", f"{scores.boundary:.3f}"] for name, scores in named]


def _write_config(plan: Plan, data: SyntheticSet) -> Path:
    """Write the prototxt files; returns the solver's path."""
    folder = plan.folder / "config"
    folder.mkdir(parents=True, exist_ok=True)
    root = f"{data.root}/"
    train = embs.Images(str(data.train_list), root, plan.batch_size, plan.crop_size, embs.RGB_SCALE)
    size = _read_pair(data.root, data.test_list.read_text().splitlines()[0])[0].shape[0]
    test = embs.Images(str(data.test_list), root, 1, size, embs.RGB_SCALE)
    prefix = str(plan.folder / "model" / "embs")
    texts = {
        "train": embs.train(train),
        "held_out": embs.train(replace(train, source=str(data.test_list))),
        "test": embs.test(test, f"{plan.folder / 'features'}/", str(data.test_ids), "embs"),
        "deploy": embs.deploy(size, size, embs.RGB_SCALE),
        "solver": embs.solver(
            str(folder / "train.prototxt"),
            prefix,
            plan.learning_rate,
            plan.iterations,
            plan.iterations,
            plan.seed,
            policy='lr_policy: "poly"\npower: 0.9',
        ),
    }
    for name, text in texts.items():
        write_bytes(folder / f"{name}.prototxt", text.encode(), "demo")
    return folder / "solver.prototxt"


def _read_pair(root: Path, line: str) -> tuple[Array, Array]:
    image, label = line.split()
    return read_image(str(root / image), True, "images"), read_labels(root / label, "labels")


def _prepare(image: Array) -> Array:
    centred = image.astype(np.float32) - np.asarray(MEAN_BGR, np.float32)
    return np.asarray(centred.transpose(2, 0, 1) * np.float32(embs.RGB_SCALE))


def _marked_pixels(label: Array) -> list[tuple[int, int]]:
    """Up to three pixels near boundaries, far enough from the border for a whole window, far from each other."""
    from segcaffe.metrics.pairs import near_boundary

    inner = np.zeros(label.shape, bool)
    inner[MASK_RADIUS:-MASK_RADIUS, MASK_RADIUS:-MASK_RADIUS] = True
    candidates = np.argwhere(near_boundary(label, 4) & ~near_boundary(label, 2) & inner)
    chosen: list[tuple[int, int]] = []
    for y, x in np.random.default_rng(0).permutation(candidates):
        if len(chosen) < 3 and all(abs(y - v) + abs(x - u) > 30 for v, u in chosen):
            chosen.append((int(y), int(x)))
    return chosen


def _mean_distance(embedding: Array) -> float:
    """Mean L1 distance between pixels five apart."""
    return float(np.abs(embedding[:, :, 5:] - embedding[:, :, :-5]).sum(0).mean())


def _enlarge(image: Array, factor: int) -> Array:
    return np.asarray(image.repeat(factor, 0).repeat(factor, 1))


def _cross(panel: Array) -> None:
    """Mark the middle of a panel."""
    y, x = panel.shape[0] // 2, panel.shape[1] // 2
    panel[y - 6 : y + 7, x] = panel[y, x - 6 : x + 7] = (255, 255, 255)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
