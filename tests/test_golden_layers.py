"""Every recorded single-layer net of the original, forward and backward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHARED, shared_files
from tests.golden import Record, assert_close, set_params, split_key

FILES = shared_files("golden/layers/*.npz")


@pytest.mark.skipif(not FILES, reason=f"no recorded layers at {SHARED}")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_layer(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = Record(path)
    monkeypatch.chdir(tmp_path)
    for name, content in record.under("file").items():
        Path(name).write_bytes(content.tobytes())
    net = record.net()
    for name, values in record.under("input").items():
        net.blobs[name].data[...] = values.reshape(net.blobs[name].shape)
    set_params(net, record.under("param").items())
    net.forward()
    for name, values in record.under("output").items():
        assert_close(f"output {name}", net.blobs[name].data, values, record.tolerance)
    for key, values in record.under("param_after").items():
        layer, index = split_key(key)
        assert_close(f"parameter after forward {key}", net.params[layer][index].data, values, record.tolerance)
    tops = record.under("top_diff")
    if not tops:
        return
    for name, values in tops.items():
        # A loss weight is recorded as one number for all elements of its top.
        net.blobs[name].diff[...] = values if values.size == 1 else values.reshape(net.blobs[name].shape)
    net.clear_param_diffs()
    net.backward()
    for prefix in ("grad_input", "grad_blob"):
        for name, values in record.under(prefix).items():
            assert_close(f"{prefix} {name}", net.blobs[name].diff, values, record.tolerance)
    for key, values in record.under("grad_param").items():
        layer, index = split_key(key)
        found = net.params[layer][index].diff
        assert_close(f"gradient of parameter {key}", np.asarray(found), values, record.tolerance)
