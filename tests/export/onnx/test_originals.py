"""Exported nets in ONNX Runtime against what the original computed: single layers, and whole nets blob by blob."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.export.onnx.left_out import REASONS
from segcaffe.export.source import Source, Wishes, build_source
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests.conftest import SHARED, shared_files
from tests.export.onnx.running import model_of, run
from tests.golden import Array, Record, assert_close, set_params
from tests.test_golden_nets import _check, _names

LAYERS = [path for path in shared_files("golden/layers/*.npz") if path.stem.partition("_")[0] not in REASONS]
"""Recorded layers, but for types that do not go out."""
DRAWS_OR_LEARNS = {"cifar10_full_sigmoid_bn_train_a", "embs_train_a", "resnet_train_a", "vgg16_train_a"}
"""Recorded nets whose layers do something else in TRAIN."""
NETS = [path for path in shared_files("golden/nets/*.npz") if path.stem not in DRAWS_OR_LEARNS]


def source_of(record: Record, **wishes: tuple[str, ...]) -> Source:
    message = parse(str(record.arrays["prototxt"]), caffe_pb2.NetParameter(), str(record.path))
    return build_source(message, wishes=Wishes(**wishes))


def inputs_of(record: Record, source: Source) -> dict[str, Array]:
    blobs = source.net.blobs
    return {name: values.reshape(blobs[name].shape) for name, values in record.under("input").items()}


@pytest.mark.skipif(not LAYERS, reason=f"no recorded layers at {SHARED}")
@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_recorded_layer(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = Record(path)
    monkeypatch.chdir(tmp_path)
    for name, content in record.under("file").items():
        Path(name).write_bytes(content.tobytes())
    source = source_of(record)
    set_params(source.net, record.under("param").items())
    results = run(model_of(source), inputs_of(record, source))
    assert results
    for name, found in results.items():
        assert_close(f"output {name}", found, record.under("output")[name], record.tolerance)


@pytest.mark.slow
@pytest.mark.skipif(not NETS, reason=f"no recorded nets at {SHARED}")
@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_recorded_net(path: Path) -> None:
    record = Record(path)
    recorded = set(_names(record, "data"))
    whole = source_of(record)
    names = [name for name in whole.net.blobs if name in recorded & whole.names and name not in whole.net.inputs]
    source = source_of(record, until=tuple(names))
    kept = {layer.name for layer in source.net.layer_list}
    set_params(source.net, record.weights(kept))
    results = run(model_of(source), inputs_of(record, source))
    assert list(results) == names
    for name, found in results.items():
        _check(record, "data", name, found)
