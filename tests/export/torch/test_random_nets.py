"""Random nets of all types that are written compute as modules what they compute here."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="PyTorch is not installed")

from segcaffe.errors import ExportError
from segcaffe.export.proof.prove import prove
from segcaffe.export.proof.report import text
from segcaffe.export.torch.judged import WrittenModule, describe
from segcaffe.export.torch.writer import write
from tests.export.random_nets import random_net

RANDOMS = st.randoms(use_true_random=False, note_method_calls=False)


def check(random: Random) -> None:
    net = random_net(random).net
    try:
        written = write(net)
    except ExportError:
        # ONNX says some types and options that PyTorch does not.
        return
    proof = prove(net, Path("written.py"), describe(net, written), [WrittenModule(net, written)])
    assert proof.holds, f"{text(proof)}\n{written.source}"


@settings(max_examples=8, deadline=None, derandomize=True)
@given(RANDOMS)
def test_a_few(random: Random) -> None:
    check(random)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(RANDOMS)
def test_300(random: Random) -> None:
    check(random)
