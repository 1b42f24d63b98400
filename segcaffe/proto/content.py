"""What a file holds, told by its first bytes and its fields: for messages about a file in another's place.

Nets, solvers, weights and states have like names and are easily given for each other; downloads are web pages,
archives or the pointers that Git LFS leaves.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Iterable

from segcaffe.proto import wire
from segcaffe.proto.caffe_pb2 import NetParameter, SolverParameter
from segcaffe.proto.tokens import outer_fields
from segcaffe.text.words import counted

NET, SOLVER = "a net (prototxt)", "a solver (prototxt)"
NPZ = "arrays of NumPy (.npz)"
WEIGHTS, STATE = "weights (.caffemodel)", "a solver state (.solverstate)"
HDF5 = "an HDF5 file"
MEAN = "a mean image (.binaryproto)"
LOG = "a training log"

_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", HDF5),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it first"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"\x93NUMPY", "an array of NumPy (.npy)"),
    (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
    (b"\x80\x02", "a pickle of Python (PyTorch writes such .pth files)"),
    (b"\x80\x04", "a pickle of Python"),
)
_ADVICE = {
    (
        WEIGHTS,
        NET,
    ): " Give the net's prototxt; weights are given separately (`segcaffe test --weights`, Net(…, weights=…)).",
    (STATE, NET): " Give the net's prototxt.",
    (WEIGHTS, SOLVER): " Give the solver's prototxt; weights are given separately (`segcaffe train --weights`).",
    (
        STATE,
        SOLVER,
    ): " Give the solver's prototxt; the state to go on from is given separately (`segcaffe train --snapshot`).",
    (STATE, WEIGHTS): " Give the .caffemodel that was written with it.",
    (
        WEIGHTS,
        STATE,
    ): " Give the .solverstate that was written with it; weights alone are given with `segcaffe train --weights`.",
    (NET, WEIGHTS): " Give the .caffemodel; the prototxt is given separately (`segcaffe test --model`, Net(FILE, …)).",
    (NET, STATE): " Give the .solverstate of a snapshot.",
    (SOLVER, STATE): " Give the .solverstate of a snapshot.",
    (SOLVER, WEIGHTS): " Give the .caffemodel of a snapshot.",
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_LFS = b"version https://git-lfs.github.com/spec/"
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_LOG = re.compile(rb"Log file created at:|[IWEF]\d{4,8} \d\d:\d\d:\d\d")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f]")
_HEAD = 4096


def is_binary(data: bytes) -> bool:
    """Whether bytes are no text: a control character is among them, as in every binary message."""
    return _CONTROL.search(data) is not None


def content_of(data: bytes) -> str:
    """Return what a file's bytes are, as words for a message; an empty string where one cannot tell."""
    if not data:
        return "an empty file"
    for magic, words in _MAGIC:
        if data.startswith(magic):
            return words
    if data.startswith(_ZIP):
        return _archive(data)
    if data.startswith(_LFS):
        return _pointer(data)
    if _HTML.match(data[:_HEAD]):
        return "a web page (HTML), such as an error page or one with a download button"
    if _LOG.match(data):
        return LOG
    if data[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    if is_binary(data):
        return _message(data)
    return text_content(outer_fields(data.decode("utf-8", "replace"))) or ("a text file" if _is_utf8(data) else "")


def is_configuration(data: bytes) -> bool:
    """Whether bytes may be a text configuration: no binary file, nor a web page, a log or a pointer."""
    return not (is_binary(data) or _HTML.match(data[:_HEAD]) or _LOG.match(data) or data.startswith(_LFS))


def advice(content: str, wanted: str) -> str:
    """Return what to do where a file with ``content`` was given instead of one ``wanted``; may be empty."""
    return _ADVICE.get((content, wanted), "")


def text_content(fields: Iterable[str]) -> str:
    """Return what a text with these outermost fields is: a net, a solver, or an empty string."""
    names = set(fields)
    own_to_nets, own_to_solvers = _own_fields()
    in_net, in_solver = len(names & own_to_nets), len(names & own_to_solvers)
    if in_net == in_solver:
        return ""
    return NET if in_net > in_solver else SOLVER


def _is_utf8(data: bytes) -> bool:
    try:
        return bool(data.decode("utf-8").strip())
    except UnicodeDecodeError:
        return False


def _own_fields() -> tuple[set[str], set[str]]:
    nets, solvers = (set(message.DESCRIPTOR.fields_by_name) for message in (NetParameter, SolverParameter))
    return nets - solvers, solvers - nets


def _archive(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info.filename for info in archive.infolist() if not info.filename.endswith("/")]
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, LookupError, struct.error):
        return "a zip archive, which is damaged"
    if any(name.endswith("data.pkl") for name in names):
        return "a file of PyTorch (.pth)"
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"a zip archive with {shown or 'nothing in it'}; unpack it first"


def _pointer(data: bytes) -> str:
    size = re.search(rb"^size (\d+)", data, re.MULTILINE)
    told = f" of {counted(int(size[1]), 'byte')}" if size else ""
    return f"a Git LFS pointer, which stands for a file{told}; `git lfs pull` fetches that"


def _message(data: bytes) -> str:
    """Tell binary messages apart by their first fields: which numbers they have, and of which kinds."""
    kinds: dict[int, int] = {}
    try:
        for count, field in enumerate(wire.fields(data)):
            kinds.setdefault(field.number, field.kind)
            if count > 64:
                break
    except wire.WireError:
        return ""
    if 100 in kinds or (2 in kinds and kinds.get(1, wire.LENGTH) == wire.LENGTH):
        return WEIGHTS
    if kinds.get(1) == wire.VARINT and (kinds.get(2, kinds.get(3)) == wire.LENGTH):
        return STATE
    if kinds.get(5) == wire.LENGTH and set(kinds) <= {1, 2, 3, 4, 5, 6, 7}:
        return MEAN
    return ""
