"""Training on several processes: python -m benchmarks.parallel [--runs N] [--campaign MOMENTS] [--steps STEPS].

Needs mpi4py and mpiexec (that beside the interpreter is taken first), and for figures worth keeping a machine with
nothing else to do and as many cores as ranks. The tables: images per second of two ranks of one thread beside one
process of one and of two threads, on the wall and by processor time; how much of the reduction of ResNet-50's gradients
overlaps with its backward pass; memory of a rank beside that of a process alone. ``--steps`` trains so many steps on
three ranks and compares parameters and histories by hash after each; ``--campaign`` kills each of two ranks at so many
random moments of a training, and holds what is left against what was promised: all end within ten seconds, a sentence
names the rank, the last snapshot is whole and can be gone on from.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import nets
from benchmarks.memory import status
from segcaffe.cli.time_ranks import measure
from segcaffe.parallel import Group, together
from segcaffe.proto import caffe_pb2
from segcaffe.proto.template import read_vars
from segcaffe.proto.text import parse, read_net
from segcaffe.solver.solver import Solver
from segcaffe.threads import parallel

MEGABYTE = 1 << 20
STAGES = ((64, 256, 3), (128, 512, 4), (256, 1024, 6), (512, 2048, 3))
"""Of ResNet-50: channels inside a block, of its top, and blocks."""
SECONDS_TO_END = 10.0


def _embs(size: int) -> caffe_pb2.NetParameter:
    values = read_vars(nets.CONFIGS / "embs" / "coco.vars")
    found = {name: str(size) if name == "CROP_SIZE" else value for name, value in values.items()}
    return nets._with_inputs(read_net(nets.CONFIGS / "embs" / "train.prototxt", found).message, size)


def resnet_50(size: int) -> caffe_pb2.NetParameter:
    """The convolutions of ResNet-50 one after the other, without shortcuts: 25.5 million parameters, 102 MB."""
    layers = [
        'layer { name: "data" type: "Input" top: "data" top: "label" input_param { '
        f"shape {{ dim: 4 dim: 3 dim: {size} dim: {size} }} shape {{ dim: 4 }} }} }}"
    ]
    bottom = "data"

    def convolve(outputs: int, kernel: int, stride: int) -> None:
        nonlocal bottom
        top = f"conv{len(layers)}"
        layers.append(
            f'layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}" convolution_param {{ '
            f"num_output: {outputs} kernel_size: {kernel} pad: {kernel // 2} stride: {stride} "
            'weight_filler { type: "msra" } } }'
        )
        layers.append(f'layer {{ name: "relu{len(layers)}" type: "ReLU" bottom: "{top}" top: "{top}" }}')
        bottom = top

    convolve(64, 7, 4)
    for stage, (inside, outside, blocks) in enumerate(STAGES):
        for block in range(blocks):
            convolve(inside, 1, 2 if stage and not block else 1)
            convolve(inside, 3, 1)
            convolve(outside, 1, 1)
    layers.append(
        f'layer {{ name: "pool" type: "Pooling" bottom: "{bottom}" top: "pool" pooling_param {{ pool: AVE '
        "global_pooling: true } }"
    )
    layers.append('layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { '
                  'num_output: 1000 weight_filler { type: "xavier" } } }')  # fmt: skip
    layers.append('layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }')
    return parse("\n".join(layers), caffe_pb2.NetParameter())


NETS: dict[str, tuple[Callable[[int], caffe_pb2.NetParameter], int, int]] = {
    "LeNet": (nets._lenet, 100, 20),
    "cifar10_quick": (nets._cifar10_quick, 100, 10),
    "config_embs": (_embs, 193, 3),
    "resnet_50": (resnet_50, 128, 2),
}
"""A function of a size, the size (the batch of the first two, the image's side of the others), and steps of a run."""


def make(name: str) -> Solver:
    """The net's solver, its inputs filled."""
    function, size, _ = NETS[name]
    solver = nets._solver(function(size), {"fuse": True, "share_memory": True})
    nets.fill(solver.net)
    return solver


def work(name: str, what: str, runs: int) -> dict[str, Any]:
    """What one process measures: ``speed`` or ``overlap``."""
    with together(False, "benchmark") as ranks:
        solver = make(name)
        if what == "overlap":
            figures, size, _ = measure(solver.net, ranks, NETS[name][2])
            return {"first": ranks.is_first, "overlap": figures.overlap, "bytes": size, **figures._asdict()}
        return {"first": ranks.is_first, **_speed(solver, ranks, NETS[name][2], runs)}


def _speed(solver: Solver, ranks: Group, steps: int, runs: int) -> dict[str, Any]:
    solver.step(1)
    images = solver.net.top_blobs[0][0].shape[0]
    wall, spent = [], []
    for _ in range(runs):
        ranks.gather(None)
        start = time.perf_counter(), time.process_time()
        solver.step(steps)
        wall.append(time.perf_counter() - start[0])
        spent.append(time.process_time() - start[1])
    done = images * steps
    return {
        "images_per_second": done * ranks.size / min(wall),
        "processor_ms": 1e3 * min(spent) / done,
        "peak_mb": status("VmHWM") / MEGABYTE,
    }


def run(ranks: int, threads: int, *arguments: str) -> dict[str, Any]:
    """Run this module as so many processes; returns what the first of them measured."""
    line = [sys.executable, "-m", "benchmarks.parallel", "--worker", *arguments]
    environment = {**os.environ, "SEGCAFFE_NUM_THREADS": str(threads)}
    output = subprocess.run(
        [*launcher(ranks), *line] if ranks > 1 else line, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    found = [json.loads(text) for text in output.splitlines() if text.startswith("{")]
    first: dict[str, Any] = next(one for one in found if one["first"])
    first["peak_mb"] = max(one.get("peak_mb", 0.0) for one in found)
    return first


def launcher(ranks: int) -> list[str]:
    """The start of a command line for so many ranks."""
    beside = Path(sys.executable).parent / "mpiexec"
    return [str(beside) if beside.exists() else str(shutil.which("mpiexec")), "-n", str(ranks)]


def tables(runs: int) -> None:
    """Print the tables."""
    print("| net | 1 process, 1 thread | 1 process, 2 threads | 2 ranks, 1 thread each | ranks / 1 thread |"
          " by processor time | memory of a rank / alone |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for name in ("LeNet", "cifar10_quick", "config_embs"):
        one, two, joint = (run(*how, name, "speed", str(runs)) for how in ((1, 1), (1, 2), (2, 1)))
        speeds = [f"{found['images_per_second']:.1f}" for found in (one, two, joint)]
        ratio = joint["images_per_second"] / one["images_per_second"]
        by_time = 2 * one["processor_ms"] / joint["processor_ms"]
        memory = joint["peak_mb"] / one["peak_mb"]
        print(f"| {name} | {' | '.join(speeds)} | {ratio:.2f} | {by_time:.2f} | {memory:.2f} |", flush=True)
    found = run(2, 1, "resnet_50", "overlap", str(runs))
    print(
        f"\nResNet-50's gradients, {found['bytes'] / 1e6:.0f} MB on two ranks: compute {found['compute']:.3f} s, "
        f"reduction {found['reduction']:.3f} s, together {found['together']:.3f} s: "
        f"{found['overlap']:.0%} of the reduction overlap."
    )


# Campaigns.

SMALL_NET = """
layer { name: "data" type: "DummyData" top: "data" top: "target" dummy_data_param {
  shape { dim: 4 dim: 3 dim: 12 dim: 12 } shape { dim: 4 dim: 5 } data_filler { type: "gaussian" }
  data_filler { type: "gaussian" } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
SOLVER = (
    'net: "net.prototxt" type: "Adam" momentum: 0.9 base_lr: 0.001 lr_policy: "fixed" random_seed: 1 max_iter: 100000 '
    'snapshot: 5 snapshot_prefix: "snap" display: 0 '
)


def count_steps(steps: int) -> None:
    """One of several ranks: train, and compare parameters and histories by hash after each step."""
    import hashlib

    from segcaffe.solver.registry import get_solver

    with together(command="steps") as ranks:
        param = parse(SOLVER, caffe_pb2.SolverParameter())
        param.ClearField("net")
        param.snapshot = 0
        parse(SMALL_NET, param.net_param)
        solver = get_solver(param)
        for step in range(steps):
            solver.step(1)
            arrays = [blob.data.tobytes() for blob in (*solver.net.learnable_params, *solver.history)]
            hashes = ranks.gather(hashlib.sha256(b"".join(arrays)).hexdigest())
            assert len(set(hashes)) == 1, f"the ranks differ after step {step}"
        if ranks.is_first:
            print(f"{ranks.size} ranks are equal after each of {steps} steps.")


def campaign(moments: int) -> None:
    """Kill each rank at random moments; AssertionError where one of the promises is broken."""
    rng = random.Random(1)
    for rank in (0, 1):
        worst = 0.0
        for moment in range(moments):
            with tempfile.TemporaryDirectory() as folder:
                worst = max(worst, kill_once(Path(folder), rank, rng.uniform(0.5, 6.0)))
            print(f"rank {rank} killed {moment + 1} of {moments} times; all ended within {worst:.2f} s", flush=True)


def kill_once(folder: Path, rank: int, delay: float) -> float:
    """Train, kill a rank ``delay`` seconds after its start, and look; returns the seconds that the end took."""
    (folder / "net.prototxt").write_text(SMALL_NET)
    (folder / "solver.prototxt").write_text(SOLVER)
    line = [*launcher(2), sys.executable, "-m", "segcaffe.cli.main", "train", "--solver", "solver.prototxt", "--mpi"]
    errors = (folder / "errors").open("w+")
    with errors, subprocess.Popen(line, cwd=folder, stderr=errors, stdout=subprocess.DEVNULL) as process:
        victim = _process_of(process.pid, rank)
        time.sleep(delay)
        os.kill(victim, signal.SIGKILL)
        start = time.monotonic()
        status = process.wait(SECONDS_TO_END)
        took = time.monotonic() - start
    text = (folder / "errors").read_text()
    assert status != 0, text
    told = re.search(r"rank (\d+) \(process (\d+) on", text)
    # Before the ranks have met there is no witness, and the launcher alone tells what it sees.
    assert told is None or (int(told[1]), int(told[2])) == (rank, victim), text
    _check_snapshots(folder, text)
    print(f"  after {delay:.2f} s, in {took:.2f} s: {'told' if told else 'before the ranks had met'}")
    return took


def _check_snapshots(folder: Path, text: str) -> None:
    states = sorted(folder.glob("*.solverstate"), key=lambda path: int(re.findall(r"\d+", path.name)[-1]))
    if not states:
        return
    code = (
        "import sys, segcaffe as c; s = c.get_solver('solver.prototxt'); s.param.snapshot = 0\n"
        "for name in sys.argv[1:]: s.restore(name)\n"
        "s.step(1)"
    )
    names = [states[0].name, states[-1].name]
    subprocess.run([sys.executable, "-c", code, *names], cwd=folder, check=True)


def _process_of(launched: int, rank: int) -> int:
    """The process of a rank, found by its environment among all that there are."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            named = f"PMI_RANK={rank}".encode() in variables and b"segcaffe.cli.main" in command
            if named and _is_below(int(entry.name), launched):
                return int(entry.name)
        time.sleep(0.02)
    raise AssertionError(f"rank {rank} did not start")


def _is_below(process: int, ancestor: int) -> bool:
    """Whether a process descends from another."""
    while process > 1:
        if process == ancestor:
            return True
        try:
            process = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--campaign", type=int, metavar="MOMENTS")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker and options.worker[0] == "steps":
        count_steps(int(options.worker[1]))
    elif options.worker:
        name, what, runs = options.worker
        parallel.set_num_threads(int(os.environ["SEGCAFFE_NUM_THREADS"]))
        print(json.dumps(work(name, what, int(runs))), flush=True)
    elif options.steps:
        line = [*launcher(3), sys.executable, "-m", "benchmarks.parallel", "--worker", "steps", str(options.steps)]
        subprocess.run(line, check=True)
    elif options.campaign:
        campaign(options.campaign)
    else:
        tables(options.runs)


if __name__ == "__main__":
    main()
