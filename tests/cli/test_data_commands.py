"""The commands between files and numbers, from images to a score, as docs/data.md has them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from segcaffe.cli.main import main
from segcaffe.data.database import Database
from segcaffe.data.database_writer import backend_of
from segcaffe.data.synthetic import write_set
from segcaffe.proto.caffe_pb2 import Datum
from tests.data.leveldb_files import write_database

ROOT = Path(__file__).resolve().parent.parent.parent
TINY = ROOT / "configs" / "tiny"


def expect(capsys: pytest.CaptureFixture[str], status: int, *pieces: str) -> None:
    """The command failed with status 2 and one paragraph that has all the pieces."""
    message = capsys.readouterr().err
    assert status == 2, message
    assert "Traceback" not in message
    flat = " ".join(message.split())
    for piece in pieces:
        assert piece in flat, message


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_set(tmp_path, train=6, test=3, size=64)
    names = [f"train_{i:03d}" for i in range(6)]
    (tmp_path / "classes.txt").write_text("".join(f"images/{name}.png {i % 3}\n" for i, name in enumerate(names)))
    return tmp_path


def test_database_mean_show_check(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, db = f"{images}/", str(images / "db")
    assert main(["data", "make-db", root, f"{images}/classes.txt", db, "-shuffle", "-resize_height=32",
                 "-resize_width=40", "-check_size", "-encoded", "-encode_type=png"]) == 0  # fmt: skip
    assert "6 items" in capsys.readouterr().out
    assert main(["data", "mean", db, str(images / "mean.binaryproto")]) == 0
    assert capsys.readouterr().out.count("mean_value: ") == 3
    assert main(["data", "show", db, "--out", f"{images}/db.png"]) == 0
    assert main(["data", "show", f"{images}/train.txt", "--root", root, "--out", f"{images}/list.png"]) == 0
    for name in ("db", "list"):
        assert cv2.imread(f"{images}/{name}.png") is not None
    capsys.readouterr()
    assert main(["data", "check", f"{images}/train.txt", "--root", root, "--classes", "5"]) == 0
    assert "6 lines, 0 problems" in capsys.readouterr().out
    assert main(["data", "check", f"{images}/train.txt", "--root", root, "--classes", "1", "--size", "64x63"]) == 1
    assert "12 problems" in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_check_of_a_database(images: Path, capsys: pytest.CaptureFixture[str], backend: str) -> None:
    database = images / "db"
    values = [Datum(channels=3, height=8 + i // 2, width=9, data=bytes(27 * (8 + i // 2)), label=i) for i in range(3)]
    items = [(f"{i:08d}".encode(), value.SerializeToString()) for i, value in enumerate(values)]
    items.append((b"zz_bad", b"\xff\xff"))
    if backend == "leveldb":
        write_database(database, [], [[(key, i, value)] for i, (key, value) in enumerate(items)])
    else:
        with lmdb.open(str(database)) as environment, environment.begin(write=True) as transaction:
            for key, value in items:
                transaction.put(key, value)
    assert main(["data", "check", str(database), "--classes=2", "--size=8x9"]) == 1
    output = capsys.readouterr().out
    assert output.startswith("4 items, 3 problems\n")
    assert f'"{database}", key "zz_bad": a value of the database is not a Datum message' in output
    assert 'key "00000002": labels outside 0..1: 2.' in output
    assert 'key "00000002": the image is 9 x 9 where 8 x 9' in output
    assert "sizes: 8 x 9 (2), 9 x 9 (1)" in output


def test_names_that_are_no_text(images: Path) -> None:
    """Printed as the bytes they are, written to lists as they were read."""
    folder = os.fsencode(images) + b"/\xd1\xd0\xbe\xbf"
    (images / "images").rename(os.fsdecode(folder))
    done = [
        subprocess.run([sys.executable, "-m", "segcaffe.cli.main", "data", *arguments], capture_output=True,
                       env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})
        for arguments in (["import-folder", folder, f"{images}/labels", folder + b"/lists"],
                          ["check", folder + b"/lists/train.txt"], ["check", folder + b"/nothing.txt"])
    ]  # fmt: skip
    assert [process.returncode for process in done] == [0, 0, 2], [process.stderr for process in done]
    assert folder + b"/lists/train.txt" in done[0].stdout
    assert Path(os.fsdecode(folder), "lists/train.txt").read_bytes().startswith(folder + b"/test_000.png ")
    assert b"0 problems" in done[1].stdout
    Path(os.fsdecode(folder), "test_000.png").unlink()
    process = subprocess.run([sys.executable, "-m", "segcaffe.cli.main", "data", "check", folder + b"/lists/train.txt"],
                             capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})  # fmt: skip
    assert process.returncode == 1
    assert folder + b'/test_000.png": No such file' in process.stdout


def test_a_list_without_labels_makes_a_database(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [line.split()[0] for line in (images / "classes.txt").read_text().splitlines()]
    (images / "names.txt").write_text("".join(f"{name}\n" for name in names))
    assert main(["data", "make-db", f"{images}/", f"{images}/names.txt", f"{images}/db"]) == 0
    assert main(["data", "check", f"{images}/db"]) == 0
    assert f"\n{len(names)} items, 0 problems\n" in capsys.readouterr().out
    database = Database(f"{images}/db", backend_of(images / "db"), "test")
    datums = [Datum.FromString(database.item(i, 0)) for i in range(len(names))]
    assert [datum.label for datum in datums] == [0] * len(names)


def test_the_submission_of_what_a_net_wrote(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """MatWrite's files have the net's size; in the archive they have the images'."""
    (images / "out").mkdir()
    names = [path.stem for path in sorted((images / "images").iterdir())]
    height, width = cv2.imread(str(images / "images" / f"{names[0]}.png")).shape[:2]
    scores = np.random.default_rng(0).random((1, 3, height + 7, width + 4)).astype(np.float32)
    for name in names:
        savemat(images / "out" / f"{name}_blob_0.mat", {"data": scores.T})
    command = ["eval", str(images / "out"), "--submission", str(images / "results.tgz")]
    expect(capsys, main(command), f"{height + 7} x {width + 4}, the size of a net", "--images FOLDER")
    assert not (images / "results.tgz").exists()
    expected = scores[0].argmax(axis=0)[:height, :width]
    for way in (["--images", str(images / "images")], [str(images / "labels")]):
        assert main([*command[:2], *way, *command[2:], "--trimap=0"]) == 0
        with tarfile.open(images / "results.tgz") as archive:
            assert len(archive.getnames()) == len(names)
            file = archive.extractfile(archive.getnames()[0])
            assert file is not None
            np.testing.assert_array_equal(np.asarray(Image.open(file)), expected)
    # What segcaffe predict wrote has the images' size already.
    (images / "predict.json").write_text("{}")
    assert main(command) == 0
    (images / "small").mkdir()
    savemat(images / "small" / f"{names[0]}.mat", {"data": scores[:, :, :5].T})
    command[1] = str(images / "small")
    expect(
        capsys, main([*command, "--images", str(images / "images")]), f"is 5 x {width + 4} (height x width), its image"
    )
    expect(capsys, main([*command, "--images", str(images / "small")]), "has no image")


def test_skip_bad(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "images/train_001.png").write_bytes(b"")
    command = ["data", "make-db", f"{images}/", f"{images}/classes.txt", str(images / "db")]
    expect(capsys, main(command), "classes.txt:2", "train_001.png", "the file is empty", "--skip-bad N")
    assert main([*command, "--skip-bad", "2"]) == 0
    captured = capsys.readouterr()
    assert "5 items" in captured.out
    assert "1 item cannot be used" in captured.err


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["data", "make-db", "", "absent.txt", "db"], ["absent.txt"]),
        (["data", "make-db", "", "{0}/classes.txt", "{0}/db", "--resize_width=4"], ["--resize_height and"]),
        (["data", "make-db", "{0}/", "{0}/classes.txt", "{0}/db", "--encode_type=xyz"], ["xyz"]),
        (["data", "mean", "{0}"], ["holds no database"]),
        (["data", "check", "{0}/classes.txt", "--palette={0}/no.txt"], ["no.txt"]),
        (["data", "show", "{0}/classes.txt", "--root={0}/", "--out={0}/x.hello"], ["x.hello", ".png"]),
        (["data", "show", "{0}/classes.txt", "--count=0"], ["--count"]),
        (["data", "show", "{0}/classes.txt", "--root={0}/", "--start=100"], ["from 0 to 5", "Received: 100"]),
        (["data", "check", "{0}/classes.txt", "--size=4"], ["--size", "375x500"]),
        (["data", "import-voc", "{0}", "{0}/out"], ["ImageSets"]),
        (["data", "import-cityscapes", "{0}", "{0}/out"], ["leftImg8bit"]),
        (["data", "import-mnist", "{0}", "{0}/out"], ["t10k-images-idx3-ubyte"]),
        (["data", "import-cifar", "{0}", "{0}/out"], ["data_batch_1.bin"]),
        (["data", "import-folder", "{0}/images", "{0}/labels", "{0}/out", "--map=1"], ["OLD=NEW"]),
        (["data", "import-folder", "{0}/nothing", "{0}/labels", "{0}/out"], ["0 images"]),
        (["eval", "{0}/absent", "{0}/labels"], ["not a folder"]),
        (["eval", "{0}/labels"], ["--submission"]),
        (["eval", "{0}/labels", "{0}/classes.txt"], ["label map"]),
        (["eval", "{0}/labels", "{0}/labels", "--classes=1"], ["below 1"]),
        (["eval", "{0}/labels", "{0}/images"], ["--palette voc"]),
        (["plot", "absent.log"], ["absent.log"]),
        (["predict", "absent.prototxt", "x", "{0}/images", "--out={0}/out"], ["absent.prototxt"]),
        (["features", "absent.caffemodel", "absent.prototxt", "x", "{0}/f.npz"], ["absent.prototxt"]),
    ],
)
def test_mistakes(arguments: list[str], pieces: list[str], images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expect(capsys, main([argument.format(images) for argument in arguments]), *pieces)


def tiny(folder: Path, classes: int = 5) -> list[str]:
    """Values for the templates of configs/tiny."""
    values = {"LISTS": folder, "ROOT": f"{folder}/", "CLASSES": classes, "IGNORE": 255, "OUT": folder}
    return [f"--set={name}={value}" for name, value in values.items()]


def test_from_images_to_a_score(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboardX")
    monkeypatch.chdir(ROOT)
    solver, net = str(TINY / "segment_solver.prototxt"), str(TINY / "segment_train_test.prototxt")
    values = tiny(images)
    assert main(["train", "--solver", solver, *values, "--max_iter=2", f"--tensorboard={images}/tb"]) == 0
    weights = str(images / "tiny_segment_iter_2.caffemodel")
    assert any(file.stat().st_size > 100 for file in (images / "tb").iterdir())
    assert main(["predict", net, weights, f"{images}/test.txt", f"--root={images}/", f"--out={images}/out", "--overlay",
                 "--mirror", *values]) == 0  # fmt: skip
    assert "3 predicted" in capsys.readouterr().out
    assert main(["predict", net, weights, f"{images}/test.txt", f"--root={images}/", f"--out={images}/out", "--overlay",
                 "--mirror", *values]) == 0  # fmt: skip
    assert "0 predicted, 3 were there already" in capsys.readouterr().out
    assert main(["eval", f"{images}/out", f"{images}/test.txt", f"--root={images}/", f"--json={images}/eval.json",
                 f"--plots={images}/plots", f"--submission={images}/voc.tgz"]) == 0  # fmt: skip
    assert re.search(r"mean IoU +\d", capsys.readouterr().out)
    assert json.loads((images / "eval.json").read_text())["images"] == 3
    for name in ("confusion", "trimap"):
        assert cv2.imread(f"{images}/plots/{name}.png") is not None
    assert main(["plot", f"{images}/tiny_segment_train.log", f"--out={images}/training.png"]) == 0
    assert cv2.imread(f"{images}/training.png") is not None


def test_features(images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    net = images / "net.prototxt"
    net.write_text(f'''layer {{ name: "data" type: "ImageData" top: "data" top: "label"
      image_data_param {{ source: "{images}/classes.txt" root_folder: "{images}/" batch_size: 2 }} }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
      inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}''')
    from segcaffe.net.net import Net

    Net(str(net), 1).save(images / "w.caffemodel")
    command = ["features", f"{images}/w.caffemodel", str(net), "ip,label"]
    for out in ("f.npz", "f.h5", "f_lmdb"):
        assert main([*command, f"{images}/{out}", "--iterations=3"]) == 0
    assert "ip: 6 x 3" in capsys.readouterr().out
    with np.load(images / "f.npz") as found:
        ip, label = found["ip"], found["label"]
    assert label.tolist() == [0, 1, 2, 0, 1, 2]
    with h5py.File(images / "f.h5") as file:
        np.testing.assert_array_equal(file["ip"], ip)
    from segcaffe.data.contents import Items

    rows = [item.image.ravel() for item in Items(f"{images}/f_lmdb/ip", "test").arrays()]  # type: ignore[union-attr]
    np.testing.assert_array_equal(rows, ip)
    expect(capsys, main([*command, f"{images}/f.npz"]), "f.npz", "--overwrite")
    expect(capsys, main([*command[:-1], "nothing", f"{images}/g.npz"]), '"nothing"', "ip")


def test_tensorboard_holds_the_losses(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    monkeypatch.chdir(ROOT)
    solver = str(TINY / "segment_solver.prototxt")
    assert main(["train", "--solver", solver, *tiny(images), "--max_iter=3", f"--tensorboard={images}/tb"]) == 0
    (path,) = (images / "tb").iterdir()
    found: dict[str, list[int]] = {}
    content, at = path.read_bytes(), 0
    while at < len(content):
        # A record: length, its checksum, message, its checksum.
        length = int.from_bytes(content[at : at + 8], "little")
        event = Event.FromString(content[at + 12 : at + 12 + length])
        at += 16 + length
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(event.step)
    assert found["loss"] == [1, 2, 3]
    assert found["lr"] == [1, 2, 3]
    assert found["train/loss"] == [0]
    assert found["test/loss"] == [0]
    assert found["test/accuracy_mean_IoU"] == [0]


@pytest.mark.slow
def test_mnist_from_idx_files_to_the_originals_accuracy(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = (shared / "models/lenet_mnist/log.txt").read_text()
    accuracy, loss = (re.findall(rf"Test net output #\d: {name} = (\S+)", log)[-1] for name in ("accuracy", "loss"))
    assert main(["data", "import-mnist", f"{shared}/data/mnist", f"{tmp_path}/examples/mnist"]) == 0
    monkeypatch.chdir(tmp_path)
    folder = shared / "models" / "lenet_mnist"
    assert main(["test", f"--model={folder}/lenet_train_test.prototxt", "--iterations=100",
                 f"--weights={folder}/lenet_basic_iter_10000.caffemodel"]) == 0  # fmt: skip
    printed = capsys.readouterr().err
    assert float(re.findall(r"\] accuracy = (\S+)", printed)[-1]) == pytest.approx(float(accuracy), abs=1e-9)
    assert float(re.findall(r"\] loss = (\S+)", printed)[-1]) == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.slow
def test_membranes_are_learnt(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    data = shared / "data" / "isbi_membrane"
    lists = tmp_path / "lists"
    assert main(["data", "import-folder", f"{data}/image", f"{data}/label", str(lists), "--test=3", "--map=255=1"]) == 0
    values = [f"--set={pair}" for pair in (f"LISTS={lists}", "ROOT=", "CLASSES=2", "IGNORE=255", f"OUT={tmp_path}")]
    solver, net = str(TINY / "segment_solver.prototxt"), str(TINY / "segment_train_test.prototxt")
    assert main(["train", "--solver", solver, *values, "--max_iter=60"]) == 0
    weights = str(tmp_path / "tiny_segment_iter_60.caffemodel")
    assert main(["predict", net, weights, f"{lists}/test.txt", f"--out={tmp_path}/out", *values]) == 0
    assert main(["eval", f"{tmp_path}/out", f"{lists}/test.txt", f"--json={tmp_path}/eval.json", "--trimap=0"]) == 0
    # All cell and no membrane would be 0.4.
    assert json.loads((tmp_path / "eval.json").read_text())["mean_iou"] > 0.6
