"""Images and arrays on their way to a net and back: pycaffe's ``caffe.io``.

Images here are float arrays (height, width, channels) of values 0 to 1, colours in the order R, G, B; `Transformer`
makes of them what a net wants to see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.blob.proto import from_array, shape_of, values_of
from segcaffe.data.datum import datum_array
from segcaffe.data.images import check_pixels, is_cut_jpeg, read_bytes
from segcaffe.data.opencv import hold_threads
from segcaffe.errors import DataError, joined
from segcaffe.proto import caffe_pb2

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize",
    "resize_image",
]

Array = NDArray[Any]


# Messages.


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> Array:
    """The values of a BlobProto, or its gradient, in the shape it declares (old four extents included)."""
    values = values_of(blob, "diff" if return_diff else "data")
    shape = shape_of(blob)
    if values is None:
        values = np.zeros(0, np.float32)
    if values.size != np.prod(shape):
        raise DataError(f"The BlobProto holds {values.size} values for shape {shape}.")
    return values.reshape(shape)


def array_to_blobproto(arr: Array, diff: Array | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto of any array, with its gradient if one (of the same shape) is given."""
    if diff is not None and np.shape(diff) != np.shape(arr):
        raise DataError(f"diff must have the shape {np.shape(arr)} of the values. Received: {np.shape(diff)}.")
    message = from_array(np.asarray(arr, np.float32))
    if diff is not None:
        message.diff.extend(np.asarray(diff, np.float32).ravel().tolist())
    return message


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """A list of arrays as a serialized BlobProtoVector."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(arr) for arr in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[Array]:
    """The arrays of a serialized BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: Array, label: int | None = None) -> caffe_pb2.Datum:
    """A Datum of an array (channels, height, width): bytes where it is uint8, otherwise floats."""
    if arr.ndim != 3:
        raise DataError(f"A Datum holds an array (channels, height, width). Received: shape {arr.shape}.")
    datum = caffe_pb2.Datum(channels=arr.shape[0], height=arr.shape[1], width=arr.shape[2])
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.ravel().tolist())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> Array:
    """The array (channels, height, width) of a Datum: uint8, or float64 where it holds floats; without its label.

    Raises
    ------
    DataError
        The Datum holds an encoded image, which has no channels, height and width of its own; or it is damaged.
    """
    if datum.encoded:
        raise DataError(
            "datum_to_array: the Datum holds an encoded image (JPEG or PNG, say) and no array. Decode it: "
            "load_image(datum.data) gives RGB from 0 to 1, cv2.imdecode(np.frombuffer(datum.data, np.uint8), 1) BGR "
            "bytes."
        )
    values = datum_array(datum, "datum_to_array")
    return values.astype(np.uint8 if values.dtype == np.uint8 else np.float64)


# Images.


def load_image(filename: str | Path | IO[bytes] | bytes, color: bool = True) -> NDArray[np.float32]:
    """Read an image as floats from 0 to 1.

    Parameters
    ----------
    filename:
        A path, or a file that is open for reading bytes (``io.BytesIO`` too; read from its beginning where it can be
        rewound), or the encoded bytes themselves.
    color:
        Whether a gray image becomes three equal channels. An image with colours keeps them either way, as in pycaffe.

    Returns
    -------
    array
        (H, W, 3) in the order R, G, B, or (H, W, 1); an alpha channel is dropped.

    Raises
    ------
    DataError
        The file is missing or no image; it is an OSError too.
    """
    import cv2

    hold_threads()
    name, content = _encoded_image(filename)
    if is_cut_jpeg(content):
        raise _no_image(f"load_image: {name}: the JPEG is cut off.")
    check_pixels(content, f"load_image: {name}")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _no_image(f"load_image: {name}: {error.err}.") from error
    if pixels is None:
        raise _no_image(f"load_image: {name} is not an image OpenCV can decode, or is damaged.")
    scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    if pixels.ndim == 3:
        return _divided(pixels[:, :, 2::-1], scale)
    return np.repeat(_divided(pixels, scale)[:, :, None], 3 if color else 1, axis=2)


def _divided(pixels: Array, scale: int) -> NDArray[np.float32]:
    """Pixels over ``scale``, computed in double precision, of which there is never a whole image."""
    image = np.empty(pixels.shape, np.float32)
    np.divide(pixels, scale, out=image, dtype=np.float64, casting="unsafe")
    return image


def _encoded_image(source: str | Path | IO[bytes] | bytes) -> tuple[str, bytes]:
    """How messages name an image, and its encoded bytes."""
    if isinstance(source, (str, Path)):
        return f'"{source}"', read_bytes(str(source), "load_image")
    if isinstance(source, (bytes, bytearray, memoryview)):
        name, content = "the given bytes", bytes(source)
    else:
        name, content = f'the file "{getattr(source, "name", type(source).__name__)}"', _rest(source)
    if not content:
        raise _no_image(f"load_image: {name}: there are no bytes to read.")
    return name, content


def _rest(file: IO[bytes]) -> bytes:
    if not hasattr(file, "read"):
        raise DataError(f"load_image: takes a path or a file open for reading. Received: {type(file).__name__}.")
    if getattr(file, "seekable", bool)():
        file.seek(0)
    content = file.read()
    if not isinstance(content, bytes):
        raise DataError(f'load_image: the file must be open for reading bytes, mode "rb". Received: {file!r}.')
    return content


def _no_image(message: str) -> DataError:
    """The error for what is no image: an OSError too, as other libraries raise."""
    return joined(DataError, OSError(), message)


def resize_image(im: Array, new_dims: Sequence[int] | Array, interp_order: int = 1) -> NDArray[np.float32]:
    """Resize an image of any values and any number of channels.

    Parameters
    ----------
    im:
        (H, W, K).
    new_dims:
        (height, width).
    interp_order:
        0 nearest, 1 linear, 3 cubic.

    Returns
    -------
    array
        (new_dims[0], new_dims[1], K). The outer edges of both images coincide; nothing is smoothed before shrinking.
    """
    import cv2

    hold_threads()
    modes = {0: cv2.INTER_NEAREST, 1: cv2.INTER_LINEAR, 3: cv2.INTER_CUBIC}
    if interp_order not in modes:
        raise DataError(f"resize_image: interp_order is 0, 1 or 3. Received: {interp_order}.")
    if im.ndim != 3 or 0 in im.shape or len(new_dims) != 2 or min(new_dims) < 1:
        raise DataError(
            "resize_image: takes an image (H, W, K) with pixels and (height, width), at least 1. "
            f"Received: shape {im.shape} and {np.asarray(new_dims).tolist()}."
        )
    height, width = int(new_dims[0]), int(new_dims[1])
    out = np.empty((height, width, im.shape[2]), np.float32)
    for k in range(im.shape[2]):
        plane = np.ascontiguousarray(im[:, :, k], np.float32)
        out[:, :, k] = cv2.resize(plane, (width, height), interpolation=modes[interp_order])
    return out


def resize(image: Array, output_shape: Sequence[int], order: int = 1) -> NDArray[np.float32]:
    """Resize an image (H, W) or (H, W, K), as the function does that pycaffe's module had from scikit-image.

    Images of bytes become 0 to 1 first. ``output_shape`` begins with (height, width); ``order`` is as in
    `resize_image`, and nothing is smoothed before shrinking.
    """
    image = np.asarray(image)
    values = image / np.float32(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else image
    resized = resize_image(values.reshape(*image.shape[:2], -1), output_shape[:2], order)
    return resized.reshape(*resized.shape[:2], *image.shape[2:])


def oversample(images: Sequence[Array], crop_dims: Sequence[int] | Array) -> NDArray[np.float32]:
    """Ten crops of each image: the four corners and the centre, then their mirror images.

    Parameters
    ----------
    images:
        N arrays (H, W, K), all of one size.
    crop_dims:
        (height, width) of the crops.

    Returns
    -------
    array
        (10 N, height, width, K).
    """
    height, width = (int(extent) for extent in crop_dims)
    full_height, full_width, channels = images[0].shape
    if height > full_height or width > full_width:
        raise DataError(
            f"oversample: crops of {height} x {width} do not fit into images of {full_height} x {full_width}."
        )
    bottom, right = full_height - height, full_width - width
    # The centre is rounded down, as truncating (H - h) / 2 does.
    starts = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = np.empty((len(images), 2, len(starts), height, width, channels), np.float32)
    for image, of_image in zip(images, crops, strict=True):
        for k, (y, x) in enumerate(starts):
            of_image[0, k] = image[y : y + height, x : x + width]
            of_image[1, k] = of_image[0, k, :, ::-1]
    return crops.reshape(-1, height, width, channels)


class Transformer:
    """Makes net inputs of images, and images of net inputs.

    Steps of `preprocess`, those that were set: resize to the input's size, transpose, swap channels, times raw_scale,
    minus the mean, times input_scale.

    Parameters
    ----------
    inputs:
        Shape (N, channels, height, width) of each input blob by name.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: Array) -> NDArray[np.float32]:
        """The input for blob ``in_``: from an image (H, W, K) to an array of the blob's (channels, height, width)."""
        self._check_input(in_)
        result: NDArray[np.float32] = np.array(data, np.float32)
        size = self.inputs[in_][2:]
        if result.shape[:2] != size:
            result = resize_image(result, size)
        if in_ in self.transpose:
            result = result.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            order = list(self.channel_swap[in_])
            if max(order, default=0) >= len(result):
                raise DataError(
                    f'Transformer: the channels of input "{in_}" are put in the order {order}, so an image must have '
                    f"as many. Received: an image of shape {np.shape(data)}."
                )
            result = result[order]
        if in_ in self.raw_scale:
            result *= self.raw_scale[in_]
        if in_ in self.mean:
            try:
                result -= self.mean[in_]
            except ValueError:
                raise DataError(
                    f'Transformer: the mean of input "{in_}" has shape {np.shape(self.mean[in_])}, the image '
                    f"{result.shape}; give one for each channel, or of the image's size."
                ) from None
        if in_ in self.input_scale:
            result *= self.input_scale[in_]
        return result

    def deprocess(self, in_: str, data: Array) -> Array:
        """Undo `preprocess` (but for the size): from an array of the blob, one item, to an image."""
        self._check_input(in_)
        result: Array = data.copy().squeeze()
        if in_ in self.input_scale:
            result /= self.input_scale[in_]
        if in_ in self.mean:
            result += self.mean[in_]
        if in_ in self.raw_scale:
            result /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            result = result[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            result = result.transpose(np.argsort(self.transpose[in_]))
        return result

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of axes: (2, 0, 1) makes (channels, height, width) of an image."""
        self._check_input(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise DataError(
                f'Transformer: input "{in_}" has {len(self.inputs[in_]) - 1} axes after the batch, so the transpose '
                f"order needs as many. Received: {tuple(order)}."
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels, which are the first axis after the transpose: (2, 1, 0) makes BGR of RGB."""
        self._check_input(in_)
        if len(order) != self.inputs[in_][1]:
            raise DataError(
                f'Transformer: input "{in_}" has {self.inputs[in_][1]} channels, so the channel swap needs as many. '
                f"Received: {tuple(order)}."
            )
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before the mean: 255 for nets that want bytes, where images are 0 to 1."""
        self._check_input(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """Set what is subtracted: one value per channel, or an array (channels, height, width), resized if need be."""
        self._check_input(in_)
        channels, size = self.inputs[in_][1], self.inputs[in_][2:]
        mean = np.asarray(mean)
        if mean.ndim == 1:
            mean = mean[:, None, None]
        elif mean.ndim == 2:
            mean = mean[None]
        if mean.ndim != 3 or mean.shape[0] not in (1, channels):
            raise DataError(
                f'Transformer: the mean of input "{in_}" is {channels} numbers or an array ({channels}, height, '
                f"width). Received: shape {mean.shape}."
            )
        if mean.shape[1:] not in ((1, 1), size):
            mean = resize_image(mean.transpose(1, 2, 0), size).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after everything else."""
        self._check_input(in_)
        self.input_scale[in_] = scale

    def _check_input(self, in_: str) -> None:
        if in_ not in self.inputs:
            raise DataError(f'Transformer: "{in_}" is not one of its inputs: {", ".join(self.inputs)}.')
