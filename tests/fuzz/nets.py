"""Nets and solvers: as text, and built from messages whose fields hold what they should not."""

from __future__ import annotations

import random
from pathlib import Path

from google.protobuf.message import Message

from segcaffe.graph.graph import build_graph
from segcaffe.graph.rules import net_state
from segcaffe.net.net import Net
from segcaffe.predict.notes import read_notes
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, NetParameter, SolverParameter
from segcaffe.proto.printer import write as to_text
from segcaffe.proto.template import read_vars
from segcaffe.proto.text import parse, read_net, read_solver
from segcaffe.solver.registry import get_solver
from tests.cases import all_cases
from tests.fuzz import schema
from tests.fuzz.kinds import Files, Kind, Mutation, single
from tests.fuzz.mutate import TEXT, swap_words

NET = """
# A net with most of what the text format has.
name: "small" input: "data" input_dim: 1 input_dim: 3 input_dim: 0x4 input_dim: 010
layer { name: 'conv' type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1. } param: < lr_mult: .5e+1 >
  convolution_param { num_output: 2 kernel_size: [3, 3], pad: 1; weight_filler { type: "xav" "ier" value: -inf } } }
layer { name: "relu\\x41\\101" type: "ReLU" bottom: "conv" top: "conv" include { phase: TRAIN stage: "a" } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 10 axis: -3 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "ip" top: "loss" loss_weight: 0.5 }
"""
OLD_NET = """
name: "old" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "pad" }
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 blobs_lr: 1. } bottom: "pad" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
"""
V1_NET = """
layers { name: "data" type: DATA top: "data" data_param { source: "x" scale: 0.1 batch_size: 2 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" blobs_lr: 1 blobs_lr: 2 weight_decay: 0
  inner_product_param { num_output: 5 } }
"""
SOLVER = """
net: "net.prototxt" test_iter: 10 test_interval: 100 base_lr: 0.01 lr_policy: "multistep" gamma: 0.1
stepvalue: 10 stepvalue: 20 max_iter: 30 momentum: 0.9 solver_type: ADAM snapshot_format: HDF5 random_seed: 1701
test_state: { stage: "a" } net_param { name: "x" layer { name: "a" type: "Silence" } }
"""
_OWN_SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "multistep" gamma: 0.1 stepvalue: 10 stepvalue: 20 max_iter: 30
momentum: 0.9 weight_decay: 0.1 type: "Adam" display: 1 average_loss: 2 random_seed: 1701 clip_gradients: 5
"""
VARIABLES = """
# Names of a template
export NAME=value  # comment
EXP: 'with spaces ${OTHER}'
NUMBER = "1\\"2"
"""
NOTES = """
# segcaffe.channel_order: RGB
# segcaffe.class_names: a, b,c
# segcaffe.palette: 0 0 0, 255 12 3,1 2 3
"""
SMALL = """
input: "x" input_shape { dim: 2 dim: 3 } input: "t" input_shape { dim: 2 dim: 2 }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
_WORK = 10_000_000
"""Elements and multiply-adds of a net that is run after it was built: larger ones may take their time."""


def _read_net(folder: Path) -> None:
    build_graph(read_net(folder / "net.prototxt", {}), net_state(TRAIN))


def _layers() -> list[Files]:
    """A net of each layer case, with inputs of its bottoms' shapes."""
    found = []
    for case in all_cases():
        net = NetParameter(force_backward=case.phase == "TEST", layer=[case.layer_param()])
        for index, values in enumerate(case.inputs()):
            net.input.append(f"bottom{index}")
            net.input_shape.add(dim=values.shape)
        found.append({"net.prototxt": to_text(net).encode()})
    return found


def _build_net(folder: Path) -> None:
    net = Net(str(folder / "net.prototxt"), TEST, share_memory=True)
    sizes = [blob.count for blob in net.blobs.values()]
    work = [step.layer.multiply_adds(step.bottom, step.top) for step in net._parts.steps]
    if sum(sizes) + sum(work) > _WORK:
        return
    for name in net.inputs:
        net.blobs[name].data[...] = 1
    net.forward()
    if net._parts.learns:
        net.backward()


def _build_solver(folder: Path) -> None:
    solver = get_solver(str(folder / "solver.prototxt"))
    if solver.param.iter_size < 100:
        solver.step(2)


def _of_message(kind: type[Message]) -> Mutation:
    """Damage of a text by what its message may hold; text that is no message any more is damaged as text."""

    def change(rng: random.Random, data: bytes) -> bytes:
        message = kind()
        try:
            parse(data.decode(), message, "example")
        except ValueError:
            return swap_words(rng, data)
        schema.change(rng, message)
        return to_text(message).encode()

    return change


KINDS = {
    "net, text": Kind(
        single("net.prototxt", lambda: [NET.encode(), OLD_NET.encode(), V1_NET.encode()]), _read_net,
        (*TEXT, *(_of_message(NetParameter),) * 4),
    ),
    "net, built": Kind(_layers, _build_net, (_of_message(NetParameter),)),
    "solver, text": Kind(
        single("solver.prototxt", lambda: [SOLVER.encode()]),
        lambda folder: read_solver(folder / "solver.prototxt", {}),
        (*TEXT, *(_of_message(SolverParameter),) * 4),
    ),
    "solver, built": Kind(
        lambda: [{"solver.prototxt": _OWN_SOLVER.encode(),
                  "net.prototxt": SMALL.encode()}],
        _build_solver, (_of_message(SolverParameter),), ("solver.prototxt",),
    ),
    "variables": Kind(single("vars", lambda: [VARIABLES.encode()]), lambda folder: read_vars(folder / "vars"), TEXT),
    "notes of a net": Kind(single("net", lambda: [NOTES.encode()]), lambda folder: read_notes(folder / "net"), TEXT),
}  # fmt: skip
