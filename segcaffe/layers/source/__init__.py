"""Layers whose tops come from outside the net: files, databases, memory, fillers."""
