"""`Classifier`: a net for images of one label each, with the preparation of its inputs, as pycaffe's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.errors import DataError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST
from segcaffe.pycaffe import io


class Classifier(Net):
    """A net in phase TEST with one input, and a `segcaffe.io.Transformer` for it.

    Parameters
    ----------
    model_file, pretrained_file:
        The net's prototxt and its weights; without these they are to be loaded afterwards.
    image_dims:
        (height, width) to which images are resized before crops are taken; the input's size by default.
    mean, input_scale, raw_scale, channel_swap:
        Settings of the transformer; its transpose is always from (H, W, K) to (K, H, W).
    share_memory:
        As `Net` takes it: less memory, and no blob but inputs and outputs to look at afterwards.
    variables:
        Values of the prototxt's ``${NAME}`` templates.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None = None,
        image_dims: Sequence[int] | None = None,
        mean: NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        share_memory: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file, share_memory=share_memory, variables=variables)
        self.transformer = make_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else np.array(image_dims)

    def predict(self, inputs: Sequence[NDArray[Any]], oversample: bool = True) -> NDArray[np.float32]:
        """Predict the classes of images.

        Parameters
        ----------
        inputs:
            N images (H, W, K) as `segcaffe.io.load_image` gives them, of any sizes.
        oversample:
            Average over ten crops (corners, centre, and their mirror images); otherwise take the centre only.

        Returns
        -------
        array
            (N, number of classes).
        """
        if not len(inputs):
            raise DataError("predict: needs at least one image.")
        images = [io.resize_image(np.asarray(image), self.image_dims) for image in inputs]
        crops = io.oversample(images, self.crop_dims) if oversample else self._centre(images)
        name = self.inputs[0]
        prepared = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(**{name: prepared})[self.outputs[0]]
        predictions: NDArray[np.float32] = scores.reshape(len(inputs), len(crops) // len(inputs), -1).mean(axis=1)
        return predictions

    def _centre(self, images: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        (height, width), (full_height, full_width) = self.crop_dims, self.image_dims
        if height > full_height or width > full_width:
            raise DataError(f"predict: image_dims {full_height} x {full_width} are smaller than the net's input.")
        y, x = (full_height - height) // 2, (full_width - width) // 2
        return [image[y : y + height, x : x + width] for image in images]


def gray(image: NDArray[Any]) -> NDArray[Any]:
    """A gray image (H, W, 1) of one with colours R, G, B, weighted as OpenCV does; one channel stays as it is."""
    if image.shape[2] == 1:
        return image
    return np.asarray(image @ np.array([[0.299], [0.587], [0.114]], np.float32))


def make_transformer(
    net: Net,
    mean: NDArray[Any] | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """The transformer for a net's first input, from (H, W, K) images, with those settings that are not None."""
    if not net.inputs:
        raise DataError(f'Net "{net.name}" has no input to put an image into; use its deploy prototxt.')
    name = net.inputs[0]
    transformer = io.Transformer({name: net.blobs[name].shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer
