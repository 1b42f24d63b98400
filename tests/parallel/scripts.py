"""A script as pycaffe's users write it for several processes: run by mpiexec, see test_pycaffe.py."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import segcaffe as caffe
from tests.parallel.equality import NET, write_data

RANK, SIZE = (
    int(next(os.environ[name] for name in names if name in os.environ))
    for names in (("PMI_RANK", "OMPI_COMM_WORLD_RANK"), ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"))
)
TEXT = """base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 random_seed: 5 max_iter: 6
snapshot: 3 snapshot_prefix: "script"
train_net_param { %s } %s """


def train(extra: str, by_layer: bool) -> str:
    """Train as python/train.py does; returns a hash of the parameters."""
    path = Path(f"script{RANK}.prototxt")
    path.write_text(TEXT % (NET % 2, extra))
    caffe.set_solver_count(SIZE)
    caffe.set_solver_rank(RANK)
    caffe.set_multiprocess(True)
    assert caffe.has_nccl()
    solver = caffe.get_solver(str(path))
    nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
    nccl.bcast()
    solver.add_callback(nccl)
    if by_layer:
        solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter)
    return hashlib.sha256(b"".join(blob.data.tobytes() for blob in solver.net.learnable_params)).hexdigest()


def main() -> None:
    from segcaffe.parallel.together import join_for_good

    joined = join_for_good("script")
    if RANK == 0:
        write_data()
    joined.gather(None)
    hashes = [train("", True), train("", False), train("iter_size: 2", True)]
    everywhere = joined.gather(hashes)
    assert all(other == hashes for other in everywhere), everywhere
    assert hashes[0] == hashes[1]
    assert Path("script_iter_3.solverstate").exists()
    if RANK == 1:
        raise RuntimeError("an error that nobody catches")
    joined.gather(None)


if __name__ == "__main__":
    main()
