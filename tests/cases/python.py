"""Cases of layers written by users: the classes below are their code."""

from __future__ import annotations

import segcaffe
from segcaffe.testing import LayerCase


class TimesParameter(segcaffe.Layer):
    """Top = bottom times factor (from param_str) times a parameter."""

    def setup(self, bottom, top):
        self.factor = float(self.param_str)
        self.blobs.add_blob(1)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
        self.values = None

    def forward(self, bottom, top):
        self.values = bottom[0].data.copy()
        top[0].data[...] = self.factor * self.blobs[0].data[0] * self.values

    def backward(self, top, propagate_down, bottom):
        grad = top[0].diff.copy()
        self.blobs[0].diff[...] += self.factor * (self.values * grad).sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * self.blobs[0].data[0] * grad


CASES = [
    LayerCase("Python", f'python_param {{ module: "{__name__}" layer: "TimesParameter" param_str: "3" }}', ((2, 3, 4),))
]
