"""Writers of HDF5: contiguous, chunked, compressed, or through mpio."""
