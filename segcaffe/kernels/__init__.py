"""Primitives too slow or impossible in array code: one folder each, with a CPU and a GPU implementation."""

TOOLBOXES = ("cuda", "vector")
"""The folders that are no primitive: what the others are made with."""
