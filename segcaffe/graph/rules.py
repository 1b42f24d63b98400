"""Which layers a net has in a given state: phase, level and stages against each layer's include and exclude rules."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.errors import GraphError
from segcaffe.proto import caffe_pb2
from segcaffe.proto.placed import PlacedNet


def net_state(phase: int, level: int = 0, stages: Sequence[str] = ()) -> caffe_pb2.NetState:
    """Make a NetState."""
    return caffe_pb2.NetState(phase=phase, level=level, stage=list(stages))  # type: ignore[arg-type]


def filter_net(net: PlacedNet, state: caffe_pb2.NetState) -> PlacedNet:
    """Return a copy of ``net`` with only the layers that ``state`` includes."""
    kept = []
    for i, layer in enumerate(net.message.layer):
        with net.about(i):
            if includes(layer, state):
                kept.append(i)
    result = caffe_pb2.NetParameter()
    result.CopyFrom(net.message)
    result.state.CopyFrom(state)
    if len(kept) != len(net.places):
        del result.layer[:]
        result.layer.extend(net.message.layer[i] for i in kept)
    return PlacedNet(result, [net.places[i] for i in kept])


def includes(layer: caffe_pb2.LayerParameter, state: caffe_pb2.NetState) -> bool:
    """Whether the layer is part of the net in ``state``; GraphError if it has both kinds of rules."""
    if layer.include and layer.exclude:
        raise GraphError(
            f'layer "{layer.name}" ({layer.type}): has both include and exclude rules; write one kind only.'
        )
    if layer.include:
        return any(meets(state, rule) for rule in layer.include)
    return not any(meets(state, rule) for rule in layer.exclude)


def meets(state: caffe_pb2.NetState, rule: caffe_pb2.NetStateRule) -> bool:
    """Whether ``state`` satisfies every condition that ``rule`` names."""
    stages = set(state.stage)
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )


def about_left_out(net: caffe_pb2.NetParameter, state: caffe_pb2.NetState) -> str:
    """Return a sentence on the layers whose tops are missing because their rules leave them out; empty if none is."""
    kept, left_out = list[caffe_pb2.LayerParameter](), list[caffe_pb2.LayerParameter]()
    for layer in net.layer:
        (kept if includes(layer, state) else left_out).append(layer)
    missing = {blob for layer in kept for blob in layer.bottom} - {blob for layer in kept for blob in layer.top}
    makers = [layer for layer in left_out if not missing.isdisjoint(layer.top)]
    if not makers:
        return ""
    made = next(top for top in makers[0].top if top in missing)
    kind, rules = ("include", makers[0].include) if makers[0].include else ("exclude", makers[0].exclude)
    return (
        f' Layer "{makers[0].name}" makes "{made}", but its {kind} rule ({" or ".join(map(_rule, rules))}) leaves it '
        f"out of this net, which has {describe(state)}."
    )


def describe(state: caffe_pb2.NetState) -> str:
    """Return a state in words: phase, level and stages."""
    level = f", level {state.level}" if state.level else ""
    stages = f"stage {', '.join(state.stage)}" if state.stage else "no stage"
    return f"phase {caffe_pb2.Phase.Name(state.phase)}{level} and {stages}"


def uses_states(net: caffe_pb2.NetParameter) -> bool:
    """Whether any layer's rules are about levels or stages."""
    rules = [rule for layer in net.layer for rule in (*layer.include, *layer.exclude)]
    return any(field.name != "phase" for rule in rules for field, _ in rule.ListFields())


def _rule(rule: caffe_pb2.NetStateRule) -> str:
    parts = [f"phase: {caffe_pb2.Phase.Name(rule.phase)}"] if rule.HasField("phase") else []
    parts += [f"{name}: {getattr(rule, name)}" for name in ("min_level", "max_level") if rule.HasField(name)]
    parts += [f'stage: "{stage}"' for stage in rule.stage] + [f'not_stage: "{stage}"' for stage in rule.not_stage]
    return " ".join(parts) or "without a condition"
