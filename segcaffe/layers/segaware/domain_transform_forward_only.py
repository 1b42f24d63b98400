"""DomainTransformForwardOnly: DomainTransform for nets that are not trained."""

from __future__ import annotations

from segcaffe.layers.registry import register
from segcaffe.layers.segaware.domain_transform import DomainTransform


@register
class DomainTransformForwardOnly(DomainTransform):
    """The filter of `DomainTransform`, with the same bottoms, top and options; no gradient."""

    gradient_to = ()
    refuses_gradient = False
