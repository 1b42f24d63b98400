"""Layers that write files: another process that writes the same ones is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.errors import LockedError
from segcaffe.testing.layer_case import LayerCase
from tests.files.others import another_process_writes


@pytest.mark.parametrize(
    ("case", "target", "inside"),
    [
        (LayerCase("HDF5Output", 'hdf5_output_param { file_name: "out.h5" }', ((2, 3), (2,)), 0), "out.h5", False),
        (LayerCase("MatWrite", 'mat_write_param { prefix: "out/x_" }', ((2, 3),), 0), "out", False),
        (LayerCase("MatWrite", 'mat_write_param { prefix: "out/" }', ((2, 3),), 0), "out", False),
        (LayerCase("MatWrite", 'mat_write_param { prefix: "x_" }', ((2, 3),), 0), "x_", False),
    ],
    ids=["HDF5Output", "MatWrite", "MatWrite into a folder", "MatWrite here"],
)
def test_a_second_writer_is_refused(
    case: LayerCase, target: str, inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layer, bottom, _ = case.build()
    with another_process_writes(Path(target), inside) as other:
        with pytest.raises(LockedError, match=rf"process {other.pid} on .* is writing there"):
            layer.forward(bottom, [])
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    layer.forward(bottom, [])
    layer.forward(bottom, [])
    del layer
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")]
