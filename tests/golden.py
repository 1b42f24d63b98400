"""Running recorded cases through a net of ours."""

from __future__ import annotations

import json
import zlib
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

Array = np.ndarray[Any, Any]


class Record:
    """A recorded case: prototxt, phase, and arrays by key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with np.load(path, allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        self.phase = caffe_pb2.Phase.Value(str(self.arrays["phase"]))
        self.tolerance = float(self.arrays.get("tolerance", 2e-3))

    def under(self, prefix: str) -> dict[str, Array]:
        """Arrays whose key starts with ``prefix/``, by the rest of the key."""
        return {key[len(prefix) + 1 :]: value for key, value in self.arrays.items() if key.startswith(prefix + "/")}

    def net(self, fuse: bool = True) -> Net:
        """The case's net."""
        message = parse(str(self.arrays["prototxt"]), caffe_pb2.NetParameter(), str(self.path))
        return Net(message, self.phase, fuse=fuse)

    def weights(self, layers: Container[str] | None = None) -> Iterator[tuple[str, Array]]:
        """Weights that ``weights_spec`` describes, of some layers or all, with their key ``layer/index``."""
        for layer, index, shape, kind, a, b in json.loads(str(self.arrays["weights_spec"])):
            if layers is not None and layer not in layers:
                continue
            rng = np.random.RandomState(zlib.crc32(f"{layer}/{index}".encode()))
            if kind == "const":
                values = np.full(shape, a)
            else:
                values = a + b * (rng.randn(*shape) if kind == "normal" else rng.rand(*shape))
            yield f"{layer}/{index}", np.asarray(values, np.float32)


def split_key(key: str) -> tuple[str, int]:
    """``layer/index`` apart; layer names may have slashes of their own."""
    layer, index = key.rsplit("/", 1)
    return layer, int(index)


def set_params(net: Net, values: Iterable[tuple[str, Array]]) -> None:
    """Fill parameters by ``layer/index``."""
    for key, array in values:
        layer, index = split_key(key)
        net.params[layer][index].data[...] = array


def assert_close(name: str, found: Array, expected: Array, tolerance: float) -> None:
    """Agreement relative to the largest recorded value."""
    assert found.size == expected.size, f"{name}: shape {found.shape}, recorded {expected.shape}"
    scale = float(np.abs(expected).max(initial=0)) or 1.0
    error = float(np.abs(found.reshape(-1).astype(np.float64) - expected.reshape(-1)).max(initial=0))
    assert error <= tolerance * scale, f"{name}: differs by {error:.3g}, largest value {scale:.3g}"
