"""Layers that move, combine or select values."""
