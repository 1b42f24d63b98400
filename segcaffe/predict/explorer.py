"""A net that is looked through: its embeddings and masks beside its prediction, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.images import Image
from segcaffe.errors import GraphError
from segcaffe.predict.net_views import embedding_blobs, finest_view, mean_field_input, views_of
from segcaffe.predict.predictor import Predictor, resize_scores
from segcaffe.viz.explore.scene import Scene, View

Array = np.ndarray[Any, Any]
_MOST_CLASSES = 255
"""Label 255 is void."""
_APART = 5
"""Cells between those whose mean distance says how sharp a mask is where the net does not."""


class Explorer(Predictor):
    """A net with embeddings, and scores if it has any.

    Attributes
    ----------
    asked:
        The blob of embeddings that was asked for; empty: those that the net compares in windows.
    """

    def __init__(self, *arguments: Any, embeddings: str = "", **named: Any) -> None:
        """Take the arguments of `LoadedNet`, and the blob of embeddings."""
        self.asked = embeddings
        super().__init__(*arguments, **named)
        missing = [name for name in self.embeddings if name not in self.net.blobs]
        if missing:
            raise GraphError(f'the net has no blob "{missing[0]}". Name one of its blobs with --embeddings.')

    def kept_blobs(self) -> list[str]:
        """Embeddings, and the scores before a CRF."""
        net = self.deployed.net.message
        self.embeddings = [self.asked] if self.asked else embedding_blobs(net)
        if not self.embeddings:
            raise GraphError(
                "the net compares no embeddings: it has no layer Im2dist and no local CRF. Name the blob that is to be "
                "compared, of shape (1, channels, H, W), with --embeddings."
            )
        self.before = mean_field_input(net)
        made = {top for layer in net.layer for top in layer.top}
        return [*super().kept_blobs(), *({*self.embeddings, self.before} & made)]

    def answering_blob(self) -> str:
        """The scores; embeddings are none, and where nothing else is left they stand in."""
        found = [name for name in self.net.outputs if self.net.blobs[name].ndim == 4]
        found = [name for name in found if self.net.blobs[name].shape[1] > 1 and name not in self.embeddings]
        return super().answering_blob() if found else self.embeddings[0]

    @property
    def labels_pixels(self) -> bool:
        """Whether the net has scores, not embeddings alone."""
        return self.blob not in self.embeddings

    def look(self, name: str, image: Image, truth: Array | None = None) -> Scene:
        """Run the net over an image (H, W, C), BGR or gray, of which the label map may be known."""
        scores = self._run(image)
        if self.labels_pixels and len(scores) > _MOST_CLASSES:
            raise GraphError(
                f'the page shows up to {_MOST_CLASSES} classes. Received: scores "{self.blob}" of {len(scores)}; name '
                "other scores with --blob."
            )
        rows, cols = image.shape[:2]
        extent = self.input.shape[2:]
        labels = {} if truth is None else {"truth": truth}
        if self.labels_pixels:
            labels["prediction"] = scores.argmax(axis=0).astype(np.uint8)
            if self.before:
                before = resize_scores(self.net.blobs[self.before].data[0], *extent)[:, :rows, :cols]
                labels["before"] = before.argmax(axis=0).astype(np.uint8)
        embeddings = {one: self._embedding(one) for one in self.embeddings}
        return Scene(name, np.broadcast_to(image, (rows, cols, 3)), (extent[0], extent[1]), embeddings, labels)

    def views(self, scenes: Sequence[Scene]) -> list[View]:
        """The net's masks, before them one of the finest embeddings; sharpness by ``scenes`` where no mask says it."""
        net, blob = self.deployed.net.message, self.embeddings[0]
        parameters = {layer.param.name: layer.blobs for layer in self.net.layer_list if layer.blobs}
        found = [view for view in views_of(net, parameters) if view.embedding in self.embeddings]
        values = [scene.embeddings[blob] for scene in scenes]
        finest = finest_view(net, blob, found, 1 / max(1e-12, float(np.mean([_mean_distance(one) for one in values]))))
        return found if finest is None else [finest, *found]

    def _embedding(self, name: str) -> Array:
        values = self.net.blobs[name].data
        if values.ndim != 4 or len(values) != 1:
            raise GraphError(f'embeddings "{name}" must have the shape (1, channels, H, W). Received: {values.shape}.')
        if not np.isfinite(values).all():
            raise GraphError(
                f'embeddings "{name}" must be finite numbers. Received: NaN or infinity; do the weights fit?'
            )
        return np.array(values[0], np.float32)


def write_page(
    explorer: Explorer, scenes: Sequence[Scene], out: Path, title: str, scene_bytes: int = 9_900_000
) -> Path:
    """Write the page of a net and its images."""
    from segcaffe.data.files import write_bytes
    from segcaffe.viz.explore.page import page

    notes = explorer.notes
    maps = [label for one in scenes for label in one.labels.values()]
    largest = max((int(label[label != 255].max(initial=0)) for label in maps), default=0)
    colours = notes.colours()[: max(len(notes.class_names), largest + 1)]
    content = page(title, scenes, explorer.views(scenes), notes.class_names, colours, scene_bytes)
    write_bytes(out, content.encode(), "explore")
    return out


def _mean_distance(embedding: Array) -> float:
    """Mean L1 distance between cells some apart, or of all rows from the first where there are fewer."""
    apart = min(_APART, embedding.shape[2] - 1)
    return float(np.abs(embedding[:, :, apart:] - embedding[:, :, : embedding.shape[2] - apart]).sum(0).mean())
