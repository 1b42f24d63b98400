"""Layers over windows of an image: pooling, resizing, cropping."""
