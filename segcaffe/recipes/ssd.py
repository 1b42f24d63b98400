"""A single shot detector in small, for images of `segcaffe data make-scenes --boxes --size 96`: trains in minutes.

Two maps of features, at an eighth and a sixteenth of the resolution, each with a location and four confidences for each
of its prior boxes.   [SSD: Liu et al., ECCV 2016]. All functions return prototxt.
"""

from __future__ import annotations

from segcaffe.data.box_scenes import SHAPES
from segcaffe.recipes.layers import convolution, layer, max_pooling, net, note, relu, remark

SIDE = 96
CLASSES = 1 + len(SHAPES)
TRUNK = (("conv1", 16), ("conv2", 32), ("conv3", 48), ("conv4", 64), ("conv5", 64))
POOL_AFTER = ("conv1", "conv2", "conv3", "conv4")
SOURCES = {"conv4": (16, 24), "conv5": (27, 36)}
"""Maps that boxes are read from, with the smallest and largest size of their prior boxes in pixels."""
PRIORS = 4
"""Prior boxes of a cell: two squares, and the smaller one's area at the ratios 1.5 and 1 / 1.5."""
MEANS = "mean_value: 127 scale: 0.0157"


def train_test(root: str) -> str:
    """Write the net for both phases, from databases ``train_lmdb`` and ``test_lmdb`` below ``root``."""
    loss = f"num_classes: {CLASSES} code_type: CENTER_SIZE neg_pos_ratio: 3"
    layers = [
        _data(root, "TRAIN", 16),
        _data(root, "TEST", 20),
        *heads(),
        layer(
            "MultiBoxLoss",
            "loss",
            ["mbox_loc", "mbox_conf", "mbox_priorbox", "label"],
            body=f"include {{ phase: TRAIN }}\nmultibox_loss_param {{ {loss} }}",
        ),
        *(_in_test(text) for text in detections()),
        layer(
            "DetectionEvaluate",
            "mAP",
            ["detection_out", "label"],
            body=f"include {{ phase: TEST }}\ndetection_evaluate_param {{ num_classes: {CLASSES} }}",
        ),
    ]
    return net("tiny_ssd", layers, "A detector of discs, squares and triangles: training and testing.")


def deploy() -> str:
    """Write the net from "data" (1, 3, 96, 96) to "detection_out"."""
    shape = f"input_param {{ shape {{ dim: 1 dim: 3 dim: {SIDE} dim: {SIDE} }} }}"
    layers = [layer("Input", "data", body=f"{shape}\ntransform_param {{ {MEANS} }}"), *heads(), *detections()]
    names = note("class_names", ", ".join(("background", *SHAPES)))
    return remark("Boxes of discs, squares and triangles in one image.") + names + net("tiny_ssd", layers)


def solver(path: str, prefix: str, iterations: int) -> str:
    """Write the solver: Adam, the learning rate falling to zero."""
    return f"""net: "{path}"
test_iter: 10
test_interval: {iterations // 4}
test_initialization: false
type: "Adam"
base_lr: 0.002
lr_policy: "poly"
power: 1
momentum: 0.9
weight_decay: 0.0005
max_iter: {iterations}
display: 50
snapshot: {iterations}
snapshot_prefix: "{prefix}"
random_seed: 1
eval_type: "detection"
show_per_class_result: true
"""


def heads() -> list[str]:
    """From "data" to "mbox_loc" (N, 4 P), "mbox_conf" (N, P C) and "mbox_priorbox" (1, 2, 4 P)."""
    layers, bottom = [], "data"
    for name, num_output in TRUNK:
        layers += [convolution(name, bottom, num_output), relu(name, name.replace("conv", "relu"))]
        bottom = name
        if name in POOL_AFTER:
            bottom = name.replace("conv", "pool")
            layers.append(max_pooling(bottom, name))
    for source in SOURCES:
        layers += _head(source)
    for kind, axis in (("loc", 1), ("conf", 1), ("priorbox", 2)):
        suffix = "" if kind == "priorbox" else "_flat"
        bottoms = [f"{source}_mbox_{kind}{suffix}" for source in SOURCES]
        layers.append(layer("Concat", f"mbox_{kind}", bottoms, body=f"concat_param {{ axis: {axis} }}"))
    return layers


def detections() -> list[str]:
    """From the heads to "detection_out"."""
    shape = f"reshape_param {{ shape {{ dim: 0 dim: -1 dim: {CLASSES} }} }}"
    kept = f"num_classes: {CLASSES} code_type: CENTER_SIZE confidence_threshold: 0.05 keep_top_k: 50"
    return [
        layer("Reshape", "mbox_conf_reshape", ["mbox_conf"], body=shape),
        layer("Softmax", "mbox_conf_softmax", ["mbox_conf_reshape"], body="softmax_param { axis: 2 }"),
        layer("Flatten", "mbox_conf_flatten", ["mbox_conf_softmax"]),
        layer(
            "DetectionOutput",
            "detection_out",
            ["mbox_loc", "mbox_conf_flatten", "mbox_priorbox"],
            body=f"detection_output_param {{ {kept} nms_param {{ nms_threshold: 0.45 top_k: 100 }} }}",
        ),
    ]


def _head(source: str) -> list[str]:
    layers = []
    for kind, per_prior in (("loc", 4), ("conf", CLASSES)):
        name = f"{source}_mbox_{kind}"
        layers += [
            convolution(name, source, PRIORS * per_prior),
            layer("Permute", f"{name}_perm", [name], body="permute_param { order: 0 order: 2 order: 3 order: 1 }"),
            layer("Flatten", f"{name}_flat", [f"{name}_perm"]),
        ]
    small, large = SOURCES[source]
    priors = f"min_size: {small} max_size: {large} aspect_ratio: 1.5 flip: true clip: false"
    variance = "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2"
    body = f"prior_box_param {{ {priors} {variance} }}"
    return [*layers, layer("PriorBox", f"{source}_mbox_priorbox", [source, "data"], body=body)]


def _data(root: str, phase: str, batch_size: int) -> str:
    name = phase.lower()
    augmented = "mirror: true" if phase == "TRAIN" else ""
    sampler = "sampler { min_scale: 0.7 max_scale: 1 } sample_constraint { min_object_coverage: 0.9 } max_sample: 1"
    samplers = f"annotated_data_param {{ batch_sampler {{ max_sample: 1 }} batch_sampler {{ {sampler} }} }}"
    resize = f"resize_param {{ height: {SIDE} width: {SIDE} }} emit_constraint {{ emit_type: CENTER }}"
    return layer(
        "AnnotatedData",
        "data",
        [],
        ["data", "label"],
        body=f"""
        include {{ phase: {phase} }}
        transform_param {{ {augmented} {MEANS} {resize} }}
        data_param {{ source: "{root}{name}_lmdb" backend: LMDB batch_size: {batch_size} }}
        {samplers if phase == "TRAIN" else ""}
        """,
    )


def _in_test(text: str) -> str:
    head, brace, rest = text.partition("{")
    return f"{head}{brace} include {{ phase: TEST }}{rest}"
