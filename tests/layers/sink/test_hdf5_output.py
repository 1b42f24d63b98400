from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from segcaffe.errors import DataError, ShapeError
from segcaffe.testing import LayerCase


def test_batches_are_appended_and_can_be_read_between(tmp_path: Path) -> None:
    (tmp_path / "out.h5").write_text("what was there before")
    case = LayerCase("HDF5Output", f'hdf5_output_param {{ file_name: "{tmp_path}/out.h5" }}', ((2, 3, 1, 2), (2,)), 0)
    layer, bottom, _ = case.build()
    expected = []
    for k in range(3):
        bottom[0].data[...] += k
        expected.append(bottom[0].data.copy())
        layer.forward(bottom, [])
        with h5py.File(tmp_path / "out.h5", "r") as file:
            np.testing.assert_array_equal(file["data"], np.concatenate(expected))
            assert file["label"].shape == (2 * (k + 1), 1, 1, 1)


def test_batch_sizes_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="same batch size"):
        LayerCase("HDF5Output", f'hdf5_output_param {{ file_name: "{tmp_path}/o" }}', ((2, 3), (3,)), 0).build()


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    case = LayerCase("HDF5Output", f'hdf5_output_param {{ file_name: "{tmp_path}" }}', ((2, 3), (2,)), 0)
    layer, bottom, _ = case.build()
    with pytest.raises(DataError, match="cannot write"):
        layer.forward(bottom, [])


def test_a_file_name_is_needed() -> None:
    with pytest.raises(ShapeError, match="must have a file_name"):
        LayerCase("HDF5Output", "", ((2, 3), (2,)), 0).build()
