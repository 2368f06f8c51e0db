"""Zarr, versions 2 and 3: what its metadata say, and the bytes of chunks and shards. Local."""
