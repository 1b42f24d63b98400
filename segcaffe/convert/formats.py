"""Reading and writing weights in any of four formats.

When writing, the name tells the format, in small or capital letters: ``.npz``, ``.safetensors``, ``.h5``, ``.hdf5``,
``.caffemodel``. When reading, the first bytes tell it, unless the name ends in ``.npz`` or ``.safetensors``. In .npz
and .safetensors files a blob is called ``<layer>/<index>``, and beside the blobs stands the net they belong to, so
that a binary file made of them is the one they came from: in .safetensors as the metadata ``definition`` (base64 of
the binary net without its numbers) and ``dialect``, in .npz as arrays of bytes ``__definition__`` and of text
``__dialect__``. Files of others lack them; their layers have names and blobs alone.
"""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from segcaffe.blob.proto import array_of, from_array, set_values, shape_of, stored_dtype, without_values
from segcaffe.convert import safetensors
from segcaffe.errors import SegcaffeError, WeightsError
from segcaffe.files.limits import Budget
from segcaffe.files.npy import DAMAGE, read_member
from segcaffe.files.regular import opened
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.content import NPZ, content_of
from segcaffe.proto.dialect import DIALECTS, check_count
from segcaffe.snapshot.caffemodel import HDF5_SUFFIXES, save_weights
from segcaffe.snapshot.caffemodel import load_with_dialect as load_caffe
from segcaffe.snapshot.files import read_file, unreadable, write_file
from segcaffe.text.digits import whole_number
from segcaffe.trust.paths import leads_out

Array = np.ndarray[Any, Any]
_DEFINITION, _DIALECT = "__definition__", "__dialect__"
_ARRAYS = (".npz", ".safetensors")
_BINARY = (".caffemodel", ".binaryproto", "")
_FOREIGN = (".onnx", ".pth", ".pt", ".npy", ".mat", ".pkl", ".tflite", ".pb", ".keras", ".zip", ".prototxt")
_ZIP = b"PK\x03\x04"


def load(path: str | Path, dialect: str | None = None) -> NetParameter:
    """Return the layers and blobs of a file in any of the formats; WeightsError if it is missing or damaged."""
    return load_with_dialect(path, dialect)[0]


def load_with_dialect(path: str | Path, dialect: str | None = None) -> tuple[NetParameter, str]:
    """Return the layers and blobs of a file, and the dialect of the binary file they came from (or bvlc).

    ``dialect`` prescribes that of a binary file.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    kind = suffix if suffix in _ARRAYS else _kind(path)
    if kind == "":
        return load_caffe(path, dialect)
    data = read_file(path)
    _check_content(data, kind, path)
    arrays, metadata = (safetensors.decode if kind == ".safetensors" else _read_npz)(data, str(path))
    kept = metadata.get("dialect", "")
    return _to_net(arrays, str(path), metadata), kept if kept in DIALECTS else "bvlc"


def _kind(path: Path) -> str:
    """What a file's first bytes say: a .zip archive, or a table in braces after its length; "" for Caffe's formats."""
    try:
        with opened(path) as file:
            head = file.read(9)
            size = file.seek(0, 2)
    except OSError as error:
        raise unreadable(path, error) from error
    if head.startswith(_ZIP):
        return ".npz"
    is_table = head[8:] == b"{" and int.from_bytes(head[:8], "little") < size
    return ".safetensors" if is_table else ""


def _check_content(data: bytes, kind: str, path: Path) -> None:
    """Raise WeightsError for a file that is recognisably something else than its name or first bytes promise."""
    if kind == ".safetensors" and data[8:9] == b"{":
        return
    received = content_of(data)
    if received not in ("", NPZ if kind == ".npz" else ""):
        raise WeightsError(f"{path}: expected weights. Received: {received}.")


def save(net: NetParameter, path: str | Path, dialect: str = "bvlc", any_binary: bool = False) -> None:
    """Write layers and blobs in the format that the name asks for; a binary file has the numbers of ``dialect``.

    WeightsError for a name that asks for no format of weights (see `check_name`).
    """
    path = Path(path)
    suffix = check_name(path, any_binary)
    if suffix in _ARRAYS:
        _check_names(net, path)
    if suffix == ".npz":
        memory = io.BytesIO()
        arrays: dict[str, Any] = _as_stored(net, str(path))
        arrays[_DEFINITION] = np.frombuffer(_without_values(net).SerializeToString(), np.uint8)
        arrays[_DIALECT] = np.array(dialect)
        np.savez(memory, **arrays)
        write_file(path, memory.getvalue())
    elif suffix == ".safetensors":
        definition = base64.b64encode(_without_values(net).SerializeToString()).decode()
        metadata = {"net": net.name, "dialect": dialect, "definition": definition}
        write_file(path, safetensors.encode(_as_stored(net, str(path)), metadata))
    else:
        save_weights(net, path, dialect)


def check_name(path: str | Path, any_binary: bool = False) -> str:
    """Return the suffix of a file of weights to be written, in small letters; WeightsError for an unknown one.

    A name without a suffix is that of a binary file; with ``any_binary`` so is every one that is not another format's.
    """
    suffix = Path(path).suffix.lower()
    is_known = suffix in (*_ARRAYS, *HDF5_SUFFIXES, *_BINARY)
    if not is_known and not (any_binary and suffix not in _FOREIGN):
        known = ", ".join(("no suffix or .caffemodel (binary)", ".h5", ".hdf5", *_ARRAYS))
        raise WeightsError(
            f"{path}: the name tells the format of weights, and {Path(path).suffix} is none that is written. "
            f"Known: {known}."
        )
    return suffix


def arrays_of(net: NetParameter, where: str) -> dict[str, Array]:
    """Return the blobs by ``<layer>/<index>``; blobs that the file leaves to another layer are left out."""
    return {
        f"{layer.name}/{index}": array_of(blob, f'{where}: layer "{layer.name}" blob {index}')
        for layer in net.layer
        for index, blob in enumerate(layer.blobs)
        if blob.ByteSize()
    }


def _as_stored(net: NetParameter, where: str) -> dict[str, Array]:
    """Return the blobs by name, those that the file had in half precision in half precision."""
    arrays = arrays_of(net, where)
    for layer in net.layer:
        for index, blob in enumerate(layer.blobs):
            if stored_dtype(blob) == "float16":
                name = f"{layer.name}/{index}"
                arrays[name] = arrays[name].astype(np.float16)
    return arrays


def _check_names(net: NetParameter, path: Path) -> None:
    names = Counter(layer.name for layer in net.layer if layer.blobs)
    for name, count in names.items():
        if count > 1:
            raise WeightsError(
                f'{path}: {count} layers with weights are called "{name}"; a file of arrays by name can hold one. '
                "Give each its own name first."
            )
        if leads_out(name):
            raise WeightsError(
                f'{path}: the layer "{name}" would lead out of the archive; give it another name first: '
                "`segcaffe weights rename`."
            )


def _without_values(net: NetParameter) -> NetParameter:
    """Return the net with blobs that have shapes alone."""
    bare = NetParameter()
    bare.CopyFrom(net)
    for layer, source in zip(bare.layer, net.layer, strict=True):
        del layer.blobs[:]
        layer.blobs.extend(map(without_values, source.blobs))
    return bare


def _to_net(arrays: Mapping[str, Array], where: str, metadata: Mapping[str, str]) -> NetParameter:
    net = _definition(metadata, where)
    if net is None:
        return _nameless(arrays, where)
    used = set()
    for layer in net.layer:
        for index, blob in enumerate(layer.blobs):
            key = f"{layer.name}/{index}"
            if key in arrays and arrays[key].shape == shape_of(blob):
                set_values(blob, arrays[key])
                used.add(key)
    strange = [key for key in arrays if key not in used]
    if strange:
        raise WeightsError(
            f'{where}: "{strange[0]}", of shape {arrays[strange[0]].shape}, is not in the net stored beside it. '
            "The file is damaged, or was changed without that net."
        )
    return net


def _definition(metadata: Mapping[str, str], where: str) -> NetParameter | None:
    if "definition" not in metadata:
        return None
    try:
        content = base64.b64decode(metadata["definition"], validate=True)
        check_count(content, f"{where}: the net stored beside the blobs")
        return NetParameter.FromString(content)
    except SegcaffeError:
        raise
    except (TypeError, ValueError, binascii.Error, DecodeError) as error:
        raise WeightsError(f"{where}: the net stored beside the blobs is damaged.") from error


def _nameless(arrays: Mapping[str, Array], where: str) -> NetParameter:
    """Return a net of which only the layers' names and blobs are known."""
    net = NetParameter()
    layers: dict[str, dict[int, Array]] = {}
    for key, array in arrays.items():
        layer, _, index = key.rpartition("/")
        number = whole_number(index)
        if not layer or number is None:
            raise WeightsError(f'{where}: arrays are called <layer>/<index>, as conv1/0. Received: "{key}".')
        layers.setdefault(layer, {})[number] = array
    for name, blobs in layers.items():
        if sorted(blobs) != list(range(len(blobs))):
            raise WeightsError(f'{where}: the blobs of layer "{name}" must be 0, 1, ... Received: {sorted(blobs)}.')
        net.layer.add(name=name).blobs.extend(from_array(blobs[index]) for index in range(len(blobs)))
    return net


def _read_npz(data: bytes, where: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the blobs of a .npz file, and what stands beside them."""
    budget = Budget(where, len(data))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            arrays = {info.filename.removesuffix(".npy"): read_member(file, info, budget) for info in file.infolist()}
    except SegcaffeError:
        raise
    except DAMAGE as error:
        raise WeightsError(f"{where}: the .npz file is damaged ({error}).") from error
    metadata = {}
    if _DEFINITION in arrays:
        metadata["definition"] = base64.b64encode(arrays.pop(_DEFINITION).tobytes()).decode()
    if _DIALECT in arrays:
        metadata["dialect"] = str(arrays.pop(_DIALECT))
    return {key: _floats(array, f"{where}: {key}") for key, array in arrays.items()}, metadata


def _floats(array: Array, where: str) -> Array:
    if array.dtype.kind not in "fiu":
        raise WeightsError(f"{where}: weights are numbers. Received: an array of {array.dtype}.")
    return array if array.dtype == np.float64 else array.astype(np.float32)
