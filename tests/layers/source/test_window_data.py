from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.data.warp import warp
from segcaffe.data.windows import Window
from segcaffe.errors import DataError
from segcaffe.testing import LayerCase

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def window(x1: int, y1: int, x2: int, y2: int) -> Window:
    return Window("im.png", 1, 1.0, x1, y1, x2, y2, "windows.txt:1")


def test_warping_stretches_to_the_square() -> None:
    found = warp(IMAGE, window(3, 4, 12, 7), 8, 0, False, False, "layer")
    np.testing.assert_array_equal(found.pixels, cv2.resize(IMAGE[4:8, 3:13], (8, 8)))
    mirrored = warp(IMAGE, window(3, 4, 12, 7), 8, 0, False, True, "layer")
    np.testing.assert_array_equal(mirrored.pixels, found.pixels[:, ::-1])


def test_context_shows_the_surroundings() -> None:
    # 10 x 4 pixels; 2 of 8 pixels on each side: twice the window, from -2.. to 17.. and from 2 to 10.
    found = warp(IMAGE, window(3, 4, 12, 7), 8, 2, False, False, "layer")
    # The columns -2 and -1 do not exist: 2 of 21, so 1 of 8.
    np.testing.assert_array_equal(found.pixels, cv2.resize(IMAGE[2:11, 0:19], (7, 8)))
    assert (found.top, found.left) == (0, 1)
    assert warp(IMAGE, window(3, 4, 12, 7), 8, 2, False, True, "layer").left == 0


def test_squares_are_not_distorted() -> None:
    found = warp(IMAGE, window(10, 5, 19, 8), 11, 0, True, False, "layer")
    np.testing.assert_array_equal(found.pixels, cv2.resize(IMAGE[2:13, 10:21], (11, 11)))


@pytest.mark.parametrize("corners", [(-1, 0, 5, 5), (0, 0, 30, 5), (0, 20, 5, 25)])
def test_windows_outside_the_image(corners: tuple[int, int, int, int]) -> None:
    with pytest.raises(DataError, match=r'windows.txt:1: the window must lie inside the image "im.png".*20 rows'):
        warp(IMAGE, window(*corners), 8, 0, False, False, "layer")


def build(folder: Path, lines: str, options: str = "") -> tuple[np.ndarray, np.ndarray]:
    (folder / "w.txt").write_text(lines)
    cv2.imwrite(str(folder / "im.png"), IMAGE)
    param = (
        f'window_data_param {{ source: "{folder}/w.txt" root_folder: "{folder}/" batch_size: 8 scale: 2 {options} }}'
    )
    layer, _, top = LayerCase("WindowData", f"{param} transform_param {{ crop_size: 5 }}", (), 2).build()
    layer.forward([], top)
    return top[0].data, top[1].data


HEAD = "# 0\nim.png\n3\n20\n30\n"


def test_background_comes_first_and_has_label_0(tmp_path: Path) -> None:
    lines = HEAD + "3\n4 0.9 0 0 4 4\n4 0.5 5 0 9 4\n7 0.2 10 0 14 4\n"
    data, labels = build(tmp_path, lines, "fg_threshold: 0.6 bg_threshold: 0.3 cache_images: true")
    assert labels.tolist() == [0] * 6 + [4] * 2
    np.testing.assert_array_equal(data[0], 2.0 * IMAGE[:5, 10:15].transpose(2, 0, 1))
    np.testing.assert_array_equal(data[7], 2.0 * IMAGE[:5, :5].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (HEAD + "1\n1 0.9 0 0 4 4\n", "6 background windows and the window file has none"),
        (HEAD + "1\n0 0.1 0 0 4 4\n", "2 foreground windows and the window file has none"),
        (HEAD + "2\n0 0.1 0 0 4 4\n0 0.9 0 0 4 4\n", "w.txt:8: a foreground window needs a label of at least 1"),
        (HEAD + "2\n1 0.9 0 0 4 4\n", "w.txt:1: an image needs its name"),
        (HEAD + "1\n1 0.9 0 0 4\n", "w.txt:1: an image needs its name"),
        ("im.png\n", 'must start with "# index"'),
        (HEAD.replace("3\n20", "4\n20") + "0\n", r"Received: \[4\]"),
    ],
)
def test_window_files_that_cannot_be_used(tmp_path: Path, lines: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        build(tmp_path, lines)
