"""Layers of detectors: prior boxes, regions, what was found."""
