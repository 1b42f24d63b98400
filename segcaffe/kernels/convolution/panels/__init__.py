"""Convolution with the outputs in the lanes: weights in panels of a few vectors, pixels one by one."""
