"""Errors are sentences, and also what scripts catch who know nothing of segcaffe."""

from __future__ import annotations

import ast
import errno
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe import errors
from segcaffe.errors import DataError, GraphError, SegcaffeError, ShapeError, UserCodeError, WeightsError
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.text import parse

NET = (
    'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } } '
    'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "out" inner_product_param { num_output: 2 } } '
)


def _net(text: str = NET) -> caffe.Net:
    return caffe.Net(parse(text, NetParameter()), caffe.TEST)


def _layer(type_name: str, options: str) -> Callable[[], Any]:
    return lambda: _net(NET + f'layer {{ name: "x" type: "{type_name}" bottom: "out" {options} }}').forward()


MISSING: dict[str, Callable[[], Any]] = {
    "net": lambda: caffe.Net("missing.prototxt", caffe.TEST),
    "solver": lambda: caffe.get_solver("missing.prototxt"),
    "weights": lambda: _net().copy_from("missing.caffemodel"),
    "weights, HDF5": lambda: _net().load_hdf5("missing.h5"),
    "image": lambda: caffe.io.load_image("missing.jpg"),
    "list": lambda: _net(
        'layer { name: "d" type: "ImageData" top: "a" top: "b" image_data_param { source: "missing.txt" } }'
    ),
    "folder to write to": lambda: _net().save("missing/out.caffemodel"),
}
VALUES: dict[str, Callable[[], Any]] = {
    "a shape that does not fit": lambda: _net().forward(data=np.zeros((2, 3))),
    "a gradient that does not fit": lambda: _net().backward(out=np.zeros((1, 3))),
    "a negative extent": lambda: caffe.Blob().reshape(-1),
    "a transpose of too few axes": lambda: caffe.io.Transformer({"data": (1, 3, 4, 4)}).set_transpose("data", (0, 1)),
    "a Datum of two axes": lambda: caffe.io.array_to_datum(np.zeros((2, 3), np.uint8)),
    "an option": lambda: _net(NET.replace("num_output: 2", "num_output: 0")),
    "a misspelt option": lambda: _net(NET.replace("num_output: 2", "num_outputs: 2")),
    "a layer to start with": lambda: _net().forward(start="nope"),
}
NETS: dict[str, Callable[[], Any]] = {
    "a missing file": MISSING["net"],
    "an unknown type": _layer("Nonsense", 'top: "y"'),
    "a bottom nobody makes": lambda: _net(NET.replace('bottom: "data"', 'bottom: "dta"')),
    "shapes": VALUES["an option"],
    "text": VALUES["a misspelt option"],
    "inputs": lambda: _net().forward(label=0),
}
NAMES: dict[str, tuple[Callable[[caffe.Net], Any], str]] = {
    "blobs": (lambda net: net.blobs["dta"], 'no blob "dta". Did you mean "data"? Known: data, out.'),
    "params": (lambda net: net.params["ipp"], 'no layer with parameters "ipp". Did you mean "ip"? Known: ip.'),
    "layer_dict": (lambda net: net.layer_dict["zzz"], 'no layer "zzz". Known: in, ip.'),
    "top_names": (lambda net: net.top_names["zzz"], 'no layer "zzz". Known: in, ip.'),
    "bottom_names": (lambda net: net.bottom_names["zzz"], 'no layer "zzz". Known: in, ip.'),
    "blob_loss_weights": (lambda net: net.blob_loss_weights["zzz"], 'no blob "zzz". Known: data, out.'),
    "a blob to return": (lambda net: net.forward(blobs=["zzz"]), 'no blob "zzz". Known: data, out.'),
    "a layer to end with": (lambda net: net.forward(end="zzz"), 'no layer "zzz". Known: in, ip.'),
    "a gradient to return": (lambda net: net.backward(diffs=["zzz"]), 'no blob "zzz". Known: data, out.'),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("act", MISSING.values(), ids=MISSING)
def test_a_missing_file_is_a_file_not_found_error(act: Callable[[], Any]) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        act()
    error = caught.value
    assert isinstance(error, SegcaffeError)
    assert error.errno == errno.ENOENT
    assert "missing" in str(error.filename)
    assert "missing" in str(error)
    assert "[Errno" not in str(error)


@pytest.mark.parametrize("act", VALUES.values(), ids=VALUES)
def test_wrong_values_and_shapes_are_value_errors(act: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"Received|Known|Did you mean") as caught:
        act()
    assert isinstance(caught.value, SegcaffeError)
    assert not isinstance(caught.value, OSError)


@pytest.mark.parametrize("act", NETS.values(), ids=NETS)
def test_a_net_that_cannot_be_built_or_run_is_a_runtime_error(act: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError) as caught:
        act()
    assert isinstance(caught.value, SegcaffeError)


@pytest.mark.parametrize(("act", "message"), NAMES.values(), ids=NAMES)
def test_an_unknown_name_is_a_key_error_that_lists_the_known_ones(act: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(KeyError) as caught:
        act(_net())
    assert isinstance(caught.value, GraphError)
    assert str(caught.value) == f"The net has {message}"


def test_mappings_of_nets_are_as_before_in_everything_else() -> None:
    net = _net()
    assert net.blobs.get("zzz") is None
    assert "zzz" not in net.params
    assert list(net.blobs.copy()) == ["data", "out"]
    with pytest.raises(KeyError, match="Known: none"):
        _ = _net(NET.partition('layer { name: "ip"')[0]).params["ip"]


def test_of_many_names_the_first_are_shown() -> None:
    message = str(errors.unknown_name("blob", "x", [f"name{i}" for i in range(100)]))
    assert message.endswith("name59 and 40 more.")


def test_a_damaged_image_is_an_os_error_as_in_other_libraries(folder: Path) -> None:
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8 no image")
    with pytest.raises(OSError, match="damaged") as caught:
        caffe.io.load_image("damaged.jpg")
    assert isinstance(caught.value, DataError)


def test_a_folder_in_place_of_a_file_keeps_its_kind(folder: Path) -> None:
    (folder / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        caffe.Net("folder", caffe.TEST)
    with pytest.raises(IsADirectoryError):
        _net().copy_from("folder")


def test_only_the_error_that_is_handled_gives_its_type() -> None:
    try:
        raise FileNotFoundError(errno.ENOENT, "gone", "x")
    except OSError:
        inside = DataError("a")
        shape = ShapeError("b")
    assert isinstance(inside, FileNotFoundError)
    assert isinstance(shape, FileNotFoundError)
    assert not isinstance(DataError("c"), OSError)
    try:
        raise KeyError("k")
    except KeyError:
        assert type(WeightsError("d")) is WeightsError


def test_joined_errors_survive_pickling() -> None:
    try:
        raise PermissionError(errno.EACCES, "not yours", "x")
    except OSError:
        error = WeightsError("x: cannot be read.")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, PermissionError)
    assert isinstance(again, WeightsError)
    assert str(again) == str(error)


def test_user_code_errors_are_of_the_users_type_too() -> None:
    class MineError(Exception):
        def __init__(self, code: int, text: str) -> None:
            super().__init__(code, text)
            self.code = code

    for cause in (MineError(7, "seven"), StopIteration(), FileNotFoundError(2, "gone", "x"), KeyError("k"), EOFError()):
        try:
            raise cause
        except Exception:
            error = UserCodeError("layer x raised it.")
        assert isinstance(error, type(cause))
        assert isinstance(error, UserCodeError)
        assert str(error) == "layer x raised it."
        assert getattr(error, "code", None) == getattr(cause, "code", None)


def test_a_type_that_cannot_be_joined_leaves_the_error_its_own() -> None:
    class FinalError(Exception):
        def __init_subclass__(cls) -> None:
            raise TypeError("no subclasses")

    try:
        raise FinalError
    except FinalError:
        error = UserCodeError("x")
    assert type(error) is UserCodeError


@pytest.mark.parametrize("cls", [cls for cls in vars(errors).values() if isinstance(cls, type)])
def test_every_error_prints_its_message_as_it_is(cls: type) -> None:
    if issubclass(cls, SegcaffeError):
        assert str(cls("A sentence.")) == "A sentence."
        assert cls is SegcaffeError or any(issubclass(cls, kind) for kind in (ValueError, RuntimeError, ImportError))


def test_handlers_that_pass_on_a_with_block_let_our_own_errors_through() -> None:
    """What is raised in a `with` block comes out at its yield: a sentence must not be wrapped in another."""
    folder = Path(caffe.__file__).parent
    wrapping = []
    for path in sorted(folder.rglob("*.py")):
        for function in _managers(ast.parse(path.read_text(encoding="utf-8"))):
            if any(map(_wraps_its_block, ast.walk(function))):
                wrapping.append(f"{path.relative_to(folder)}: {function.name}")
    assert not wrapping


def _managers(tree: ast.Module) -> list[ast.FunctionDef]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [node for node in functions if any(ast.unparse(one) == "contextmanager" for one in node.decorator_list)]


def _wraps_its_block(node: ast.AST) -> bool:
    """Whether a `try` with a yield in it catches what Segcaffe's errors are too, and not those first."""
    if not isinstance(node, ast.Try):
        return False
    has_yield = any(isinstance(inner, ast.Yield) for stmt in node.body for inner in ast.walk(stmt))
    return has_yield and any(map(_catches_builtin, node.handlers)) and not _lets_through(node)


def _names(handler: ast.ExceptHandler) -> set[str]:
    return {inner.id for inner in ast.walk(handler.type) if isinstance(inner, ast.Name)} if handler.type else set()


def _catches_builtin(handler: ast.ExceptHandler) -> bool:
    return bool(_names(handler) & {"OSError", "ValueError", "RuntimeError", "KeyError"})


def _lets_through(node: ast.Try) -> bool:
    first = _names(node.handlers[0])
    return bool(first & {"SegcaffeError", "WeightsError", "DataError"})
