"""ONNX: `export` makes a model of a net, `write` a file; the families beside `emitter` say what layers become."""

from segcaffe.export.onnx.model import Options, export, export_net
from segcaffe.export.onnx.save import write

__all__ = ["Options", "export", "export_net", "write"]
