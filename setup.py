"""Build step of segcaffe: compiles protos/caffe.proto into segcaffe/proto/caffe_pb2.py, puts configs/ into wheels.

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


class Build(build_py):
    """build_py that also generates the protobuf module and, unless the install is editable, brings configs/ along."""

    def run(self) -> None:
        """Generate the module, copy the package as usual, then the configurations into it."""
        compile_schema(ROOT / "segcaffe" / "proto")
        super().run()
        if not self.editable_mode:
            for source, target in self._configs().items():
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All files that are written, for those who ask before or after."""
        configs = [] if self.editable_mode else [str(target) for target in self._configs().values()]
        return [*super().get_outputs(include_bytecode), *configs]

    def _configs(self) -> dict[Path, Path]:
        """Each file of configs/ with its place in the build folder; `segcaffe.configs` looks there."""
        target = Path(self.build_lib) / "segcaffe" / "configs"
        sources = (path for path in (ROOT / "configs").rglob("*") if path.is_file())
        return {path: target / path.relative_to(ROOT / "configs") for path in sources}


# Editable installs put this folder on the path. The other way, an import hook, comes too late: in the folder above a
# clone named segcaffe, Python finds the clone's folder first and takes it for an empty package.
setup(cmdclass={"build_py": Build}, options={"editable_wheel": {"mode": "compat"}})
