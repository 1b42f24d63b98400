"""On a real GPU: every recorded layer, every layer's case and gradient, whole nets, against the recorded or CPU values.

Needs CuPy and a device: ``pytest -m gpu``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.errors import DeviceError
from segcaffe.kernels.segaware_conv.gpu_choice import VARIABLE
from segcaffe.layers import layer_class
from segcaffe.testing import LayerCase
from segcaffe.testing.gradient import check_gradients
from tests.cases import all_cases
from tests.conftest import SHARED, shared_files
from tests.gpu import test_masked
from tests.gpu.cases import KERNEL_CASES, KernelCase
from tests.gpu.test_shim import check_kernel
from tests.test_fake_device_layers import run_case

pytestmark = pytest.mark.gpu
CASES = [case for case in all_cases() if case.deterministic]
LAYERS, NETS = shared_files("golden/layers/*.npz"), shared_files("golden/nets/*.npz")


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    """GPU mode; without a device the tests are skipped, saying why."""
    try:
        device.set_mode_gpu()
    except DeviceError as error:
        pytest.skip(str(error))
    yield
    device.set_mode_cpu()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", KERNEL_CASES, ids=lambda case: case.id)
def test_kernel(case: KernelCase, dtype: Any) -> None:
    check_kernel(case, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("way", ["fused", "columns"])
@pytest.mark.parametrize("case", test_masked.WINDOWED, ids=lambda case: case.id)
def test_both_ways_of_masked_convolutions(
    case: KernelCase, way: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, way)
    check_kernel(case, dtype)


@pytest.mark.parametrize("way", ["fused", "columns"])
def test_masked_convolutions_of_several_tiles(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, way)
    for dtype in (np.float32, np.float64):
        test_masked.check_all_results(dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_layer(case: LayerCase) -> None:
    device.set_mode_cpu()
    expected, received = run_case(case, on_device=False), run_case(case, on_device=True)
    for name, values in expected.items():
        scale = max(1.0, float(np.abs(values[np.abs(values) < 1e30]).max(initial=0)))
        np.testing.assert_allclose(received[name], values, rtol=1e-4, atol=5e-5 * scale, err_msg=name)


@pytest.mark.parametrize("case", [case for case in CASES if case.gradient], ids=lambda case: case.id)
def test_gradient(case: LayerCase) -> None:
    cls = layer_class(case.type)
    if cls.gradient_to is not None and not cls.gradient_to:
        pytest.skip("the layer has no gradient")
    assert check_gradients(case) > 0 or cls.source


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_same_result_twice(case: LayerCase) -> None:
    """No sum's order varies: two runs agree in every bit."""
    device.set_mode_cpu()
    first, second = run_case(case, on_device=True), run_case(case, on_device=True)
    for name, values in first.items():
        np.testing.assert_array_equal(second[name], values, err_msg=name)


@pytest.mark.skipif(not LAYERS, reason=f"no recorded layers at {SHARED}")
@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_recorded_layer(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.test_golden_layers import test_recorded_layer as check

    check(path, monkeypatch, tmp_path)


@pytest.mark.skipif(not NETS, reason=f"no recorded nets at {SHARED}")
@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_recorded_net(path: Path) -> None:
    from tests.test_golden_nets import test_recorded_net as check

    check(path)


def test_no_kernel_falls_back_to_the_host() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in CASES:
            layer, bottom, top = case.build()
            layer.forward(bottom, top)
