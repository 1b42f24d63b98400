"""The layers that give no gradient are known, and asking one for it is an error that says what to do."""

from __future__ import annotations

import pytest

from segcaffe.errors import GraphError
from segcaffe.layers import layer_class, layer_types
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.testing import LayerCase
from tests.cases import all_cases

TO_NO_BOTTOM = {
    "Accuracy",
    "AccuracyRegression",
    "AdaptiveBiasChannel",
    "ArgMax",
    "Augmentation",
    "BoxAnnotatorOHEM",
    "CTCGreedyDecoder",
    "ConnectedComponent",
    "ContinuationIndicator",
    "DenseCRF",
    "DetectionEvaluate",
    "DetectionOutput",
    "DetectionOutputExtended",
    "DomainTransformForwardOnly",
    "Embed",
    "EvalDetection",
    "HDF5Output",
    "Im2parity",
    "LabelsequenceAccuracy",
    "MatWrite",
    "PriorBox",
    "PriorBoxClustered",
    "Proposal",
    "SegAccuracy",
    "Threshold",
    "UniqueLabel",
    "YoloDetectionOutput",
    "Yolov3DetectionOutput",
}
FIRST_ONLY = {
    "BatchReindex",
    "BiasChannel",
    "CTCLoss",
    "CenterLoss",
    "Crop",
    "CtcLoss",
    "DetectionLoss",
    "DistLoss",
    "HingeLoss",
    "InfogainLoss",
    "Interp",
    "LabelSpecificAdd",
    "Lstm",
    "MalisLoss",
    "MultinomialLogisticLoss",
    "PSROIPooling",
    "ROIAlign",
    "ROIPooling",
    "RegionLoss",
    "SigmoidCrossEntropyLoss",
    "SimpleCrop",
    "SoftmaxWithLoss",
    "SoftmaxWithLossOHEM",
    "Upsample",
    "YoloSeg",
    "Yolov3",
}
FIRST_TWO = {
    "ContrastiveLoss",
    "DomainTransform",
    "EuclideanLoss",
    "L1Loss",
    "LSTMUnit",
    "MultiBoxLoss",
    "MultiStageMeanfield",
    "SmoothL1Loss",
    "SmoothL1LossOHEM",
}
ALL_BUT_CONT = {"LSTM", "RNN"}
SILENT = {
    "AdaptiveBiasChannel",
    "Augmentation",
    "BoxAnnotatorOHEM",
    "ConnectedComponent",
    "ContinuationIndicator",
    "ContrastiveLoss",
    "Crop",
    "DenseCRF",
    "DetectionOutput",
    "DetectionOutputExtended",
    "DistLoss",
    "DomainTransformForwardOnly",
    "Interp",
    "Lstm",
    "MalisLoss",
    "MultiBoxLoss",
    "MultiStageMeanfield",
    "PSROIPooling",
    "PriorBox",
    "PriorBoxClustered",
    "Proposal",
    "ROIAlign",
    "ROIPooling",
    "SimpleCrop",
    "SmoothL1Loss",
    "SmoothL1LossOHEM",
    "Upsample",
    "YoloDetectionOutput",
    "Yolov3DetectionOutput",
}
"""Those whose originals leave the bottom's gradient alone instead of stopping."""


def _first_cases() -> list[LayerCase]:
    cases: dict[str, LayerCase] = {}
    for case in all_cases():
        cls = layer_class(case.type)
        if cls.gradient_to is not None and cls.top_count != (0, 0) and case.bottoms:
            cases.setdefault(case.type, case)
    return list(cases.values())


def _bottoms_without(case: LayerCase) -> list[int]:
    return [i for i in range(len(case.bottoms)) if not layer_class(case.type).allows_gradient(i)]


def _learnt_bottoms(case: LayerCase, learnt: int, propagate: bool = True) -> Net:
    """The layer of a case, bottom ``learnt`` made by a layer that learns, and a loss on its first top."""
    net = caffe_pb2.NetParameter()
    for i, values in enumerate(case.inputs()):
        net.layer.add(name=f"source{i}", type="Parameter" if i == learnt else "Input", top=[f"bottom{i}"])
        options = net.layer[i].parameter_param.shape if i == learnt else net.layer[i].input_param.shape.add()
        options.dim.extend(values.shape)
    layer = net.layer.add()
    layer.CopyFrom(case.layer_param())
    layer.loss_weight[:] = [1.0] + [0.0] * (len(layer.top) - 1)
    if not propagate:
        layer.propagate_down[:] = [False] * len(layer.bottom)
    built = Net(net, caffe_pb2.Phase.Value(case.phase))
    for i, values in enumerate(case.inputs()):
        blob = built.params[f"source{i}"][0] if i == learnt else built.blobs[f"bottom{i}"]
        blob.data[...] = values
    built.forward()
    return built


def test_the_lists_are_complete() -> None:
    classes = [layer_class(name) for name in layer_types()]
    found = {cls.__name__: cls.gradient_to for cls in classes if cls.gradient_to is not None and not cls.source}
    expected = dict.fromkeys(TO_NO_BOTTOM, ()) | dict.fromkeys(FIRST_ONLY, (0,)) | dict.fromkeys(FIRST_TWO, (0, 1))
    assert found == expected | dict.fromkeys(ALL_BUT_CONT, (0, 2, 3, 4))
    assert {cls.__name__ for cls in classes if not cls.refuses_gradient} == SILENT


@pytest.mark.parametrize(
    "case", [case for case in _first_cases() if case.type not in SILENT], ids=lambda case: case.type
)
def test_asking_for_a_gradient_is_an_error_that_names_layer_bottom_and_remedy(case: LayerCase) -> None:
    refused = _bottoms_without(case)
    assert refused or case.type in FIRST_TWO
    for i in refused:
        net = _learnt_bottoms(case, i)
        with pytest.raises(GraphError) as error:
            net.backward()
        message = str(error.value)
        assert f'layer "layer" ({case.type})' in message
        assert f'bottom {i} ("bottom{i}' in message
        assert "propagate_down: false" in message


@pytest.mark.parametrize("case", _first_cases(), ids=lambda case: case.type)
def test_propagate_down_false_is_a_remedy(case: LayerCase) -> None:
    for i in _bottoms_without(case):
        net = _learnt_bottoms(case, i, propagate=False)
        net.backward()
        assert not net.params[f"source{i}"][0].diff.any()


@pytest.mark.parametrize("case", [case for case in _first_cases() if case.type in SILENT], ids=lambda case: case.type)
def test_where_the_original_is_silent_the_bottom_gets_no_gradient(
    case: LayerCase, caplog: pytest.LogCaptureFixture
) -> None:
    for i in _bottoms_without(case):
        caplog.clear()
        net = _learnt_bottoms(case, i)
        warned = any(f'layer "layer" ({case.type}) has no gradient' in line for line in caplog.messages)
        assert warned == (layer_class(case.type).gradient_to == ())
        net.backward()
        assert not net.params[f"source{i}"][0].diff.any()
