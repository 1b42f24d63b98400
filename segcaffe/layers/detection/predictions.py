"""What the bottoms of a DetectionOutput are: a detector's predictions, from one blob each or from one for each map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from segcaffe.blob import Blob
from segcaffe.layers.base import Blobs, Layer
from segcaffe.proto.caffe_pb2 import DetectionOutputParameter

Array = np.ndarray[Any, Any]


class Predictions(NamedTuple):
    """Values of a batch of N items, for P priors, C classes, and S boxes a prior (1 or C).

    Attributes
    ----------
    locations, confidences:
        (N, P, S, 4) and (N, P, C).
    priors, variances:
        (P, 4).
    objectness:
        (N, P), or None: how likely a prior has an object at all.
    shifts:
        (N, P, 4), or None: where an earlier stage moved the priors.   [RefineDet: Zhang et al., CVPR 2018].
    """

    locations: Array
    confidences: Array
    priors: Array
    variances: Array
    objectness: Array | None
    shifts: Array | None


class Bottoms:
    """Sorts a layer's bottoms, checks their sizes and reads them.

    Fewer than ``nbottom`` bottoms are locations, confidences, priors, and then objectness and shifts, or images. More
    are ``nbottom`` confidences, as many locations, and priors, one for each or one for all.   [Synopsys' Caffe].

    Attributes
    ----------
    parts:
        Which bottoms are locations, confidences and priors.
    first_stage:
        Which are objectness and shifts.
    slots:
        How many boxes a prior has.
    as_maps:
        Whether locations and confidences are as convolutions leave them.
    """

    def __init__(self, layer: Layer, options: DetectionOutputParameter, bottom: Blobs) -> None:
        self._layer, self._classes = layer, options.num_classes
        self.slots = 1 if options.share_location else options.num_classes
        maps, count = options.nbottom, len(bottom)
        self.several = 3 <= maps <= count
        self.as_maps = options.no_permute and self.several
        if self.several and count not in (2 * maps + 1, 3 * maps):
            raise layer.fail(
                f"takes locations, confidences, priors and up to two more bottoms, or {maps} confidences, {maps} "
                f"locations and priors (detection_output_param.nbottom is {maps})",
                f"{count} bottoms",
            )
        if count > 5 and not self.several:
            raise layer.fail(f"takes 3 to 5 bottoms where nbottom is {maps}", f"{count} bottoms")
        if self.several:
            self.parts = slice(maps, 2 * maps), slice(maps), slice(2 * maps, None)
        else:
            self.parts = slice(1), slice(1, 2), slice(2, 3)
        # A fourth bottom is SSD's, images to draw boxes in, unless the options are of a net with two stages.
        has_stages = count == 5 or (count == 4 and options.HasField("objectness_score") and not options.visualize)
        self.first_stage = slice(3, 5) if has_stages and not self.several else slice(0)

    def check(self, bottom: Blobs) -> int:
        """Return the number of priors; ShapeError where sizes do not fit."""
        locations, confidences, priors = (bottom[part] for part in self.parts)
        for blob in priors:
            if blob.ndim != 3 or blob.shape[:2] != (1, 2) or blob.shape[2] % 4:
                raise self._fail(bottom, blob, "priors and variances, must be (1, 2, 4 P)")
        count = sum(blob.shape[2] // 4 for blob in priors)
        if not locations[0].shape:
            raise self._fail(bottom, locations[0], "the locations, must have a batch axis")
        items = locations[0].shape[0]
        self._check_maps(bottom, locations, confidences)
        wanted = (4 * self.slots * count, self._classes * count)
        for blobs, total in zip((locations, confidences), wanted, strict=True):
            if self.several and (sum(blob.count for blob in blobs) != total * items or _items(blobs) != {items}):
                where = f"bottoms {_index(bottom, blobs[0])} to {_index(bottom, blobs[-1])}"
                raise self._layer.fail(
                    f"for {count} priors and {self._classes} classes {where} must have {total} numbers an item",
                    [blob.shape for blob in blobs],
                )
            if not self.several and (blobs[0].shape[:1] != (items,) or blobs[0].count != total * items):
                rule = f"for {count} priors and {self._classes} classes bottom {_index(bottom, blobs[0])} must be"
                raise self._layer.fail(f"{rule} (N, {total})", f"shape {blobs[0].shape}")
        for blob, width in zip(bottom[self.first_stage], (2, 4), strict=False):
            if blob.shape[:1] != (items,) or blob.count != items * width * count:
                raise self._fail(bottom, blob, f"of an earlier stage, must be (N, {width * count})")
        return count

    def read(self, bottom: Blobs, count: int) -> Predictions:
        """The values of ``count`` priors."""
        locations, confidences, priors = (bottom[part] for part in self.parts)
        items = locations[0].shape[0]
        boxes = [blob.data.reshape(2, -1, 4) for blob in priors]
        anchors, variances = boxes[0] if len(boxes) == 1 else np.concatenate(boxes, axis=1)
        more = [blob.data.reshape(items, count, -1) for blob in bottom[self.first_stage]]
        return Predictions(
            _joined([self._boxes(blob) for blob in locations]),
            _joined([self._scores(blob) for blob in confidences]),
            anchors,
            variances,
            more[0][:, :, 1] if more else None,
            more[1] if len(more) > 1 else None,
        )

    def _check_maps(self, bottom: Blobs, locations: Blobs, confidences: Blobs) -> None:
        """Of maps as convolutions leave them the axes count, too."""
        if not self.as_maps:
            return
        for boxes, scores in zip(locations, confidences, strict=True):
            if boxes.ndim != 4 or boxes.shape[1] % (4 * self.slots):
                raise self._fail(bottom, boxes, f"with no_permute, must be (N, R {4 * self.slots}, H, W)")
            ratios = boxes.shape[1] // (4 * self.slots)
            wanted = (self._classes, ratios, boxes.shape[2] * boxes.shape[3])
            if scores.shape[1:] != wanted:
                raise self._fail(bottom, scores, f"with no_permute, must be (N, {', '.join(map(str, wanted))})")

    def _boxes(self, blob: Blob) -> Array:
        """Locations (N, P, S, 4)."""
        values = blob.data
        if self.as_maps:
            items, height, width = blob.shape[0], *blob.shape[2:]
            # Boxes of one place, one for each ratio, stand together, as the priors do.
            values = values.reshape(items, -1, self.slots, 4, height * width).transpose(0, 4, 1, 2, 3)
        return values.reshape(blob.shape[0], -1, self.slots, 4)

    def _scores(self, blob: Blob) -> Array:
        """Confidences (N, P, C)."""
        values = blob.data.transpose(0, 3, 2, 1) if self.as_maps else blob.data
        return values.reshape(blob.shape[0], -1, self._classes)

    def _fail(self, bottom: Blobs, blob: Blob, rule: str) -> Exception:
        return self._layer.fail(
            f"bottom {_index(bottom, blob)}, {rule}", f"shape {blob.shape}" if blob.shape else "a scalar"
        )


def _index(bottom: Blobs, blob: Blob) -> int:
    return next(i for i, each in enumerate(bottom) if each is blob)


def _items(blobs: Blobs) -> set[int]:
    return {blob.shape[0] if blob.shape else -1 for blob in blobs}


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
