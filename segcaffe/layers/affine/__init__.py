"""Layers that scale and shift."""
