"""Sources that load items in worker threads, ahead of the net."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

from segcaffe import device
from segcaffe.data.brightness import unlike_brightness
from segcaffe.data.database import Database, ShuffledValues, Value, Values
from segcaffe.data.images import Image, decode, read_bytes, resize
from segcaffe.data.label_files import read_labels
from segcaffe.data.label_images import Labels
from segcaffe.data.lists import Entry, read_list
from segcaffe.data.loader import Arrays, BatchLoader, ListFeed, Parts, Random, Share
from segcaffe.data.transformer import Transformer, crop_size
from segcaffe.device.upload import Uploader
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs, Count
from segcaffe.layers.source.base import SourceLayer
from segcaffe.proto.caffe_pb2 import LayerParameter
from segcaffe.proto.encoding import to_native

log = logging.getLogger(__name__)
RESIZES = frozenset(f"TransformationParameter.random_{name}_param" for name in ("resize", "aspect_ratio"))
"""Options of forks by which a layer of single images draws their sizes."""


class PrefetchingSource(SourceLayer):
    """A source over a `BatchLoader`; a batch may change the tops' shapes."""

    shared_out = True
    loader: BatchLoader[Any]
    uploader: Uploader

    def start(self, loader: BatchLoader[Any], top: Blobs) -> None:
        """Take batches from ``loader``; its first item gives the tops their shapes."""
        self.loader, self.uploader = loader, Uploader()
        loader.share = self.share()
        for blob, shape in zip(top, loader.shapes(), strict=False):
            blob.reshape(*shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the next batch into the tops; a DataError of a worker thread is raised here."""
        arrays = self.loader.next()
        for blob, array in zip(top, arrays, strict=False):
            blob.reshape(*array.shape)
        if device.get_mode() == "GPU":
            self._upload(arrays, top)
        else:
            for blob, array in zip(top, arrays, strict=False):
                blob.data[...] = array

    def _upload(self, arrays: Arrays, top: Blobs) -> None:
        """Give the tops the batch on the device, and begin to copy the next one if it is there."""
        arrays = tuple(array.astype(self.dtype, copy=False) for array in arrays)
        for blob, array in zip(top, self.uploader.fetch(arrays), strict=False):
            blob.array = array
        following = self.loader.ready()
        if following is not None:
            self.uploader.stage(following)

    def take(self, share: Share) -> None:
        """Forget the batches that were prepared for another share."""
        self.loader.share = share
        self.loader.restore(self.loader.state())

    def state(self) -> dict[str, Any]:
        """Seed of the order and the draws, and number of the next item over all epochs."""
        return dict(self.loader.state())

    def restore(self, state: dict[str, Any]) -> None:
        """Continue the order and the draws exactly where `state` was taken."""
        self.loader.restore(state)

    def close(self) -> None:
        """End the worker threads."""
        self.loader.close()


class DatabaseSource(PrefetchingSource):
    """A source over the values of a database, with ``data_param`` and ``transform_param``. Subclasses define `load`.

    ``force_color`` and ``force_gray`` say how encoded images are decoded; ``rand_skip`` starts at a random one of the
    first items; with ``shuffle`` each epoch of an LMDB database has an order of its own.
    """

    top_count: ClassVar[Count] = (1, 2)
    fork_options = frozenset({"DataParameter.shuffle"})

    @classmethod
    def image_shape(cls, param: LayerParameter) -> tuple[int, int, int]:
        """The crop's size, and the channels that images are forced to have."""
        options = param.transform_param
        return 1 if options.force_gray else 3 if options.force_color else 0, *crop_size(options)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Open the database and read the first item."""
        param, transform = self.param.data_param, self.param.transform_param
        self.transformer = Transformer(transform, self.phase, self.where, self.dtype)
        if transform.force_color and transform.force_gray:
            raise DataError(f"{self.where}: transform_param takes force_color or force_gray, not both.")
        forced = transform.force_color or transform.force_gray or param.force_encoded_color
        self.color = not transform.force_gray if forced else None
        database = Database(to_native(param.source), param.backend, self.where)
        feed = ShuffledValues(database) if param.shuffle else Values(database)
        loader = BatchLoader(feed, self.load, param.batch_size, self.where, depth=param.prefetch)
        if param.rand_skip:
            loader.skip_randomly(param.rand_skip, database.count())
        self.start(loader, top)

    def load(self, item: Value, random: Random) -> Parts:
        """The arrays of one value, in the order of the tops, each without the axis of the batch."""
        raise NotImplementedError


class ImageListSource(PrefetchingSource):
    """A source over the lines of a list, with options ``list_field`` and ``transform_param``.

    File names are ``root_folder`` followed by the list's word, nothing in between. Subclasses define `load`.
    """

    list_field: ClassVar[str] = "image_data_param"
    """The options that name the list, its batches, the size of its images."""
    other_options: ClassVar[tuple[str, ...]] = ("image_data_param", "transform_param")
    _told_brightness = False

    @classmethod
    def image_shape(cls, param: LayerParameter) -> tuple[int, int, int]:
        """As the list's options say."""
        return 3 if getattr(param, cls.list_field).is_color else 1, *crop_size(param.transform_param)

    @property
    def list_options(self) -> Any:
        """The options that name the list."""
        return getattr(self.param, self.list_field)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the list, check the options, load the first item for its shapes."""
        param = self.list_options
        self.check_together("new_height", "new_width")
        self.transformer = self.make_transformer()
        entries = self.entries(to_native(param.source))
        self.check(entries)
        loader = BatchLoader(ListFeed(entries, param.shuffle), self.load, param.batch_size, self.where)
        loader.skip_randomly(param.rand_skip, len(entries))
        self.start(loader, top)

    def check_together(self, *names: str) -> None:
        """Raise DataError where the list's options set one of two sizes and not the other."""
        first, second = (getattr(self.list_options, name) for name in names)
        if (first == 0) != (second == 0):
            raise DataError(
                f"{self.where}: {self.list_field} needs {names[0]} and {names[1]} together. "
                f"Received: {first} and {second}."
            )

    def make_transformer(self) -> Transformer:
        """What makes a net's values of pixels."""
        return Transformer(self.param.transform_param, self.phase, self.where, self.dtype)

    def entries(self, source: str) -> list[Entry]:
        """The items of the list."""
        return read_list(source, self.where)

    def check(self, entries: list[Entry]) -> None:
        """Raise DataError for an item that can't be used, before any image is read."""

    def load(self, entry: Entry, random: Random) -> Arrays:
        """The arrays of one line, in the order of the tops, each without the axis of the batch."""
        raise NotImplementedError

    def read_image(self, name: str, color: bool, entry: Entry) -> Image:
        """The image of that name, resized if the options say so."""
        path, context = self._path(name), self._context(entry)
        content = read_bytes(path, context)
        what = "" if color or self._told_brightness else unlike_brightness(content)
        if what:
            self._told_brightness = True
            log.warning(
                '%s: "%s" holds %s; read as a gray picture it gives its brightness, as in Caffe. ImageSegData and '
                "TwoImageData read label maps as they are stored.",
                context, name, what,
            )  # fmt: skip
        return self._resized(decode(content, color, f'{context}: cannot read "{path}"'))

    def read_label(self, name: str, color: bool, entry: Entry) -> Labels:
        """The label map (H, W, K) of that name, resized (bilinearly, as Caffe does) if the options say so."""
        return self.read_image(name, True, entry) if color else self._resized(self.stored_label(name, entry))

    def stored_label(self, name: str, entry: Entry) -> Labels:
        """The label map (H, W, 1) of that name as its file has it."""
        return read_labels(Path(self._path(name)), self._context(entry))[:, :, None]

    def check_sizes(self, images: list[Labels], names: list[str], entry: Entry) -> None:
        """Raise DataError unless the images have one height and width."""
        for name, image in zip(names, images, strict=True):
            if image.shape[:2] != images[0].shape[:2]:
                raise DataError(
                    f"{self._context(entry)}: an image and its label map must have one size (height x width). "
                    f'Received: "{names[0]}" {_size(images[0])}, "{name}" {_size(image)}.'
                )

    def warn_about_resized_labels(self) -> None:
        """Tell that labels are interpolated, where they are."""
        if self.list_options.new_height:
            log.warning(
                "%s: new_height and new_width resize label maps bilinearly too, which invents labels between those "
                "of neighbouring pixels; resize the files beforehand (nearest neighbour) to avoid it.",
                self.where,
            )

    def _path(self, name: str) -> str:
        return to_native(self.list_options.root_folder) + name

    def _context(self, entry: Entry) -> str:
        return f"{self.where}: {entry.place}"

    def _resized(self, image: Labels) -> Labels:
        return resize(image, self.list_options.new_height, self.list_options.new_width)


def _size(image: Labels) -> str:
    return f"{image.shape[0]} x {image.shape[1]}"
