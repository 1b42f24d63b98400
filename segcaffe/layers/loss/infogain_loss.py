"""InfogainLoss: softmax loss in which every pair of true and predicted class has a weight of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from google.protobuf.message import DecodeError

from segcaffe.blob.proto import array_of
from segcaffe.device.mode import Array
from segcaffe.errors import DataError
from segcaffe.files.regular import read_bytes
from segcaffe.kernels import channelwise, elementwise, softmax
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.loss.class_labels import (
    SMALLEST_LOG,
    check_label_count,
    class_layout,
    class_numbers,
    ignored,
)
from segcaffe.layers.loss.normalization import normalization_mode, normalizer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2
from segcaffe.proto.encoding import to_native


@register
class InfogainLoss(LossLayer):
    """Loss = - sum over positions and classes c of H[label, c] log max(p[c], 1e-20), over a normalizer.

    bottom: scores (..., C, ...) with the classes on infogain_loss_param.axis (p is their softmax), labels (as many as
    positions), optionally H (C * C elements; otherwise read from infogain_loss_param.source, a binary BlobProto).
    top: scalar; optionally the probabilities. With H the identity this is SoftmaxWithLoss.
    """

    label_options = "loss_param"
    other_options = ("loss_param",)
    bottom_count = (2, 3)
    top_count = (1, 2)
    replayable = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the axis, the label to ignore, the normalization and, without a third bottom, the matrix."""
        param = self.param.loss_param
        self.axis: int = self.param.infogain_loss_param.axis
        self.ignore = ignored(self)
        self.normalization = normalization_mode(param)
        self.read_matrix = None if len(bottom) > 2 else self._read_matrix()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check labels and matrix against the scores."""
        check_label_count(self, bottom[0], bottom[1], self.axis)
        self.layout = class_layout(self, bottom[0], self.axis)
        classes = self.layout[1]
        shape = bottom[2].shape if self.read_matrix is None else self.read_matrix.shape
        count = bottom[2].count if self.read_matrix is None else self.read_matrix.size
        if count != classes * classes:
            raise self.fail(f"H needs {classes} x {classes} elements, one for each pair of classes", f"shape {shape}")
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape_like(bottom[0])
        self.prob, self.row, self.logs = (self.own_blob(name, self.layout) for name in ("prob", "row", "logs"))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute probabilities and loss; DataError where a label is no class."""
        outer, classes, inner = self.layout
        prob = self.prob.array
        softmax.forward(bottom[0].array.reshape(self.layout), prob)
        label = class_numbers(self, bottom[1], classes, self.ignore).reshape(outer, inner)
        self.counts = label >= 0
        self._look_up(self._matrix(bottom, classes), label)
        logs, loss = self.logs.array, self.xp.empty(1, np.float64)
        elementwise.logarithm(prob, 1.0, 0.0, 1.0, logs)
        self.xp.maximum(logs, math.log(SMALLEST_LOG), out=logs)
        channelwise.channel_dot(self.row.array.reshape(1, 1, -1), logs.reshape(1, 1, -1), loss)
        self.normalizer = normalizer(self.normalization, outer, inner, int(self.counts.sum()), self.training)
        top[0].array[...] = -loss[0] / self.normalizer
        if len(top) > 1:
            top[1].array = prob.reshape(bottom[0].shape)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient p sum(H[label]) - H[label], times loss weight over normalizer."""
        if propagate_down[0]:
            scale = float(top[0].diff) / self.normalizer
            dx = bottom[0].grad.reshape(self.layout)
            self.xp.multiply(self.prob.array, self.row_sum * self.dtype.type(scale), out=dx)
            elementwise.combine(dx, 1.0, self.row.array, -scale, dx)

    def _look_up(self, matrix: Array, label: Array) -> None:
        """Keep H[label] as (outer, C, inner) and its sums over C; 0 where the label is ignored."""
        row = self.row.array
        for n, labels in enumerate(label):
            row[n] = self.xp.take(matrix.T, labels, axis=1)
        self.row_sum = matrix.sum(axis=1)[label][:, None]
        if not bool(self.counts.all()):
            row *= self.counts[:, None]
            self.row_sum *= self.counts[:, None]

    def _matrix(self, bottom: Blobs, classes: int) -> Array:
        source = bottom[2].array if self.read_matrix is None else self.read_matrix
        return self.xp.asarray(source, self.dtype).reshape(classes, classes)

    def _read_matrix(self) -> Array:
        source = to_native(self.param.infogain_loss_param.source)
        where = f'{self.where}: infogain_loss_param.source "{source}"'
        if not source:
            raise self.fail("needs the matrix H: a third bottom, or infogain_loss_param { source: FILE }", "neither")
        try:
            message = caffe_pb2.BlobProto.FromString(read_bytes(source))
        except (OSError, DecodeError) as error:
            raise DataError(f"{where} must be a readable binary BlobProto file. Received: {error}.") from error
        return array_of(message, where)
