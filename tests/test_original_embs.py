"""The original config_embs files, unchanged, on real images: train, interrupt, go on, test, with the command line."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io

pytestmark = pytest.mark.slow

CROP = 65
ITERATIONS = 32
VARIABLES = {
    "NET_ID": "embs",
    "TRAIN_SET": "train",
    "TEST_SET": "val",
    "BATCH_SIZE": "1",
    "CROP_SIZE": str(CROP),
    "LEARNING_RATE": "0.001",
    "MASK_SIZE": "3",
    "MASK_PAD": "1",
    "MASK_DILATION": "1",
    "MASK2_SIZE": "3",
    "MASK2_PAD": "2",
    "MASK2_DILATION": "2",
    "MASK3_SIZE": "3",
    "MASK3_PAD": "5",
    "MASK3_DILATION": "5",
}


class Run:
    """The experiment folder that the original's scripts expect, and the variables for it."""

    def __init__(self, shared: Path, folder: Path) -> None:
        self.folder = folder
        config = folder / "config" / "embs"
        for made in (config, folder / "list", folder / "model" / "embs"):
            made.mkdir(parents=True)
        original = shared / "original" / "config_embs"
        shutil.copy(original / "train.prototxt", config / "train_train.prototxt")
        self.solver, self.test_net = original / "solver.prototxt", original / "test.prototxt"
        data = shared / "data" / "camvid"
        for name in ("train", "val"):
            shutil.copy(data / f"{name}.txt", folder / "list" / f"{name}.txt")
        ids = [Path(line.split()[0]).stem for line in (data / "val.txt").read_text().splitlines()]
        (folder / "list" / "val_id.txt").write_text("\n".join(ids) + "\n")
        self.ids = ids
        values = VARIABLES | {"EXP": str(folder), "DATA_ROOT": f"{data}/", "FEATURE_DIR": str(folder / "features")}
        self.options = [option for name, value in values.items() for option in ("--set", f"{name}={value}")]

    def command(self, name: str, *options: str) -> list[str]:
        return [sys.executable, "-m", "segcaffe.cli.main", name, *options, *self.options]

    def train(self, out: Path, *options: str) -> list[str]:
        return self.command(
            "train",
            "--solver",
            str(self.solver),
            "--cpu",
            "--random_seed",
            "3",
            "--max_iter",
            str(ITERATIONS),
            "--out",
            str(out),
            *options,
        )


def losses(log: str) -> dict[int, str]:
    """Loss lines by iteration, as printed."""
    return {int(i): value for i, value in re.findall(r"Iteration (\d+)[^\n]*, loss = (\S+)", log)}


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def interrupt(command: list[str], after: str) -> str:
    """Run until a line contains ``after``, send Ctrl-C, return all that was printed."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if after in line:
                process.send_signal(signal.SIGINT)
                break
        lines.extend(process.stderr)
        assert process.wait(timeout=500) == 0, "".join(lines)
    return "".join(lines)


def test_train_interrupt_resume_and_test(shared: Path, tmp_path: Path) -> None:
    project = Run(shared, tmp_path / "exp")
    whole = losses(run(project.train(tmp_path / "whole")))
    assert set(whole) >= {0, 10, 20, 30}

    first = losses(interrupt(project.train(tmp_path / "parts"), "Iteration 10 "))
    states = sorted((tmp_path / "parts").glob("*.solverstate"))
    assert len(states) == 1, "Ctrl-C leaves one snapshot"
    rest = losses(run(project.train(tmp_path / "parts", "--snapshot", str(states[0]))))
    assert first | rest == whole

    final = f"train_train_iter_{ITERATIONS}.caffemodel"
    assert (tmp_path / "parts" / final).read_bytes() == (tmp_path / "whole" / final).read_bytes()

    weights = ["--weights", str(tmp_path / "whole" / final)]
    run(project.command("test", "--model", str(project.test_net), "--cpu", "--iterations", "2", *weights))
    for name in project.ids[:2]:
        path = tmp_path / "exp" / "features" / "val" / "fc8" / f"{name}_blob_0.mat"
        data = scipy.io.loadmat(path)["data"]
        assert data.shape[:3] == (CROP, CROP, 64), "MATLAB order: width, height, channels"
        assert data.dtype == np.float32
