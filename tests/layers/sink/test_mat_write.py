from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from segcaffe.blob import Blob
from segcaffe.errors import DataError, ShapeError
from segcaffe.layers.base import Layer
from segcaffe.testing import LayerCase


def build(options: str, shape: tuple[int, ...] = (2, 3)) -> tuple[Layer, list[Blob]]:
    layer, bottom, _ = LayerCase("MatWrite", f"mat_write_param {{ {options} }}", (shape,), 0).build()
    return layer, bottom


def test_axes_are_reversed_and_missing_ones_added(tmp_path: Path) -> None:
    layer, bottom = build(f'prefix: "{tmp_path}/a/b/x_"')
    layer.forward(bottom, [])
    found = loadmat(tmp_path / "a/b/x_iter_0_blob_0.mat")["data"]
    assert (found.shape, found.dtype) == ((1, 1, 3, 2), np.float32)
    np.testing.assert_array_equal(found[0, 0].T, bottom[0].data)


def test_ids_strip_and_period(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a.jpg 1\r\n\r\nb.jpg\nc.jpg\n")
    layer, bottom = build(f'prefix: "{tmp_path}/" source: "{tmp_path}/ids.txt" strip: 4 period: 2')
    for _ in range(4):
        layer.forward(bottom, [])
    assert sorted(path.name for path in tmp_path.glob("*.mat")) == ["a_blob_0.mat", "c_blob_0.mat"]
    with pytest.raises(DataError, match="names 3 files, and this is forward pass 5"):
        layer.forward(bottom, [])


def test_existing_files_are_left_alone_and_that_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (0, 1):
        (tmp_path / f"iter_{number}_blob_0.mat").write_text("mine")
    layer, bottom = build(f'prefix: "{tmp_path}/"')
    for _ in range(3):
        layer.forward(bottom, [])
    assert (tmp_path / "iter_0_blob_0.mat").read_text() == "mine"
    assert loadmat(tmp_path / "iter_2_blob_0.mat")["data"].size == 6
    assert caplog.text.count('iter_0_blob_0.mat" exists and is left as it is') == 1
    assert "iter_1_blob_0" not in caplog.text


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    layer, bottom = build(f'prefix: "{tmp_path}/file/x"')
    with pytest.raises(DataError, match=r'layer "layer" \(MatWrite\): cannot write ".*/file/xiter_0_blob_0.mat"'):
        layer.forward(bottom, [])


@pytest.mark.parametrize(("options", "reason"), [("period: 0", "period"), ("period: -1", "period")])
def test_the_period_is_positive(options: str, reason: str) -> None:
    with pytest.raises(ShapeError, match=f"{reason} must be at least 1"):
        build(options)


def test_stripping_must_leave_something(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("ab.jpg\n.jpg\n")
    with pytest.raises(DataError, match=r'ids.txt:2: strip 4 leaves nothing of ".jpg"'):
        build(f'source: "{tmp_path}/ids.txt" strip: 4')
    with pytest.raises(DataError, match=r"0 or more. Received: -1"):
        build(f'source: "{tmp_path}/ids.txt" strip: -1')


def test_five_axes_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="at most 4 axes"):
        build("", (1, 1, 1, 1, 2))


@pytest.mark.parametrize("name", ["../a", "b/../../a", "link/a"])
def test_ids_stay_in_the_folder_of_the_prefix(name: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "link").symlink_to(tmp_path)
    (tmp_path / "ids.txt").write_text(f"fine\n{name}\n")
    with pytest.raises(DataError, match=r'layer "layer" \(MatWrite\): .* would be written outside of ".*/inner"'):
        build(f'prefix: "{tmp_path}/inner/" source: "{tmp_path}/ids.txt"')


def test_an_absolute_id_behind_no_prefix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text(f"{tmp_path}/a\n")
    with pytest.raises(DataError, match="as absolute paths"):
        build(f'source: "{tmp_path}/ids.txt"')


def test_ids_may_name_folders_below_and_the_prefix_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "known").symlink_to("real")
    (tmp_path / "ids.txt").write_text("a/b\n")
    layer, bottom = build(f'prefix: "{tmp_path}/known/x_" source: "{tmp_path}/ids.txt"')
    layer.forward(bottom, [])
    assert (tmp_path / "real" / "x_a" / "b_blob_0.mat").is_file()


def test_a_link_that_appears_later_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    layer, bottom = build(f'prefix: "{tmp_path}/inner/"')
    (tmp_path / "inner" / "iter_0_blob_0.mat").symlink_to(tmp_path / "outside.mat")
    with pytest.raises(DataError, match="through links"):
        layer.forward(bottom, [])
    assert not (tmp_path / "outside.mat").exists()
