"""Small nets with masks and a CRF, random weights, and an image that is padded for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.data.files import write_picture
from segcaffe.data.images import read_image
from segcaffe.data.png import write_label
from segcaffe.data.synthetic import make_scene
from segcaffe.net.net import Net
from segcaffe.predict.explorer import Explorer
from segcaffe.proto import caffe_pb2
from segcaffe.recipes import embs, tiny
from segcaffe.recipes.layers import image_input, net
from segcaffe.recipes.tiny import Crf, Masks, Model

SIDE, WIDTH = 41, 37
LAMBDAS = {"conv3": -0.4, "conv4": 0.2, "conv5": 0.9}


def write_nets(folder: Path) -> None:
    """Write NAME.prototxt and NAME.caffemodel of nets, scene.png (41 x 37) and labels/scene.png."""
    device.set_random_seed(3)
    half = (SIDE - 1) // 2 + 1
    texts = {
        name: tiny.deploy((SIDE, SIDE), (half, half), model)
        for name, model in {
            "crf": Model(Masks(), Crf()),
            "masked": Model(Masks()),
            "normalized": Model(Masks(norm="L2", normalized=True)),
            "plain": Model(),
        }.items()
    }
    texts |= {
        "embs": net("embs", [image_input(SIDE, SIDE, embs.RGB_SCALE), *tiny.embedding()]),
    }
    for name, text in texts.items():
        (folder / f"{name}.prototxt").write_text(text)
        built = Net(folder / f"{name}.prototxt", caffe_pb2.TEST)
        for layer, value in LAMBDAS.items():
            if f"{layer}_sharpness" in built.params:
                built.params[f"{layer}_sharpness"][0].data[...] = value
        built.save(str(folder / f"{name}.caffemodel"))
    image, label = make_scene(np.random.default_rng(0), SIDE, classes=True)
    write_picture(folder / "scene.png", image[:, :WIDTH], "test")
    (folder / "labels").mkdir()
    write_label(folder / "labels" / "scene.png", label[:, :WIDTH], "test")


def explorer(folder: Path, name: str, **named: str) -> Explorer:
    """What looks through one of the nets."""
    return Explorer(folder / f"{name}.prototxt", [folder / f"{name}.caffemodel"], **named)


def scene_image(folder: Path) -> Any:
    """The image."""
    return read_image(str(folder / "scene.png"), True, "test")
