"""Compiling with Numba, and keeping what was compiled by the content of its sources."""
