"""Data: what is wrong with an item of a database is told with its key."""

from __future__ import annotations

from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.blob import Blob
from segcaffe.errors import DataError
from segcaffe.layers.base import Layer
from segcaffe.proto.caffe_pb2 import Datum
from segcaffe.testing import LayerCase
from tests.data.leveldb_files import write_database

both = pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])


def raw(height: int, channels: int = 3) -> bytes:
    size = channels * height * 4
    return Datum(channels=channels, height=height, width=4, data=bytes(size)).SerializeToString()


def build(
    folder: Path, backend: str, items: dict[bytes, bytes], options: str = "", batch: int = 1
) -> tuple[Layer, list[Blob]]:
    path = folder / "db"
    if backend == "LEVELDB":
        write_database(path, [], [[(key, number, value)] for number, (key, value) in enumerate(items.items())])
    else:
        with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
            for key, value in items.items():
                transaction.put(key, value)
    data = f'data_param {{ source: "{path}" batch_size: {batch} backend: {backend} }} {options}'
    layer, _, top = LayerCase("Data", data, (), 1).build()
    return layer, top


@both
def test_a_batch_of_several_sizes_names_keys_and_sizes(tmp_path: Path, backend: str) -> None:
    items = {b"00000000_a.jpg": raw(200), b"00000001_b.jpg": raw(201)}
    layer, top = build(tmp_path, backend, items, batch=2)
    with pytest.raises(DataError) as error:
        layer.forward([], top)
    assert str(error.value) == (
        'layer "layer" (Data): the items of a batch must have one size (channels x height x width): '
        'key "00000000_a.jpg" has 3 x 200 x 4, key "00000001_b.jpg" has 3 x 201 x 4. Set crop_size, or batch_size: 1.'
    )


JPEG = cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
BAD = {
    "no message": (b"\xff\xff", "", "is not a Datum"),
    "too few values": (Datum(channels=3, height=9, width=9, data=b"x").SerializeToString(), "", "Received: 1 value,"),
    "no image": (Datum(encoded=True, data=b"no image").SerializeToString(), "", "it is not an image"),
    "nothing": (Datum(encoded=True).SerializeToString(), "", "there are no bytes to read"),
    "cut off": (Datum(encoded=True, data=JPEG[:-50]).SerializeToString(), "", "cut off"),
    "small": (raw(3), "transform_param { crop_size: 4 }", "at least as large as the crop"),
    "channels": (raw(9, 2), "transform_param { mean_value: 1 mean_value: 2 mean_value: 3 }", "2 channels"),
}


@both
@pytest.mark.parametrize("fault", BAD)
def test_a_bad_item_is_named_by_its_key(tmp_path: Path, backend: str, fault: str) -> None:
    value, options, message = BAD[fault]
    layer, top = build(tmp_path, backend, {b"a": raw(9), b"the bad one": value}, options)
    layer.forward([], top)
    with pytest.raises(DataError, match=rf'^layer "layer" \(Data\): key "the bad one": .*{message}') as error:
        layer.forward([], top)
    assert len(str(error.value)) < 400
    # So is the first, which is read for its shape.
    with pytest.raises(DataError, match=r'key "a"'):
        build(_new(tmp_path), backend, {b"a": value}, options)


def _new(folder: Path) -> Path:
    (folder / "second").mkdir()
    return folder / "second"


@both
def test_keys_of_bytes_and_long_keys_are_shown_readably(tmp_path: Path, backend: str) -> None:
    with pytest.raises(DataError, match=r'key "\\xd1\\x00é"'):
        build(tmp_path, backend, {b"\xd1\0\xc3\xa9": b"\xff"})
    with pytest.raises(DataError, match=r'key "a{80}\.\.\."'):
        build(_new(tmp_path), backend, {b"a" * 200: b"\xff"})


def numbered(count: int) -> dict[bytes, bytes]:
    return {
        b"%04d" % i: Datum(channels=1, height=1, width=1, data=bytes([i])).SerializeToString() for i in range(count)
    }


def test_each_epoch_is_shuffled_in_an_order_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in numbered(50).items():
            transaction.put(key, value)
    options = f'data_param {{ source: "{path}" batch_size: 10 backend: LMDB shuffle: true }}'

    def epochs(seed: int, skip: int = 0) -> list[list[int]]:
        caffe.set_random_seed(seed)
        layer, _, top = LayerCase("Data", options, (), 1).build()
        state = layer.state()
        layer.restore({**state, "item": skip})
        values = []
        for _ in range(15 - skip // 10):
            layer.forward([], top)
            values += top[0].data.reshape(-1).astype(int).tolist()
        return [values[i : i + 50] for i in range(0, len(values), 50)]

    first, second, third = epochs(1)
    assert sorted(first) == sorted(second) == sorted(third) == list(range(50))
    assert len({tuple(first), tuple(second), tuple(third), tuple(range(50))}) == 4
    assert epochs(1) == [first, second, third]
    assert epochs(2)[0] != first
    # A run that goes on knows the order.
    assert epochs(1, skip=50) == [second, third]


def test_databases_of_leveldb_are_not_shuffled(tmp_path: Path) -> None:
    path = tmp_path / "db"
    write_database(path, [], [[(key, number, value)] for number, (key, value) in enumerate(numbered(3).items())])
    with pytest.raises(DataError, match="shuffle: true } needs an LMDB database"):
        LayerCase("Data", f'data_param {{ source: "{path}" batch_size: 1 shuffle: true }}', (), 1).build()
