"""Any net made segmentation-aware: the paper's masks around its convolutions, by embeddings from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from segcaffe.blob.proto import to_proto
from segcaffe.errors import GraphError
from segcaffe.graph.rules import includes, net_state
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, LayerParameter, NetParameter, NetState
from segcaffe.proto.placed import PlacedNet
from segcaffe.recipes.layers import remark
from segcaffe.surgery.changes import Changes, changed, changed_net
from segcaffe.surgery.choice import ONE_TAP, Left, fitting, one_tap, why_left, why_unfit
from segcaffe.surgery.crf import append_crf, scores_of
from segcaffe.surgery.grids import Known, Shape, image_of, set_up, shapes_in
from segcaffe.surgery.guide import Guide, Joined, join
from segcaffe.surgery.masks import Grid, Masks, Names
from segcaffe.surgery.options import Crf, Masking
from segcaffe.surgery.subject import Subject
from segcaffe.text.visible import one_line
from segcaffe.text.words import counted
from segcaffe.weights.loading import copy_weights


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
    """

    text: str
    net: NetParameter
    text_kept: bool
    masked: tuple[Masked, ...]
    left: tuple[Left, ...]
    new: NetParameter
    notes: tuple[str, ...] = ()

    def weights(self, stored: NetParameter | None = None) -> NetParameter:
        """The net with weights: those of the net that there was, as they are, and those of the new layers."""
        blobs = {layer.name: layer.blobs for layer in (stored.layer if stored is not None else ()) if layer.blobs}
        blobs |= {layer.name: layer.blobs for layer in self.new.layer}
        result = NetParameter()
        result.CopyFrom(self.net)
        for layer in result.layer:
            if layer.name in blobs:
                del layer.blobs[:]
                layer.blobs.extend(blobs[layer.name])
        return result

    def unknown(self, stored: NetParameter | None) -> list[str]:
        """Names of layers that a file has weights for and the net has not."""
        names = {layer.name for layer in self.net.layer}
        return [layer.name for layer in (stored.layer if stored is not None else ())
                if layer.blobs and layer.name not in names]  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """In which states a net is looked at, and what is known of its sizes.

    Attributes
    ----------
    shapes:
        Shapes of blobs that data layers or inputs make, where the net does not say them.
    image:
        The blob of images that embeddings are made of; empty for the first that data layers make.
    level, stages:
        Of the net's states, beside the phases TRAIN and TEST.
    """

    shapes: Mapping[str, Shape] = field(default_factory=dict)
    image: str = ""
    level: int = 0
    stages: tuple[str, ...] = ()


def segawarify(
    subject: Subject,
    guide: Guide,
    masking: Masking | None = None,
    crf: Crf | None = None,
    stored: NetParameter | None = None,
    setting: Setting | None = None,
) -> SegAware:
    """Put masks around convolutions of a net, exp(-|lambda d|) of distances d of embeddings.

    Parameters
    ----------
    subject:
        The net; it is not changed. A train net, a deploy net, or one file for both phases.
    guide:
        Where embeddings come from.
    masking, crf:
        Which convolutions and how; the mean field behind the scores, None for none.
    stored:
        The net's weights, if there are any: a layer of the embeddings that they have takes theirs.
    setting:
        Sizes and states of the net.

    Raises
    ------
    SegcaffeError
        No convolution can be masked, a pattern or a blob does not exist, or sizes are not known.

    Source: Harley et al. 2017, sections 3.2 and 4.
    """
    masking, setting = masking or Masking(), setting or Setting()
    layers = subject.layers
    image = setting.image or image_of(layers)
    if not any(image in layer.top for layer in layers):
        given = f'no blob "{image}"' if image else "neither an Input nor a data layer, so no image for embeddings"
        raise GraphError(f"{subject.where}: there is {given}.")
    names, changes = Names(_taken(layers)), Changes()
    joined = join(guide, subject, image, names)
    start = _first_after(layers, joined.blob if guide.net is None else image, in_place=guide.net is None)
    changes.put(start, joined.text())
    scores = scores_of(layers, crf.scores) if crf is not None else ""
    chosen, left = _choose(layers, masking.layers, start)
    wanted = {layers[i].bottom[0] for i in chosen} | {joined.blob} | ({scores} if scores else set())
    known = Known(setting.shapes, () if stored is None else (stored,))
    sizes = _sizes(changed_net(subject.net, changes), wanted, image, known, setting)
    masks = Masks(joined.blob, tuple(found[joined.blob][2:] for _, found in sizes), masking, names)
    masked = []
    for i in chosen:
        why = _mask(layers[i], i, masks, sizes, changes)
        if isinstance(why, Masked):
            masked.append(why)
        elif why or masking.layers != ("*",):
            left.append(Left(layers[i].name, layers[i].type, why or ONE_TAP))
    if not masked:
        raise GraphError(f"{subject.where}: no convolution can look through a mask. {_sentences(left)}".rstrip())
    if crf is not None:
        append_crf(layers, changes, crf, masks, [(state, found[scores]) for state, found in sizes if scores in found])
    text, kept = changed(subject, changes, _head(guide, masking, masked, crf))
    net = Subject.parse(text, subject.variables).net
    files = _files(guide, joined, stored)
    new = _new_weights(net, {layer.name for layer in layers}, files, [state for state, _ in sizes], known)
    notes = _notes(joined, kept, subject, masking, any(files.values()))
    return SegAware(text, net.message, kept, tuple(masked), tuple(left), new, notes)


def _taken(layers: Sequence[LayerParameter]) -> set[str]:
    """All names of a net."""
    params = (spec.name for layer in layers for spec in layer.param if spec.name)
    return {name for layer in layers for name in (layer.name, *layer.top)} | set(params)


def _first_after(layers: Sequence[LayerParameter], blob: str, in_place: bool) -> int:
    """Index behind the last layer that makes a blob; ``in_place`` says whether those in place count."""
    makers = [i for i, layer in enumerate(layers) if blob in layer.top and (in_place or blob not in layer.bottom)]
    return makers[-1] + 1


def _choose(layers: Sequence[LayerParameter], patterns: Sequence[str], start: int) -> tuple[list[int], list[Left]]:
    """Indices of the convolutions to mask, and those that the patterns fit and whose options speak against it."""
    chosen, left = [], []
    for i in fitting(layers, patterns):
        why = why_left(layers[i]) or ("stands before the embeddings" if i < start else "")
        if why:
            left.append(Left(layers[i].name, layers[i].type, why))
        else:
            chosen.append(i)
    return chosen, left


Sizes = list[tuple[NetState, dict[str, Shape]]]
"""The shapes of blobs in each state that a net can be in."""


def _sizes(net: PlacedNet, wanted: set[str], image: str, known: Known, setting: Setting) -> Sizes:
    """The shapes of blobs in phase TEST, and in phase TRAIN where the net is another one there."""
    stages = [*net.message.state.stage, *setting.stages]
    states = [net_state(phase, setting.level, stages) for phase in (TEST, TRAIN)]
    made = [[includes(layer, state) for layer in net.message.layer] for state in states]
    if made[0] == made[1]:
        states.pop()
    found = [
        (state, shapes_in(net, state, wanted, known))
        for state in states
        if any(image in layer.top and includes(layer, state) for layer in net.message.layer)
    ]
    if not found:
        raise GraphError(f'No layer makes "{image}" in phase TEST or TRAIN.')
    return found


def _mask(conv: LayerParameter, index: int, masks: Masks, sizes: Sizes, changes: Changes) -> Masked | str:
    """Put a mask around a convolution; a sentence says why not, an empty one where there is but one tap."""
    bottom = conv.bottom[0]
    shapes = [found.get(bottom, ()) if includes(conv, state) else () for state, found in sizes]
    known = next((shape for shape in shapes if shape), ())
    why = why_unfit(conv, known)
    if why or one_tap(conv):
        return why
    grid = Grid.of(conv, tuple(shape[2:] for shape in shapes))
    layers, hit = masks.write(conv, known[1], grid)
    changes.put(index, *layers)
    changes.bottoms.setdefault(index, {})[bottom] = hit
    changes.columns.add(index)
    return Masked(conv.name, grid.window, known[1], known[2:], masks.shared(grid))


def _new_weights(
    net: PlacedNet,
    own: set[str],
    files: Mapping[str, Sequence[LayerParameter]],
    states: Sequence[NetState],
    known: Known,
) -> NetParameter:
    """Weights of the layers that were put in: of the files that have them, else as the fillers make them.

    Also sets up the net up to there, as a check.
    """
    layers = net.message.layer
    new = {layer.name for layer in layers} - own
    wanted = {
        top for layer in layers for top in layer.top if layer.name in new or layer.convolution_param.bottom_is_im2col
    }
    found: dict[str, LayerParameter] = {}
    for state in states:
        built = set_up(net, state, wanted, known, new)
        for where, stored in files.items():
            if stored:
                copy_weights(built.layer_list, NetParameter(layer=stored), where)
        for layer in built.layer_list:
            if layer.name in new and layer.blobs:
                blobs = [to_proto(blob) for blob in layer.blobs]
                found.setdefault(layer.name, LayerParameter(name=layer.name, type=layer.param.type, blobs=blobs))
    return NetParameter(layer=found.values())


def _files(guide: Guide, joined: Joined, stored: NetParameter | None) -> dict[str, list[LayerParameter]]:
    """Weights for the embeddings, the file's own before those that the net's weights have for layers of their names."""
    names = {layer.name for layer in joined.layers}
    beside = [layer for layer in (stored.layer if stored is not None else ()) if layer.name in names and layer.blobs]
    return {"the net's weights": beside, "the embeddings' weights": joined.weights(guide.weights)}


def _head(guide: Guide, masking: Masking, masked: Sequence[Masked], crf: Crf | None) -> str:
    """Comment lines that say how a net came to be."""
    source = guide.net.where if guide.net is not None else f'the net\'s own "{guide.blob}"'
    learnt = "learnt" if masking.learn else "fixed"
    lines = [
        f"Made segmentation-aware: {counted(len(masked), 'convolution')} through masks exp(-|lambda d|), d being "
        f"{masking.norm.upper()} distances of embeddings from {source}; lambda starts at {masking.sharpness:g}, "
        f"{learnt}.",
        *([f"A CRF of {crf.iterations} iterations stands behind the scores."] if crf is not None else []),
    ]
    return remark("\n".join(one_line(line) for line in lines))


def _notes(joined: Joined, kept: bool, subject: Subject, masking: Masking, has_weights: bool) -> tuple[str, ...]:
    notes = list(joined.notes)
    if subject.text and not kept:
        notes.append(f"{subject.where} is of an old notation: it is written anew, without its comments.")
    if masking.sharpness == 0 and masking.learn:
        notes.append(
            "with lambda 0 the net computes what it did, and stays so: |lambda d| has no slope there. "
            "To train masks start above 0."
        )
    if joined.layers and not has_weights:
        notes.append("the embeddings' weights are as their fillers make them: train them, or give their file.")
    return tuple(notes)


def _sentences(left: Sequence[Left]) -> str:
    return " ".join(f'"{one.layer}": {one.why}.' for one in left)
