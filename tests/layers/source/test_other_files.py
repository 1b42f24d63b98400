"""FloData, MatRead and Data: what is wrong with a file is said."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from segcaffe.data.mat import read_mat
from segcaffe.errors import DataError
from segcaffe.testing import LayerCase


def test_flow_is_read_pixel_by_pixel(tmp_path: Path) -> None:
    flow = np.random.default_rng(0).standard_normal((3, 4, 2)).astype("<f4")
    (tmp_path / "a.flo").write_bytes(struct.pack("<fii", 202021.25, 4, 3) + flow.tobytes())
    (tmp_path / "list.txt").write_text("a.flo")
    options = f'image_data_param {{ source: "{tmp_path}/list.txt" root_folder: "{tmp_path}/" }}'
    layer, _, top = LayerCase("FloData", options, ()).build()
    layer.forward([], top)
    np.testing.assert_array_equal(top[0].data[0], flow.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PIEH", "not a .flo file"),
        (struct.pack("<fii", 1.0, 4, 3) + bytes(96), "not a .flo file"),
        (struct.pack("<fii", 202021.25, 4, 3) + bytes(95), "it says 4 x 3 pixels and has 107 bytes, where 108"),
        (struct.pack("<fii", 202021.25, -4, 3) + bytes(96), "it says -4 x 3 pixels"),
    ],
)
def test_damaged_flow(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.flo").write_bytes(content)
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.flo")
    with pytest.raises(DataError, match=rf"list.txt:1: .*{reason}"):
        LayerCase("FloData", f'image_data_param {{ source: "{tmp_path}/list.txt" }}', ()).build()


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("other", np.zeros((2, 3)), 'must hold a numeric variable "data"'),
        ("data", np.zeros((2, 3, 1, 1, 2)), "at most 4 axes"),
        ("data", np.zeros((2, 3, 1, 2)), r"one item, W x H x C x 1. Received: \(2, 3, 1, 2\)"),
        ("data", "text", "must hold a numeric variable"),
    ],
)
def test_mat_files_that_cannot_be_used(tmp_path: Path, name: str, values: object, reason: str) -> None:
    savemat(tmp_path / "a_blob_0.mat", {name: values})
    (tmp_path / "ids.txt").write_text("a.jpg\n")
    options = f'mat_read_param {{ source: "{tmp_path}/ids.txt" prefix: "{tmp_path}/" strip: 4 }}'
    with pytest.raises(DataError, match=reason):
        LayerCase("MatRead", options, ()).build()


def test_a_mat_file_that_is_cut_off(tmp_path: Path) -> None:
    """Wherever it ends, the error is ours and names the file."""
    path = tmp_path / "x.mat"
    savemat(path, {"data": np.random.default_rng(0).normal(size=(5, 4))}, do_compression=True)
    whole = path.read_bytes()
    for size in (3, 120, 127, 130, len(whole) - 9):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"x\.mat"):
            read_mat(path, "test")


def test_what_is_no_mat_file(tmp_path: Path) -> None:
    (tmp_path / "a_blob_0.mat").write_bytes(b"this is text and long enough for a header" * 10)
    (tmp_path / "ids.txt").write_text("a\n")
    options = f'mat_read_param {{ source: "{tmp_path}/ids.txt" prefix: "{tmp_path}/" }}'
    with pytest.raises(DataError, match="not a MATLAB file of version 5"):
        LayerCase("MatRead", options, ()).build()


def test_force_color_and_force_gray_exclude_each_other() -> None:
    with pytest.raises(DataError, match="force_color or force_gray, not both"):
        LayerCase("Data", "transform_param { force_color: true force_gray: true }", ()).build()
