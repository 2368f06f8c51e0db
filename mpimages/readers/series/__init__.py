"""Series in files: binary series of mpimages and of Thunder, and HDF5."""
