"""Configurations and binary messages: reading, upgrading, writing."""

import re
from importlib.util import find_spec
from pathlib import Path

from segcaffe.errors import MissingSchemaError

_CHECKOUT = Path(__file__).resolve().parents[2]
_COMPILE = "pip install -e . --config-settings editable_mode=compat"


def _names_missing(schema: Path, compiled: Path) -> list[str]:
    """Return the names of a checkout's schema that the compiled one lacks; none where that is the newer file."""
    if not schema.is_file() or schema.stat().st_mtime <= compiled.stat().st_mtime:
        return []
    from segcaffe.proto.caffe_pb2 import DESCRIPTOR

    names = re.findall(
        rb"^ *(?:message |enum |(?:optional|repeated) \S+ )?(\w+) (?:\{|= -?\d)", schema.read_bytes(), re.M
    )
    return [name.decode() for name in names if name not in DESCRIPTOR.serialized_pb]


if find_spec(f"{__name__}.caffe_pb2") is None:
    raise MissingSchemaError(
        f"{_CHECKOUT} is a checkout whose schema is not compiled (segcaffe/proto/caffe_pb2.py is missing). Run there: "
        f"{_COMPILE}. If segcaffe is installed already, run in another folder: Python takes a package that lies in the "
        "folder it runs in."
    )
if _missing := _names_missing(_CHECKOUT / "protos" / "caffe.proto", Path(__file__).with_name("caffe_pb2.py")):
    raise MissingSchemaError(
        f"{_CHECKOUT} is a checkout whose compiled schema is older than protos/caffe.proto: it lacks {_missing[0]}. "
        f"Run there: {_COMPILE}."
    )
