"""Primitives too slow or impossible in array code: one folder each, with a CPU and a GPU implementation."""
