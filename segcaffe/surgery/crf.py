"""A mean field behind a net's scores, as the paper's nets end with: NormConvMeanfield on embeddings and positions."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.errors import GraphError
from segcaffe.graph.graph import where
from segcaffe.layers.registry import layer_class
from segcaffe.proto.caffe_pb2 import LayerParameter, NetState, Phase
from segcaffe.surgery.changes import Changes
from segcaffe.surgery.grids import brings_data
from segcaffe.surgery.masks import Masks, Shape, rules_of
from segcaffe.surgery.options import Crf
from segcaffe.surgery.written import layer

_REACH = 28
"""A window of 13 taps reaches over about a fifth of the scores, as the paper's does: 9 pixels apart of 257."""
_MOST_DILATION = 9
_POSITION, _NEAR_POSITION = 0.05, 0.2
"""Factors on positions to start with, beside embeddings and alone."""


def scores_of(layers: Sequence[LayerParameter], named: str) -> str:
    """The blob of scores: the one that is named, or what the first loss or softmax reads, or the net's only output."""
    made = [top for message in layers for top in message.top]
    if named:
        if named not in made:
            raise GraphError(f'The net has no blob "{named}" for the CRF.')
        if brings_data(layers[last_writer(layers, named)]):
            raise GraphError(f'The CRF needs scores, which a layer computes. "{named}" is what the net is given.')
        return named
    for wanted in ("SoftmaxWithLoss", "Softmax"):
        for message in layers:
            if message.type == wanted and message.bottom:
                return message.bottom[0]
    read = {bottom for message in layers for bottom in message.bottom}
    ends = dict.fromkeys(
        top
        for message in layers
        if not brings_data(message) and not layer_class(message.type, where(message)).loss
        for top in message.top
        if top not in read or (top in message.bottom and top == message.top[0])
    )
    found = [top for top in ends if _ends(layers, top)]
    if len(found) != 1:
        raise GraphError(
            f"which blob holds the scores for the CRF? Say it: --scores BLOB. Candidates: {', '.join(found) or 'none'}."
        )
    return found[0]


def last_writer(layers: Sequence[LayerParameter], blob: str) -> int:
    """Index of the last layer that makes a blob."""
    return max(i for i, message in enumerate(layers) if blob in message.top)


def append_crf(
    layers: Sequence[LayerParameter], changes: Changes, crf: Crf, masks: Masks, shapes: Sequence[tuple[NetState, Shape]]
) -> str:
    """Put the mean field behind the scores, which keep their name; returns the name of those before it.

    ``shapes`` are those of the scores, (N, classes, H, W), in each state of the net. GraphError for other scores.
    """
    scores = scores_of(layers, crf.scores)
    for _, shape in shapes:
        if len(shape) != 4:
            raise GraphError(
                f'The CRF needs scores of each pixel, (N, classes, H, W). "{scores}" has shape '
                f"{' x '.join(map(str, shape))}."
            )
    last, unary = last_writer(layers, scores), masks.names.free(f"{scores}_unary")
    for i, message in enumerate(layers[: last + 1]):
        for names, blobs in ((changes.bottoms, message.bottom), (changes.tops, message.top)):
            if scores in blobs:
                names.setdefault(i, {})[scores] = unary
    changes.put(last + 1, *_mean_field(scores, unary, crf, masks, shapes, rules_of(layers[last])))
    return unary


def _mean_field(
    scores: str, unary: str, crf: Crf, masks: Masks, shapes: Sequence[tuple[NetState, Shape]], rules: str
) -> list[str]:
    """The layers that make ``scores`` of ``unary``, what the net has said before."""
    new = masks.names.free
    positions = new(f"{scores}_xy")
    resized, embedding = masks.at(scores, unary, tuple(shape[2:] for _, shape in shapes), rules)
    copies = [new(f"{scores}_{name}") for name in ("first", "q0")]
    factors = [new(f"{scores}_{name}") for name in ("scaled_emb", "scaled_xy", "scaled_xy2")]
    joint = new(f"{scores}_embxy")
    bottoms, values = (embedding, positions, positions), (crf.scale, _POSITION, _NEAR_POSITION)
    window = _window(crf, min(min(shape[2:]) for _, shape in shapes))
    return [
        *_positions(positions, shapes, rules),
        *resized,
        layer("Split", new(f"{scores}_split"), [unary], copies, rules),
        *(
            layer("Scale", factor, [bottom], body=rules + _factor(value))
            for factor, bottom, value in zip(factors, bottoms, values, strict=True)
        ),
        layer("Concat", joint, factors[:2], body=rules),
        layer("NormConvMeanfield", new(f"{scores}_crf"), [*copies, joint, factors[2]], [scores], rules + window),
    ]


def _ends(layers: Sequence[LayerParameter], blob: str) -> bool:
    """Whether no layer reads a blob but those that write it."""
    return all(blob in message.top for message in layers if blob in message.bottom)


def _positions(name: str, shapes: Sequence[tuple[NetState, Shape]], rules: str) -> list[str]:
    """A map of positions for each state whose scores have another size."""
    if len({(shape[0], *shape[2:]) for _, shape in shapes}) == 1:
        return [_position(name, name, shapes[0][1], rules)]
    return [
        _position(
            f"{name}_{Phase.Name(state.phase).lower()}",
            name,
            shape,
            f"include {{ phase: {Phase.Name(state.phase)} }}\n",
        )
        for state, shape in shapes
    ]


def _position(name: str, top: str, shape: Shape, rules: str) -> str:
    dims = f"shape {{ dim: {shape[0]} dim: 2 dim: {shape[2]} dim: {shape[3]} }}"
    return layer("DummyData", name, [], [top], f'{rules}dummy_data_param {{ {dims} data_filler {{ type: "xy" }} }}')


def _factor(value: float) -> str:
    filler = f'num_axes: 0 filler {{ type: "constant" value: {value:.9g} }} bias_term: false'
    return f"param {{ lr_mult: 1 decay_mult: 1 }}\nscale_param {{ {filler} }}"


def _window(crf: Crf, side: int) -> str:
    """Options of the mean field: the window of embeddings and positions, then the one of positions alone.

    ``side`` is the scores' shortest.
    """
    dilation = crf.dilation or max(1, min(_MOST_DILATION, side // _REACH))
    pad = dilation * (crf.kernel // 2)
    once = "scale: 1 remove_center: true remove_bounds: true"
    return f"""norm_conv_meanfield_param {{
  num_iterations: {crf.iterations}
  kernel_size: {crf.kernel} pad: {pad} dilation: {dilation} {once}
  kernel_size: 5 pad: 2 dilation: 1 {once}
}}"""
