"""What ranks do together besides learning: run by mpiexec, see test_training.py. Every check runs on all ranks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segcaffe.errors import GraphError, NumericError
from segcaffe.parallel import Alone, Options, group, together, use
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.text import parse
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from tests.parallel.equality import digest, write_data

NET = """
layer { name: "stored" type: "HDF5Data" top: "data" top: "target" include { phase: TRAIN }
  hdf5_data_param { source: "data.txt" batch_size: 2 shuffle: true } }
layer { name: "stored" type: "HDF5Data" top: "data" top: "target" include { phase: TEST }
  hdf5_data_param { source: "data.txt" batch_size: 2 } }
layer { name: "drop" type: "Dropout" bottom: "data" top: "drop" dropout_param { dropout_ratio: %g } }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
LABELS = """
layer { name: "labels" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "labels.txt" batch_size: %d } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss"
  loss_param { ignore_label: 255 normalization: VALID } }
"""


def solver_of(net: str, extra: str = "", name: str = "SGD") -> Solver:
    text = f"""type: "{name}" base_lr: 0.01 lr_policy: "fixed" random_seed: 3 snapshot_prefix: "snap" max_iter: 20
        snapshot_after_train: false train_net_param {{ {net} }}"""
    param = parse(text, SolverParameter())
    param.MergeFrom(parse(extra, SolverParameter()))
    return get_solver(param)


def all_equal(solver: Solver) -> bool:
    return len(set(group().gather(digest(solver)))) == 1


def resuming_is_exact() -> None:
    ranks = group()
    first = solver_of(NET % 0.5, name="Adam")
    first.step(3)
    paths = first.snapshot()
    ranks.gather(0)
    first.step(3)
    again = solver_of(NET % 0.5, "random_seed: 99", name="Adam")
    # Only rank 0 needs the files.
    again.restore(paths.state if ranks.is_first else "nowhere.solverstate")
    again.step(3)
    assert digest(again) == digest(first)
    assert all_equal(again)
    assert again.iter == first.iter == 6


def resuming_on_another_number_of_ranks_goes_on_in_the_data() -> None:
    ranks = group()
    solver_of(NET % 0).step(2)
    together_on = solver_of(NET % 0)
    together_on.step(2)
    paths = together_on.snapshot()
    ranks.gather(0)
    if ranks.is_first:
        with use(Alone()):
            # Each step of three ranks is one with iter_size 3 of a process alone.
            alone = solver_of(NET % 0, f"iter_size: {ranks.size}")
            alone.restore(paths.state)
            alone.step(2)
            one_rank = solver_of(NET % 0, f"iter_size: {ranks.size}")
            one_rank.step(2)
            path = one_rank.snapshot().state
            weights = [blob.data.copy() for blob in alone.net.learnable_params]
    else:
        path, weights = "nowhere", []
    together_on.step(2)
    for mine, theirs in zip(together_on.net.learnable_params, weights, strict=False):
        np.testing.assert_allclose(mine.data, theirs, rtol=2e-6, atol=1e-7)
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("segcaffe").addHandler(handler)
    more = solver_of(NET % 0)
    more.restore(path)
    more.step(2)
    logging.getLogger("segcaffe").removeHandler(handler)
    assert any("of 1 rank, this run has 3" in text for text in records), records
    assert all_equal(more)
    for mine, theirs in zip(more.net.learnable_params, weights, strict=False):
        np.testing.assert_allclose(mine.data, theirs, rtol=2e-6, atol=1e-7)


def shared_tests_score_as_those_of_rank_0() -> None:
    ranks = group()
    tests = "test_net_param { %s } test_iter: 7 test_interval: 2 test_compute_loss: true" % (NET % 0)
    plain = solver_of(NET % 0, tests)
    plain.synchronize()
    expected = ranks.gather([plain.test(0)["loss"] for _ in range(2)] if ranks.is_first else None)[0]
    before, ranks.options = ranks.options, Options(share_tests=True)
    try:
        shared = solver_of(NET % 0, tests)
        shared.synchronize()
        found = [shared.test(0)["loss"] for _ in range(2)]
    finally:
        ranks.options = before
    assert expected is not None
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def valid_labels_of_all_ranks_count() -> None:
    ranks = group()
    before, ranks.options = ranks.options, Options(valid_over_all=True)
    try:
        joint = solver_of(LABELS % 2)
        joint.step(2)
    finally:
        ranks.options = before
    other = solver_of(LABELS % 2)
    other.step(2)
    if ranks.is_first:
        with use(Alone()):
            alone = solver_of(LABELS % (2 * ranks.size))
            alone.step(2)
        for mine, theirs in zip(joint.net.learnable_params, alone.net.learnable_params, strict=True):
            np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-5, atol=1e-7)
        assert not np.allclose(other.net.learnable_params[0].data, alone.net.learnable_params[0].data, rtol=1e-5)


def another_net_is_refused_by_all() -> None:
    ranks = group()
    net = NET % (0.5 if ranks.rank == 1 else 0)
    with pytest.raises(GraphError, match=r"Rank 1's training differs from rank 0's in layer \"drop\" \(Dropout\)"):
        solver_of(net)


def no_number_on_one_rank_is_told_by_all() -> None:
    ranks = group()
    solver = solver_of(NET % 0)
    solver.step(1)
    if ranks.rank == 1:
        solver.net.params["ip"][0].data[0] = np.nan
    with pytest.raises(NumericError, match="Rank 1: Iteration 1: the loss is nan"):
        solver.step(1)
    assert solver.iter == 1


def a_request_to_one_rank_stops_all() -> None:
    ranks = group()
    solver = solver_of(NET % 0, 'snapshot_prefix: "stopped"')

    def ask(progress: object) -> None:
        if ranks.rank == 2 and solver.iter == 3:
            solver.request_stop()
            solver.request_snapshot()

    solver.add_progress(ask)
    solver.solve()
    assert ranks.gather(solver.iter) == [4] * ranks.size
    assert Path("stopped_iter_4.solverstate.segcaffe.json").exists()


def write_labels() -> None:
    import h5py

    rng = np.random.default_rng(6)
    with h5py.File("labels.h5", "w") as file:
        file["data"] = rng.standard_normal((24, 5)).astype(np.float32)
        file["label"] = np.where(np.arange(24) % 3 == 0, 255, rng.integers(4, size=24)).astype(np.float32)
    Path("labels.txt").write_text("labels.h5\n")


CHECKS: list[Callable[[], None]] = [
    resuming_is_exact,
    resuming_on_another_number_of_ranks_goes_on_in_the_data,
    shared_tests_score_as_those_of_rank_0,
    valid_labels_of_all_ranks_count,
    another_net_is_refused_by_all,
    no_number_on_one_rank_is_told_by_all,
    a_request_to_one_rank_stops_all,
]


def main() -> None:
    with together(command="behaviour") as ranks:
        assert ranks.size == 3
        if ranks.is_first:
            write_data()
            write_labels()
        ranks.gather(0)
        for check in CHECKS:
            check()
            ranks.gather(0)
            if ranks.is_first:
                print(check.__name__, flush=True)


if __name__ == "__main__":
    main()
