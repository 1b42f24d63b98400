"""OpenCV's own threads follow ours, and do not come on top of the data layers'."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from segcaffe.data.images import resize
from segcaffe.data.loader import BatchLoader, ListFeed
from segcaffe.threads import parallel

IMAGE = np.zeros((40, 50, 3), np.float32)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = parallel.num_threads()
    yield
    parallel.set_num_threads(before)
    resize(IMAGE, 20, 30)


@pytest.mark.parametrize("count", [1, 3, 2])
def test_opencv_uses_as_many_threads_as_the_kernels(count: int) -> None:
    parallel.set_num_threads(count)
    resize(IMAGE, 20, 30)
    assert cv2.getNumThreads() == count


def test_one_beside_threads_that_read_images() -> None:
    parallel.set_num_threads(2)
    seen: list[int] = []

    def load(entry: int, random: np.random.Generator) -> tuple[np.ndarray, ...]:
        made = resize(IMAGE, 20, 30)
        seen.append(cv2.getNumThreads())
        return (made,)

    loader = BatchLoader(ListFeed([0, 1, 2], shuffle=False), load, 2, "test", workers=2)
    loader.next()
    assert set(seen) == {1}
    resize(IMAGE, 20, 30)
    assert cv2.getNumThreads() == 1
    loader.close()
    resize(IMAGE, 20, 30)
    assert cv2.getNumThreads() == 2


def test_setting_threads_imports_no_opencv() -> None:
    code = (
        "import sys, segcaffe; from segcaffe.threads import parallel; import segcaffe.data.opencv;"
        "parallel.set_num_threads(1); sys.exit('cv2' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
