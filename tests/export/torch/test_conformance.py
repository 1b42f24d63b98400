"""Every layer type is written, and its module computes what the layer does, gradients too; the others have reasons."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from segcaffe.errors import ExportError
from segcaffe.export.torch.families import APART, mappings, not_written
from segcaffe.layers.registry import layer_class, layer_types
from segcaffe.testing import LayerCase
from tests.cases import all_cases

pytest.importorskip("torch", reason="PyTorch is not installed")

from tests.export.torch.running import Ours, Theirs, assert_close, net_of

REFUSED = {
    "BatchNorm_scale": "a scale without a bias",
    "BatchNorm_update_stored": "update_global_stats",
    "CTCLoss_apart": "ctc_merge_repeated",
    "DetectionOutput_two_stages": "two stages",
    "Lstm_clipped": "clipping_threshold",
    "Lstm_threshold": "clipping_threshold",
    "MergeCrop_one_forward": "is not used",
    "Python": "its code",
    "ROIAlign_adaptive": "as many samples as a bin has pixels",
}
"""Cases of types that are written, but not with these options, and what is told."""
RANDOM = {
    "Dropout_train", "Pooling_stochastic_train", "ScaleFilter_train", "SeLUDropout_train", "SpatialDropout_train",
}  # fmt: skip
"""Cases whose values are drawn: the shapes agree."""
GRADIENT_OF_THE_FIRST = {"Accuracy", "InfogainLoss", "SoftmaxWithLoss", "SoftmaxWithLossOHEM", "SmoothL1LossOHEM"}
"""Types whose further tops have no gradient here, and one there."""


def is_outside(layer_type: str) -> bool:
    """Whether a type is no layer of a module: it brings data, which are arguments, or writes files."""
    cls = layer_class(layer_type)
    return cls.source or cls.sink


@cache
def cases() -> dict[str, LayerCase]:
    return {case.id: case for case in all_cases() if case.type in mappings() and not is_outside(case.type)}


def test_every_type_is_written_or_has_a_reason() -> None:
    known = [set(mappings()), set(not_written()), set(APART), {name for name in layer_types() if is_outside(name)}]
    assert set.union(*known) == set(layer_types()) | {"MaskedConvolution"}
    assert known[0].isdisjoint(known[1])
    assert all(". " in reason for reason in not_written().values()), "a reason, and then what to do"


@pytest.mark.parametrize("name", sorted(cases().keys() - REFUSED.keys()))
def test_the_module_computes_what_the_layer_does(name: str) -> None:
    case = cases()[name]
    ours, theirs = Ours.of(case), Theirs.of(case)
    for i, (blob, tensor) in enumerate(zip(ours.tops, theirs.outputs, strict=True)):
        found = tensor.detach().numpy()
        assert_close(found, blob.data if name not in RANDOM else found, f"top {i}")
        assert found.shape == blob.shape
    if case.gradient and name not in RANDOM and any(ours.wanted):
        check_gradients(case, ours, theirs)


def check_gradients(case: LayerCase, ours: Ours, theirs: Theirs) -> None:
    """Both gradients from the same random ones of the tops; a loss's own is 1, as nets have it."""
    rng = np.random.default_rng(0)
    seeds = [rng.standard_normal(blob.shape) for blob in ours.tops]
    if ours.layer.loss or case.type in GRADIENT_OF_THE_FIRST:
        seeds = [np.full(blob.shape, float(i == 0)) for i, blob in enumerate(ours.tops)]
    ours.backward(seeds)
    theirs.backward(seeds)
    for i, (blob, tensor) in enumerate(zip(ours.bottoms, theirs.inputs, strict=True)):
        if ours.wanted[i] and i not in case.no_gradient:
            found = np.zeros(blob.shape) if tensor.grad is None else tensor.grad.numpy()
            assert_close(found, blob.diff, f"gradient of bottom {i}")
    for index, found in theirs.parameter_grads().items():
        if case.param_gradient is None or index in case.param_gradient:
            assert_close(found, ours.layer.blobs[index].diff, f"gradient of parameter {index}")


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_are_refused(name: str) -> None:
    with pytest.raises(ExportError, match=REFUSED[name]) as error:
        Theirs.of(cases()[name])
    assert error.value.layer == "layer"


@pytest.mark.parametrize("layer_type", sorted(not_written()))
def test_types_that_are_refused(layer_type: str) -> None:
    from segcaffe.export.torch.writer import write

    case = next(case for case in all_cases() if case.type == layer_type)
    reason = not_written()[layer_type].partition(". ")[0]
    with pytest.raises(ExportError, match=reason.replace("(", r"\(")):
        write(net_of(case))
