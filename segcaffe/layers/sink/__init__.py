"""Layers that take values out of the net: into files, or nowhere."""
