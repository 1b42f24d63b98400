"""What is made of a net, and what there is to tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segcaffe.layers.registry import layer_class
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.recipes.layers import remark
from segcaffe.surgery.choice import Left
from segcaffe.surgery.grids import Shape
from segcaffe.surgery.guide import Guide, Joined, lacking
from segcaffe.surgery.options import Crf, Masking
from segcaffe.surgery.subject import Subject
from segcaffe.text.visible import one_line
from segcaffe.text.words import counted
from segcaffe.weights.loading import shown


@dataclass(frozen=True)
class Masked:
    """A convolution that looks through a mask: its name, window, input channels, grid, and blob of distances."""

    layer: str
    window: str
    channels: int
    size: Shape
    distances: str


@dataclass(frozen=True)
class SegAware:
    """A net that was made segmentation-aware.

    Attributes
    ----------
    text:
        The net, as prototxt.
    net:
        The same as a message.
    text_kept:
        Whether comments and template names of the text that there was are in it.
    masked, left:
        Convolutions with masks, and those that patterns fit and that stay as they are.
    new:
        Weights of the layers that were put in.
    notes:
        What users should know, a sentence each.
    scores, unary:
        The blob that a CRF makes, and that it makes it of; empty without one.
    """

    text: str
    net: NetParameter
    text_kept: bool
    masked: tuple[Masked, ...]
    left: tuple[Left, ...]
    new: NetParameter
    notes: tuple[str, ...] = ()
    scores: str = ""
    unary: str = ""

    def weights(self, stored: NetParameter | None = None) -> NetParameter:
        """The net with weights: those of the net that there was, as they are, and those of the new layers.

        Layers that want weights and have none are left out: whoever loads the others keeps theirs.
        """
        blobs = {layer.name: layer.blobs for layer in (stored.layer if stored is not None else ()) if layer.blobs}
        blobs |= {layer.name: layer.blobs for layer in self.new.layer}
        result = NetParameter()
        result.CopyFrom(self.net)
        del result.layer[:]
        for layer in self.net.layer:
            if layer.name in blobs or not layer_class(layer.type).parameter_count(layer, len(layer.bottom)):
                kept = result.layer.add()
                kept.CopyFrom(layer)
                kept.ClearField("blobs")
                kept.blobs.extend(blobs.get(layer.name, ()))
        return result

    def without(self, stored: NetParameter | None = None) -> list[str]:
        """Names of layers with parameters that get no weights: neither are they new, nor has a file any for them."""
        given = [*self.new.layer, *(stored.layer if stored is not None else ())]
        return lacking(self.net.layer, {layer.name for layer in given if layer.blobs})

    def unknown(self, stored: NetParameter | None) -> list[str]:
        """Names of layers that a file has weights for and the net has not."""
        names = {layer.name for layer in self.net.layer}
        return [layer.name for layer in (stored.layer if stored is not None else ())
                if layer.blobs and layer.name not in names]  # fmt: skip


def head(guide: Guide, masking: Masking, masked: Sequence[Masked], crf: Crf | None) -> str:
    """Comment lines that say how a net came to be."""
    source = guide.net.where if guide.net is not None else f'the net\'s own "{guide.blob}"'
    lines = list[str]()
    if masked:
        lines.append(
            f"Made segmentation-aware: {counted(len(masked), 'convolution')} through masks exp(-|lambda d|), d being "
            f"{masking.norm} distances of embeddings from {source}; lambda starts at {masking.sharpness:g}, "
            f"{'learnt' if masking.learn else 'fixed'}."
        )
    if crf is not None:
        lines.append(f"A CRF of {crf.iterations} iterations on embeddings from {source} stands behind the scores.")
    return remark("\n".join(one_line(line) for line in lines))


def notes_on(joined: Joined, subject: Subject, kept: bool, new: Sequence[str], still: bool) -> tuple[str, ...]:
    """What users should know of a net that was made, a sentence each.

    ``new`` are the layers of the embeddings that got no weights; ``still`` says whether lambda stays at 0.
    """
    notes = list(joined.notes)
    if subject.text and not kept:
        notes.append(f"{subject.where} cannot be edited as it is written: it is written anew, without its comments.")
    if still:
        notes.append(
            "with lambda 0 masks change nothing, and lambda stays there: |lambda d| has no slope at 0. "
            "To train masks start above it."
        )
    if new:
        which = "" if len(new) == len(joined.without(())) else f" of {shown(new)}"
        notes.append(f"the embeddings' weights{which} are as their fillers make them: train them, or give their file.")
    return tuple(notes)


def columns_note(layer: str) -> str:
    """That a convolution does not run as one with the layers before it."""
    return (
        f'the columns of "{layer}" are written to memory: with propagate_down, or where a later layer works in place '
        "on what it reads, it does not run as one with the layers before it."
    )


def sentences(left: Sequence[Left]) -> str:
    """Why layers stay as they are, in one line."""
    return " ".join(f'"{one.layer}": {one.why}.' for one in left)
