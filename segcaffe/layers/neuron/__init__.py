"""Layers that map each element by itself."""
