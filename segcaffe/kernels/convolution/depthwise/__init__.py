"""Depthwise convolution, where each channel is convolved by a kernel of its own, straight from the image."""
