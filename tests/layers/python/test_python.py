"""Layers that users write: finding them, calling them, and what happens when they fail."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import segcaffe
from segcaffe.errors import GraphError, UserCodeError
from segcaffe.testing import LayerCase

LAYERS = """
    import caffe
    import numpy as np

    class Double(caffe.Layer):
        def setup(self, bottom, top):
            if len(bottom) != 1:
                raise ValueError("one bottom, please")
            self.told = (self.param_str, self.param_str_, self.phase)
        def reshape(self, bottom, top):
            top[0].reshape(bottom[0].num, bottom[0].channels)
        def forward(self, bottom, top):
            top[0].data[...] = 2 * bottom[0].data
        def backward(self, top, propagate_down, bottom):
            if propagate_down[0]:
                bottom[0].diff[...] = 2 * top[0].diff

    class OwnInit(Double):
        def __init__(self, p_object, *args, **kwargs):
            super(OwnInit, self).__init__(p_object, *args, **kwargs)
            self.seen = p_object.name

    class Breaks(Double):
        def forward(self, bottom, top):
            helper(bottom[0].data)

    def helper(values):
        return values.reshape(-1)[1000000]

    class NoForward(caffe.Layer):
        pass

    class NotALayer:
        pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of layers in the current directory; its name."""
    (tmp_path / "mylayers.py").write_text(textwrap.dedent(LAYERS))
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "needy.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.chdir(tmp_path)
    yield "mylayers"
    for name in ("mylayers", "broken", "needy"):
        sys.modules.pop(name, None)


def build(module, layer, bottoms=((2, 3),), param_str="", **more):
    options = f'python_param {{ module: "{module}" layer: "{layer}" param_str: "{param_str}" }}'
    return LayerCase("Python", options, bottoms, **more).build()


def test_a_module_in_the_current_directory_written_for_caffe(module):
    path = list(sys.path)
    layer, bottom, top = build(module, "Double", param_str="a b", phase="TRAIN")
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, 2 * bottom[0].data)
    top[0].diff[...] = 3
    layer.backward(top, [True], bottom)
    assert (bottom[0].diff == 6).all()
    assert layer.user.told == ("a b", "a b", segcaffe.TRAIN)
    assert isinstance(layer.user, segcaffe.Layer)
    assert sys.path == path
    assert "caffe" not in sys.modules


def test_a_class_with_its_own_constructor(module):
    layer, _, _ = build(module, "OwnInit")
    assert layer.user.seen == "layer"


def test_reshape_runs_before_each_forward(module):
    assert type(build(module, "Double")[0]).reshape_always


def test_an_exception_names_the_layer_and_shows_the_users_lines(module):
    layer, bottom, top = build(module, "Breaks")
    with pytest.raises(UserCodeError) as raised:
        layer.forward(bottom, top)
    text = str(raised.value)
    assert 'layer "layer" (Python): mylayers.Breaks raised IndexError in forward.' in text
    assert "return values.reshape(-1)[1000000]" in text
    assert "mylayers.py" in text
    assert "segcaffe/layers/python" not in text
    assert isinstance(raised.value.__cause__, IndexError)


@pytest.mark.parametrize(
    ("name", "layer", "bottoms", "error", "message"),
    [
        ("", "Double", 1, GraphError, r'needs python_param \{ module: "FILE WITHOUT \.py" layer: "CLASS" \}'),
        ("mylayers", "", 1, GraphError, "needs python_param"),
        ("mylayer", "Double", 1, GraphError, 'there is no Python module "mylayer", neither in the current directory'),
        ("a.b.c", "Double", 1, GraphError, 'there is no Python module "a.b.c"'),
        (".", "Double", 1, GraphError, 'there is no Python module "."'),
        ("..a", "Double", 1, GraphError, 'there is no Python module "..a"'),
        ("mylayers", "Duoble", 1, GraphError, 'has no class "Duoble". Layers in it: Double'),
        ("mylayers", "NotALayer", 1, GraphError, 'does not derive from segcaffe.Layer its "NotALayer"'),
        ("mylayers", "Double", 2, UserCodeError, "raised ValueError in setup.(.|\n)*one bottom, please"),
        ("broken", "Double", 1, UserCodeError, "raised SyntaxError in import broken.(.|\n)*broken.py"),
        ("needy", "Double", 1, UserCodeError, "raised ModuleNotFoundError(.|\n)*a_package_that_nobody_has"),
    ],
)
def test_what_cannot_be_used_is_explained(module, name, layer, bottoms, error, message):
    with pytest.raises(error, match=rf'layer "layer" \(Python\): (.|\n)*{message}'):
        build(name, layer, ((2, 3),) * bottoms)


def test_a_layer_without_forward(module):
    layer, bottom, top = build(module, "NoForward")
    with pytest.raises(UserCodeError, match="NoForward has no forward"):
        layer.forward(bottom, top)


@pytest.mark.parametrize("line", ["1 / 0", "import no_such_module", "syntax error"])
def test_a_package_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    (tmp_path / "broken_package").mkdir()
    (tmp_path / "broken_package" / "__init__.py").write_text(line)
    (tmp_path / "broken_package" / "layers.py").write_text("")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.prototxt").write_text('layer { name: "p" type: "Python" top: "y" '
                                         'python_param { module: "broken_package.layers" layer: "L" } }')  # fmt: skip
    with pytest.raises(UserCodeError, match=r"import broken_package\.layers"):
        segcaffe.Net(tmp_path / "n.prototxt", segcaffe.TEST)
