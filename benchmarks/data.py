"""How fast images come: against a PyTorch DataLoader that uses OpenCV, and LMDB against memory.

python -m benchmarks.data [--workers 2] [--runs 7] [--images 60]

The work of the first rows: read an image (500 x 375) and its palette label map, pad to 513, mirror at random, subtract
the mean, stack 10 of them as (C, H, W) floats. "reads ahead" takes batches as fast as they come.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.timing import interleave
from segcaffe.data.convert_images import Conversion, make_database
from segcaffe.data.lists import read_list
from segcaffe.data.loader import Arrays, BatchLoader, ListFeed, Random
from segcaffe.data.png import write_label
from segcaffe.data.transformer import Transformer
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.threads import parallel

SIZE, CROP, BATCH = (375, 500), 513, 10
MEAN = (104.008, 116.669, 122.675)

SEGMENTATION = """
layer {{ name: "data" type: "ImageSegData" top: "data" top: "label"
  transform_param {{ crop_size: {crop} mirror: true
    mean_value: 104.008 mean_value: 116.669 mean_value: 122.675 }}
  image_data_param {{ source: "{source}" batch_size: {batch} shuffle: true label_type: PIXEL }} }}
"""
DATABASE = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
  transform_param {{ crop_size: 320 mirror: true
    mean_value: 104.008 mean_value: 116.669 mean_value: 122.675 }}
  data_param {{ source: "{source}" batch_size: {batch} backend: LMDB }} }}
"""


def write_images(folder: Path, suffix: str, count: int) -> Path:
    """Photograph-like images with label maps; returns their list."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(count):
        coarse = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        image = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        label = cv2.resize(rng.integers(0, 21, (6, 8), dtype=np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST)
        image_path, label_path = folder / f"{i}.{suffix}", folder / f"{i}_label.png"
        cv2.imwrite(str(image_path), noisy)
        write_label(label_path, label, "benchmark")
        lines.append(f"{image_path} {label_path}\n")
    source = folder / f"{suffix}.txt"
    source.write_text("".join(lines))
    return source


def net_of(text: str) -> Net:
    """A net of one data layer."""
    return Net(parse(text, caffe_pb2.NetParameter()), caffe_pb2.TRAIN)


class Pairs:
    """The same work as a data set of PyTorch's."""

    def __init__(self, source: Path) -> None:
        self.pairs = [line.split() for line in source.read_text().splitlines()]
        self.mean = np.array(MEAN, np.float32)

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        import torch

        image_path, label_path = self.pairs[index % len(self.pairs)]
        image = cv2.imread(image_path)
        # As gray levels: reading indices would take a second library.
        label = cv2.imread(label_path, cv2.IMREAD_GRAYSCALE)
        rows, cols = image.shape[:2]
        values = np.zeros((CROP, CROP, 3), np.float32)
        values[:rows, :cols] = image.astype(np.float32) - self.mean
        labels = np.full((CROP, CROP), 255, np.float32)
        labels[:rows, :cols] = label
        if torch.rand(()) < 0.5:
            values, labels = values[:, ::-1], labels[:, ::-1]
        planes = np.ascontiguousarray(values.transpose(2, 0, 1))
        return torch.from_numpy(planes), torch.from_numpy(np.ascontiguousarray(labels[None]))


def one_thread(_: int) -> None:
    """What each of PyTorch's workers does first."""
    cv2.setNumThreads(1)


def torch_batches(source: Path, workers: int) -> Iterator[Any]:
    """The same batches from PyTorch, without end. Its workers are started anew: OpenCV does not survive a fork."""
    from torch.utils.data import DataLoader

    return iter(
        DataLoader(
            Pairs(source),  # type: ignore[arg-type]
            BATCH,
            shuffle=True,
            num_workers=workers,
            worker_init_fn=one_thread,
            multiprocessing_context="spawn",
        )
    )


def cpu_seconds() -> float:
    """CPU time so far, of this process and of the workers it started."""
    ticks = 0
    for worker in multiprocessing.active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def cpu_of(function: Callable[[], object], rest: float = 1.5) -> float:
    """CPU milliseconds a call takes, with the reading ahead that it sets off."""
    time.sleep(rest)
    start = cpu_seconds()
    function()
    time.sleep(rest)
    return 1e3 * (cpu_seconds() - start)


def row(name: str, ours: Callable[[], object], theirs: Callable[[], object], runs: int, pause: float) -> str:
    """One line of the table."""
    # First the times: by the end the workers have long started.
    times = interleave(ours, theirs, runs, pause=pause).row(name)
    return f"{times} {cpu_of(ours):.0f} | {cpu_of(theirs):.0f} |"


def compare_images(folder: Path, suffix: str, workers: int, runs: int, images: int) -> str:
    """One row of the table."""
    source = write_images(folder, suffix, images)
    net = net_of(SEGMENTATION.format(source=source, batch=BATCH, crop=CROP))
    theirs = torch_batches(source, workers)
    count = max(2, 4 * images // BATCH)

    def ours() -> None:
        for _ in range(count):
            net.forward()

    def dataloader() -> None:
        for _ in range(count):
            next(theirs)

    return row(f"{count * BATCH} {suffix} pairs: ours, DataLoader", ours, dataloader, runs, 2.0)


def compare_lmdb(folder: Path, runs: int, images: int) -> str:
    """LMDB against arrays in memory, copied and transformed by the same threads."""
    source = write_images(folder, "png", images)
    single = folder / "single.txt"
    single.write_text("".join(f"{line.split()[0]} 0\n" for line in source.read_text().splitlines()))
    make_database(read_list(str(single), "benchmark"), folder / "lmdb", Conversion())
    net = net_of(DATABASE.format(source=folder / "lmdb", batch=BATCH))
    arrays = [cv2.imread(line.split()[0]).transpose(2, 0, 1).tobytes() for line in single.read_text().splitlines()]
    transformer = Transformer(net.layers[0].param.transform_param, caffe_pb2.TRAIN, "memory", np.float32)

    def load(content: bytes, random: Random) -> Arrays:
        copy = np.frombuffer(bytearray(content), np.uint8).reshape(3, *SIZE)
        return transformer.datum(copy, random), np.zeros((), np.float32)

    memory = BatchLoader(ListFeed(arrays, shuffle=False), load, BATCH, "memory")
    target = np.empty_like(net.blobs["data"].data)
    count = max(2, 4 * images // BATCH)

    def theirs() -> None:
        for _ in range(count):
            target[...] = memory.next()[0]

    def ours() -> None:
        for _ in range(count):
            net.forward()

    return row(f"{count * BATCH} raw Datums: LMDB, memory", ours, theirs, runs, 0.3)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--images", type=int, default=60)
    options = parser.parse_args()
    parallel.set_num_threads(options.workers)
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name, part) for part in ("jpg", "png", "db")]
        for folder in folders:
            folder.mkdir()
        print(f"{options.workers} workers, medians of {options.runs} runs\n")
        print("| work | first, ms | second, ms | first / second | CPU of first, ms | of second |")
        print("|---|---|---|---|---|---|")
        for folder, suffix in zip(folders, ("jpg", "png"), strict=False):
            print(compare_images(folder, suffix, options.workers, options.runs, options.images), flush=True)
        print(compare_lmdb(folders[2], options.runs, options.images))


if __name__ == "__main__":
    main()
