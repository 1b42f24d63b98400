"""Palette PNGs are read as indices, and as the palette's colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.data.label_files import read_labels
from segcaffe.data.palettes import voc_palette
from segcaffe.data.png import write_label
from segcaffe.errors import DataError


def test_indices_and_colours(tmp_path: Path) -> None:
    label = np.arange(256).reshape(8, 32)
    write_label(tmp_path / "new" / "a.png", label, "test")
    np.testing.assert_array_equal(read_labels(tmp_path / "new/a.png", "test"), label)
    colours = cv2.imread(str(tmp_path / "new/a.png"))[..., ::-1]
    np.testing.assert_array_equal(colours, voc_palette()[label])


@pytest.mark.parametrize("value", [-1, 256])
def test_labels_that_do_not_fit(value: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0\.\.255"):
        write_label(tmp_path / "a.png", np.full((2, 2), value), "test")
    assert not (tmp_path / "a.png").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_label(tmp_path / "file" / "a.png", np.zeros((2, 2)), "test")


def test_a_link_of_that_name_is_not_followed(tmp_path: Path) -> None:
    """Label maps are written beside data sets of others, under names that these have."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(DataError, match="through links"):
        write_label(tmp_path / "labels" / "a.png", np.zeros((2, 2), np.uint8), "import")
    assert not (tmp_path / "outside.png").exists()
