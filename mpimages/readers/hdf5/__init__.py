"""HDF5: a movie in one dataset, found, opened and read."""
