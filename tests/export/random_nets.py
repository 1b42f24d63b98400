"""Random nets of all types that are exported: any order of layers, odd sizes, windows of every form."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

import numpy as np

from segcaffe.errors import SegcaffeError
from segcaffe.export.onnx.registry import mapped_types
from segcaffe.export.proof.inputs import Trial
from segcaffe.export.proof.inputs import values as values_of
from segcaffe.export.source import Source, build_source
from segcaffe.layers.registry import layer_class
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.testing import LayerCase
from tests.cases import all_cases

Shape = tuple[int, ...]
MOST_VALUES = 20_000
"""Of a blob; larger ones are not grown further."""
_MOST = 1e15
_POSITIVE = ("BN", "BatchNorm")
_WINDOWS = ("Convolution", "Deconvolution", "Pooling", "Pooling", "Pooling", "Interp", "LRN")


@cache
def cases() -> dict[str, list[LayerCase]]:
    """Layers to take options from, by type: those that compute the same each time, and something."""
    found: dict[str, list[LayerCase]] = {}
    for case in all_cases():
        shapes = [_shape(values) for values in case.inputs()]
        known = case.type in mapped_types() and case.deterministic and case.phase == "TEST" and case.type != "Silence"
        if known and shapes and (not case.params or case.type in _POSITIVE) and len(shapes[0]) == 4:
            found.setdefault(case.type, []).append(case)
    return found


def random_net(random: Random) -> Source:
    """A net of 2 to 6 layers with random parameters, built; what does not fit where it was drawn is left out."""
    net = _Growing(random)
    for _ in range(random.randint(2, 6)):
        net.grow()
    if not net.layers:
        net.add("Power", "power_param { scale: 2 }", [net.start])
    source = net.build()
    fill(source.net)
    return source


def fill(net: Net) -> None:
    """Give parameters values by their layer's name and place."""
    for name, blobs in net.params.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        kind = net.layer_dict[name].type
        for index, blob in enumerate(blobs):
            if blob.ndim > 1 and blob.shape[0] > 1 and kind not in _POSITIVE:
                blob.data[...] = rng.standard_normal(blob.shape) / np.sqrt(max(1, np.prod(blob.shape[1:])))
            else:
                blob.data[...] = rng.uniform(0.2, 1, blob.shape)
            if kind == "BatchNorm" and index == 2:
                blob.data[...] = 1


@dataclass
class _Growing:
    """A net in the making: the text of its layers, and blobs that layers can read, with their shapes."""

    random: Random
    layers: list[str] = field(default_factory=list)
    inputs: dict[str, Shape] = field(default_factory=dict)
    blobs: dict[str, Shape] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        draw = self.random.randint
        self.start = self._input((draw(1, 2), draw(1, 5), draw(4, 15), draw(4, 15)))

    def grow(self) -> None:
        """Add a layer behind one of the newest blobs."""
        bottom = self.random.choice(list(self.blobs)[-3:])
        if self.random.random() < 0.5:
            kind = self.random.choice(_WINDOWS)
            self.add(kind, _window(kind, self.random, self.blobs[bottom]), [bottom])
            return
        case = self.random.choice(cases()[self.random.choice(sorted(cases()))])
        before = dict(self.inputs), dict(self.blobs)
        bottoms = [bottom, *self._others(case, bottom)]
        if not self.add(case.type, case.options, bottoms, case.tops):
            self.inputs, self.blobs = before

    def add(self, kind: str, options: str, bottoms: list[str], tops: int = 1) -> bool:
        """Add a layer, unless it cannot be built there; whether it was added."""
        name = f"layer{len(self.layers)}"
        # As in Caffe a layer in place changes all that share its bottom's memory, as tops of Reshape and its like do.
        in_place = tops == 1 and layer_class(kind).in_place and bottoms[0] in self.own
        names = [f"{name}_{i}" if i else name for i in range(tops)]
        if in_place and self.random.random() < 0.3:
            names = bottoms[:1]
        told = " ".join([*(f'bottom: "{b}"' for b in bottoms), *(f'top: "{t}"' for t in names)])
        self.layers.append(f'layer {{ name: "{name}" type: "{kind}" {told} {options} }}')
        try:
            net = self.build().net
            shapes = {top: net.blobs[top].shape for top in names}
            if any(not 0 < int(np.prod(shape)) <= MOST_VALUES for shape in shapes.values()):
                raise SegcaffeError("too large, or empty")
            self._run(net)
        except SegcaffeError:
            self.layers.pop()
            return False
        self.blobs |= {top: shape for top, shape in shapes.items() if len(shape) > 1}
        if kind in _WINDOWS:
            self.own |= set(names)
        return True

    def _run(self, net: Net) -> None:
        """Run on what proofs begin with; SegcaffeError where the net does not, or what comes is out of bounds."""
        for kind in ("normal", "pixels"):
            inputs = values_of(Trial(kind, kind, self.inputs), net)
            found = net.forward(**inputs)
            if not all((np.abs(values) < _MOST).all() for values in found.values()):
                raise SegcaffeError("infinite, or near it")

    def build(self) -> Source:
        """The net as it is now."""
        return build_source(parse("\n".join([*map(self._input_text, self.inputs), *self.layers]), _message()))

    def _others(self, case: LayerCase, bottom: str) -> list[str]:
        """Bottoms beyond the first: blobs of the right shape, or new inputs."""
        first, *others = (_shape(values) for values in case.inputs())
        here, found = self.blobs[bottom], []
        for shape in others:
            wanted = here if shape == first else _like(shape, first, here)
            fitting = [name for name, known in self.blobs.items() if known == wanted]
            reuse = fitting and self.random.random() < 0.7
            found.append(self.random.choice(fitting) if reuse else self._input(wanted))
        return found

    def _input(self, shape: Shape) -> str:
        name = f"input{len(self.inputs)}"
        self.inputs[name] = self.blobs[name] = shape
        return name

    def _input_text(self, name: str) -> str:
        dims = " ".join(f"dim: {extent}" for extent in self.inputs[name])
        return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}'


def _message() -> Any:
    return caffe_pb2.NetParameter()


def _shape(values: Any) -> Shape:
    return tuple(int(extent) for extent in values.shape)


def _like(shape: Shape, first: Shape, here: Shape) -> Shape:
    """A shape of a case, with the extents that it shares with the first bottom taken from the blob at hand."""
    pairs = zip(shape, first, here, strict=False)
    shared = [now if extent == before else extent for extent, before, now in pairs]
    return (*shared, *shape[len(shared) :])


def _window(kind: str, random: Random, shape: Shape) -> str:
    """Options of a layer with a window, of any form."""
    draw, choose = random.randint, random.choice
    if kind == "LRN":
        region = choose(("ACROSS_CHANNELS", "WITHIN_CHANNEL"))
        return f"lrn_param {{ local_size: {choose((1, 3, 5))} alpha: 0.0001 beta: 0.75 norm_region: {region} }}"
    if kind == "Interp":
        size = f"height: {draw(1, 17)} width: {draw(1, 17)}"
        return f"interp_param {{ {choose((size, 'shrink_factor: 2', 'zoom_factor: 2'))} }}"
    kernel, stride = (draw(1, 4), draw(1, 4)), (draw(1, 4), draw(1, 4))
    pad = (draw(0, kernel[0] - 1), draw(0, kernel[1] - 1))
    window = " ".join(
        f"{name}_h: {values[0]} {name}_w: {values[1]}"
        for name, values in (("kernel", kernel), ("stride", stride), ("pad", pad))
    )
    if kind == "Pooling":
        pool = choose(("MAX", "AVE"))
        rounding = choose(("", "", "ceil_mode: false"))
        return f"pooling_param {{ pool: {pool} {choose((window, window, 'global_pooling: true'))} {rounding} }}"
    channels = shape[1] if len(shape) > 1 else 1
    group = choose([number for number in (1, 2, 3, 4, 5) if channels % number == 0])
    dilation = f"dilation: {draw(1, 2)}" if kind == "Convolution" else ""
    outputs = group * draw(1, 3)
    bias = choose(("", "bias_term: false"))
    return f"convolution_param {{ num_output: {outputs} group: {group} {window} {dilation} {bias} }}"
