"""Recorded values of the original Caffe, computed from the CUDA sources on the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe import device
from tests.conftest import SHARED, shared_files
from tests.test_golden_layers import test_recorded_layer as check_layer
from tests.test_golden_nets import test_recorded_net as check_net

pytestmark = pytest.mark.usefixtures("host_device")
QUICK = ("embs_train_a", "googlenet_inception_a", "lenet_train_a", "resnet_test_a")
"""Nets that take seconds; the others take minutes on a host."""
LAYERS, NETS = (
    shared_files("golden/layers/*.npz"),
    [path for path in shared_files("golden/nets/*.npz") if path.stem in QUICK],
)


@pytest.mark.skipif(not LAYERS, reason=f"no recorded layers at {SHARED}")
@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_layer(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device.set_random_seed(1)
    check_layer(path, monkeypatch, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not NETS, reason=f"no recorded nets at {SHARED}")
@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_net(path: Path) -> None:
    check_net(path)
