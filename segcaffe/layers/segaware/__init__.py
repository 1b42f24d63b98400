"""Layers of segmentation-aware networks: distances and masks of windows, mean-field inference, edge-aware filters."""
