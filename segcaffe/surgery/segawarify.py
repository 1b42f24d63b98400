"""Any net made segmentation-aware: the paper's masks around its convolutions, by embeddings from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.errors import GraphError, did_you_mean
from segcaffe.graph.rules import includes, net_state
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, LayerParameter, NetParameter, NetState
from segcaffe.proto.placed import PlacedNet
from segcaffe.surgery import written
from segcaffe.surgery.changes import Changes, changed, changed_net
from segcaffe.surgery.choice import ONE_TAP, Left, fitting, further_options, why_left, why_unfit
from segcaffe.surgery.crf import append_crf, scores_of
from segcaffe.surgery.grids import Known, Shape, guesses, image_of, made_of, shapes_in
from segcaffe.surgery.guide import Guide, Joined, join, works_in_place
from segcaffe.surgery.masks import Grid, Masks, Names
from segcaffe.surgery.options import Crf, Masking, Setting
from segcaffe.surgery.result import Masked, SegAware, columns_note, head, notes_on, sentences
from segcaffe.surgery.subject import Subject
from segcaffe.surgery.values import new_weights, written_out
from segcaffe.weights.loading import shown


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
        The net's weights, if there are any.
    setting:
        Sizes and states of the net.

    Raises
    ------
    SegcaffeError
        No convolution can be masked, a pattern or a blob does not exist, or sizes are not known.

    Source: Harley et al. 2017, sections 3.2 and 4.
    """
    masking, setting = masking or Masking(), setting or Setting()
    _check_shapes(subject, setting)
    image, names, changes = _image(subject, setting), Names(_taken(subject.layers, stored)), Changes()
    subject, spared = _sparing(subject, image, names) if guide.net is not None else (subject, True)
    layers, joined = subject.layers, join(guide, subject, image, names)
    start = _first_after(layers, joined.blob if guide.net is None else image, in_place=guide.net is None)
    changes.put(start, joined.text())
    chosen, left = _choose(layers, masking.layers, start, image if guide.net is not None else "")
    scores = scores_of(layers, crf.scores) if crf is not None else ""
    wanted = {layers[i].bottom[0] for i in chosen} | {joined.blob} | ({scores} if scores else set())
    known = Known(setting.shapes, () if stored is None else (stored,))
    sizes = _sizes(changed_net(subject.net, changes), wanted, image, known, setting)
    _check_map(joined, guide, subject, sizes)
    masks = Masks(joined.blob, tuple(found.get(joined.blob, ())[2:] for _, found in sizes), masking, names)
    unsure = guesses(layers, known)
    masked = [_mask(layers[i], i, masks, sizes, changes, unsure) for i in chosen]
    left += [one for one in masked if isinstance(one, Left) and (one.why != ONE_TAP or masking.layers != ("*",))]
    done = tuple(one for one in masked if isinstance(one, Masked))
    if not done and crf is None:
        raise GraphError(f"{subject.where}: no convolution can look through a mask. {sentences(left)}".rstrip())
    ends = [(state, found[scores]) for state, found in sizes if scores in found]
    unary = append_crf(layers, changes, crf, masks, ends) if crf is not None else ""
    text, kept = changed(subject, changes, head(guide, masking, done, crf))
    net, given = Subject.parse(text, subject.variables).net, _weights_of(joined, guide)
    states = [state for state, _ in sizes]
    new = new_weights(net, {layer.name for layer in layers}, given, states, known)
    still = bool(done) and masking.learn and masking.sharpness == 0
    apart = set(written_out(net, states)) & {one.layer for one in done}
    notes = notes_on(joined, subject, kept and spared, joined.without(given), still)
    notes += tuple(map(columns_note, sorted(apart)))
    return SegAware(text, net.message, kept and spared, done, tuple(left), new, notes, scores, unary)


def _image(subject: Subject, setting: Setting) -> str:
    """The blob of images; GraphError if there is none."""
    image = setting.image or image_of(subject.layers)
    if any(image in layer.top for layer in subject.layers):
        return image
    missing = f'no blob "{image}"' if image else "neither an Input nor a data layer, so no image for embeddings"
    raise GraphError(f"{subject.where}: there is {missing}.")


def _check_shapes(subject: Subject, setting: Setting) -> None:
    """GraphError for the shape of a blob that there is not, which would be looked at by nobody."""
    tops = {top for layer in subject.layers for top in layer.top}
    for name in setting.shapes:
        if name not in tops:
            known = did_you_mean(name, tops)
            raise GraphError(f'{subject.where}: a shape is given for "{name}", and there is no such blob.{known}')


def _taken(layers: Sequence[LayerParameter], stored: NetParameter | None) -> set[str]:
    """All names of a net, and those of its weights, which nothing new may take by its name."""
    params = (spec.name for layer in layers for spec in layer.param if spec.name)
    beside = (layer.name for layer in (stored.layer if stored is not None else ()))
    return {name for layer in layers for name in (layer.name, *layer.top)}.union(params, beside)


def _sparing(subject: Subject, image: str, names: Names) -> tuple[Subject, bool]:
    """The net, its layers in place working on a copy of the images, which others read, too; whether its text is kept.

    Where no layer works on them in place it is the net as it is.
    """
    if not works_in_place(subject.layers, image):
        return subject, True
    changes, copy = Changes(), names.free(f"{image}_copy")
    start = _first_after(subject.layers, image, in_place=False)
    changes.put(start, written.layer("Power", copy, [image]))
    for i, later in enumerate(subject.layers[start:], start):
        for renamed, blobs in ((changes.bottoms, later.bottom), (changes.tops, later.top)):
            if image in blobs:
                renamed[i] = {image: copy}
    text, kept = changed(subject, changes, "")
    return Subject.parse(text, subject.variables, subject.where), kept


def _first_after(layers: Sequence[LayerParameter], blob: str, in_place: bool) -> int:
    """Index behind the last layer that makes a blob; ``in_place`` says whether those in place count."""
    makers = [i for i, layer in enumerate(layers) if blob in layer.top and (in_place or blob not in layer.bottom)]
    return makers[-1] + 1


def _choose(
    layers: Sequence[LayerParameter], patterns: Sequence[str], start: int, image: str
) -> tuple[list[int], list[Left]]:
    """Indices of the convolutions to mask, and those that the patterns fit and whose place or options speak against it.

    Where an image is given, embeddings are made of it: convolutions of others are not masked by them.
    """
    chosen, left, seen = [], [], made_of(layers, image)
    for i in fitting(layers, patterns):
        why = why_left(layers[i]) or ("stands before the embeddings" if i < start else "")
        if not why and image and layers[i].bottom[0] not in seen:
            why = f'is not made of "{image}", as the embeddings are; --image says which image they are made of'
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


def _check_map(joined: Joined, guide: Guide, subject: Subject, sizes: Sizes) -> None:
    """GraphError for embeddings that are not values of each pixel."""
    for _, found in sizes:
        shape = found.get(joined.blob, ())
        if shape and len(shape) != 4:
            where = guide.net.where if guide.net is not None else ""
            own = next((name for name, new in joined.names.items() if new == joined.blob), joined.blob)
            raise GraphError(
                f"{where or subject.where}: embeddings are values of each pixel, (N, channels, H, W). "
                f'"{own}" has shape {" x ".join(map(str, shape))}. Name another blob: --embeddings {where}:BLOB.'
            )


def _weights_of(joined: Joined, guide: Guide) -> list[LayerParameter]:
    """The embeddings' weights, as far as a file has them; GraphError for one that has none of them."""
    given = joined.weights(guide.weights)
    if guide.net is not None and guide.weights is not None and not given and (wanted := joined.without(())):
        stored = [layer.name for layer in guide.weights.layer if layer.blobs]
        raise GraphError(
            f"{guide.net.where}: the file of the embeddings' weights has none of theirs. It has "
            f"{shown(stored) or 'no layer with weights'}; wanted are {shown(wanted)}."
        )
    return given


def _mask(
    conv: LayerParameter, index: int, masks: Masks, sizes: Sizes, changes: Changes, unsure: Sequence[str]
) -> Masked | Left:
    """Put a mask around a convolution that can have one; blobs of ``unsure`` are of a size that is not known."""
    bottom = conv.bottom[0]
    if bottom in unsure:
        return Left(conv.name, conv.type, f'how large "{bottom}" is, is not known; say it: --shape {bottom}=N,C,H,W')
    shapes = [found.get(bottom, ()) if includes(conv, state) else () for state, found in sizes]
    known = next((shape for shape in shapes if shape), ())
    if why := why_unfit(conv, known):
        return Left(conv.name, conv.type, why)
    grid = Grid.of(conv, tuple(shape[2:] for shape in shapes))
    layers, hit = masks.write(conv, known[1], grid)
    changes.put(index, *layers)
    changes.bottoms.setdefault(index, {})[bottom] = hit
    changes.columns[index] = further_options(conv, known[1])
    return Masked(conv.name, grid.window, known[1], known[2:], masks.shared(grid))
