"""The paper's recipe around a convolution: columns times exp(-|lambda distance|), and what several of them share."""

from __future__ import annotations

from dataclasses import dataclass, field

from segcaffe.graph.graph import where
from segcaffe.proto.caffe_pb2 import LayerParameter
from segcaffe.surgery.options import Masking
from segcaffe.surgery.written import escaped, layer, options
from segcaffe.window import Window

Shape = tuple[int, ...]


@dataclass
class Names:
    """Names of layers, of blobs and of shared parameters that are taken."""

    taken: set[str] = field(default_factory=set)

    def free(self, wanted: str) -> str:
        """A name that is not taken yet, as near to ``wanted`` as can be; it is taken from then on."""
        name, number = wanted, 2
        while name in self.taken:
            name, number = f"{wanted}_{number}", number + 1
        self.taken.add(name)
        return name


@dataclass(frozen=True)
class Grid:
    """Where distances are taken: convolutions of one grid share them.

    Attributes
    ----------
    sizes:
        Height and width of the convolution's bottom in each state of the net.
    window:
        The convolution's window, as prototxt.
    rules:
        Rules that say in which states the convolution is there, as prototxt.
    """

    sizes: tuple[Shape, ...]
    window: str
    rules: str

    @classmethod
    def of(cls, conv: LayerParameter, sizes: tuple[Shape, ...]) -> Grid:
        """Take a convolution's."""
        return cls(sizes, _window(conv), rules_of(conv))


@dataclass
class Masks:
    """Writes masked convolutions of a net one after the other.

    Attributes
    ----------
    guide, guide_sizes:
        The blob of embeddings, and its height and width in each state of the net.
    masking, names:
        How masks are made; names that are taken.
    """

    guide: str
    guide_sizes: tuple[Shape, ...]
    masking: Masking
    names: Names
    _resized: dict[tuple[tuple[Shape, ...], str], str] = field(default_factory=dict)
    _distances: dict[Grid, str] = field(default_factory=dict)
    sharpness: list[str] = field(default_factory=list)
    """Names of the Scale layers, whose parameters are lambda."""

    def write(self, conv: LayerParameter, channels: int, grid: Grid) -> tuple[list[str], str]:
        """Return the text of the layers before a convolution of ``channels`` input channels, and the blob it reads."""
        layers = self._distance(conv, grid)
        name, new, distance = conv.name, self.names.free, self._distances[grid]
        scaled, absolute, mask = (new(f"{name}_{suffix}") for suffix in ("sharpness", "abs", "mask"))
        tiled, columns, hit = (new(f"{name}_{suffix}") for suffix in ("tiled", "columns", "hit"))
        self.sharpness.append(scaled)
        rules = grid.rules
        layers += [
            layer("Scale", scaled, [distance], body=rules + self._scale(conv)),
            layer("AbsVal", absolute, [scaled], body=rules),
            layer("Exp", mask, [absolute], body=f"{rules}exp_param {{ scale: -1 }}"),
            layer("Tile", tiled, [mask], body=f"{rules}tile_param {{ axis: 1 tiles: {channels} }}"),
            layer("Im2col", columns, conv.bottom, body=f"{rules}convolution_param {{ {grid.window} }}"),
            layer("Eltwise", hit, [columns, tiled], body=f"{rules}eltwise_param {{ operation: PROD }}"),
        ]
        return layers, hit

    def shared(self, grid: Grid) -> str:
        """The blob of a grid's distances."""
        return self._distances[grid]

    def _distance(self, conv: LayerParameter, grid: Grid) -> list[str]:
        """Distances for a convolution's grid, and embeddings of its size, unless they are there already."""
        if grid in self._distances:
            return []
        layers, source = self.at(conv.name, conv.bottom[0], grid.sizes, grid.rules)
        self._distances[grid] = self.names.free(f"{conv.name}_dist")
        norm = self.masking.norm
        distance = f"norm: {norm.upper()}" if norm in ("l1", "l2") else f'distance: "{norm}"'
        body = f"convolution_param {{ {grid.window} }}\nim2dist_param {{ {distance} }}"
        return [*layers, layer("Im2dist", self._distances[grid], [source], body=grid.rules + body)]

    def at(self, name: str, like: str, sizes: tuple[Shape, ...], rules: str) -> tuple[list[str], str]:
        """Embeddings of the size of the blob ``like``: layers to be written for them, if any, and their blob."""
        if sizes == self.guide_sizes:
            return [], self.guide
        key = sizes, rules
        if key in self._resized:
            return [], self._resized[key]
        resized = self._resized[key] = self.names.free(f"{name}_emb")
        body = f"{rules}interp_param {{ use_blob_size: true }}"
        return [layer("Interp", resized, [self.guide, like], body=body)], resized

    def _scale(self, conv: LayerParameter) -> str:
        """Options of the factor, one number; convolutions that share a weight share it as well."""
        shared = conv.param[0].name if conv.param else ""
        name = f'name: "{escaped(shared)}_sharpness" ' if shared else ""
        rates = "lr_mult: 1 decay_mult: 1" if self.masking.learn else "lr_mult: 0 decay_mult: 0"
        filler = f'filler {{ type: "constant" value: {self.masking.sharpness:.9g} }}'
        return f"param {{ {name}{rates} }}\nscale_param {{ num_axes: 0 {filler} bias_term: false }}"


def rules_of(conv: LayerParameter) -> str:
    """A layer's rules and phase as prototxt, a line each; empty if it has none."""
    rules = LayerParameter(include=conv.include, exclude=conv.exclude)
    if conv.HasField("phase"):
        rules.phase = conv.phase
    return "".join(f"{line}\n" for line in options(rules))


def _window(conv: LayerParameter) -> str:
    """A convolution's window as prototxt, however it is told there; what is as usual is left out."""
    window = Window.from_convolution(conv.convolution_param, 2, where(conv))
    parts = [_extents("kernel", window.kernel)]
    for name, extents, usual in (("pad", window.pad, 0), ("stride", window.stride, 1)):
        parts += [_extents(name, extents)] if set(extents) != {usual} else []
    if set(window.dilation) != {1}:
        parts.append(" ".join(f"dilation: {extent}" for extent in dict.fromkeys(window.dilation)))
    return " ".join(parts)


def _extents(name: str, extents: tuple[int, ...]) -> str:
    if len(set(extents)) == 1:
        return f"{'kernel_size' if name == 'kernel' else name}: {extents[0]}"
    return " ".join(f"{name}_{axis}: {extent}" for axis, extent in zip("hw", extents, strict=True))
