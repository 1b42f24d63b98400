"""Which kind of answer a net has: label maps or boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segcaffe.graph.rules import filter_net, net_state
from segcaffe.predict.box_predictor import BoxPredictor
from segcaffe.predict.deploy import box_blob, region_blob, region_input
from segcaffe.predict.given_regions import GivenRegionPredictor
from segcaffe.predict.loaded import LoadedNet
from segcaffe.predict.predictor import Predictor
from segcaffe.predict.region_predictor import RegionPredictor
from segcaffe.proto.caffe_pb2 import TEST
from segcaffe.proto.text import read_net


def predictor_class(
    net_file: str | Path, variables: dict[str, str], level: int = 0, stages: Sequence[str] = (), blob: str = ""
) -> type[LoadedNet]:
    """What predicts with a net; ``blob`` is the answer that is asked for, if not the net's own choice."""
    net = filter_net(read_net(net_file, variables), net_state(TEST, level, stages)).message
    boxes, regions = box_blob(net), region_blob(net)
    if boxes and blob in ("", boxes):
        return BoxPredictor
    if regions and blob in ("", regions):
        return RegionPredictor
    given = region_input(net)
    return GivenRegionPredictor if given and blob in ("", given) else Predictor
