"""Winograd's method for panels of weights that are transformed once: F(2x2, 3x3) and F(4x4, 3x3)."""
