"""Which items each rank has: together all of them, none twice, also where their number cannot be divided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segcaffe import device
from segcaffe.data.database import Database, Value
from segcaffe.data.database_writer import create_database, raw_datum
from segcaffe.errors import GraphError
from segcaffe.net.net import Net
from segcaffe.parallel import Alone, Options, use
from segcaffe.proto import caffe_pb2
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.text import parse
from segcaffe.solver.nets import build_train_net

ITEMS = 7
LAYERS = {
    "HDF5Data": 'hdf5_data_param {{ source: "rows.txt" batch_size: {batch} {shuffle} }}',
    "ImageData": 'image_data_param {{ source: "images.txt" batch_size: {batch} {shuffle} }}',
    "ImageSegData": 'image_data_param {{ source: "pairs.txt" batch_size: {batch} label_type: PIXEL {shuffle} }}',
    "TwoImageData": 'image_data_param {{ source: "pairs.txt" batch_size: {batch} {shuffle} }} '
    "two_image_data_param {{ first_is_color: true second_is_color: false }}",
    "Data": 'data_param {{ source: "lmdb" backend: LMDB batch_size: {batch} {shuffle} }}',
}


@pytest.fixture
def items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items that are told apart by the first value of their batch: number / 10, or the gray value."""
    h5py, cv2 = pytest.importorskip("h5py"), pytest.importorskip("cv2")

    monkeypatch.chdir(tmp_path)
    for name, first, count in (("a.h5", 0, 3), ("b.h5", 3, ITEMS - 3)):
        with h5py.File(name, "w") as file:
            file["data"] = np.arange(first, first + count, dtype=np.float32)[:, None]
            file["label"] = np.zeros(count, np.float32)
    Path("rows.txt").write_text("a.h5\nb.h5\n")
    for number in range(ITEMS):
        cv2.imwrite(f"{number}.png", np.full((4, 4, 3), number, np.uint8))
    Path("images.txt").write_text("".join(f"{number}.png 0\n" for number in range(ITEMS)))
    Path("pairs.txt").write_text("".join(f"{number}.png {number}.png\n" for number in range(ITEMS)))
    for backend in ("lmdb", "leveldb"):
        with create_database(Path(backend), backend, "test") as writer:
            for number in range(ITEMS):
                writer.put(f"{number:03d}", raw_datum(np.full((1, 1, 1), number, np.uint8), 0))


def layer_of(kind: str, batch: int, shuffle: bool = False) -> str:
    options = LAYERS[kind].format(batch=batch, shuffle="shuffle: true" if shuffle else "")
    return f'layer {{ name: "items" type: "{kind}" top: "data" top: "label" {options} }}'


def items_of(kind: str, ranks: Alone, count: int, shuffle: bool = False, phase: int = caffe_pb2.TRAIN) -> list[int]:
    """The numbers of the items of so many batches of two."""
    device.set_random_seed(3)
    with use(ranks):
        net = Net(parse(layer_of(kind, 2, shuffle), caffe_pb2.NetParameter()), phase=phase)
    found: list[int] = []
    for _ in range(count):
        net.forward()
        found += [round(float(value)) for value in net.blobs["data"].data.reshape(2, -1)[:, 0]]
    net.layers[0].close()
    return found


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_items_are_dealt_one_by_one(kind: str, shuffle: bool, ranks: int) -> None:
    everything = items_of(kind, Alone(), 5 * ranks, shuffle)
    for rank in range(ranks):
        assert items_of(kind, Alone(rank, ranks), 5, shuffle) == everything[rank::ranks]


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize("kind", ["HDF5Data", "ImageData"])
def test_batches_of_shared_tests_are_dealt_whole(kind: str) -> None:
    everything = items_of(kind, Alone(), 6, phase=caffe_pb2.TEST)
    for rank in range(3):
        ranks = Alone(rank, 3)
        assert items_of(kind, ranks, 6, phase=caffe_pb2.TEST) == everything
        ranks.options = Options(share_tests=True)
        expected = [item for start in (2 * rank, 2 * rank + 6) for item in everything[start : start + 2]]
        assert items_of(kind, ranks, 2, phase=caffe_pb2.TEST) == expected


@pytest.mark.usefixtures("items")
def test_a_batch_is_divided_where_the_user_says_so() -> None:
    ranks = Alone(0, 3)
    ranks.options = Options(divide_batch=True)
    divisible, other = (parse(f"net_param {{ {layer_of('ImageData', batch)} }}", SolverParameter()) for batch in (6, 4))
    with use(ranks):
        assert build_train_net(divisible).blobs["data"].shape[0] == 2
        with pytest.raises(GraphError, match=r'layer "items" \(ImageData\): batch_size is divided among 3 ranks'):
            build_train_net(other)


@pytest.mark.usefixtures("items")
def test_values_of_a_leveldb_are_passed_over_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    iterate = Database._iterate

    def counted(database: Database, skip: int) -> Iterator[Value]:
        begun.append(skip)
        return iterate(database, skip)

    monkeypatch.setattr(Database, "_iterate", counted)
    database = Database("leveldb", caffe_pb2.DataParameter.LEVELDB, "test")
    numbers = range(1, 20, 3)
    found = [caffe_pb2.Datum.FromString(database.item(number, 0)).data[0] for number in numbers]
    assert found == [number % ITEMS for number in numbers]
    # Looked for once, after a count; from then on passed over, and begun anew at the end of each epoch.
    assert begun == [0, 1, 0, 0]
