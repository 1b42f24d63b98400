"""Public helpers for testing layers: cases, gradient checks."""

from segcaffe.testing.layer_case import LayerCase

__all__ = ["LayerCase"]
