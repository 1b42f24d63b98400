"""The errors segcaffe raises on purpose.

Every message is a sentence for the user: where (file:line, or layer name and type), the rule, what was received and
what to do. The command line prints them as one paragraph and exits with status 2; anything else is a bug.
"""

from __future__ import annotations


class SegcaffeError(Exception):
    """Base of every error that tells the user about their input or their machine."""


class PrototxtError(SegcaffeError):
    """A text configuration cannot be read: syntax, an unknown field or enum value, an unset template name."""


class GraphError(SegcaffeError):
    """The layers do not form a net: a bottom nobody makes, a top made twice, an unknown type, a contradictory rule."""


class ShapeError(SegcaffeError):
    """Blobs, options and parameters of a layer do not fit together."""


class WeightsError(SegcaffeError):
    """A file of weights or solver state cannot be read, or does not fit the net."""


class DataError(SegcaffeError):
    """Input data is missing, unreadable, or breaks the rules of the layer that reads it."""


class DeviceError(SegcaffeError):
    """The GPU, its driver or CuPy is missing or failed."""


class NumericError(SegcaffeError):
    """A loss or gradient became NaN or infinite."""


class UserCodeError(SegcaffeError):
    """Code that the user supplied (a Python layer) raised an exception; the message ends with its traceback."""


class MissingSchemaError(SegcaffeError, ImportError):
    """The package lies in a checkout whose schema has not been compiled into a module."""
