"""Time each layer, forward and backward, as ``caffe time`` does: averages over iterations after one warm-up."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segcaffe.cli import common, time_ranks
from segcaffe.cli.json_output import add_json_option, print_json
from segcaffe.cli.numbers import whole
from segcaffe.cli.ranks import add_mpi_option
from segcaffe.text.visible import one_line

if TYPE_CHECKING:
    from segcaffe.net.net import Net


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    common.add_option(parser, "model", "the net's prototxt", metavar="FILE", required=True)
    common.add_option(parser, "weights", "weights to load, separated by commas", metavar="FILE")
    common.add_option(parser, "iterations", "number of timed iterations (default 50)", type=whole(), default=50)
    common.add_option(parser, "phase", "TRAIN (default) or TEST", default="TRAIN")
    common.add_no_python_option(parser)
    common.add_state_options(parser)
    common.add_fusion_option(parser)
    common.add_weights_dtype_option(parser)
    add_mpi_option(parser)
    common.add_device_options(parser)
    common.add_template_options(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print the timings in the lines that Caffe prints."""
    from segcaffe.parallel import group

    common.at_least(options, iterations=1)
    common.set_device(options)
    how = {"fuse": options.fuse, "weights_dtype": options.weights_dtype}
    net = common.build_net(options, options.model, "--model", options.phase, **how)
    for weights in common.weight_files(options.weights):
        net.copy_from(weights)
    # Layer by layer, as the timed iterations run: kernels that only a fused net does without are compiled here.
    _measure(net, 1)
    forward, backward = _measure(net, options.iterations)
    ranks = group()
    joint = time_ranks.facts(net, ranks, options.iterations) if ranks.joint else None
    if not ranks.is_first:
        return 0
    if options.json:
        found = _facts(net, forward, backward, options)
        print_json("time", found if joint is None else {**found, "mpi": joint})
        return 0
    _report(net, forward, backward, options.iterations)
    for line in time_ranks.lines(joint) if joint is not None else ():
        print(line)
    return 0


def _measure(net: Net, iterations: int) -> tuple[list[float], list[float]]:
    """Milliseconds per layer, summed over the iterations: forward, backward."""
    from segcaffe import device

    forward, backward = [0.0] * len(net.layer_list), [0.0] * len(net.layer_list)
    for _ in range(iterations):
        for times, run_layers, order in (
            (forward, net.forward_from_to, range(len(net.layer_list))),
            (backward, net.backward_from_to, reversed(range(len(net.layer_list)))),
        ):
            for i in order:
                start = time.perf_counter()
                run_layers(i, i)
                device.synchronize()
                times[i] += 1e3 * (time.perf_counter() - start)
    return forward, backward


def _facts(
    net: Net, forward: Sequence[float], backward: Sequence[float], options: argparse.Namespace
) -> dict[str, Any]:
    """Averages in milliseconds, as plain values."""
    count = options.iterations
    named = zip(net.layer_list, forward, backward, strict=True)
    layers = [
        {"name": layer.name, "type": layer.type, "forward_ms": ahead / count, "backward_ms": back / count}
        for layer, ahead, back in named
    ]
    total = {"forward_ms": sum(forward) / count, "backward_ms": sum(backward) / count}
    return {"model": options.model, "iterations": count, "layers": layers, **total}


def _report(net: Net, forward: Sequence[float], backward: Sequence[float], iterations: int) -> None:
    print("Average time per layer:")
    for name, ahead, back in zip(net.layer_names, forward, backward, strict=True):
        shown = f"{one_line(name):>10}"
        print(f"{shown}\tforward: {ahead / iterations:.6g} ms.")
        print(f"{shown}\tbackward: {back / iterations:.6g} ms.")
    ahead, back = sum(forward), sum(backward)
    print(f"Average Forward pass: {ahead / iterations:.6g} ms.")
    print(f"Average Backward pass: {back / iterations:.6g} ms.")
    print(f"Average Forward-Backward: {(ahead + back) / iterations:.6g} ms.")
    print(f"Total Time: {ahead + back:.6g} ms.")
