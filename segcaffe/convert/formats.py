"""Reading and writing weights in any of four formats.

The name tells the format: ``.npz``, ``.safetensors``, when writing also ``.h5``, otherwise binary. When reading, the
first bytes tell binary from HDF5. In .npz and .safetensors files a blob is called ``<layer>/<index>``.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.blob.proto import array_of, from_array
from segcaffe.convert import safetensors
from segcaffe.errors import WeightsError
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.snapshot.caffemodel import load_weights, save_weights
from segcaffe.snapshot.files import read_file, write_file

Array = np.ndarray[Any, Any]


def load(path: str | Path) -> NetParameter:
    """Return the layers and blobs of a file in any of the formats; WeightsError if it is missing or damaged."""
    path = Path(path)
    if path.suffix == ".safetensors":
        arrays, metadata = safetensors.decode(read_file(path), str(path))
        return _to_net(arrays, str(path), metadata)
    if path.suffix == ".npz":
        return _to_net(_read_npz(read_file(path), str(path)), str(path), {})
    return load_weights(path)


def save(net: NetParameter, path: str | Path) -> None:
    """Write layers and blobs in the format that the name asks for."""
    path = Path(path)
    if path.suffix == ".npz":
        memory = io.BytesIO()
        arrays: dict[str, Any] = arrays_of(net, str(path))
        np.savez(memory, **arrays)
        write_file(path, memory.getvalue())
    elif path.suffix == ".safetensors":
        types = {layer.name: layer.type for layer in net.layer if layer.blobs and layer.type}
        metadata = {"net": net.name, "types": json.dumps(types)}
        write_file(path, safetensors.encode(arrays_of(net, str(path)), metadata))
    else:
        save_weights(net, path)


def arrays_of(net: NetParameter, where: str) -> dict[str, Array]:
    """Return the blobs by ``<layer>/<index>``; blobs that the file leaves to another layer are left out."""
    return {
        f"{layer.name}/{index}": array_of(blob, f'{where}: layer "{layer.name}" blob {index}')
        for layer in net.layer
        for index, blob in enumerate(layer.blobs)
        if blob.ByteSize()
    }


def _to_net(arrays: Mapping[str, Array], where: str, metadata: Mapping[str, str]) -> NetParameter:
    net = NetParameter(name=str(metadata.get("net", "")))
    types = _types(metadata, where)
    layers: dict[str, dict[int, Array]] = {}
    for key, array in arrays.items():
        layer, _, index = key.rpartition("/")
        if not layer or not index.isdigit():
            raise WeightsError(f'{where}: arrays are called <layer>/<index>, as conv1/0. Received: "{key}".')
        layers.setdefault(layer, {})[int(index)] = array
    for name, blobs in layers.items():
        if sorted(blobs) != list(range(len(blobs))):
            raise WeightsError(f'{where}: the blobs of layer "{name}" must be 0, 1, ... Received: {sorted(blobs)}.')
        layer_message = net.layer.add(name=name, type=types.get(name, ""))
        layer_message.blobs.extend(from_array(blobs[index]) for index in range(len(blobs)))
    return net


def _types(metadata: Mapping[str, str], where: str) -> dict[str, str]:
    try:
        types = json.loads(metadata.get("types", "{}"))
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{where}: the metadata `types` is no JSON.") from error
    return {str(name): str(kind) for name, kind in types.items()} if isinstance(types, dict) else {}


def _read_npz(data: bytes, where: str) -> dict[str, Array]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {key: _floats(file[key]) for key in file.files}
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise WeightsError(f"{where}: the .npz file is damaged ({error}).") from error


def _floats(array: Array) -> Array:
    return array if array.dtype == np.float64 else array.astype(np.float32)
