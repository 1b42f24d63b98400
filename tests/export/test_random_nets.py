"""Random nets of all types that are exported compute in ONNX Runtime what they compute here."""

from __future__ import annotations

from pathlib import Path
from random import Random

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segcaffe.export.onnx.registry import mapped_types
from segcaffe.export.proof.described import describe_onnx
from segcaffe.export.proof.prove import prove
from segcaffe.export.proof.report import text
from segcaffe.export.runtimes import runtime
from tests.export.proof.exported import written
from tests.export.random_nets import cases, random_net

RANDOMS = st.randoms(use_true_random=False, note_method_calls=False)
READ_NO_MAPS = {"BatchReindex", "DummyData", "Embed", "LSTM", "RNN", "Silence"}
"""Some of the types that are not drawn: they read no map (N, C, H, W), or make nothing."""


def test_most_types_are_drawn() -> None:
    assert len(cases()) > 100
    assert set(mapped_types()) - set(cases()) >= READ_NO_MAPS
    assert {"BatchNorm", "Convolution", "Deconvolution", "Eltwise", "InnerProduct", "Pooling"} <= set(cases())


def check(random: Random, folder: Path) -> None:
    source = random_net(random)
    file = written(source, folder / "net.onnx")
    onnx.checker.check_model(str(file), full_check=True)
    proof = prove(source.net, file, describe_onnx(file), [runtime("onnxruntime")])
    assert proof.holds, text(proof)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RANDOMS)
def test_a_few(tmp_path: Path, random: Random) -> None:
    check(random, tmp_path)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RANDOMS)
def test_300(tmp_path: Path, random: Random) -> None:
    check(random, tmp_path)
