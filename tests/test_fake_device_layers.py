"""Every layer runs with its arrays on a device: the fake one, which refuses host arrays wherever they meet its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest

from segcaffe import device
from segcaffe.device import compat
from segcaffe.kernels import dispatch
from segcaffe.layers import layer_class
from segcaffe.testing import LayerCase
from tests import fake_gpu
from tests.cases import all_cases

CASES = [case for case in all_cases() if case.deterministic]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The fake device, whose kernels all run on the host."""
    monkeypatch.setattr(dispatch, "_gpu_function", lambda package, name: None)
    compat.substitute_gpu_module(fake_gpu.module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dispatch.HostFallbackWarning)
        yield


def run_case(case: LayerCase, on_device: bool) -> dict[str, np.ndarray]:
    """All values after forward and backward; the layer is set up on the device, as a net would."""
    device.set_random_seed(5)
    if on_device:
        device.set_mode_gpu()
    layer, bottom, top = case.build()
    layer.param_propagate_down = [True] * len(layer.blobs)
    layer.forward(bottom, top)
    assert all(device.is_device_array(blob.array) == on_device for blob in [*bottom, *top])
    result = {f"top {i}": blob.data.copy() for i, blob in enumerate(top)}
    cls = layer_class(case.type)
    if case.gradient and (cls.gradient_to is None or len(cls.gradient_to) > 0):
        for blob in top:
            blob.diff[...] = np.linspace(-1, 1, blob.count).reshape(blob.shape)
        wanted = [layer.allows_gradient(i) for i in range(len(bottom))]
        layer.backward(top, wanted, bottom)
        result |= {f"bottom {i}": bottom[i].diff.copy() for i in range(len(bottom)) if wanted[i]}
        result |= {f"param {i}": blob.diff.copy() for i, blob in enumerate(layer.blobs)}
    device.set_mode_cpu()
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_device_gives_what_the_host_gives(case: LayerCase, fake: None) -> None:
    expected = run_case(case, on_device=False)
    received = run_case(case, on_device=True)
    for name, values in expected.items():
        np.testing.assert_allclose(received[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
