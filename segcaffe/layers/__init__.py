"""The layers, one file each, in folders by family; registration is beside each class."""

from segcaffe.layers.registry import layer_class, layer_types, register

__all__ = ["layer_class", "layer_types", "register"]
