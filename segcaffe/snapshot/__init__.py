"""Weights and solver states in files: Caffe's binary and HDF5 formats, written so that a crash leaves no half file."""
