"""What several ranks compute beside what one process does with ``iter_size``: run by mpiexec, see test_training.py."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.parallel import Alone, group, together, use
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from tests.solver.nets import OPTIONS

STEPS = 5
NET = """
name: "parallel"
layer { name: "stored" type: "HDF5Data" top: "data" top: "target"
  hdf5_data_param { source: "data.txt" batch_size: %d shuffle: true } }
layer { name: "frozen" type: "Convolution" bottom: "data" top: "frozen" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "conv" type: "Convolution" bottom: "frozen" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "one" type: "Convolution" bottom: "conv" top: "one" param { name: "shared" } param { name: "shared_b" }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "two" type: "Convolution" bottom: "one" top: "two" param { name: "shared" } param { name: "shared_b" }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "two" top: "ip" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
ADDED = """
name: "added"
layer { name: "stored" type: "HDF5Data" top: "data" top: "target"
  hdf5_data_param { source: "data.txt" batch_size: %d shuffle: true } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { lr_mult: 0 } param { lr_mult: 1 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
"""A net whose gradients are plain sums of the items', so that two ranks add in the order of one process."""
COMMON = 'base_lr: 0.01 lr_policy: "step" gamma: 0.5 stepsize: 4 weight_decay: 0.001 random_seed: 7 max_iter: 40 '


def solver_of(name: str, iter_size: int, clip: float, net: str = NET) -> Solver:
    """A solver on the net, the clipping given for the mean over ranks."""
    if group().is_first:
        Path("net.prototxt").write_text(net % 1)
    if group().joint:
        group().gather(0)
    text = f'net: "net.prototxt" type: "{name}" {OPTIONS[name]} {COMMON} iter_size: {iter_size} clip_gradients: {clip}'
    path = Path(f"solver{group().rank}.prototxt")
    path.write_text(text)
    return get_solver(str(path))


def digest(solver: Solver) -> str:
    """A hash of all parameters and histories."""
    arrays = [blob.data for blob in (*solver.net.learnable_params, *solver.history)]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def furthest(one: Solver, other: Solver) -> float:
    """The greatest distance of learnt parameters and histories, by the greatest value."""
    found = 0.0
    learnt = [i for i, lr in enumerate(one.net.params_lr) if lr]
    count = len(one.net.learnable_params)
    pairs = [(one.net.learnable_params[i], other.net.learnable_params[i]) for i in learnt]
    pairs += [(a, b) for i, (a, b) in enumerate(zip(one.history, other.history, strict=True)) if i % count in learnt]
    for a, b in pairs:
        scale = float(np.abs(b.data).max()) or 1.0
        found = max(found, float(np.abs(a.data - b.data).max()) / scale)
    return found


def compare(name: str, clip: float, net: str = NET, allowed: float = 1e-6) -> None:
    """Train together and alone, and hold one against the other."""
    ranks = group()
    together = solver_of(name, 1, clip, net)
    losses: list[Any] = []
    together.add_progress(lambda p: losses.append(p.loss))
    for _ in range(STEPS):
        together.step(1)
        digests = ranks.gather(digest(together))
        assert len(set(digests)) == 1, f"{name}: ranks differ"
    if not ranks.is_first:
        return
    with use(Alone()):
        alone = solver_of(name, ranks.size, clip * ranks.size, net)
        expected: list[Any] = []
        alone.add_progress(lambda p: expected.append(p.loss))
        for _ in range(STEPS):
            alone.step(1)
    distance = furthest(together, alone)
    print(f"{name}, clip {clip}: {distance:.2g}", flush=True)
    assert distance <= allowed, f"{name}: {distance}"
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def write_data() -> None:
    import h5py

    rng = np.random.default_rng(5)
    with h5py.File("data.h5", "w") as file:
        file["data"] = rng.standard_normal((7, 2, 9, 8)).astype(np.float32)
        file["target"] = rng.standard_normal((7, 3)).astype(np.float32)
    Path("data.txt").write_text("data.h5\n")


def main() -> None:
    with together(command="equality") as ranks:
        assert ranks.size > 1
        if ranks.is_first:
            write_data()
        ranks.gather(0)
        for name in OPTIONS:
            compare(name, -1)
        compare("SGD", 0.05)
        compare("Adam", 0.05)
        if ranks.size == 2:
            compare("Adam", -1, ADDED, allowed=0)


if __name__ == "__main__":
    main()
