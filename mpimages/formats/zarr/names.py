"""The names of the files that describe arrays and groups of Zarr."""

from __future__ import annotations

__all__ = ["ARRAY_V2", "ATTRIBUTES_V2", "GROUP_V2", "NODES", "NODE_V3"]

NODE_V3 = "zarr.json"
ARRAY_V2, GROUP_V2, ATTRIBUTES_V2 = ".zarray", ".zgroup", ".zattrs"
# Any of these says that a directory is an array or a group.
NODES = (NODE_V3, ARRAY_V2, GROUP_V2)
