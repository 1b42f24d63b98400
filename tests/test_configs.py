"""configs/: written by the recipes, buildable, and the same networks as the originals where they are at hand."""

from __future__ import annotations

import runpy
import zlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.data.box_scenes import write_box_set
from segcaffe.data.synthetic import SyntheticSet, write_set
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.template import expand, read_vars
from segcaffe.proto.text import parse, read_net, read_solver
from segcaffe.solver.registry import get_solver
from tests.conftest import ROOT
from tests.data.miniatures import FURTHER, make_coco, make_sbd, make_voc

FOLDER = ROOT / "configs"
FILES = sorted(FOLDER.glob("*/*.prototxt"))
NETS = [path for path in FILES if "solver" not in path.name]
SOLVERS = [path for path in FILES if "solver" in path.name]
ROADS = ("segnet", "enet")
SIZE = 65
RATES = [f"{part}_LR{i}" for part in ("CRF", "EMBS", "FINAL", "MAINSCALE", "MAIN") for i in (1, 2)]
VARIABLES = dict.fromkeys(RATES, "1") | {
    "BATCH_SIZE": "1",
    "CROP_SIZE": str(SIZE),
    "HALF_SIZE": str(SIZE // 2 + 1),
    "HEIGHT": str(SIZE),
    "WIDTH": str(SIZE),
    "HALF_HEIGHT": str(SIZE // 2 + 1),
    "HALF_WIDTH": str(SIZE // 2 + 1),
    "NUM_LABELS": "21",
    "DATASET": "voc12",
    "TRAIN_SET": "train",
    "TEST_SET": "test",
}


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    return write_set(tmp_path_factory.mktemp("images"), train=2, test=1, size=80, classes=True)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two databases of images with boxes."""
    root = tmp_path_factory.mktemp("boxes")
    write_box_set(root, train=2, test=1, size=96, seed=0)
    for subset in ("train", "test"):
        command = ["data", "make-annotated-db", f"{root}/", f"{root}/{subset}.txt", f"{root}/{subset}_lmdb"]
        assert main([*command, "--label_map_file", f"{root}/labelmap.prototxt"]) == 0
    return root


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with lists of images whose label maps have every class and what does not count."""
    root, rng = tmp_path_factory.mktemp("roads"), np.random.default_rng(0)
    for subset in ("train", "test"):
        assert cv2.imwrite(str(root / f"{subset}.png"), rng.integers(0, 256, (90, 120, 3), np.uint8))
        assert cv2.imwrite(str(root / f"{subset}_labels.png"), rng.integers(0, 12, (90, 120), np.uint8))
        (root / f"{subset}.txt").write_text(f"{subset}.png {subset}_labels.png\n")
    return root


def _variables(images: SyntheticSet, folder: Path) -> dict[str, str]:
    places = {
        "SCENES": images.root,
        "LIST_DIR": images.root,
        "DATA_ROOT": f"{images.root}/",
        "FEATURE_DIR": folder,
        "OUT": folder,
    }
    return VARIABLES | {name: str(place) for name, place in places.items()}


def _phase(path: Path) -> int:
    return caffe_pb2.TRAIN if path.stem.startswith("train") else caffe_pb2.TEST


def test_files_are_up_to_date() -> None:
    make = runpy.run_path(str(ROOT / "tools" / "make_configs.py"))["files"]
    for name, text in make().items():
        assert (FOLDER / name).read_text() == text, f"{name}: run python tools/make_configs.py"


@pytest.mark.parametrize("path", [path for path in NETS if path.parent.name not in ("tiny", "ssd", *ROADS)], ids=_name)
def test_nets_build(path: Path, images: SyntheticSet, tmp_path: Path) -> None:
    net = Net(read_net(path, _variables(images, tmp_path)), _phase(path))
    assert len(net.layers) > 20
    if path.stem == "deploy":
        assert list(net.inputs) == ["data"]
        assert net.blobs[net.outputs[0]].shape[2:] == (SIZE, SIZE)


@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST], ids=["train", "test"])
@pytest.mark.parametrize("kind", ["plain", "segaware", "segaware_crf"])
def test_tiny_nets_build(kind: str, phase: int, images: SyntheticSet, tmp_path: Path) -> None:
    net = Net(read_net(FOLDER / "tiny" / f"{kind}_train_test.prototxt", _variables(images, tmp_path)), phase)
    deploy = Net(read_net(FOLDER / "tiny" / f"{kind}_deploy.prototxt"), caffe_pb2.TEST)
    assert _weights(net) == _weights(deploy)


def test_the_detector_trains_and_is_tested(boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    solver = read_solver(FOLDER / "ssd" / "solver.prototxt", {"SCENES": str(boxes), "OUT": str(tmp_path / "ssd")})
    solver.test_iter[0] = 1
    trained = get_solver(solver, {"SCENES": str(boxes)})
    trained.step(2)
    assert 0 < trained.net.loss < 50
    (score,) = trained.test().values()
    assert 0 <= float(score) <= 1
    deploy = Net(read_net(FOLDER / "ssd" / "deploy.prototxt"), caffe_pb2.TEST)
    deploy.share_with(trained.net)
    found = deploy.forward()["detection_out"]
    assert found.shape[-1] == 7
    assert _weights(trained.net) == _weights(deploy)


@pytest.mark.parametrize("name", ROADS)
def test_nets_for_roads_train_and_are_tested(
    name: str, roads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    values = {"SCENES": str(roads), "OUT": str(tmp_path)}
    solver = read_solver(FOLDER / name / "solver.prototxt", values)
    solver.test_iter[0] = 1
    trained = get_solver(solver, values)
    trained.step(1)
    assert 0 < trained.net.loss < 10
    scores = trained.test()
    assert 0 <= float(scores["accuracy"]) <= 1
    assert scores["class_accuracy"].shape == (11,)
    deploy = Net(read_net(FOLDER / name / "deploy.prototxt"), caffe_pb2.TEST)
    deploy.share_with(trained.net)
    assert deploy.forward()["score"].shape == (1, 11, 192, 256)
    assert _weights(trained.net) == _weights(deploy)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_lint_finds_nothing(
    path: Path, images: SyntheticSet, boxes: Path, roads: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roots = {"tiny": images.root, "ssd": boxes} | dict.fromkeys(ROADS, roads)
    values = ["--set", f"SCENES={roots[path.parent.name]}"] if path.parent.name in roots else []
    assert main(["lint", str(path), *values]) == 0, capsys.readouterr().out


def test_lenet_trains_on_imported_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lmdb")
    _write_digits(tmp_path / "mnist", np.random.default_rng(1))
    monkeypatch.chdir(ROOT)
    folder = str(tmp_path / "databases")
    assert main(["data", "import-mnist", str(tmp_path / "mnist"), folder]) == 0
    command = ["train", "--solver", "configs/tiny/lenet_solver.prototxt", "--max_iter", "2", "--cpu"]
    assert main([*command, "--set", f"MNIST={folder}", "--set", f"OUT={tmp_path}"]) == 0
    assert (tmp_path / "lenet_iter_2.caffemodel").is_file()


def _write_digits(folder: Path, rng: np.random.Generator) -> None:
    """Noise in MNIST's files: a magic number and the sizes, big-endian, then bytes."""
    folder.mkdir()
    for subset in ("train", "t10k"):
        images, labels = rng.integers(0, 256, (100, 28, 28)), rng.integers(0, 10, 100)
        for name, magic, values in (("images-idx3", 2051, images), ("labels-idx1", 2049, labels)):
            head = np.array([magic, *values.shape], ">i4").tobytes()
            (folder / f"{subset}-{name}-ubyte").write_bytes(head + values.astype(np.uint8).tobytes())


@pytest.mark.parametrize("path", SOLVERS, ids=_name)
def test_solvers_name_files_that_are_there(path: Path) -> None:
    values = {"LEARNING_RATE": "1e-4", "STEP": "10", "ITERS": "20", "SNAP": "10", "ITER_SIZE": "2", "OUT": "model"}
    solver = read_solver(path, values)
    assert (ROOT / (solver.train_net or solver.net)).is_file()
    assert solver.max_iter > 0


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.vars")), ids=_name)
def test_variable_files_name_what_the_files_need(path: Path, images: SyntheticSet, tmp_path: Path) -> None:
    values = read_vars(path)
    for net in path.parent.glob("*.prototxt"):
        message = caffe_pb2.SolverParameter() if "solver" in net.name else caffe_pb2.NetParameter()
        parse(expand(net.read_text(), values | _GIVEN_LATER, str(net)).text, message)


@pytest.mark.parametrize(("name", "lists"), [("embs", "coco"), ("vgg16", "voc"), ("resnet", "voc")])
def test_the_paper_s_training_nets_read_what_the_importers_write(name: str, lists: str, tmp_path: Path) -> None:
    """From data sets as they are unpacked, by the commands of docs/recipes.md, to a training net that computes."""
    data, out = tmp_path / "data", tmp_path / "lists"
    make_voc(data / "VOC2012")
    make_sbd(data / "benchmark_RELEASE", FURTHER)
    make_coco(data / "MSCOCO")
    voc = ["import-voc", str(data / "VOC2012"), str(out), "--sbd", str(data / "benchmark_RELEASE")]
    for command in (voc, ["import-coco", str(data / "MSCOCO"), str(out)]):
        assert main(["data", *command]) == 0
    values = read_vars(FOLDER / name / f"{lists}.vars")
    values["LIST_DIR"], values["DATA_ROOT"] = str(out), str(tmp_path / values["DATA_ROOT"])
    assert (out / f"{values['TEST_SET']}.txt").is_file()
    assert (out / f"{values['TEST_SET']}_id.txt").is_file()
    small = {"CROP_SIZE": "65", "HALF_SIZE": "33", "BATCH_SIZE": "2"}
    net = Net(read_net(FOLDER / name / "train.prototxt", values | small), caffe_pb2.TRAIN)
    net.forward()
    assert np.isfinite(net.loss)
    labels = set(np.unique(net.blobs["label"].data))
    assert labels <= {0, 12, 18, 255}
    assert len(labels) > 1


_GIVEN_LATER = dict.fromkeys(("OUT", "FEATURE_DIR", "HEIGHT", "WIDTH", "HALF_HEIGHT", "HALF_WIDTH"), "1")

ORIGINALS = ("embs/train", "vgg16/train", "vgg16/deploy", "resnet/train", "resnet/test")
"""Those whose scores must be the original's with the same weights. What the others cure is told in their comments."""


@pytest.mark.slow
@pytest.mark.usefixtures("frees_nets")
@pytest.mark.parametrize("name", ORIGINALS)
def test_same_network_as_the_original(name: str, shared: Path) -> None:
    original = shared / "original" / f"config_{name}.prototxt"
    if not original.exists():
        pytest.skip(f"no {original}")
    ours = Net(_with_inputs(_read(FOLDER / f"{name}.prototxt")), caffe_pb2.TEST)
    theirs = Net(_with_inputs(_read(original)), caffe_pb2.TEST)
    assert _weights(ours) == _weights(theirs)
    # A resizing to the same size, and the top that the original's loss does not name.
    assert _blobs(theirs) - {"emb12_resized", "(automatic)"} <= _blobs(ours)
    compared = sorted(_blobs(ours) & {*theirs.outputs, "emb"})
    nets, results = [theirs, ours], []
    del theirs, ours
    while nets:
        # One after the other: each takes its memory when it runs.
        results.append(_run(nets.pop(), compared))
    (loss, values), (their_loss, expected) = results
    assert loss == pytest.approx(their_loss, rel=1e-5)
    for blob in compared:
        scale = float(np.abs(expected[blob]).max())
        assert scale > 0
        assert np.abs(values[blob] - expected[blob]).max() <= 1e-5 * scale, blob


def _run(net: Net, names: list[str]) -> tuple[float, dict[str, np.ndarray]]:
    """The loss and the named blobs of a net with weights by its layers' names."""
    _fill(net)
    net.forward()
    return net.loss, {name: net.blobs[name].data.copy() for name in names}


MASKS = {
    f"MASK{number}_{name}": str(value)
    for number, dilation in (("", 1), ("2", 2), ("3", 5))
    for name, value in (("SIZE", 3), ("PAD", dilation), ("DILATION", dilation))
}


def _read(path: Path) -> caffe_pb2.NetParameter:
    values = VARIABLES | MASKS | {"EMBS_LR3": "0", "NET_ID": "net", "EXP": "exp"}
    return read_net(path, values | dict.fromkeys(("LIST_DIR", "DATA_ROOT", "FEATURE_DIR"), "folder")).message


def _with_inputs(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The net with inputs of the small size where it reads files, and without its sinks."""
    kept = [layer for layer in net.layer if layer.type not in ("MatWrite", "Silence", "SegAccuracy")]
    del net.layer[:]
    for layer in kept:
        if layer.top and layer.top[0] == "data":
            _add_inputs(net, list(layer.top))
        elif layer.type != "Input":
            _shrink(net.layer.add(), layer)
    return net


def _add_inputs(net: caffe_pb2.NetParameter, names: Iterable[str]) -> None:
    shapes = {"data": (1, 3, SIZE, SIZE), "label": (1, 1, SIZE, SIZE)}
    for name in names:
        if name in shapes:
            layer = net.layer.add(name=name, type="Input", top=[name])
            layer.input_param.shape.add(dim=shapes[name])


def _shrink(target: caffe_pb2.LayerParameter, layer: caffe_pb2.LayerParameter) -> None:
    target.CopyFrom(layer)
    del target.include[:]
    if target.interp_param.height == 321:
        target.interp_param.height = target.interp_param.width = SIZE


def _weights(net: Net) -> dict[str, tuple[str, list[tuple[int, ...]]]]:
    return {layer.name: (layer.type, [blob.shape for blob in layer.blobs]) for layer in net.layers if layer.blobs}


def _blobs(net: Net) -> set[str]:
    return {name for name in net.blobs if "_split_" not in name}


def _fill(net: Net) -> None:
    """The same values for the same layers: by the layer's name."""
    for layer in net.layers:
        rng = np.random.default_rng(zlib.crc32(layer.name.encode()))
        for index, blob in enumerate(layer.blobs):
            if layer.type == "BatchNorm":
                blob.data[...] = (0, 1, 1)[index]
            elif layer.type == "Convolution" and blob.ndim == 4:
                scale = 1e-3 if layer.name == "emb" else 1.4
                blob.data[...] = scale * rng.standard_normal(blob.shape) / np.sqrt(np.prod(blob.shape[1:]))
    rng = np.random.default_rng(1)
    net.blobs["data"].data[...] = rng.normal(0, 50, net.blobs["data"].shape)
    if "label" in net.blobs:
        net.blobs["label"].data[...] = rng.integers(0, 21, net.blobs["label"].shape)
