"""Inputs and calls whose answers pydensecrf 1.0rc3 gave (``recorded.npz``); either package runs them.

``python -m tests.densecrf.cases FILE``, where pydensecrf is installed, records them anew. The image has a multiple of 4
pixels: pydensecrf fills other numbers up with points at the origin, which changes its results there.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
HEIGHT, WIDTH, CLASSES = 12, 14, 4
NORMALIZATIONS = ("NO_NORMALIZATION", "NORMALIZE_BEFORE", "NORMALIZE_AFTER", "NORMALIZE_SYMMETRIC")


def run(dcrf: Any, utils: Any) -> dict[str, Array]:
    """Every call, under either package's modules."""
    random = np.random.RandomState(0)
    image = random.randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    image[:, :7] //= 4
    unary = -np.log(random.dirichlet(np.ones(CLASSES), HEIGHT * WIDTH).T)
    unary = np.ascontiguousarray(unary, np.float32)
    compats = {"potts": 3.0, "diagonal": random.rand(CLASSES).astype(np.float32)}
    compats["matrix"] = random.randn(CLASSES, CLASSES).astype(np.float32)
    out: dict[str, Array] = {}
    for name, compat in compats.items():
        for normalization in NORMALIZATIONS:
            crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, CLASSES)
            crf.setUnaryEnergy(unary)
            options = {"compat": compat, "normalization": getattr(dcrf, normalization)}
            crf.addPairwiseGaussian(sxy=(3, 2), kernel=dcrf.DIAG_KERNEL, **options)
            crf.addPairwiseBilateral(sxy=(9, 8), srgb=(13, 12, 11), rgbim=image, kernel=dcrf.DIAG_KERNEL, **options)
            out[f"{name}/{normalization}"] = np.array(crf.inference(3))
            q, tmp1, tmp2 = crf.startInference()
            crf.stepInference(q, tmp1, tmp2)
            out[f"{name}/{normalization}/step"] = np.array(q)
            out[f"{name}/{normalization}/kl"] = np.array(crf.klDivergence(q))
    labels = np.random.RandomState(1).randint(0, CLASSES + 1, (HEIGHT, WIDTH))
    out["labels"] = utils.unary_from_labels(labels, CLASSES, 0.7)
    out["labels from 0"] = utils.unary_from_labels(labels % CLASSES, CLASSES, 0.7, zero_unsure=False)
    probabilities = np.random.RandomState(2).dirichlet(np.ones(CLASSES), (HEIGHT, WIDTH)).transpose(2, 0, 1)
    out["softmax"] = utils.unary_from_softmax(probabilities)
    out["softmax, half sure"] = utils.unary_from_softmax(probabilities, 0.5)
    out["positions"] = utils.create_pairwise_gaussian((3, 2), (HEIGHT, WIDTH))
    out["colors"] = utils.create_pairwise_bilateral((3, 2), (5, 6, 7), image, 2)
    crf = dcrf.DenseCRF(HEIGHT * WIDTH, CLASSES)
    crf.setUnaryEnergy(unary)
    crf.addPairwiseEnergy(out["colors"], compat=2.0)
    out["points"] = np.array(crf.inference(2))
    return out


if __name__ == "__main__":
    np.savez_compressed(sys.argv[1], **run(*map(importlib.import_module, ("pydensecrf.densecrf", "pydensecrf.utils"))))
