"""DummyData: values made by fillers."""

from __future__ import annotations

from segcaffe.blob import fillers
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.base import SourceLayer
from segcaffe.proto import caffe_pb2


@register
class DummyData(SourceLayer):
    """Tops filled by ``data_filler``: constants once, anything else anew in each forward.

    top: any number. ``shape`` (or the old num, channels, height, width) and ``data_filler`` are given once for all
    tops, or once for each; without a filler the values are 0.
    """

    data = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the tops and fill them."""
        shapes = self._shapes(len(top))
        self.fillers = self._fillers(len(top))
        for blob, shape, filler in zip(top, shapes, self.fillers, strict=True):
            blob.reshape(*shape)
            fillers.fill(blob, filler, self.where)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Fill anew what is not constant."""
        for blob, filler in zip(top, self.fillers, strict=True):
            if filler.type != "constant":
                fillers.fill(blob, filler, self.where)

    def _fillers(self, count: int) -> list[caffe_pb2.FillerParameter]:
        given = list(self.param.dummy_data_param.data_filler) or [caffe_pb2.FillerParameter()]
        if len(given) not in (1, count):
            raise self.fail(
                f"dummy_data_param needs no data_filler, one for all tops, or one for each of the {count}", len(given)
            )
        return given if len(given) == count else given * count

    def _shapes(self, count: int) -> list[tuple[int, ...]]:
        param = self.param.dummy_data_param
        legacy = [list(values) for values in (param.num, param.channels, param.height, param.width)]
        if param.shape and any(legacy):
            raise self.fail("dummy_data_param takes either shape or num, channels, height and width, not both")
        for values in [list(param.shape)] if param.shape else legacy:
            if len(values) not in (1, count):
                raise self.fail(
                    f"dummy_data_param needs each of its sizes once for all tops, or once for each of the {count}",
                    f"{len(values)} values",
                )
        if param.shape:
            return [tuple(param.shape[i if len(param.shape) > 1 else 0].dim) for i in range(count)]
        return [tuple(values[i if len(values) > 1 else 0] for values in legacy) for i in range(count)]
