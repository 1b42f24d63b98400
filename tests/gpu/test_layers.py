"""Every layer, forward and backward, with its kernels run from their CUDA sources: no kernel falls back to the host's.

The device is the fake one, so that nothing but the arithmetic of a real one is missing.
"""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe import device
from segcaffe.testing import LayerCase
from tests.cases import all_cases
from tests.test_fake_device_layers import run_case

pytestmark = pytest.mark.usefixtures("host_device")
CASES = [case for case in all_cases() if case.deterministic]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_cuda_sources_give_what_the_cpu_gives(case: LayerCase) -> None:
    device.set_mode_cpu()
    expected = run_case(case, on_device=False)
    received = run_case(case, on_device=True)
    for name, values in expected.items():
        scale = max(1.0, float(np.abs(values[np.abs(values) < 1e30]).max(initial=0)))
        np.testing.assert_allclose(received[name], values, rtol=1e-4, atol=2e-5 * scale, err_msg=name)
