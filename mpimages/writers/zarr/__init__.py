"""Zarr, versions 2 and 3, written by all ranks at once; of images an OME-Zarr with its levels."""
