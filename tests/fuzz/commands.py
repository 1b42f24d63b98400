"""Command lines whose words are no number, too large, none, or another file's name."""

from __future__ import annotations

import functools
import random
import re
import tempfile
from pathlib import Path

from segcaffe import device
from segcaffe.cli.main import main
from segcaffe.errors import SegcaffeError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, NetParameter
from segcaffe.proto.text import parse
from segcaffe.threads import parallel
from tests.fuzz.data import _all_files
from tests.fuzz.kinds import Files, Kind
from tests.fuzz.tables import _LOG

_DEPLOY = """
name: "small" input: "data" input_shape { dim: 1 dim: 3 dim: 7 dim: 9 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 } }
"""
_CLASSIFY = """
input: "data" input_shape { dim: 10 dim: 3 dim: 5 dim: 5 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 3 kernel_size: 5 } }
layer { name: "flat" type: "Flatten" bottom: "c" top: "f" }
layer { name: "prob" type: "Softmax" bottom: "f" top: "prob" }
"""
_TRAIN = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "labelled.txt" batch_size: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "score" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy" }
"""
_SOLVER = 'net: "train.prototxt" base_lr: 0.001 lr_policy: "fixed" max_iter: 2 snapshot_prefix: "s"'
# Counts that may be large stand in one word with their option: what takes long by them is asked for.
_LINES = (
    "net deploy.prototxt --phase TEST --level 0 --stage a",
    "draw deploy.prototxt out.svg --phase TEST",
    "draw deploy.prototxt out.html --shapes",
    "lint solver.prototxt",
    "upgrade net deploy.prototxt out.prototxt",
    "weights show net.caffemodel --json",
    "weights convert net.caffemodel out.npz --dialect bvlc",
    "weights diff net.caffemodel net.caffemodel --tolerance 1e-3",
    "weights rename net.caffemodel out.caffemodel conv=other",
    "weights merge net.caffemodel net.caffemodel::conv* --out out.caffemodel",
    "plot train.log --csv out.csv",
    "plot train.log --out out.png",
    "data check two.txt --classes 5 --ignore 255 --root ./",
    "data show two.txt --count 4 --start 0 --columns 2 --out sheet.png",
    "data mean labelled.txt mean.binaryproto --gray --skip-bad 1",
    "data make-db ./ labelled.txt db --backend lmdb --resize_height 4 --resize_width 5 --shuffle --random_seed 3",
    "data make-scenes scenes --train=1 --test=1 --size 32 --seed 2",
    "data import-folder images labels lists --test 1 --map 1=2,255=0",
    "explore deploy.prototxt net.caffemodel image0.png --out e.html --embeddings score --size 7x9 --step 1",
    "predict deploy.prototxt net.caffemodel labelled.txt --out found --size 7x9 --step 1 --scales 0.5,1 --mean 1,2,3",
    "classify image0.png scores.npy --model_def classify.prototxt --pretrained_model classify.caffemodel "
    "--images_dim 6,6 --raw_scale 255 --input_scale 0.5 --channel_swap 2,1,0",
    "detect windows.csv out.csv --model_def classify.prototxt --pretrained_model classify.caffemodel --context_pad 1",
    "eval labels two.txt --classes 5 --ignore 255 --trimap 3 --json out.json",
    "features net.caffemodel deploy.prototxt score out.npz --iterations=1 --allow-partial",
    "test --model train.prototxt --weights s.caffemodel --iterations=2 --allow-partial",
    "time --model deploy.prototxt --iterations=1 --phase TEST",
    "train --solver solver.prototxt --max_iter=2 --random_seed 5 --snapshot_keep 2 --threads 1",
)
_WORDS = (
    "", "-1", "0", "x", "..", "9" * 5000, "-" + "9" * 30, "1e400", "nan", "inf", "2147483648", "0.5", "1,2", "1x1",
    "0x5", "99999x99999", "a" * 5000, "a\udcff", "\u202e", "nothing/there", "labelled.txt", "two.txt", "net.caffemodel",
    "deploy.prototxt", "image0.png", "train.log", "--json", "-", "*", "[", "::", "=", "a=b=c",
)  # fmt: skip
_NUMBERS = (
    "0",
    "1",
    "2",
    "3",
    "7",
    "-1",
    "1024",
    "65536",
    "1000000",
    "0.5,2",
    "1,2,3",
    "5x4",
    "0x0",
    "1e9",
    "2147483647",
)
_COUNTS = ("0", "2", "3", "-1", "1.5", "2147483648")


def _change_word(rng: random.Random, data: bytes) -> bytes:
    """Exchange a value behind the command's name, seldom an option; or leave a word out, or repeat it."""
    words = data.decode("utf-8", "surrogateescape").split("\n")
    values = [i for i, word in enumerate(words) if i > 0 and (not word.startswith("--") or "=" in word)]
    if not values:
        return data
    at, how = rng.choice(values), rng.random()
    if how < 0.9:
        option, is_option, value = words[at].partition("=")
        is_number = re.fullmatch(r"[\d.,x]+", value or words[at]) is not None
        likely = _COUNTS if value else _NUMBERS if is_number else _WORDS
        new = rng.choice(likely if rng.random() < 0.7 else _WORDS)
        words[at] = (f"{option}=" if is_option and option.startswith("--") else "") + new
    elif how < 0.95:
        del words[rng.randrange(1, len(words))]
    else:
        words.insert(at, rng.choice(words))
    return "\n".join(words).encode("utf-8", "surrogateescape")


def _other() -> NetParameter:
    """Weights of another net: of a layer that the nets do not have."""
    net = NetParameter()
    blob = net.layer.add(name="other", type="InnerProduct").blobs.add(data=[1, 2])
    blob.shape.dim.extend((1, 2))
    return net


@functools.cache
def _files() -> Files:
    labels = _all_files()["label0.png"]
    windows = b"filename,ymin,xmin,ymax,xmax\nimage0.png,0,0,5,6\nimage0.png,1,2,6,8\n"
    files = {name: content for name, content in _all_files().items() if name.endswith((".txt", ".png"))}
    texts = {"deploy": _DEPLOY, "classify": _CLASSIFY, "train": _TRAIN, "solver": _SOLVER}
    with tempfile.TemporaryDirectory() as folder:
        for name, net in (("net", _DEPLOY), ("classify", _CLASSIFY)):
            Net(parse(net, NetParameter(), name), TEST).save(f"{folder}/{name}.caffemodel")
            files[f"{name}.caffemodel"] = Path(folder, f"{name}.caffemodel").read_bytes()
    folders = {f"{part}/image{i}.png": labels for part in ("images", "labels") for i in range(2)}
    return (
        files | folders | {f"{name}.prototxt": text.encode() for name, text in texts.items()}
        | {"windows.csv": windows, "train.log": _LOG, "s.caffemodel": _other().SerializeToString()}
    )  # fmt: skip


def _command_lines() -> list[Files]:
    return [_files() | {"words": line.replace(" ", "\n").encode()} for line in _LINES]


def _run(folder: Path) -> None:
    """Run the command; one of status 2 has said why, and counts as refused."""
    words = (folder / "words").read_bytes().decode("utf-8", "surrogateescape").split("\n")
    threads = parallel.num_threads()
    try:
        status = main(words)
    except SystemExit as error:
        status = int(error.code or 0)
    finally:
        parallel.set_num_threads(threads)
        device.set_mode_cpu()
    if status == 2:
        raise SegcaffeError("said on the terminal")
    assert status in (0, 1), status


KINDS = {"command lines": Kind(_command_lines, _run, (_change_word,), ("words",))}
