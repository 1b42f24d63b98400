"""What a user installs: the wheel, an editable checkout, types, and what the project says of itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import segcaffe
from tests.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program that sees none of our environment's paths."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON") and key != "MYPYPATH"}
    return subprocess.run(
        [str(word) for word in command], cwd=folder, env=kept | environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that has what ours has, but segcaffe as a copy in it; the folder of its packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    packages = next(folder.glob("lib/python*/site-packages"))
    shutil.copytree(ROOT / "segcaffe", packages / "segcaffe", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", packages / "segcaffe" / "configs")
    ours = [path for path in sys.path if path.endswith("-packages")]
    (packages / "dependencies.pth").write_text("\n".join(ours))
    return packages


def python(packages: Path) -> Path:
    return packages.parents[2] / "bin" / "python"


USER = """
import numpy as np

import segcaffe as caffe
from segcaffe import {names}
from segcaffe import layers as L, params as P
from segcaffe.proto import caffe_pb2


def accuracy(net: caffe.Net, images: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> float:
    net.blobs["data"].reshape(*images.shape)
    net.blobs["data"].data[...] = images
    return float(net.forward()["scores"].mean())


caffe.set_mode_cpu()
solver = caffe.get_solver("solver.prototxt")
solver.step(1)
solver.net.copy_from("x.caffemodel")
first = solver.net.params["conv"][0].data
message = caffe_pb2.NetParameter(name="x")
spec = caffe.NetSpec()
spec.data = L.DummyData(shape=[dict(dim=[8, 3, 16, 16])])
spec.pool = L.Pooling(spec.data, pool=P.Pooling.AVE, global_pooling=True)
print(spec.to_proto(), caffe.TEST, caffe.io.load_image("a.png"))
net = caffe.Net("net.prototxt", caffe.TEST, weights="x.caffemodel")
accuracy(net, np.zeros((1, 3, 4, 4), np.float32))
reveal_type(net)
reveal_type(caffe.SGDSolver)
net.nonsense
"""


@pytest.mark.slow
def test_scripts_of_users_are_checked_against_our_types(environment: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(USER.format(names=", ".join(segcaffe.__all__)))
    command = ["-m", "mypy", "--strict", "--python-executable", python(environment), "user.py"]
    told = run(sys.executable, *command, folder=tmp_path).stdout
    assert re.findall(r"^user\.py:\d+: error: (.*)$", told, re.MULTILINE) == [
        '"Net" has no attribute "nonsense"  [attr-defined]'
    ], told
    assert 'Revealed type is "segcaffe.net.net.Net"' in told
    assert "segcaffe.solver.sgd.SGDSolver" in told


def test_every_public_name_is_there() -> None:
    assert [name for name in segcaffe.__all__ if not hasattr(segcaffe, name)] == []
    assert set(segcaffe._LAZY) | set(segcaffe._MODULES) <= set(segcaffe.__all__)


def test_configurations_come_with_the_package(environment: Path, tmp_path: Path) -> None:
    done = run(python(environment), "-m", "segcaffe", "configs", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "configs" / "tiny" / "plain_solver.prototxt").exists()


def test_a_checkout_without_schema_says_what_to_run(environment: Path, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "segcaffe", tmp_path / "segcaffe", ignore=shutil.ignore_patterns("__pycache__", "caffe_pb2*")
    )
    sentence = f"{tmp_path} is a checkout whose schema is not compiled"
    for command in (["-m", "segcaffe", "net", "x"], ["-m", "segcaffe.cli.main", "--help"]):
        done = run(python(environment), *command, folder=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        told = " ".join(done.stderr.split())
        assert sentence in told
        assert "pip install -e . --config-settings editable_mode=compat" in told
    for statement in ("segcaffe.Net", "from segcaffe.proto import caffe_pb2", "segcaffe.io"):
        done = run(python(environment), "-c", f"import segcaffe; {statement}", folder=tmp_path)
        assert f"segcaffe.errors.MissingSchemaError: {sentence}" in done.stderr


def test_the_version_has_one_source() -> None:
    assert "version" not in PROJECT
    assert "version" in PROJECT["dynamic"]
    assert "\nversion:" not in (ROOT / "CITATION.cff").read_text()
    found = [path for path in (ROOT / "segcaffe").rglob("*.py") if "__version__ =" in path.read_text()]
    assert found == [ROOT / "segcaffe" / "version.py"]


def test_versions_of_python_and_numba_are_bounded() -> None:
    told = [name.rpartition(":: ")[2] for name in PROJECT["classifiers"] if ":: Python :: 3." in name]
    assert told[0] == PROJECT["requires-python"].removeprefix(">=")
    numba = next(name for name in PROJECT["dependencies"] if name.startswith("numba"))
    assert re.fullmatch(r"numba>=[\d.]+,<[\d.]+", numba)


def test_an_editable_install_is_a_path() -> None:
    """Wherever an editable install is told of, and where nothing is told, it is a path and no import hook."""
    assert '"editable_wheel": {"mode": "compat"}' in (ROOT / "setup.py").read_text()
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("protos/*.md"), ROOT / "tools" / "venv.sh"]
    for page in pages:
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(r"pip install[^\n`]* -e [^\n`]*", text):
            assert "--config-settings editable_mode=compat" in line, f"{page.name}: {line}"
