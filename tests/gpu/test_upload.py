"""Batches go to the device on a stream of their own, in an order in which nothing is overwritten too early."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe import device
from segcaffe.device import compat
from segcaffe.device.upload import Uploader
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests import fake_gpu


@pytest.fixture(autouse=True)
def gpu() -> None:
    compat.substitute_gpu_module(fake_gpu.module)
    device.set_mode_gpu()
    fake_gpu._Stream.log.clear()


def test_a_staged_batch_is_not_copied_again() -> None:
    uploader, batch = Uploader(), (np.arange(6.0).reshape(2, 3), np.arange(2, dtype=np.float32))
    uploader.stage(batch)
    copies = fake_gpu.module.copies["to device"]
    on_device = uploader.fetch(batch)
    assert fake_gpu.module.copies["to device"] == copies
    for array, expected in zip(on_device, batch, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(device.to_host(array), expected)


def test_another_batch_than_the_staged_one_is_copied() -> None:
    uploader = Uploader()
    uploader.stage((np.zeros(3),))
    (array,) = uploader.fetch((np.ones(5),))
    np.testing.assert_array_equal(device.to_host(array), np.ones(5))


def test_streams_wait_for_each_other() -> None:
    """The copy waits for what was asked of the main stream before, the main stream for the copy."""
    uploader, main = Uploader(), fake_gpu.module.main_stream
    batch = (np.ones(4),)
    uploader.stage(batch)
    uploader.fetch(batch)
    steps = [(kind, subject[0] is main) for kind, subject in fake_gpu._Stream.log]
    assert steps == [("record", True), ("wait", False), ("copy", False), ("record", False), ("wait", True)]


def test_a_data_layer_gives_on_the_device_what_it_gives_on_the_host(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lines = []
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 256, (4, 6, 3)).astype(np.uint8))
        lines.append(f"{tmp_path}/{i}.png {i}\n")
    (tmp_path / "list").write_text("".join(lines))
    text = f"""layer {{ name: "data" type: "ImageData" top: "x" top: "y"
        image_data_param {{ source: "{tmp_path}/list" batch_size: 2 shuffle: true }} }}"""
    batches = []
    for set_mode in (device.set_mode_cpu, device.set_mode_gpu):
        set_mode()
        device.set_random_seed(8)
        net = Net(parse(text, caffe_pb2.NetParameter(), "net"), caffe_pb2.TRAIN)
        batches.append([net.forward()["x"].copy() for _ in range(6)])
        net.layers[0].close()
    np.testing.assert_array_equal(batches[0], batches[1])
