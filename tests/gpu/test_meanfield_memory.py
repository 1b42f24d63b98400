"""What a mean-field layer of the paper's size takes on a device: counted, with kernels that do nothing."""

from __future__ import annotations

import tracemalloc

import pytest

from segcaffe.device import cublas
from segcaffe.testing import LayerCase
from tests.gpu import host

SIZE, CLASSES, CHANNELS = (257, 257), 21, 66
CASE = LayerCase(
    "NormConvMeanfield",
    "norm_conv_meanfield_param { num_iterations: 2 kernel_size: 13 pad: 54 dilation: 9 scale: 1 "
    "kernel_size: 5 pad: 2 dilation: 1 scale: 1 }",
    bottoms=((1, CLASSES, *SIZE), (1, CLASSES, *SIZE), (1, CHANNELS, *SIZE), (1, 2, *SIZE)),
)


@pytest.fixture
def _idle(host_device: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose kernels do nothing."""
    monkeypatch.setattr(host.HostFunction, "__call__", lambda *_, **__: None)
    monkeypatch.setattr(cublas, "gemm", lambda *_, **__: None)


@pytest.mark.usefixtures("_idle")
def test_both_passes_take_less_than_300_mb() -> None:
    """Bottoms, top and their gradients included; the weights of both windows are 51 MB, their gradients as much."""
    layer, bottom, top = CASE.build()
    hosted = [blob.data for blob in bottom]
    tracemalloc.start()
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    forward = tracemalloc.get_traced_memory()[1]
    top[0].grad[...] = 1
    layer.backward(top, [True] * len(hosted), bottom)
    both = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    least = 4 * SIZE[0] * SIZE[1] * (13 * 13 + 5 * 5 + CHANNELS + 3 * CLASSES)
    assert least < forward < both < 300e6
