"""Weights of a net in a file: binary (.caffemodel) or HDF5 (.caffemodel.h5)."""

from __future__ import annotations

from pathlib import Path

from segcaffe.errors import WeightsError
from segcaffe.proto import dialect
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.upgrade import upgrade_net
from segcaffe.snapshot import hdf5
from segcaffe.snapshot.files import is_hdf5, read_file, write_file

HDF5_SUFFIXES = (".h5", ".hdf5")


def load_weights(path: str | Path) -> NetParameter:
    """Return the layers and blobs of a file of weights.

    The file's first bytes tell binary from HDF5. Old notations are upgraded; of an HDF5 file only names and blobs are
    known. WeightsError for a file that is missing, damaged or something else.
    """
    net = hdf5.load_net(path) if is_hdf5(path) else _decode(path)
    if not net.layer:
        raise WeightsError(f"{path}: the file has no layers. It is cut short, or no file of weights; copy it again.")
    return net


def save_weights(net: NetParameter, path: str | Path) -> None:
    """Write a net with its blobs: HDF5 where the name ends in .h5 or .hdf5, otherwise binary."""
    as_hdf5 = Path(path).suffix in HDF5_SUFFIXES
    write_file(path, hdf5.encode_net(net) if as_hdf5 else dialect.encode_net(net))


def _decode(path: str | Path) -> NetParameter:
    net, _ = dialect.decode_net(read_file(path), filename=str(path))
    return upgrade_net(net, where=str(path))
