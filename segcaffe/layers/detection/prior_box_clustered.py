"""PriorBoxClustered: prior boxes of given widths and heights."""

from __future__ import annotations

from segcaffe.layers.detection.prior_box import PriorBoxes, Size
from segcaffe.layers.registry import register
from segcaffe.proto.caffe_pb2 import PriorBoxParameter


@register
class PriorBoxClustered(PriorBoxes):
    """As PriorBox, but each cell has a box for each ``width`` and ``height``, in pixels of the image.

    bottoms, top: as of PriorBox. The sizes usually come from clustering those in a training set. The layer comes from
    OpenVINO's training toolbox.
    """

    def box_sizes(self, options: PriorBoxParameter) -> list[Size]:
        """The pairs of widths and heights."""
        widths, heights = list(options.width), list(options.height)
        if not widths or len(widths) != len(heights) or min(widths + heights) <= 0:
            raise self.fail("prior_box_param needs widths and as many heights, all above 0", (widths, heights))
        return list(zip(widths, heights, strict=True))
