"""Building blocks of CUDA kernels: compiling and launching, what all sources begin with, strips of images."""
