"""Recorded data layers: the same pixels from the same files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from segcaffe.net.net import Net
from tests.conftest import shared_files
from tests.golden import Record

# Loss cases with recorded gradients are run with the other losses.
FOLDERS = [path.parent for path in shared_files("golden/data/*/expected.npz") if "loss" not in path.parent.name]
SOURCES = [folder for folder in FOLDERS if not (folder / "expected_out").is_dir()]
SINKS = [folder for folder in FOLDERS if (folder / "expected_out").is_dir()]


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A case in a folder of its own, which is the working directory."""
    shutil.copytree(request.param, tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    return Record(Path("expected.npz"))


@pytest.mark.skipif(not FOLDERS, reason="the folder of recorded values (../shared) is not beside this checkout")
def test_there_are_cases() -> None:
    assert SOURCES
    assert SINKS


@pytest.mark.parametrize("case", SOURCES, ids=lambda folder: folder.name, indirect=True)
def test_batches_equal_the_recorded_ones(case: Record) -> None:
    net = Net("net.prototxt", case.phase)
    passes = int(case.arrays["passes"])
    for i in range(passes):
        net.forward()
        expected = {name: values[i] for name, values in case.under("output").items()} | case.under(f"output_{i}")
        assert expected
        for name, values in expected.items():
            found = net.blobs[name].data
            assert found.shape == values.shape, f"{name}, pass {i}"
            # A tolerance in gray levels covers other decoders and resizers; without those it is rounding.
            scale = np.abs(values).max() if case.tolerance < 1e-3 else 1.0
            assert np.abs(found - values).max() <= case.tolerance * scale, f"{name}, pass {i}"


@pytest.mark.parametrize("case", SINKS, ids=lambda folder: folder.name, indirect=True)
def test_files_equal_the_recorded_ones(case: Record) -> None:
    shutil.rmtree("out", ignore_errors=True)
    net = Net("net.prototxt", case.phase)
    for i in range(int(case.arrays["passes"])):
        for name, values in case.under("input").items():
            net.blobs[name].data[...] = values[i]
        net.forward()
    expected = sorted(path.name for path in Path("expected_out").iterdir())
    assert sorted(path.name for path in Path("out").iterdir()) == expected
    for name in expected:
        found, recorded = (loadmat(Path(folder, name))["data"] for folder in ("out", "expected_out"))
        assert found.dtype == recorded.dtype
        np.testing.assert_array_equal(found, recorded)
