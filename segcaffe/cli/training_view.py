"""What a terminal shows of a training: a bar, test scores, snapshots, and what a signal did."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from segcaffe.cli.compilation import compilation_shown
from segcaffe.glog import shows_progress, tell
from segcaffe.parallel import group
from segcaffe.solver.report import called_of, value_names
from segcaffe.text.bars import bar_type

if TYPE_CHECKING:
    from segcaffe.net.net import Net
    from segcaffe.solver.checkpoint import Paths
    from segcaffe.solver.hooks import Progress
    from segcaffe.solver.report import Scores
    from segcaffe.solver.solver import Solver

_MANY = 8
"""Outputs with more values than this are told by their mean."""


@contextmanager
def training_view(solver: Solver, *, shown: bool | None = None) -> Iterator[None]:
    """On a terminal show a bar (iterations, loss, learning rate, images/s, time left), test scores and snapshots."""
    if not (shows_progress() if shown is None else shown):
        yield
        return
    with bar_type()(total=solver.param.max_iter, initial=solver.iter, unit=" iter", dynamic_ncols=True) as bar:
        solver.add_progress(_Advance(solver, bar))
        solver.add_watcher(
            tested=lambda index, scores: tell(tested_line(solver.iter, solver.test_nets, index, scores)),
            saved=lambda paths: tell(saved_line(solver.iter, paths)),
        )
        with compilation_shown(bar):
            yield


class _Advance:
    """Moves the bar; the first iteration, in which kernels are compiled, does not count for the speed."""

    def __init__(self, solver: Solver, bar: Any) -> None:
        self.bar, self.batch, self.first = bar, images_per_iteration(solver), True

    def __call__(self, progress: Progress) -> None:
        bar = self.bar
        if self.first:
            self.first = False
            bar.initial = bar.n = bar.last_print_n = progress.iter
            bar.start_t = bar.last_print_t = time.time()
        speed = bar.format_dict["rate"]
        images = f", {speed * self.batch:.1f} images/s" if speed and self.batch else ""
        bar.set_postfix_str(f"loss {progress.loss:.4g}, lr {progress.lr:.2g}{images}", refresh=False)
        bar.update(progress.iter - bar.n)


def tested_line(iteration: int, nets: Sequence[Net], index: int, scores: Scores) -> str:
    """``Iteration 60, test: accuracy 0.93 (pixel accuracy), 0.8 (mean IoU); loss 0.2``."""
    names = value_names(nets[index])
    parts = []
    for name, array in scores.items():
        values = array.reshape(-1).tolist()
        if len(values) > _MANY:
            parts.append(f"{name} {sum(values) / len(values):.4g} (mean of {len(values)})")
            continue
        called = called_of(names, name, len(values))
        told = [f"{value:.4g}" + (f" ({what})" if what else "") for value, what in zip(values, called, strict=True)]
        parts.append(f"{name} {', '.join(told)}")
    net = f" of net {index}" if len(nets) > 1 else ""
    return f"Iteration {iteration}, test{net}: {'; '.join(parts)}"


def saved_line(iteration: int, paths: Paths) -> str:
    """``Iteration 60, snapshot: model/net_iter_60.caffemodel, .solverstate``."""
    return f"Iteration {iteration}, snapshot: {paths.weights} and {paths.state}"


def images_per_iteration(solver: Solver) -> int:
    """Batch size of the first data layer times iter_size, of all ranks; 0 where there is none."""
    net: Any = solver.net
    for layer, top in zip(net.layer_list, net.top_blobs, strict=True):
        if layer.source and top and top[0].ndim > 1:
            return int(top[0].shape[0] * max(1, solver.param.iter_size)) * group().size
    return 0
