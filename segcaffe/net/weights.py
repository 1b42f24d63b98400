"""A net's parameters: loading, sharing and saving them."""

from __future__ import annotations

import logging
from pathlib import Path

from segcaffe.blob.proto import to_proto
from segcaffe.convert import formats
from segcaffe.errors import GraphError, WeightsError
from segcaffe.layers.base import Layer
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.snapshot.files import is_hdf5, write_file
from segcaffe.snapshot.hdf5 import encode_net
from segcaffe.weights.completeness import warning
from segcaffe.weights.loading import copy_weights

_log = logging.getLogger("segcaffe")


class WeightsMembers:
    """Members of `Net` that are about its parameters."""

    name: str
    layer_list: list[Layer]
    _loaded: set[str]

    def copy_from(self, weights: str | Path) -> None:
        """Load weights from a file: by layer name, each layer's blobs in order; layers not in the file keep theirs.

        The file may have any of the formats that `segcaffe.convert.formats` reads.
        """
        self.copy_trained_layers(formats.load(weights), str(weights))

    def copy_trained_layers(self, source: NetParameter, where: str = "weights") -> None:
        """Copy the blobs of a NetParameter's layers into the layers of the same names.

        A warning names the layers whose values are random or zero and in none of the weights that were copied.
        """
        report = copy_weights(self.layer_list, source, where)
        self._loaded.update(report.loaded)
        told = "" if report.strangers else warning(self.layer_list, self._loaded)
        if told:
            _log.warning("%s: %s", where, told)

    def share_with(self, other: WeightsMembers) -> None:
        """Use the parameters of ``other`` for the layers of the same names (for several nets on one set of weights)."""
        theirs = {layer.name: layer for layer in other.layer_list}
        for layer in self.layer_list:
            if layer.name not in theirs:
                continue
            for index, (mine, blob) in enumerate(zip(layer.blobs, theirs[layer.name].blobs, strict=False)):
                if mine.shape != blob.shape:
                    raise GraphError(
                        f"{layer.where}: cannot share parameter {index} of shape {blob.shape}; it needs {mine.shape}."
                    )
                mine.share_data(blob)

    def to_proto(self, write_diff: bool = False) -> NetParameter:
        """Return the net with its weights as a message, as snapshots hold it."""
        net = NetParameter(name=self.name)
        for layer in self.layer_list:
            message = net.layer.add()
            message.CopyFrom(layer.param)
            del message.blobs[:]
            message.blobs.extend(to_proto(blob, write_diff) for blob in layer.blobs)
        return net

    def save(self, path: str | Path) -> None:
        """Write the weights: as .npz, .safetensors or .h5 where the name ends so, otherwise as a binary .caffemodel."""
        formats.save(self.to_proto(), path, any_binary=True)

    def save_hdf5(self, filename: str | Path, write_diff: bool = False) -> None:
        """Write the weights, and their gradients if asked for, as an HDF5 file."""
        write_file(filename, encode_net(self.to_proto(write_diff)))

    def load_hdf5(self, filename: str | Path) -> None:
        """Load weights from an HDF5 file, layers by name."""
        if not is_hdf5(filename):
            raise WeightsError(f"{filename}: this is no HDF5 file; copy_from reads all formats.")
        self.copy_from(filename)
