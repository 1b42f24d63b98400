"""Every recorded net of one layer that other Caffes have, forward, as OpenCV 4.14 computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests.conftest import SHARED, shared_files
from tests.golden import Record, assert_close, set_params

FILES = shared_files("golden/wild/*.npz")


def _net(record: Record) -> Net:
    """The recorded net as its Caffe means it: OpenCV 4.14 adds Axpy's second bottom to the scaled third.

    SENet's Caffe, and all that took the layer over, add the third to the scaled second.
    """
    message = parse(str(record.arrays["prototxt"]), caffe_pb2.NetParameter(), str(record.path))
    for layer in message.layer:
        if layer.type == "Axpy":
            layer.bottom[1], layer.bottom[2] = layer.bottom[2], layer.bottom[1]
    return Net(message, record.phase)


def _type(path: Path) -> str:
    return path.stem.split("_")[0]


def _cases() -> list[Any]:
    """Every file of a type that is built."""
    return [pytest.param(path, id=path.stem) for path in FILES]


@pytest.mark.skipif(not FILES, reason=f"no recorded layers at {SHARED}")
@pytest.mark.parametrize("path", _cases())
def test_recorded_layer(path: Path) -> None:
    record = Record(path)
    net = _net(record)
    for name, values in record.under("input").items():
        net.blobs[name].data[...] = values.reshape(net.blobs[name].shape)
    set_params(net, record.under("param").items())
    net.forward()
    for name, values in record.under("output").items():
        if _type(path) == "DetectionOutput":
            # OpenCV fills up to keep_top_k rows with zeros; SSD's Caffe has a row for each detection.
            values = values[:, :, values.any(axis=(0, 1, 3))]
        assert_close(f"output {name}", net.blobs[name].data, values, record.tolerance)
