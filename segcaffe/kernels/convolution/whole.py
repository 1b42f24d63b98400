"""Convolution by a window as large as the image: an inner product of each image with each output's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.problem import Problem
from segcaffe.kernels.matmul import cpu as matmul
from segcaffe.kernels.vector.scratch import Bytes

Array = np.ndarray[Any, Any]


def fits(problem: Problem) -> bool:
    """Whether the output is one pixel, for which the window sees the image and nothing else."""
    forward = not problem.transposed and not problem.gradient and problem.group == 1
    return forward and problem.kernel == problem.source[2:] and not any(problem.pad)


@dataclass(frozen=True)
class Whole:
    """The output."""

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""
        images, outputs = target.shape[:2]
        sums = target.reshape(images, outputs)
        matmul.multiply(source.reshape(images, -1), weight.reshape(outputs, -1), sums, trans_b=True)
        if epilogue.addend is None:
            matmul.finish(sums, epilogue.bias, epilogue.scale, epilogue.slope)
            return
        for number, image in enumerate(target):
            epilogue.apply_to_image(image, image=number)

    def workspace(self) -> Bytes:
        """None."""
        return {}
