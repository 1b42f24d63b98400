"""Embeddings for a net: from a recipe, from another net, or a blob that the net has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from segcaffe.errors import GraphError, SegcaffeError, unknown_name
from segcaffe.graph.graph import where
from segcaffe.layers.registry import layer_class
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter, TransformationParameter
from segcaffe.proto.text import parse
from segcaffe.recipes import embs, tiny
from segcaffe.recipes.layers import image_input
from segcaffe.surgery.grids import brings_data
from segcaffe.surgery.masks import Names
from segcaffe.surgery.subject import Subject
from segcaffe.surgery.written import layer, written

RECIPES = ("embs", "tiny")
_SIDE = 321
"""Of the images that recipes are written for; what they make follows the size of the net's images."""
_UNSEEN_MEAN = 1.0
"""Means that differ by less, of pixels of 0 to 255, are as good as the same."""


@dataclass(frozen=True)
class Guide:
    """Where embeddings come from.

    Attributes
    ----------
    blob:
        The blob of embeddings; empty for the one that a net of embeddings ends with.
    net:
        The net that makes them of the same image; None for a blob of the net that is changed.
    weights:
        The net's weights, if there are any.
    """

    blob: str = ""
    net: Subject | None = None
    weights: NetParameter | None = None

    @classmethod
    def recipe(cls, name: str = "embs", weights: NetParameter | None = None) -> Guide:
        """The paper's embeddings (``embs``), or the small ones of ``configs/tiny``; SegcaffeError for other names."""
        if name not in RECIPES:
            raise SegcaffeError(f"Recipes of embeddings: {', '.join(RECIPES)}. Received: {name}.")
        layers = embs.features(_SIDE, _SIDE) if name == "embs" else tiny.embedding()
        scale = 1.0 if name == "embs" else embs.RGB_SCALE
        text = "".join([image_input(_SIDE, _SIDE, scale), *layers])
        net = Subject.parse(text, where=f"the recipe {name}")
        for message in net.layers:
            if message.type == "Interp":
                # All of them make maps of the image's size; so they do whatever that is.
                message.interp_param.height = message.interp_param.width = _SIDE
        return cls("", net, weights)


@dataclass(frozen=True)
class Joined:
    """Embeddings as part of a net.

    Attributes
    ----------
    blob:
        Their name in the net.
    layers:
        The layers that make them, in the net's names; none for a blob that the net has.
    names:
        New names of layers, by those in the embeddings' own net.
    notes:
        What users should know.
    """

    blob: str
    layers: tuple[LayerParameter, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The layers as prototxt."""
        return "".join(map(written, self.layers))

    def weights(self, stored: NetParameter | None) -> list[LayerParameter]:
        """The blobs of a file for the embeddings' own net, in the net's names."""
        found = []
        for message in stored.layer if stored is not None else ():
            if message.blobs and message.name in self.names:
                found.append(LayerParameter(name=self.names[message.name], type=message.type, blobs=message.blobs))
        return found

    def without(self, given: Sequence[LayerParameter]) -> list[str]:
        """Names of the layers that have parameters, and no weights among those given."""
        return lacking(self.layers, {message.name for message in given})


def join(guide: Guide, subject: Subject, image: str, names: Names) -> Joined:
    """Make the layers of a guide's net part of a net whose images are the blob ``image``.

    Names that the net has already get ``emb_`` in front. Maps of the size of the image follow its size. GraphError
    where the guide's net has no such blob, or takes more than an image.
    """
    if guide.net is None:
        made = [top for layer in subject.layers for top in layer.top]
        if guide.blob not in made:
            raise unknown_name("blob", guide.blob, made)
        return Joined(guide.blob)
    theirs, where = guide.net.layers, guide.net.where
    blob = guide.blob or _embedding_of(theirs, where)
    needed = _leading_to(theirs, blob, where)
    layers = [layer for layer in needed if not brings_data(layer)]
    their_image = _image_read(needed, where)
    factor, notes = _preparation(subject, image, guide.net, their_image)
    renaming = _Renaming(names, layers)
    joined = list[LayerParameter]()
    if factor != 1 or works_in_place(layers, their_image):
        copy = names.free(f"emb_{image}")
        options = f"power_param {{ scale: {factor:.7g} }}" if factor != 1 else ""
        joined += parse(layer("Power", copy, [image], body=options), NetParameter()).layer
        image = copy
    renaming.new[their_image] = image
    joined += [renaming.apply(layer) for layer in layers]
    _follow_size(theirs, their_image, image, joined)
    return Joined(renaming.new[blob], tuple(joined), renaming.new, notes)


def _image_read(needed: Sequence[LayerParameter], where: str) -> str:
    """The only input that layers read."""
    inputs = {top for layer in needed if brings_data(layer) for top in layer.top}
    read = inputs.intersection(bottom for layer in needed for bottom in layer.bottom)
    if len(read) != 1:
        raise GraphError(
            f"{where}: embeddings are made of one image. Inputs that theirs are made of: "
            f"{', '.join(sorted(read)) or 'none'}."
        )
    return read.pop()


def lacking(layers: Sequence[LayerParameter], named: Set[str]) -> list[str]:
    """Names of the layers that have parameters and are not among those named."""
    counts = {one.name: layer_class(one.type, where(one)).parameter_count(one, len(one.bottom)) for one in layers}
    return [name for name, count in counts.items() if count and name not in named]


def works_in_place(layers: Sequence[LayerParameter], blob: str) -> bool:
    """Whether one of the layers works in place on a blob."""
    return any(blob in layer.bottom and blob in layer.top for layer in layers)


def _embedding_of(layers: Sequence[LayerParameter], where: str) -> str:
    """The blob that a net of embeddings is there for: what Im2dist reads, or else its only output."""
    measured = {layer.bottom[0] for layer in layers if layer.type == "Im2dist" and layer.bottom}
    read = {bottom for layer in layers for bottom in layer.bottom}
    ends = {top for layer in layers if not brings_data(layer) for top in layer.top}
    ends = {top for top in ends if top not in read or _written_last(layers, top)}
    found = measured or ends
    if len(found) != 1:
        known = f"Candidates: {', '.join(sorted(found)) or 'none'}."
        raise GraphError(f"{where}: say which of its blobs are the embeddings, as {where}:BLOB. {known}")
    return found.pop()


def _written_last(layers: Sequence[LayerParameter], blob: str) -> bool:
    """Whether the last layer that has to do with a blob makes it, in place."""
    last = [layer for layer in layers if blob in layer.bottom or blob in layer.top][-1]
    return blob in last.top


def _leading_to(layers: Sequence[LayerParameter], blob: str, where: str) -> list[LayerParameter]:
    """The layers that a blob needs, from its last value on back."""
    made = [top for layer in layers for top in layer.top]
    if blob not in made:
        raise GraphError(f"{where}: {unknown_name('blob', blob, made)}")
    needed, found = {blob}, []
    for message in reversed(layers):
        if needed.intersection(message.top):
            found.append(message)
            needed.update(message.bottom)
    return found[::-1]


def _preparation(subject: Subject, image: str, net: Subject, their_image: str) -> tuple[float, tuple[str, ...]]:
    """What images are multiplied by for the embeddings, and what is to be known of that."""
    mine, theirs = _transformation(subject.layers, image), _transformation(net.layers, their_image)
    if theirs is None:
        return 1.0, ()
    if mine is None:
        scale = f"multiplied by {theirs.scale:.7g}" if theirs.scale != 1 else "from 0 to 255"
        return 1.0, (
            f'{subject.where} does not say how "{image}" is prepared; the embeddings of {net.where} are made for '
            f"pixels {scale}, and take what comes.",
        )
    notes = list[str]()
    if mine.mean_value and theirs.mean_value:
        pairs = zip(_three(mine.mean_value), _three(theirs.mean_value), strict=True)
        if max(abs(first - second) for first, second in pairs) > _UNSEEN_MEAN:
            notes.append(
                f"the embeddings of {net.where} are made for images of the mean {_listed(theirs.mean_value)}, those of "
                f"{subject.where} have {_listed(mine.mean_value)} subtracted."
            )
    return theirs.scale / mine.scale if mine.scale else 1.0, tuple(notes)


def _transformation(layers: Sequence[LayerParameter], blob: str) -> TransformationParameter | None:
    """How images are prepared that layers bring as a blob; None where no file says it."""
    for message in layers:
        if blob in message.top and brings_data(message):
            stated = "transform_param" in layer_class(message.type, where(message)).option_fields()
            if message.HasField("transform_param") or (stated and message.type != "Input"):
                return message.transform_param
    return None


def _three(values: Sequence[float]) -> list[float]:
    return list(values) * 3 if len(values) == 1 else list(values)[:3]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


class _Renaming:
    """New names for a net's layers, blobs and shared parameters: those that are taken get ``emb_`` in front."""

    def __init__(self, names: Names, layers: Sequence[LayerParameter]) -> None:
        found = [name for layer in layers for name in (layer.name, *layer.top, *(spec.name for spec in layer.param))]
        own = dict.fromkeys(name for name in found if name)
        free = Names(names.taken.union(own))
        self.new = {name: free.free(f"emb_{name}") if name in names.taken else name for name in own}
        names.taken.update(self.new.values())

    def apply(self, layer: LayerParameter) -> LayerParameter:
        """A copy of a layer with the new names, without values."""
        result = LayerParameter()
        result.CopyFrom(layer)
        result.name = self.new[layer.name]
        for blobs in (result.bottom, result.top):
            blobs[:] = [self.new[name] for name in blobs]
        for spec in result.param:
            if spec.name:
                spec.name = self.new[spec.name]
        del result.blobs[:]
        return result


def _follow_size(
    theirs: Sequence[LayerParameter], their_image: str, image: str, layers: Sequence[LayerParameter]
) -> None:
    """Let maps that are resized to the size that their net's images have follow the size of the image."""
    sizes = set[tuple[int, int]]()
    for message in theirs:
        if their_image in message.top and message.type == "Input":
            shapes = message.input_param.shape
            sizes.update((shape.dim[2], shape.dim[3]) for shape in shapes if len(shape.dim) == 4)
        elif their_image in message.top:
            sizes.add((message.transform_param.crop_size,) * 2)
    for message in layers:
        options = message.interp_param
        if (
            message.type == "Interp"
            and len(message.bottom) == 1
            and (options.height, options.width) in sizes - {(0, 0)}
        ):
            options.Clear()
            options.use_blob_size = True
            message.bottom.append(image)
