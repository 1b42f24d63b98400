"""The two ways of masked convolutions on the GPU: each against the CPU, whole and divided; and the choice of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.device import cublas
from segcaffe.errors import DeviceError
from segcaffe.kernels import segaware_conv
from segcaffe.kernels.segaware_conv import gpu_choice, gpu_fused
from segcaffe.kernels.segaware_conv.gpu_choice import VARIABLE, Kind, Shape, Tiles, choose, tiles_of
from segcaffe.window import Window
from tests.gpu.cases import KERNEL_CASES, KernelCase
from tests.gpu.test_shim import check_kernel

WINDOWED = [case for case in KERNEL_CASES if case.package in ("segaware_conv", "norm_conv", "convolution")]
SHALLOW, DEEP = Shape(1, 1, 64, 64, 9, 321 * 321, 321 * 321), Shape(1, 1, 512, 512, 9, 41 * 41, 41 * 41)
WINDOW = Window((3, 3), (1, 1), (2, 2), (2, 2))
NUM, CHANNELS, OUTPUTS, IMAGE = 2, 70, 133, (9, 13)
"""More than one tile each way, none of them full: of outputs, of channels, and of the positions of both images."""


@pytest.mark.usefixtures("host_device")
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("way", ["fused", "columns"])
@pytest.mark.parametrize("case", WINDOWED, ids=lambda case: case.id)
def test_both_ways_give_what_the_cpu_gives(
    case: KernelCase, way: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, way)
    monkeypatch.setattr(gpu_choice, "PART_BYTES", 1 << 10)
    check_kernel(case, dtype)


def arrays_of(dtype: Any) -> dict[str, np.ndarray]:
    """Arguments of all passes of one convolution."""
    rng = np.random.default_rng(5)
    shapes = {
        "x": (NUM, CHANNELS, *IMAGE),
        "mask": (NUM, 9, *IMAGE),
        "weight": (OUTPUTS, CHANNELS, 3, 3),
        "bias": (OUTPUTS,),
        "grad_out": (NUM, OUTPUTS, *IMAGE),
    }
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def all_results(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """Outputs and gradients, with the gradient of x both alone and beside that of the mask."""
    x, mask, weight, bias, grad_out = arrays.values()
    made = {name: arrays[name].copy() for name in ("x", "mask", "weight", "grad_out")}
    alone = x.copy()
    segaware_conv.forward(x, mask, weight, bias, made["grad_out"], WINDOW)
    segaware_conv.backward_data(x, mask, weight, grad_out, made["x"], made["mask"], WINDOW)
    segaware_conv.backward_data(x, mask, weight, grad_out, alone, None, WINDOW)
    segaware_conv.backward_weight(x, mask, grad_out, made["weight"], None, WINDOW)
    return {**made, "alone": alone}


def check_all_results(dtype: Any) -> None:
    """What the device makes of the tiles must be what the CPU makes of them."""
    arrays = arrays_of(dtype)
    expected = all_results(arrays)
    received = all_results({name: device.to_device(array) for name, array in arrays.items()})
    for name, values in expected.items():
        tolerance = (2e-5 if dtype == np.float32 else 2e-13) * np.abs(values).max()
        np.testing.assert_allclose(device.to_host(received[name]), values, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.usefixtures("host_device")
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(("height", "dtype"), [(64, np.float32), (64, np.float64), (128, np.float32)])
def test_fused_tiles_cover_everything(height: int, parts: int, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every height of tiles, with the sums whole and divided among blocks."""

    def tiles(kind: Kind, shape: Shape) -> Tiles:
        chosen = gpu_choice.tiles_of_height(kind, shape, 64 if kind == "both" else height)
        return Tiles(chosen.height, chosen.down, chosen.across, chosen.steps, parts)

    monkeypatch.setenv(VARIABLE, "fused")
    monkeypatch.setattr(gpu_fused, "tiles_of", tiles)
    check_all_results(dtype)


@pytest.mark.parametrize("kind", ["forward", "data", "both", "weight"])
def test_few_channels_are_fused_and_many_go_to_cublas(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert choose(kind, SHALLOW) == "fused"
    assert choose(kind, DEEP) == "columns"


def test_tf32_is_cublas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    before = device.configure(math="tf32")
    try:
        assert choose("forward", SHALLOW) == "columns"
    finally:
        device.configure(math=before.math)


def test_a_way_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "columns")
    assert choose("forward", SHALLOW) == "columns"
    monkeypatch.setenv(VARIABLE, "fused")
    assert choose("forward", DEEP) == "fused"
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(DeviceError, match=f"{VARIABLE} is fused, columns or auto. Received: fast."):
        choose("forward", DEEP)


def test_few_tiles_divide_their_sums() -> None:
    """Until every multiprocessor has work; never into more parts than a sum has steps for."""
    small = Shape(1, 1, 64, 64, 9, 41 * 41, 41 * 41)
    for kind in ("forward", "data", "both", "weight"):
        tiles = tiles_of(kind, small)  # type: ignore[arg-type]
        assert tiles.parts > 1
        assert tiles.down * tiles.across * tiles.parts >= gpu_choice.MULTIPROCESSORS // 2
    assert tiles_of("forward", SHALLOW).parts == 1
    assert tiles_of("forward", Shape(1, 1, 3, 8, 9, 10, 10)).parts == 1


@pytest.mark.usefixtures("host_device")
def test_batches_of_products() -> None:
    """Matrices that lie apart, rows too; one for all; and what does not fit."""
    rng = np.random.default_rng(0)
    a, b, out = (rng.standard_normal(shape) for shape in ((3, 4, 7), (1, 5, 7), (3, 4, 6)))
    moved = [device.to_device(array) for array in (a, b, out)]
    target = moved[2][:, :, :5]
    cublas.gemm_batched(moved[0], moved[1], target, trans_b=True, alpha=0.5, beta=2.0)
    np.testing.assert_allclose(device.to_host(target), 0.5 * a @ b[0].T + 2 * out[:, :, :5], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(device.to_host(moved[2])[:, :, 5], out[:, :, 5])
    with pytest.raises(ValueError, match="2 and 1 matrices do not make 3"):
        cublas.gemm_batched(moved[0][:2], moved[1], target, trans_b=True)


def test_estimates_count_padding() -> None:
    """21 outputs cost a fused kernel what 64 cost, and cuBLAS about a third."""
    few, many = (Shape(1, 1, 64, outputs, 9, 10**6, 10**6) for outputs in (21, 64))
    assert gpu_choice.fused_seconds("forward", few) == gpu_choice.fused_seconds("forward", many)
    assert gpu_choice.columns_seconds("forward", few) < gpu_choice.columns_seconds("forward", many)
