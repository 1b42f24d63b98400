"""OpenCV's module with `segcaffe.dnn` in place of its dnn: ``from segcaffe.dnn import cv2`` for ``import cv2``."""

from __future__ import annotations

from typing import Any

import cv2 as _opencv

from segcaffe import dnn
from segcaffe.dnn.custom import registerLayer as dnn_registerLayer
from segcaffe.dnn.custom import unregisterLayer as dnn_unregisterLayer
from segcaffe.dnn.layer import Layer as dnn_Layer
from segcaffe.dnn.net import Net as dnn_Net

__all__ = ["dnn", "dnn_Layer", "dnn_Net", "dnn_registerLayer", "dnn_unregisterLayer"]


def __getattr__(name: str) -> Any:
    """Whatever else OpenCV has."""
    return getattr(_opencv, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_opencv)})
