"""LabelSpecificAdd: a margin for the score of the right class."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class LabelSpecificAdd(Layer):
    """TRAIN: the score of an item's label less |bias|, where it is larger than that. TEST: the scores as they are.

    bottom: scores (N, C), also in place, and labels (N);  top: scores. Gradients pass as they are. The additive margin
    of AM-Softmax (Wang et al., 2018), as OpenVINO's training has it.
    """

    bottom_count = (2, 2)
    gradient_to = (0,)
    in_place = True
    backward_reads = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the margin."""
        options = self.param.label_specific_add_param
        given = [field.name for field, _ in options.ListFields() if field.name not in ("bias", "transform_test")]
        if given:
            raise self.fail("a margin that grows while training is not built; give bias alone.", ", ".join(given))
        self.bias = abs(options.bias)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is a label for each item."""
        scores, labels = bottom
        if scores.ndim < 2 or labels.count != scores.shape[0]:
            raise self.fail("needs scores (N, C) and N labels.", f"shapes {scores.shape} and {labels.shape}")
        if top[0] is not scores:
            top[0].reshape_like(scores)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Subtract the margin."""
        if top[0] is not bottom[0]:
            copy.copy(bottom[0].array, top[0].array)
        if not self.training or not top[0].count:
            return
        y = top[0].array.reshape(len(top[0].array), -1)
        labels = bottom[1].array.reshape(-1).astype(self.xp.int64)
        if not (labels.min() >= 0 and labels.max() < y.shape[1]):
            rule = f"labels must lie in [0, {y.shape[1]}), the number of scores."
            raise self.fail(rule, f"labels from {int(labels.min())} to {int(labels.max())}")
        items = self.xp.arange(len(y))
        right = y[items, labels]
        y[items, labels] = self.xp.where(right > self.bias, right - self.bias, right)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The same gradient."""
        if propagate_down[0] and top[0] is not bottom[0]:
            copy.copy(top[0].grad, bottom[0].grad)
