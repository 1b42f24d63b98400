"""The built wheel and an editable install, as users get them: outside the checkout, in environments of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

BUILD = ("setuptools>=77", "grpcio-tools>=1.72,<1.82")
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", "build", "dist", "caffe_pb2*"
)


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """Run a program that sees none of our environment's paths, and no HOME; returns what it prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON") and key != "HOME"}
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=kept | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment(folder: Path) -> Path:
    """A virtual environment with pip that has what ours has, but not segcaffe; its Python."""
    venv.create(folder, with_pip=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    ours = [path for path in sys.path if path.endswith("-packages")]
    (packages / "dependencies.pth").write_text("\n".join(ours))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that can build."""
    folder = tmp_path_factory.mktemp("builder")
    venv.create(folder / "environment", with_pip=True)
    python = folder / "environment" / "bin" / "python"
    done = subprocess.run([python, "-m", "pip", "install", "-q", *BUILD, "wheel"], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"what builds the package cannot be installed here: {done.stderr.splitlines()[-1:]}")
    return python


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout as it is after `git clone`: in a folder named segcaffe, with no generated schema."""
    shutil.copytree(ROOT, tmp_path / "segcaffe", ignore=LEFT_OUT)
    return tmp_path / "segcaffe"


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(builder: Path, clone: Path, tmp_path: Path) -> None:
    run(
        builder, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, clone, folder=tmp_path
    )
    wheel = next(tmp_path.glob("*.whl"))
    held = {name: zipfile.ZipFile(wheel).read(name) for name in zipfile.ZipFile(wheel).namelist()}
    for path in (ROOT / "configs").rglob("*"):
        if path.is_file():
            assert held[f"segcaffe/configs/{path.relative_to(ROOT / 'configs')}"] == path.read_bytes()
    assert {"segcaffe/py.typed", "segcaffe/proto/caffe_pb2.py", "segcaffe/proto/caffe_pb2.pyi"} <= set(held)
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/", "tools/", "configs/"))]

    python, work = environment(tmp_path / "environment"), tmp_path / "work"
    work.mkdir()
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, folder=work)
    shutil.rmtree(clone)
    packages = next((tmp_path / "environment").glob("lib/python*/site-packages"))
    for path in [packages, *packages.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    segcaffe = python.with_name("segcaffe")
    assert "files written" in run(segcaffe, "configs", folder=work)
    run(segcaffe, "data", "make-scenes", "scenes", "--classes", "--train", "2", "--test", "1", folder=work)
    solver = ["--solver", "configs/tiny/plain_solver.prototxt", "--set", "SCENES=scenes", "--set", "OUT=model"]
    run(segcaffe, "train", *solver, "--max_iter", "1", folder=work)
    assert (work / "model" / "plain_iter_1.caffemodel").exists()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [[], ["--config-settings", "editable_mode=compat"]], ids=["plain", "told"])
def test_an_editable_install_is_found_in_the_folder_above(
    settings: list[str], builder: Path, clone: Path, tmp_path: Path
) -> None:
    install = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--force-reinstall"]
    run(builder, *install, *settings, "-e", clone, folder=tmp_path)
    run(builder, "-m", "pip", "install", "-q", "numpy", folder=tmp_path)
    told = run(builder, "-c", "import segcaffe; print(segcaffe.__file__)", folder=clone.parent)
    assert told.strip() == str(clone / "segcaffe" / "__init__.py")
