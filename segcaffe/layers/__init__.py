"""The layers, one file each, in folders by family; registration is beside each class.

The package is also pycaffe's ``layers`` (``from segcaffe import layers as L``): names of layer types, such as
``L.Convolution``, are functions that describe layers for a `segcaffe.NetSpec`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segcaffe.layers.registry import layer_class, layer_types, register
from segcaffe.wiring import upcalls

__all__ = ["layer_class", "layer_types", "register"]


def __getattr__(name: str) -> Callable[..., Any]:
    """The function that describes a layer of the type ``name``; types begin with a capital letter."""
    if not name[:1].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return upcalls.layer_function(name)
