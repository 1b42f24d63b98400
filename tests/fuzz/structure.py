"""Damage that keeps to a format: a protobuf, JSON, ZIP, HDF5 or PNG file that can be taken apart, with wrong parts."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from typing import Any

import h5py
import numpy as np

from tests.fuzz.mutate import change_bytes, change_integer

_VARINTS = (0, 1, 2, 127, 128, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)
_JSON = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -(10**30), 0.5, 1e308, float("nan"), float("inf"), "", "x", "0",
    "../../x", "\0", "a" * 5000, [], [[]], [1, "2", None], {}, {"a": 1}, [[0.5, None], {}], ["\ud800"],
)  # fmt: skip
_SHAPES = (
    "()", "(0,)", "(3,)", "(-1, 3)", "(2, 3)", "(1,) * 40", str((1,) * 40), str((2,) * 70), "(4294967296, 4294967296)",
    "(0, 4611686018427387904, 8)", "3", "None", "(2.5,)", "('a',)", "(True,)", "(" * 300 + ")" * 300, "9" * 5000,
)  # fmt: skip
_DESCRIPTIONS = (
    "'<f4'", "'<f8'", "'>i2'", "'|b1'", "'<c8'", "'|O'", "'|S3'", "'<U2'", "'|V8'", "'<M8[s]'", "'f'", "''", "7",
    "[('a', '<f4'), ('b', '<i4', (2,))]", "[('a', '|O')]", "{'names': ['a'], 'formats': ['<f4']}", "None",
    "'<f4,<i4'", "('<f4', (2, 2))", "'|S99999999999'", "'<f99'",
)  # fmt: skip


def odd_array(rng: random.Random) -> Any:
    """An array of a shape or type that is not meant."""
    return rng.choice((
        np.zeros(0, np.float32), np.float32(3), np.zeros((0, 3), np.float32), np.zeros((1,) * 32, np.float32),
        np.array([2**64 - 1], np.uint64), np.array([True, False]), np.array([1 + 2j]), np.zeros(3, np.float16),
        np.array([b"abc", b"d"]), np.zeros(2, [("a", "<f4"), ("b", "<i4")]), np.float32([np.nan, np.inf, -1e38]),
        np.full((2, 2), 1e300), np.zeros((3, 5), np.int8), np.array([-(2**63)]), np.zeros((2, 3, 4, 5, 6), ">f4"),
    ))  # fmt: skip


# Protobuf.

Field = tuple[int, int, bytes]
"""Number, wire type and the bytes after the tag; without its length where it has one."""


def change_message(rng: random.Random, data: bytes) -> bytes:
    """Change a field of a message, or of one inside it."""
    fields = _fields(data)
    if not fields:
        return change_bytes(rng, data)
    at = rng.randrange(len(fields))
    number, kind, content = fields[at]
    if kind == 2 and len(content) > 1 and rng.random() < 0.6:
        fields[at] = number, kind, change_message(rng, content) if _fields(content) else change_bytes(rng, content)
        return _message(fields)
    how = rng.randrange(8)
    if how == 0:
        del fields[at]
    elif how == 1:
        fields[at:at] = [fields[at]] * rng.choice((1, 2, 40))
    elif how == 2:
        fields[at] = rng.choice((number + 1, 1, 2, 7, 100, 1 << 28)), kind, content
    elif how == 3:
        fields[at] = number, 0, _varint(rng.choice(_VARINTS))
    elif how == 4:
        fields[at] = number, 2, rng.choice((b"", b"\xff" * 9, b"\0" * 100, b"x", _varint(rng.choice(_VARINTS)) * 3))
    elif how == 5:
        rng.shuffle(fields)
    elif how == 6:
        fields[at] = number, 2, _varint(rng.choice(_VARINTS)) * rng.choice((1, 4, 40))
    else:
        fields.append((rng.randrange(1, 40), 0, _varint(rng.choice(_VARINTS))))
    return _message(fields)


def _fields(data: bytes) -> list[Field]:
    """The fields of a message; none for what is no message."""
    fields: list[Field] = []
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind, start = tag & 7, at
        if kind == 0:
            _, at = _read_varint(data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, start = _read_varint(data, at)
            at = start + size
        else:
            return []
        if tag < 8 or at > len(data):
            return []
        fields.append((tag >> 3, kind, data[start:at]))
    return fields


def _message(fields: list[Field]) -> bytes:
    parts = []
    for number, kind, content in fields:
        size = _varint(len(content)) if kind == 2 else b""
        parts.append(_varint(number << 3 | kind) + size + content)
    return b"".join(parts)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    return 0, len(data) + 1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


# JSON.


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Exchange, leave out or repeat a part of a JSON file."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return change_bytes(rng, data)
    places = [(None, None), *_places(tree)]
    parent, key = rng.choice(places)
    how = rng.random()
    if parent is None:
        tree = rng.choice(_JSON) if how < 0.5 else tree
    elif how < 0.7:
        parent[key] = rng.choice(_JSON)
    elif how < 0.85:
        del parent[key]
    elif isinstance(parent, list):
        parent[key:key] = [parent[key]] * rng.choice((1, 3, 300))
    else:
        parent[rng.choice(("", "x", "0", "id", "__proto__"))] = parent[key]
    return json.dumps(tree).encode("utf-8", "replace")


def _places(tree: Any) -> list[tuple[Any, Any]]:
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    return [place for key in keys for place in ((tree, key), *_places(tree[key]))]


def change_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Change the table of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    table = change_json(rng, data[8 : 8 + size])
    return len(table).to_bytes(8, "little") + table + data[8 + size :]


# Arrays.


def change_npy(rng: random.Random, data: bytes) -> bytes:
    """Change the header of a .npy file, or put another array in its place."""
    if rng.random() < 0.3:
        memory = io.BytesIO()
        np.save(memory, odd_array(rng))
        return memory.getvalue()
    size = int.from_bytes(data[8:10], "little")
    parts = {"descr": "'<f4'", "fortran_order": "False", "shape": "(2, 3)"}
    key = rng.choice(list(parts))
    options = {"descr": _DESCRIPTIONS, "shape": _SHAPES, "fortran_order": ("True", "None", "7", "'a'")}
    parts[key] = rng.choice(options[key])
    if rng.random() < 0.1:
        parts.pop(rng.choice(list(parts)))
    text = "{" + ", ".join(f"'{name}': {value}" for name, value in parts.items()) + "}\n"
    header = text.encode()
    if len(header) > 65535:
        return data
    return data[:6] + bytes([rng.choice((1, 1, 1, 9)), 0]) + struct.pack("<H", len(header)) + header + data[10 + size :]


def change_zip(rng: random.Random, data: bytes) -> bytes:
    """Change a member of a ZIP file (.npz), its name, or how it is packed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # the file is damaged already
        return change_bytes(rng, data)
    if not members:
        return data
    at = rng.randrange(len(members))
    name, content = members[at]
    how = rng.random()
    if how < 0.6:
        members[at] = name, change_npy(rng, content)
    elif how < 0.8:
        members[at] = (
            rng.choice(("x", "conv/00.npy", "conv/-1.npy", "a/" + "9" * 5000 + ".npy", "../x.npy", "/0.npy")),
            content,
        )
    else:
        members.insert(at, (name + "x", content))
    memory = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(memory, "w", packing) as archive:
        for name, content in members:
            # The date that an entry has unless it is told: now would differ from run to run.
            archive.writestr(zipfile.ZipInfo(name), content, packing)
    return memory.getvalue()


def change_hdf5(rng: random.Random, data: bytes) -> bytes:
    """Exchange a data set or group of an HDF5 file for something else."""
    memory = io.BytesIO(data)
    try:
        with h5py.File(memory, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            name = rng.choice(names or ["x"])
            how = rng.random()
            if how < 0.9 and name in file:
                del file[name]
            if how < 0.5:
                file[name] = odd_array(rng)
            elif how < 0.6:
                file.create_group(name)
            elif how < 0.7:
                file[name] = h5py.SoftLink(rng.choice(("/nothing", f"/{name}", "/")))
            elif how < 0.8:
                file.create_dataset(name, data=rng.choice((h5py.Empty("f4"), "text", ["a", "b"], 2**62)))
            else:
                file[rng.choice(("x", "data/conv/7", "data/conv/x", "history/x"))] = odd_array(rng)
        return memory.getvalue()
    except Exception:  # the file is damaged already
        return change_integer(rng, data)


# Images and packed files.


def change_png(rng: random.Random, data: bytes) -> bytes:
    """Change a chunk of a PNG file, with a checksum that fits."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return change_bytes(rng, data)
    at = 0 if rng.random() < 0.5 else rng.randrange(len(chunks))
    kind, content = chunks[at]
    how = rng.random()
    if how < 0.5:
        chunks[at] = kind, change_integer(rng, content) if rng.random() < 0.5 else change_bytes(rng, content)
    elif how < 0.6:
        chunks[at] = rng.choice((b"PLTE", b"tRNS", b"IDAT", b"iCCP", b"zTXt", b"acTL", b"IEND", b"eXIf")), content
    elif how < 0.7:
        del chunks[at]
    elif how < 0.8:
        chunks.insert(rng.randrange(len(chunks) + 1), (kind, content))
    else:
        chunks[at] = (
            kind,
            zlib.compress(bytes(rng.randrange(1, 2000))) if kind == b"IDAT" else content[: rng.randrange(9)],
        )
    parts = [len(c).to_bytes(4, "big") + k + c + zlib.crc32(k + c).to_bytes(4, "big") for k, c in chunks]
    return data[:8] + b"".join(parts)


def change_packed(rng: random.Random, data: bytes) -> bytes:
    """Change what a gzip file holds."""
    try:
        return gzip.compress(change_integer(rng, gzip.decompress(data)))
    except (OSError, EOFError, zlib.error):
        return change_integer(rng, data)


def change_mat(rng: random.Random, data: bytes) -> bytes:
    """Change integers behind the text at the head of a MATLAB file."""
    return data[:124] + change_integer(rng, data[124:])
