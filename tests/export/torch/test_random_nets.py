"""Random nets of all types that are written compute as modules what they compute here, in float64."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch

from segcaffe.errors import DataError, ExportError
from segcaffe.export.proof.inputs import trials, values
from segcaffe.export.torch.module import module_of
from segcaffe.export.torch.writer import write
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from tests.export.random_nets import random_net

RANDOMS = st.randoms(use_true_random=False, note_method_calls=False)


def check(random: Random) -> None:
    net = Net(random_net(random).net.to_proto(), phase=caffe_pb2.TEST, dtype=np.float64)
    try:
        written = write(net)
    except ExportError:
        # ONNX says some types and options that PyTorch does not.
        return
    module = module_of(written).double()
    shapes = {name: tuple(net.blobs[name].shape) for name in net.inputs}
    inputs = values(next(iter(trials(shapes, shapes))), net)
    given = {name: np.asarray(array, np.float64) for name, array in inputs.items()}
    try:
        net.forward(**given)
    except DataError:
        # Random numbers that are no labels.
        return
    with torch.no_grad():
        result = module(*(torch.from_numpy(given[name]) for name in written.arguments))
    found = result if isinstance(result, dict) else {written.outputs[0]: result}
    for name, tensor in found.items():
        wanted = net.blobs[name].data
        assert tuple(tensor.shape) == wanted.shape, written.source
        scale = np.abs(wanted).max(initial=1e-9)
        np.testing.assert_allclose(tensor.numpy(), wanted, rtol=0, atol=1e-5 * scale, err_msg=written.source)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(RANDOMS)
def test_a_few(random: Random) -> None:
    check(random)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(RANDOMS)
def test_300(random: Random) -> None:
    check(random)
