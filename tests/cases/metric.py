"""Cases of the layers that measure."""

from __future__ import annotations

from segcaffe.testing import LayerCase
from tests.cases.loss import labels

CASES = [
    LayerCase("Accuracy", bottoms=((6, 5), labels(6, classes=5)), batched=False),
    LayerCase("Accuracy", "accuracy_param { top_k: 3 }", ((6, 5), labels(6, classes=5)), suffix="top3", batched=False),
    LayerCase(
        "Accuracy",
        "accuracy_param { axis: 1 ignore_label: 255 }",
        ((2, 4, 3, 3), labels(2, 3, 3, classes=4, ignore=255)),
        tops=2,
        suffix="ignore_per_class",
        batched=False,
    ),
    LayerCase(
        "SegAccuracy",
        "seg_accuracy_param { ignore_label: 255 }",
        ((2, 4, 6, 5), labels(2, 1, 6, 5, classes=4, ignore=255)),
        batched=False,
    ),
    LayerCase(
        "SegAccuracy",
        "seg_accuracy_param { ignore_label: 255 ignore_label: 0 reset: false }",
        ((2, 4, 6, 5), labels(2, 6, 5, classes=4, ignore=255)),
        suffix="accumulated",
        batched=False,
        deterministic=False,
    ),
]
