"""Files as they lie on the disk: replacing them whole, HDF5 and .npy opened with care."""
