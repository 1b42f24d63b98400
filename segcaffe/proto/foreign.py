"""Names that other Caffes know and this one does not: layer types and options, and what to do about them."""

from __future__ import annotations

from segcaffe.proto.caffe_pb2 import V1LayerParameter
from segcaffe.wiring import upcalls

_TYPES = {
    "SSD and TSN": "VideoData",
    "TSN": "SegData",
    "YOLO": "YoloV2Loss YoloV3Loss",
    "DeepLab v1": "DominantChannel CensorLabel ChannelAggregator GainChannel Histogram IgnoreOverlay Onehot "
    "RelativeError",
    "OpenVINO's training": "AnchorEmbeddingExtractor",
    "NVIDIA's Caffe": "DetectNetTransformation TRT",
    "DeepDetect's Caffe": "MemorySparseData SparseData SparseInnerProduct",
    "MobileNet-YOLO": "AssistedExcitation LaneData SegmentationEvaluate",
    "OpenCV's SqueezeDet": "BboxData NormalizeBBox SqueezeDetLoss",
    "OpenPose's training": "CPMData",
    "Synopsys' Caffe": "ICNetSubgraph",
    "happynear's Caffe": "ChannelScale Flip InnerDistance",
    "a Caffe for documents (binarization)": "BilinearInterpolation DocData PR TopK WeightedFmeasureLoss",
    "a Caffe of dropout's variants": "Pushin",
    "a Caffe of feature pairs (siamese)": "Convolution_p LRN_p",
    "a Caffe whose source is not public": "DataRandTransform LRNMap LS LocalWeightedConvolution RemoteData",
    "segmentation with attention (segawareatt)": "AttentionConvolution DynamicSampleConvolution",
    "TI's Caffe (Jacinto)": "ImageLabelData",
    "HED": "ImageLabelmapData",
}
_ORIGINS = {name: origin for origin, names in _TYPES.items() for name in names.split()}
_INSTEAD = {
    "DataRandTransform": "Leave it out, and augment by transform_param.",
    "LRN_p": "Make it an LRN.",
    "Pushin": "On a GPU it is Dropout; make it one.",
    "SegData": "Read its list by ImageSegData.",
    "SegmentationEvaluate": "Leave it out, and judge by `segcaffe eval`.",
    "VideoData": "Cut it off, and give the video's frames as images to `segcaffe predict`.",
}
_OPTIONS = {
    "softmaxloss_param": "Upstream calls it loss_param.",
}


def origin_of(layer_type: str) -> str:
    """Return a sentence on which Caffe a layer type comes from, where that is known; else an empty string."""
    origin = _ORIGINS.get(layer_type)
    if origin is None:
        return ""
    return f"It comes from {origin}, and is not part of segcaffe. {_INSTEAD.get(layer_type, '')}".rstrip()


def about_option(name: str) -> str:
    """Return a sentence on what stands here for an option that only other Caffes have; else an empty string."""
    return _OPTIONS.get(name, "")


def is_unknown(layer_type: str, old_notation: bool = False) -> bool:
    """Whether no layer of this type is registered; in the old notation, whether it is no old name."""
    if old_notation:
        return layer_type not in V1LayerParameter.LayerType.keys()  # noqa: SIM118 (an enum's wrapper, no dictionary)
    return layer_type not in upcalls.layer_types()
