"""Layer types that are not written as ONNX, each with its reason; docs/export.md lists them."""

from __future__ import annotations

_LATTICE = (
    "it filters by a permutohedral lattice, a table of the points that an image's colours hash to; operators have no "
    "tables that grow, and the Gaussian that the lattice stands for compares every pixel with every other"
)
_MATCHES = "it compares with true boxes, matching one by one, which belongs to training and judging"
_ALIGNMENTS = "it sums over all ways to stretch the labels over the steps, item by item, which belongs to training"
REASONS: dict[str, str] = {
    "AdaptiveBiasChannel": "it goes through an image's classes in an order that it draws at random",
    "Augmentation": "it changes images at random, which belongs to training",
    "BoxAnnotatorOHEM": "it sorts regions by their losses, which belongs to training",
    "CTCLoss": _ALIGNMENTS,
    "CtcLoss": _ALIGNMENTS,
    "ConnectedComponent": "it floods areas from pixel to pixel, as long as it takes",
    "DenseCRF": _LATTICE,
    "DetectionEvaluate": _MATCHES,
    "DetectionLoss": _MATCHES,
    "DetectionOutputExtended": "operators keep of a box no place in the grid; DetectionOutput is written",
    "EvalDetection": _MATCHES,
    "MalisLoss": "it joins areas edge by edge, the strongest first, which belongs to training",
    "MultiBoxLoss": _MATCHES,
    "MultiStageMeanfield": _LATTICE,
    "RandVec": "it draws its values anew in each pass; make it an Input layer",
    "RegionLoss": _MATCHES,
    "YoloSeg": "its loss belongs to training, and its gradient is not that of the loss",
    "Yolov3": _MATCHES,
}
"""By type; what is neither here nor registered fails the conformance test."""
