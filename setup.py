"""Build step of segcaffe: compiles protos/caffe.proto into segcaffe/proto/caffe_pb2.py.

Everything else about the package is declared in pyproject.toml. The generated module is not committed; wheels,
editable installs and sdists all go through this step, with grpcio-tools as the only tool it needs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SCHEMA = ROOT / "protos" / "caffe.proto"


def compile_schema(target: Path) -> None:
    """Write caffe_pb2.py and caffe_pb2.pyi for the schema into the folder ``target``."""
    from grpc_tools import protoc

    target.mkdir(parents=True, exist_ok=True)
    arguments = ["protoc", f"-I{SCHEMA.parent}", f"--python_out={target}", f"--pyi_out={target}", str(SCHEMA)]
    if protoc.main(arguments) != 0:
        sys.exit(f"setup.py: protoc could not compile {SCHEMA}")


class BuildWithSchema(build_py):
    """build_py that first generates the protobuf module, in place (editable) or in the build folder."""

    def run(self) -> None:
        """Generate the module, then copy the package as usual."""
        compile_schema(ROOT / "segcaffe" / "proto")
        super().run()


setup(cmdclass={"build_py": BuildWithSchema})
