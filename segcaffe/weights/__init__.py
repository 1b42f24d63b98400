"""Bringing the weights of a file into layers: which fit, which are missing."""
