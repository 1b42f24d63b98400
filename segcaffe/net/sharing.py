"""Parameters shared by name between layers: one owner holds the memory, the others use it."""

from __future__ import annotations

from dataclasses import dataclass, field

from segcaffe.blob import Blob
from segcaffe.errors import GraphError, ShapeError
from segcaffe.layers.base import Layer
from segcaffe.proto import caffe_pb2


@dataclass
class LearnableParam:
    """A parameter that owns its memory, with its multipliers (None: never set, which means 1)."""

    blob: Blob
    owner: str
    lr_mult: float | None = None
    decay_mult: float | None = None


@dataclass
class ParamTable:
    """All parameters of a net: the owners in order of appearance, and those that have names, by name."""

    owners: list[LearnableParam] = field(default_factory=list)
    by_name: dict[str, LearnableParam] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        """Take in the parameters of ``layer``; those with a known name share the owner's memory."""
        if len(layer.param.param) > len(layer.blobs):
            raise GraphError(
                f"{layer.where}: has {len(layer.param.param)} param entries for {len(layer.blobs)} parameters; "
                "remove the last ones, or check options such as bias_term."
            )
        for index, blob in enumerate(layer.blobs):
            self._append(layer, blob, layer.param_spec(index))

    def _append(self, layer: Layer, blob: Blob, spec: caffe_pb2.ParamSpec) -> None:
        owner = self.by_name.get(spec.name) if spec.name else None
        if owner is None:
            owner = LearnableParam(blob, layer.where)
            self.owners.append(owner)
            if spec.name:
                self.by_name[spec.name] = owner
        else:
            _share(layer, blob, spec, owner)
        owner.lr_mult = _agree(owner, layer, spec, "lr_mult")
        owner.decay_mult = _agree(owner, layer, spec, "decay_mult")


def _share(layer: Layer, blob: Blob, spec: caffe_pb2.ParamSpec, owner: LearnableParam) -> None:
    permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
    if blob.count != owner.blob.count or not (permissive or blob.shape == owner.blob.shape):
        rule = "as many elements" if permissive else "the same shape"
        raise ShapeError(
            f'{layer.where}: shares parameter "{spec.name}" with {owner.owner}, so both need {rule}. '
            f"Received: {blob.shape} and {owner.blob.shape}."
            + ("" if permissive else " Write share_mode: PERMISSIVE where only the count agrees.")
        )
    blob.share_data(owner.blob)
    blob.share_diff(owner.blob)


def _agree(owner: LearnableParam, layer: Layer, spec: caffe_pb2.ParamSpec, option: str) -> float | None:
    """The multiplier of the owner after ``spec``: the first layer that sets it decides, and no other may disagree."""
    known: float | None = getattr(owner, option)
    if not spec.HasField(option):
        return known
    value: float = getattr(spec, option)
    if known is not None and known != value:
        raise GraphError(
            f'{layer.where}: {option} of the shared parameter "{spec.name}" is {value:g} here and {known:g} in '
            f"{owner.owner}; a shared parameter is updated once, so write it in one place only."
        )
    return value
