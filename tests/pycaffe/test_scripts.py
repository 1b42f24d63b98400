"""Scripts as people wrote them for pycaffe, in ``scripts/``, run unchanged: their asserts are the tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import segcaffe
from segcaffe import as_caffe
from tests.pycaffe.nets import write_lenet

SCRIPTS = Path(__file__).parent / "scripts"
MODULES = ("stripes_data", "squared_loss")
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem not in MODULES)


@pytest.fixture
def as_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty working folder with the small LeNet; what a script does to the interpreter is undone."""
    write_lenet(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    as_caffe.uninstall()
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", NAMES)
def test_script_runs_unchanged(as_script: Path, name: str) -> None:
    as_caffe.main([str(SCRIPTS / f"{name}.py")])


def test_scripts_cover_what_people_do() -> None:
    assert len(NAMES) >= 11


def test_command_runs_a_script_with_its_arguments(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nimport beside\nimport caffe, caffe.io, segcaffe\nfrom caffe.proto import caffe_pb2\n"
        "from caffe import layers as L, params as P\nfrom caffe.pycaffe import Net\n"
        "assert caffe is segcaffe and Net is caffe.Net and caffe.io is segcaffe.io\n"
        "assert caffe_pb2 is caffe.proto.caffe_pb2\nassert __name__ == '__main__'\nprint(sys.argv[1:], beside.x)\n"
    )
    (tmp_path / "beside.py").write_text("x = 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "segcaffe.as_caffe", str(script), "--gpu", "0"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path.parent,
    )
    assert done.stdout == "['--gpu', '0'] 3\n"


def test_command_says_when_there_is_no_script() -> None:
    with pytest.raises(SystemExit, match="there is no such script"):
        as_caffe.main(["/nowhere/script.py"])
    with pytest.raises(SystemExit, match="usage"):
        as_caffe.main([])


def test_unknown_submodules_stay_unknown() -> None:
    as_caffe.install()
    try:
        with pytest.raises(ImportError, match="nonsense"):
            __import__("caffe.nonsense")
    finally:
        as_caffe.uninstall()
    assert "caffe" not in sys.modules


def test_python_layers_import_caffes_modules_without_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layer_with_imports.py").write_text(
        "import caffe\nimport caffe.io\nfrom caffe.proto import caffe_pb2\n"
        "class Doubled(caffe.Layer):\n"
        "    def setup(self, bottom, top):\n        import caffe.net_spec\n"
        "        self.io, self.pb = caffe.io, caffe_pb2\n"
        "    def reshape(self, bottom, top):\n        top[0].reshape(*bottom[0].shape)\n"
        "    def forward(self, bottom, top):\n        top[0].data[...] = 2 * bottom[0].data\n"
    )
    monkeypatch.chdir(tmp_path)
    n: Any = segcaffe.NetSpec()
    n.data = segcaffe.layers.Input(input_param={"shape": {"dim": 3}})
    n.out = segcaffe.layers.Python(n.data, module="layer_with_imports", layer="Doubled")
    net = segcaffe.Net(n.to_proto(), segcaffe.TEST)
    assert net.forward(data=[1, 2, 3])["out"].tolist() == [2, 4, 6]
    user = net.layers[1]
    assert user.io is segcaffe.io
    assert user.pb is segcaffe.proto.caffe_pb2
    assert "caffe" not in sys.modules
