"""The MNIST test images as a database, as Caffe's own example writes it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.proto import caffe_pb2

Array = np.ndarray[Any, Any]


def images_and_labels(shared: Path) -> tuple[Array, Array]:
    """The 10,000 images (N, 28, 28), uint8, and their labels (N,)."""
    folder = shared / "data" / "mnist"
    images = np.frombuffer(gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return images.reshape(-1, 28, 28), labels


def write_lmdb(shared: Path, folder: Path) -> None:
    """Write the images in their order under the keys 00000000, 00000001, ..."""
    lmdb = pytest.importorskip("lmdb")
    images, labels = images_and_labels(shared)
    with lmdb.open(str(folder), map_size=1 << 28) as database, database.begin(write=True) as transaction:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            datum = caffe_pb2.Datum(channels=1, height=28, width=28, data=image.tobytes(), label=int(label))
            transaction.put(f"{number:08d}".encode(), datum.SerializeToString())
