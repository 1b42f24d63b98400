"""The paper's test and deploy files become nets for one image."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.graph.graph import build_graph
from segcaffe.graph.rules import net_state
from segcaffe.predict.deploy import deploy
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import read_net
from tests.conftest import shared_files

FILES = [path for name in ("test_voc_*", "deploy*") for path in shared_files(f"original/config_*/{name}.prototxt")]


@pytest.mark.skipif(not FILES, reason="the folder of recorded values (../shared) is not beside this checkout")
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_deployed(path: Path) -> None:
    deployed = deploy(read_net(path))
    graph = build_graph(deployed.net, net_state(caffe_pb2.TEST))
    types = {node.param.type for node in graph.nodes}
    assert not types & {"MatWrite", "ImageSegData", "TwoImageData", "ImageData", "SoftmaxWithLoss"}
    assert deployed.image == (
        "image_data" if path.parent.name == "config_embs" and path.stem.startswith("deploy") else "data"
    )
    if path.stem.startswith("test"):
        assert deployed.crop == (513, 513)
        assert deployed.mean == pytest.approx([104.008, 116.669, 122.675])
    if path.parent.name == "config_resnet" and path.stem.startswith("test"):
        assert deployed.image_size == "data_dim"
        assert "crf_interp" in [graph.blob_names[i] for i in graph.outputs]
