"""Building blocks of compiled loops on the CPU: vectors, tiles of products, BLAS, scratch memory."""
