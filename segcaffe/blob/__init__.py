"""Blobs: the arrays that layers pass on, with their gradients, kept in step between host and device."""

from segcaffe.blob.blob import Blob
from segcaffe.blob.buffer import Buffer, BufferPart

__all__ = ["Blob", "Buffer", "BufferPart"]
