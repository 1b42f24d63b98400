"""Commands that write something, each in two versions (a and b) of what it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np

from segcaffe.blob.proto import from_array
from segcaffe.data.png import write_label
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.snapshot.caffemodel import save_weights

VERSIONS = "a", "b"
SEEDS = {"a": "1", "b": "2"}
IMAGES = 24
CONV = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 40 kernel_size: 9 pad: 4 } }
layer { name: "score" type: "Convolution" bottom: "conv" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 } }
"""
DEPLOY = 'name: "%s" input: "data" input_shape { dim: 1 dim: 3 dim: 24 dim: 24 }' + CONV
BATCHES = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "list.txt" root_folder: "images_%s/" batch_size: 4 } }
"""
TO_HDF5 = """
layer { name: "out" type: "HDF5Output" bottom: "conv" bottom: "label" hdf5_output_param { file_name: "${TO}" } }
"""
TRAINED = """
layer { name: "data" type: "HDF5Data" top: "data" top: "target"
  hdf5_data_param { source: "data_%s.txt" batch_size: 8 shuffle: true } }
layer { name: "drop" type: "Dropout" bottom: "data" top: "drop" }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param { num_output: 400 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
SOLVER = """
net: "trained_%s.prototxt" type: "Adam" momentum: 0.9 base_lr: 0.001 lr_policy: "fixed" max_iter: 8 random_seed: 3
snapshot: 2 snapshot_prefix: "%s" solver_mode: CPU snapshot_format: %s
"""
FORMATS = {"binary": "BINARYPROTO", "hdf5": "HDF5"}


@dataclass(frozen=True)
class Job:
    """A command.

    Attributes
    ----------
    name:
        How it is told of.
    words:
        Its words; ``@`` stands for the version, ``#`` for its number, ``TARGET`` for what is written.
    target:
        The file or folder that it writes.
    again:
        The option with which it replaces what is there.
    fills:
        Whether it writes file after file into a folder; what others write appears whole.
    grows:
        Whether it writes a file that is there from the first batch on, and grows with the next ones.
    """

    name: str
    words: str
    target: str
    again: str = ""
    fills: bool = False
    grows: bool = False

    def command(self, version: str, target: Path, replaces: bool = False) -> list[str]:
        """The words for a version; ``replaces`` if there is an older result."""
        words = f"{self.words} {self.again if replaces else ''}".replace("@", version).replace("#", SEEDS[version])
        return words.replace("TARGET", str(target)).split()


_OVERWRITE = "--overwrite"
JOBS = (
    Job("make-db", "data make-db images_@/ list.txt TARGET", "db", _OVERWRITE),
    Job("make-db (LevelDB)", "data make-db images_@/ list.txt TARGET --backend leveldb", "level", _OVERWRITE),
    Job("convert to .caffemodel", "weights convert @.caffemodel TARGET", "w.caffemodel"),
    Job("convert to .h5", "weights convert @.caffemodel TARGET", "w.h5"),
    Job("convert to .npz", "weights convert @.caffemodel TARGET", "w.npz"),
    Job("convert to .safetensors", "weights convert @.caffemodel TARGET", "w.safetensors"),
    Job("features to .npz", "features @.caffemodel batches_@.prototxt conv TARGET --iterations 6", "f.npz", _OVERWRITE),
    Job("features to .h5", "features @.caffemodel batches_@.prototxt conv TARGET --iterations 6", "f.h5", _OVERWRITE),
    Job("features to LMDB", "features @.caffemodel batches_@.prototxt conv TARGET --iterations 6", "f", _OVERWRITE),
    Job(
        "HDF5Output",
        "test --model output_@.prototxt --weights @.caffemodel --iterations 5 --set TO=TARGET",
        "o.h5",
        grows=True,
    ),
    Job("predict", "predict deploy_a.prototxt @.caffemodel images_a --out TARGET --scores npy", "p", _OVERWRITE, True),
    Job("eval --json", "eval labels_@ labels_a --trimap 2 --json TARGET", "e.json"),
    Job("eval --submission", "eval labels_@ --images images_a --submission TARGET", "e.tgz"),
    Job("mean", "data mean list.txt TARGET --root images_@/", "m.binaryproto"),
    Job("draw", "draw deploy_@.prototxt TARGET", "d.html"),
    Job("upgrade", "upgrade net deploy_@.prototxt TARGET", "u.prototxt"),
    Job("make-scenes", "data make-scenes TARGET --train 6 --test 2 --size 64 --seed #", "s", fills=True),
    Job("import-folder", "data import-folder images_a labels_@ TARGET --test 2 --map 1=2", "i", fills=True),
    Job("train", "train --solver solver_@_binary.prototxt --out TARGET", "t", fills=True),
    Job("train (HDF5)", "train --solver solver_@_hdf5.prototxt --out TARGET", "th", fills=True),
)
TRAIN = tuple(job for job in JOBS if job.name.startswith("train"))
KILLED = tuple(job for job in JOBS if job not in TRAIN and not job.grows)


def pick(jobs: Sequence[Job], number: int) -> tuple[Job, bool]:
    """The job of a number, and whether it replaces an older result: few numbers in a row are of many kinds."""
    return jobs[number * 7 % len(jobs)], (number + number // len(jobs)) % 2 == 1


def prepare(folder: Path) -> None:
    """Write what the jobs read into a folder, in which they then run."""
    names = [f"image{i:02d}" for i in range(IMAGES)]
    (folder / "list.txt").write_text("".join(f"{name}.png {i}\n" for i, name in enumerate(names)))
    for number, version in enumerate(VERSIONS):
        rng = np.random.default_rng(number)
        for kind in ("images", "labels"):
            (folder / f"{kind}_{version}").mkdir()
        for name in names:
            cv2.imwrite(str(folder / f"images_{version}" / f"{name}.png"), rng.integers(0, 255, (24, 24, 3), np.uint8))
            write_label(folder / f"labels_{version}" / f"{name}.png", rng.integers(0, 3, (24, 24)), "jobs")
        _write_nets(folder, version)
        _write_weights(folder / f"{version}.caffemodel", rng)
        with h5py.File(folder / f"data_{version}.h5", "w") as file:
            file["data"] = rng.standard_normal((42, 64)).astype(np.float32)
            file["target"] = rng.standard_normal((42, 400)).astype(np.float32)
        (folder / f"data_{version}.txt").write_text(f"data_{version}.h5\n")


def _write_nets(folder: Path, version: str) -> None:
    texts = {
        f"deploy_{version}": DEPLOY % version,
        f"batches_{version}": BATCHES % version + CONV,
        f"trained_{version}": TRAINED % version,
        f"output_{version}": BATCHES % version + CONV + TO_HDF5,
    }
    texts |= {f"solver_{version}_{name}": SOLVER % (version, "snap", kind) for name, kind in FORMATS.items()}
    for name, text in texts.items():
        (folder / f"{name}.prototxt").write_text(text)


def _write_weights(path: Path, rng: np.random.Generator) -> None:
    net = NetParameter(name=path.stem)
    for name, shape in (("conv", (40, 3, 9, 9)), ("score", (3, 40, 1, 1))):
        values = rng.standard_normal(shape).astype(np.float32) / 10
        net.layer.add(name=name, type="Convolution").blobs.extend([from_array(values), from_array(np.zeros(shape[0]))])
    save_weights(net, path)
