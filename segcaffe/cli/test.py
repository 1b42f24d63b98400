"""Score a net with given weights: run it for some iterations in phase TEST and average its outputs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

from segcaffe.cli import common
from segcaffe.cli.json_output import add_json_option, print_json
from segcaffe.cli.numbers import whole
from segcaffe.glog import RESULT, log
from segcaffe.solver.report import called_of, value_names
from segcaffe.solver.summary import Summary

if TYPE_CHECKING:
    from segcaffe.net.net import Net


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    common.add_option(parser, "model", "the net's prototxt", metavar="FILE", required=True)
    common.add_option(parser, "weights", "weights to load, separated by commas", metavar="FILE")
    common.add_option(parser, "iterations", "number of batches (default 50)", type=whole(), default=50)
    common.add_option(parser, "out", "folder for the log", metavar="FOLDER")
    common.add_option(parser, "log_dir", "the same", metavar="FOLDER", dest="out")
    common.add_partial_option(parser)
    common.add_no_python_option(parser)
    common.add_state_options(parser)
    common.add_fusion_option(parser)
    common.add_memory_option(parser)
    common.add_weights_dtype_option(parser)
    common.add_device_options(parser)
    common.add_template_options(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Run the batches, printing the lines that ``caffe test`` prints."""
    from segcaffe.glog import start_log

    common.at_least(options, iterations=1)
    common.show_warnings()
    common.set_device(options)
    with start_log(options.out, "test"):
        settings = {"fuse": options.fuse, "share_memory": options.share_memory}
        settings["weights_dtype"] = options.weights_dtype
        net = common.build_net(options, options.model, "--model", "TEST", **settings)
        common.load_weights(net, options.weights, "--weights", options.allow_partial)
        if not options.weights:
            log.warning("No --weights given: the net runs with its initial values.")
        log.info("Running for %d iterations.", options.iterations)
        loss, means = _score(net, options.iterations)
        _report(net, loss, means)
    if options.json:
        print_json("test", _facts(net, loss, means, options))
    return 0


Means = dict[str, np.ndarray[Any, Any]]
"""What each output comes to: its elements, averaged over the iterations."""


def _score(net: Net, iterations: int) -> tuple[float, Means]:
    """Run the batches, logging each; returns the average loss and the averages of the outputs."""
    summary = Summary(net)
    loss, names = 0.0, value_names(net)
    for i in range(iterations):
        outputs = net.forward()
        loss += net.loss
        for name in net.outputs:
            values = outputs[name].reshape(-1)
            if values.size <= _MAX_PRINTED:
                for value, called in zip(values, called_of(names, name, values.size), strict=True):
                    log.info("Batch %d, %s = %.6g%s", i, name, value, called and f" ({called})")
        summary.add()
    return loss / iterations, {name: mean.reshape(-1) for name, mean in summary.scores().items()}


def _report(net: Net, loss: float, means: Means) -> None:
    """Log the averages."""
    log.log(RESULT, "Loss: %.6g", loss)
    weights, names = net.blob_loss_weights, value_names(net)
    for name, mean in means.items():
        if mean.size > _MAX_PRINTED:
            log.log(RESULT, "%s: %d values, mean %.6g", name, mean.size, mean.mean())
            continue
        for value, called in zip(mean, called_of(names, name, mean.size), strict=True):
            suffix = f" (* {weights[name]:.6g} = {weights[name] * value:.6g} loss)" if weights[name] else ""
            log.log(RESULT, "%s = %.6g%s%s", name, value, suffix, called and f" ({called})")


def _facts(net: Net, loss: float, means: Means, options: argparse.Namespace) -> dict[str, Any]:
    """The averages as plain values; of outputs of very many elements their mean only."""
    names = value_names(net)
    outputs = [
        {
            "name": name,
            "count": mean.size,
            "mean": float(mean.mean()),
            "values": mean.tolist() if mean.size <= _MAX_PRINTED else None,
            "value_names": list(names.get(name, ())),
            "loss_weight": float(net.blob_loss_weights[name]),
        }
        for name, mean in means.items()
    ]
    return {"model": options.model, "iterations": options.iterations, "loss": float(loss), "outputs": outputs}


_MAX_PRINTED = 32
"""Outputs with more elements than this are summed up in one line: score maps have millions."""
