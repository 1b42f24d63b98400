"""Configurations and binary messages: reading, upgrading, writing."""

from importlib.util import find_spec
from pathlib import Path

from segcaffe.errors import MissingSchemaError

if find_spec(f"{__name__}.caffe_pb2") is None:
    _checkout = Path(__file__).resolve().parents[2]
    raise MissingSchemaError(
        f"{_checkout} is a checkout whose schema is not compiled (segcaffe/proto/caffe_pb2.py is missing). Run there: "
        "pip install -e . --config-settings editable_mode=compat. If segcaffe is installed already, run in another "
        "folder: Python takes a package that lies in the folder it runs in."
    )
