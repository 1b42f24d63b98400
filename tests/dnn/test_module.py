"""`segcaffe.dnn` and its cv2 in place of OpenCV's."""

from __future__ import annotations

import cv2 as opencv
import numpy as np
import pytest

import segcaffe
from segcaffe import dnn
from segcaffe.dnn import cv2


def test_the_module_stands_in_for_opencv() -> None:
    assert cv2.dnn is dnn is segcaffe.dnn
    assert cv2.imread is opencv.imread
    assert cv2.error is opencv.error
    assert cv2.dnn_registerLayer is dnn.registerLayer
    assert cv2.dnn_Net is dnn.Net
    assert "imwrite" in dir(cv2)


def test_what_has_to_do_with_no_caffe_is_opencvs_own() -> None:
    assert dnn.blobFromImage is opencv.dnn.blobFromImage
    assert dnn.NMSBoxes is opencv.dnn.NMSBoxes
    assert dnn.readNetFromONNX is opencv.dnn.readNetFromONNX
    assert "imagesFromBlob" in dir(dnn)
    with pytest.raises(AttributeError, match=r"neither segcaffe\.dnn nor cv2\.dnn of OpenCV .* has 'nothing'"):
        _ = dnn.nothing


def test_blobs_are_as_opencv_4_makes_them() -> None:
    """Figures of OpenCV 4.14: means are subtracted first, in the order of the result where channels are swapped."""
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    blob = cv2.dnn.blobFromImage(image, 0.5, (3, 2), (1, 2, 3), swapRB=True)
    assert blob.shape == (1, 3, 2, 3)
    assert np.array_equal(blob[0, :, 0, 0], [0.5, -0.5, -1.5])
    (back,) = dnn.imagesFromBlob(blob)
    assert back.shape == (2, 3, 3)


def test_numbers_are_those_of_opencv_4() -> None:
    assert (dnn.DNN_BACKEND_OPENCV, dnn.DNN_BACKEND_CUDA, dnn.DNN_BACKEND_INFERENCE_ENGINE) == (3, 5, 2)
    assert (dnn.DNN_TARGET_CPU, dnn.DNN_TARGET_OPENCL, dnn.DNN_TARGET_CUDA, dnn.DNN_TARGET_CUDA_FP16) == (0, 1, 6, 7)
