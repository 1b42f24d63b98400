"""Commands given no items, batches of none, images without pixels, inputs of too few axes, and sizes beyond memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.cli.main import main
from tests.fuzz.commands import _files
from tests.fuzz.kinds import write

CLASSIFY = "--model_def classify.prototxt --pretrained_model classify.caffemodel"
DEPLOY = "net.caffemodel image0.png --out out"
REFUSED = {
    f"classify none.npy s.npy {CLASSIFY}": "needs at least one image",
    f"classify thin.npy s.npy {CLASSIFY}": "takes an image (H, W, K) with pixels",
    f"classify one.npy s.npy {CLASSIFY}": "an image must have as many. Received: an image of shape (5, 5, 1)",
    f"classify nothing s.npy {CLASSIFY}": "holds no *.jpg",
    f"classify image0.png s.npy {CLASSIFY.replace('classify.p', 'no_items_.p')}": "batches are of no items",
    f"detect windows.csv s.csv --context_pad 1 {CLASSIFY.replace('classify.p', 'no_items_.p')}": "are of no items",
    f"detect windows.csv s.csv --context_pad 1 --allow-partial {CLASSIFY.replace('classify.p', 'scalar.p')}": "axes",
    f"predict scalar.prototxt {DEPLOY} --allow-partial": "must have the shape (1, channels, H, W)",
    f"predict vector.prototxt {DEPLOY} --allow-partial": "must have the shape (1, channels, H, W)",
    "predict deploy.prototxt net.caffemodel nothing --out out": "holds no image",
    "predict deploy.prototxt net.caffemodel blank.txt --out out": "has no lines",
    f"predict deploy.prototxt {DEPLOY} --scales nan": "takes numbers separated by commas",
    f"predict deploy.prototxt {DEPLOY} --scales 1e9": "a side is 1048576 pixels at most",
    f"predict deploy.prototxt {DEPLOY} --size 999999999x999999999": "has not enough memory",
    "features net.caffemodel no_batch.prototxt score f.npz --allow-partial": "batch_size must be at least 1",
    "test --model no_batch.prototxt --weights s.caffemodel --allow-partial": "batch_size must be at least 1",
    "train --solver no_batch_solver.prototxt": "batch_size must be at least 1",
    "eval nothing blank.txt": "has no lines",
    "eval nothing nothing": "holds no label maps",
    "data mean blank.txt": "has no lines",
    "data make-db ./ blank.txt db": "has no lines",
    "plot blank.txt --csv x.csv": "is it a training log?",
}
DONE = (
    "predict no_items.prototxt net.caffemodel image0.png --out out",
    "features net.caffemodel no_items.prototxt score f.npz --iterations 2",
    "features net.caffemodel scalar.prototxt score f.npz --iterations 2 --allow-partial",
    "test --model no_items.prototxt --weights net.caffemodel --iterations 1",
    "time --model no_items.prototxt --iterations 1",
    "time --model scalar.prototxt --iterations 1",
    "net no_items.prototxt",
    "net scalar.prototxt",
    "draw no_items.prototxt out.svg --shapes",
    "draw scalar.prototxt out.html --shapes",
    "lint no_items.prototxt",
    "lint scalar.prototxt",
)


@pytest.fixture(autouse=True)
def _inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = _files()
    relu = 'layer { name: "r" type: "ReLU" bottom: "data" top: "score" }'
    texts = {name: files[f"{name}.prototxt"].decode() for name in ("deploy", "classify", "train", "solver")}
    nets = {
        "no_items": texts["deploy"].replace("dim: 1 dim: 3", "dim: 0 dim: 3"),
        "no_items_": texts["classify"].replace("dim: 10", "dim: 0"),
        "scalar": f'input: "data" input_shape {{ }} {relu}',
        "vector": f'input: "data" input_shape {{ dim: 3 }} {relu}',
        "no_batch": texts["train"].replace("batch_size: 2", "batch_size: 0"),
        "no_batch_solver": texts["solver"].replace("train.prototxt", "no_batch.prototxt"),
    }
    write(tmp_path, files | {f"{name}.prototxt": text.encode() for name, text in nets.items()} | {"blank.txt": b"\n\n"})
    for name, shape in (("none", (0, 5, 5, 3)), ("thin", (2, 0, 5, 3)), ("one", (1, 5, 5, 1))):
        np.save(f"{name}.npy", np.zeros(shape, np.float32))
    Path("nothing").mkdir()


@pytest.mark.parametrize(("line", "says"), REFUSED.items(), ids=list(REFUSED))
def test_a_sentence(line: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert says in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("line", DONE)
def test_nothing_is_done_without_an_error(line: str) -> None:
    assert main(line.split()) == 0


def test_no_windows_make_a_table_without_rows() -> None:
    Path("none.csv").write_text("filename,ymin,xmin,ymax,xmax\n")
    assert main(f"detect none.csv s.csv --context_pad 1 {CLASSIFY}".split()) == 0
    assert Path("s.csv").read_text().startswith("filename,ymin,xmin,ymax,xmax")
    assert len(Path("s.csv").read_text().splitlines()) == 1
