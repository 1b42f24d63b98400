"""A stand-in for ``cv2.dnn`` where nets of Caffe are read, which OpenCV 5 no longer does.

``from segcaffe.dnn import cv2`` in place of ``import cv2`` is all that a script needs to change; one that says
``dnn.readNetFromCaffe`` takes ``from segcaffe import dnn``. Names, signatures and results are those of OpenCV 4.14; the
nets run in `segcaffe.Net`. Whatever has nothing to do with nets of Caffe (``blobFromImage``, ``NMSBoxes``,
``readNetFromONNX``) is OpenCV's own.
"""

from __future__ import annotations

from typing import Any

import cv2 as _opencv

from segcaffe.dnn.constants import *  # noqa: F403
from segcaffe.dnn.custom import registerLayer, unregisterLayer
from segcaffe.dnn.errors import DnnError
from segcaffe.dnn.layer import Layer
from segcaffe.dnn.net import Net
from segcaffe.dnn.reading import readNet, readNetFromCaffe

__all__ = [  # noqa: F405
    "DNN_BACKEND_CANN",
    "DNN_BACKEND_CUDA",
    "DNN_BACKEND_DEFAULT",
    "DNN_BACKEND_HALIDE",
    "DNN_BACKEND_INFERENCE_ENGINE",
    "DNN_BACKEND_OPENCV",
    "DNN_BACKEND_TIMVX",
    "DNN_BACKEND_VKCOM",
    "DNN_BACKEND_WEBNN",
    "DNN_TARGET_CPU",
    "DNN_TARGET_CPU_FP16",
    "DNN_TARGET_CUDA",
    "DNN_TARGET_CUDA_FP16",
    "DNN_TARGET_FPGA",
    "DNN_TARGET_HDDL",
    "DNN_TARGET_MYRIAD",
    "DNN_TARGET_NPU",
    "DNN_TARGET_OPENCL",
    "DNN_TARGET_OPENCL_FP16",
    "DNN_TARGET_VULKAN",
    "DnnError",
    "Layer",
    "Net",
    "readNet",
    "readNetFromCaffe",
    "registerLayer",
    "unregisterLayer",
]


def __getattr__(name: str) -> Any:
    """What else ``cv2.dnn`` has."""
    try:
        return getattr(_opencv.dnn, name)
    except AttributeError:
        raise AttributeError(f"neither segcaffe.dnn nor cv2.dnn of OpenCV {_opencv.__version__} has {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_opencv.dnn)})
