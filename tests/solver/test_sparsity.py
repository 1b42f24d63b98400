"""display_sparsity: which part of the weights is 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.solver.nets import small_solver, write_small_net


def test_parts_of_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_net(tmp_path)
    solver = small_solver(extra="display_sparsity: 2")
    solver.net.params["ip1"][0].data[:2] = 0
    caplog.set_level("INFO", logger="segcaffe")
    solver.step(3)
    lines = [record.getMessage() for record in caplog.records if "parsity" in record.getMessage()]
    # ip3 shares the weights of ip1; what is trained is 0 no longer.
    assert lines == [
        "    Sparsity of ip1: 40.00 % of 30 weights",
        "    Sparsity of ip2: 0.00 % of 15 weights",
        "Iteration 0, sparsity: 26.67 % of 45 weights are 0",
        "    Sparsity of ip1: 0.00 % of 30 weights",
        "    Sparsity of ip2: 0.00 % of 15 weights",
        "Iteration 2, sparsity: 0.00 % of 45 weights are 0",
    ]
