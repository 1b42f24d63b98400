"""Score a net with given weights: run it for some iterations in phase TEST and average its outputs."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from typing import Any

import numpy as np

from segcaffe.cli import common
from segcaffe.cli.log import RESULT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    common.add_option(parser, "model", "the net's prototxt", metavar="FILE", required=True)
    common.add_option(parser, "weights", "weights to load, separated by commas", metavar="FILE")
    common.add_option(parser, "iterations", "number of batches (default 50)", type=int, default=50)
    common.add_option(parser, "out", "folder for the log", metavar="FOLDER")
    common.add_state_options(parser)
    common.add_fusion_option(parser)
    common.add_memory_option(parser)
    common.add_device_options(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Run the batches, printing the lines that ``caffe test`` prints."""
    from segcaffe.cli.log import log, start_log
    from segcaffe.errors import SegcaffeError
    from segcaffe.net.net import Net

    if options.iterations < 1:
        raise SegcaffeError(f"--iterations must be at least 1. Received: {options.iterations}.")
    common.show_warnings()
    common.set_device(options)
    with start_log(options.out, "test"):
        net = Net(
            common.existing_file(options.model, "--model"),
            phase=common.phase("TEST"),
            level=options.level,
            stages=common.stages(options),
            variables=common.variables(options),
            fuse=options.fuse,
            share_memory=options.share_memory,
        )
        for weights in common.weight_files(options.weights):
            net.copy_from(weights)
        if not options.weights:
            log.warning("No --weights given: the net runs with its initial values.")
        log.info("Running for %d iterations.", options.iterations)
        _score(net, options.iterations, log)
    return 0


def _score(net, iterations: int, log) -> None:  # type: ignore[no-untyped-def]
    """Average each output element over the iterations."""
    totals: OrderedDict[str, np.ndarray[Any, Any]] = OrderedDict()
    loss = 0.0
    for i in range(iterations):
        outputs = net.forward()
        loss += net.loss
        for name in net.outputs:
            values = np.asarray(outputs[name], np.float64).reshape(-1)
            totals[name] = totals.get(name, 0) + values
            if values.size <= _MAX_PRINTED:
                for value in values:
                    log.info("Batch %d, %s = %.6g", i, name, value)
    log.log(RESULT, "Loss: %.6g", loss / iterations)
    weights = net.blob_loss_weights
    for name, total in totals.items():
        mean = total / iterations
        if mean.size > _MAX_PRINTED:
            log.log(RESULT, "%s: %d values, mean %.6g", name, mean.size, mean.mean())
            continue
        for value in mean:
            suffix = f" (* {weights[name]:.6g} = {weights[name] * value:.6g} loss)" if weights[name] else ""
            log.log(RESULT, "%s = %.6g%s", name, value, suffix)


_MAX_PRINTED = 32
"""Outputs with more elements than this are summed up in one line: score maps have millions."""
