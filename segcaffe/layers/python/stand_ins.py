"""Layers that nets name as Python modules, and that are ours where those are not installed."""

from __future__ import annotations

from segcaffe.layers.python import enet, rcnn
from segcaffe.layers.python.stand_in import StandIn
from segcaffe.trust.modules import find_file

_LAYERS: dict[tuple[str, str], type[StandIn]] = {
    ("rpn.proposal_layer", "ProposalLayer"): rcnn.ProposalLayer,
    ("rpn.anchor_target_layer", "AnchorTargetLayer"): rcnn.AnchorTargetLayer,
    ("rpn.proposal_target_layer", "ProposalTargetLayer"): rcnn.ProposalTargetLayer,
    ("roi_data_layer.layer", "RoIDataLayer"): rcnn.RoIDataLayer,
    ("spatial_dropout", "SpatialDropoutLayer"): enet.SpatialDropoutLayer,
}


def stand_in(module: str, layer: str) -> type[StandIn] | None:
    """Ours for a class that a net names, where there is one and no module of that name is found."""
    found = _LAYERS.get((module, layer))
    return found if found is not None and find_file(module) is None else None
