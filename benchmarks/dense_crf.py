"""`segcaffe.densecrf` beside pydensecrf, one thread, processor time, by turns in one process.

``python -m benchmarks.dense_crf [--runs 7] [--write]`` where pydensecrf, built from its sources, can be imported.
21 classes, 500x375 pixels, a Gaussian and a bilateral potential, five iterations.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.page import write_rows
from segcaffe import densecrf
from segcaffe.densecrf import utils
from segcaffe.threads import parallel

WIDTH, HEIGHT, CLASSES, ITERATIONS = 500, 375, 21, 5
Array = np.ndarray[Any, Any]


def scene() -> tuple[Array, Array]:
    """An image of coloured tiles with noise (H, W, 3), and energies of unsure scores (classes, H * W)."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    labels = (columns // 60 + rows // 75) % CLASSES
    colors = np.stack([labels * factor % 256 for factor in (11, 37, 71)], axis=-1)
    image = gaussian_filter((colors + rng.normal(0, 8, colors.shape)).clip(0, 255), (1, 1, 0))
    scores = rng.standard_normal((CLASSES, HEIGHT, WIDTH))
    scores += 1.5 * (np.arange(CLASSES)[:, None, None] == labels)
    probabilities = np.exp(scores) / np.exp(scores).sum(0)
    return np.ascontiguousarray(image.astype(np.uint8)), np.ascontiguousarray(utils.unary_from_softmax(probabilities))


def infer(package: Any, image: Array, unary: Array) -> tuple[Array, list[float]]:
    """The probabilities, and the seconds that lattices and iterations took."""
    times = [time.process_time()]
    crf = package.DenseCRF2D(WIDTH, HEIGHT, CLASSES)
    crf.setUnaryEnergy(unary)
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=image, compat=10)
    times.append(time.process_time())
    found = np.array(crf.inference(ITERATIONS))
    times.append(time.process_time())
    return found, [*np.diff(times)]


def main() -> None:
    """Print, or write, one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="put the row into docs/performance-functional.md")
    options = parser.parse_args()
    try:
        import pydensecrf.densecrf
    except ImportError as error:
        parser.error(f"pydensecrf cannot be imported ({error})")
    parallel.set_num_threads(1)
    given = scene()
    runs: list[Callable[[], tuple[Array, list[float]]]] = [
        lambda: infer(densecrf, *given),
        lambda: infer(pydensecrf.densecrf, *given),
    ]
    found, wanted = (run()[0] for run in runs)
    times: list[list[list[float]]] = [[], []]
    for _ in range(options.runs):
        for run, kept in zip(runs, times, strict=True):
            kept.append(run()[1])
    parts = [f"{1e3 * median(part):.0f}" for kept in times for part in zip(*kept, strict=True)]
    ratio = median(sum(theirs) / sum(ours) for ours, theirs in zip(*times, strict=True))
    name = f"{CLASSES} classes, {WIDTH}x{HEIGHT}, {ITERATIONS} iterations"
    row = f"| {name} | {' | '.join(parts)} | {ratio:.2f} | {np.abs(found - wanted).max():.0e} |"
    print(row)
    if options.write:
        write_rows("performance-functional", "dense crf", [row])


if __name__ == "__main__":
    main()
