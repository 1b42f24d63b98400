"""What the small nets for road scenes share: the data, the classes, the loss, the solver.

For lists ``train.txt`` and ``test.txt`` of lines ``image label_map``, as SegNet's authors publish CamVid: 360 x 480
pixels, labels 0 to 10 and 11 for what does not count. Nets see half the resolution. All functions return prototxt.
"""

from __future__ import annotations

from segcaffe.recipes.layers import layer, transformation

NAMES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
"""The classes, in the order of their labels."""
CLASSES = len(NAMES)
VOID = CLASSES
SCALE = 1 / 64
SIZE = (176, 240)
"""Height and width in training, multiples of 16 so that pooling and unpooling meet."""
DEPLOYED = (192, 256)
"""Height and width in prediction, where images are padded."""
FREQUENCIES = (16.8, 23.9, 1.0, 28.0, 5.2, 10.7, 1.1, 2.0, 6.0, 0.7, 0.4)
"""Per cent of CamVid's pixels that have each label."""


def weights() -> list[float]:
    """The weight of each class: the root of how much rarer it is than the median class."""
    median = sorted(FREQUENCIES)[CLASSES // 2]
    return [round((median / frequency) ** 0.5, 2) for frequency in FREQUENCIES]


def data(root: str, batch_size: int) -> list[str]:
    """Write the data layers of both phases; in training a few rows are cut off, and half the images mirrored."""
    written = []
    for phase, batch, more in (
        ("TRAIN", batch_size, f" shuffle: true mirror: true crop_height: {SIZE[0]} crop_width: {SIZE[1]}"),
        ("TEST", 5, ""),
    ):
        height = SIZE[0] if phase == "TEST" else SIZE[0] + 4
        written.append(
            layer(
                "DenseImageData",
                "data",
                [],
                ["data", "label"],
                body=f"""
                include {{ phase: {phase} }}
                transform_param {{ {transformation(SCALE)} }}
                dense_image_data_param {{
                  source: "{root}{phase.lower()}.txt" root_folder: "{root}" batch_size: {batch}
                  new_height: {height} new_width: {SIZE[1]}{more}
                }}
                """,
            )
        )
    return written


def loss(scores: str) -> list[str]:
    """Write the loss, rare classes counting more, and the accuracy over all pixels and of each class."""
    weighting = " ".join(f"class_weighting: {weight}" for weight in weights())
    return [
        layer(
            "SoftmaxWithLoss",
            "loss",
            [scores, "label"],
            body=f"loss_param {{\n  ignore_label: {VOID} weight_by_label_freqs: true\n  {weighting}\n}}",
        ),
        layer(
            "Accuracy",
            "accuracy",
            [scores, "label"],
            ["accuracy", "class_accuracy"],
            f"include {{ phase: TEST }}\naccuracy_param {{ ignore_label: {VOID} }}",
        ),
    ]


def solver(path: str, prefix: str, iterations: int, rate: float) -> str:
    """Write the solver: Adam, the learning rate falling to zero."""
    return f"""net: "{path}"
test_iter: 2
test_interval: {iterations}
test_initialization: false
type: "Adam"
base_lr: {rate}
lr_policy: "poly"
power: 1
momentum: 0.9
weight_decay: 0.0002
max_iter: {iterations}
display: 20
snapshot: {iterations}
snapshot_prefix: "{prefix}"
random_seed: 1
"""


def batch_norm(name: str, learns: bool, top: str | None = None) -> str:
    """Write BN as SegNet and ENet have it; in place unless ``top`` is given.

    It normalizes by the batch where it ``learns``, otherwise its blobs hold the statistics, too.
    """
    fillers = 'scale_filler { type: "constant" value: 1 } shift_filler { type: "constant" value: 0.001 }'
    options = fillers if learns else "bn_mode: INFERENCE"
    body = f"param {{ lr_mult: 1 decay_mult: 1 }} param {{ lr_mult: 1 decay_mult: 0 }}\nbn_param {{ {options} }}"
    return layer("BN", f"{name}_bn", [name], [top or name], body)
