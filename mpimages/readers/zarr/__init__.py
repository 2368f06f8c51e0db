"""Zarr and OME-Zarr: a directory with an array, or with a group of arrays."""
