"""Directories of Zarr, and what the metadata in them describe: an array or a group."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from ...core.json_types import JsonObject
from ...core.text import quote
from ...errors import FormatError
from .array import ZarrArray
from .names import ARRAY_V2, ATTRIBUTES_V2, GROUP_V2, NODE_V3, NODES

__all__ = ["ZarrGroup", "is_zarr", "read_node"]

# Metadata may contain an index of all images; what is larger is none.
MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class ZarrGroup:
    """A group: the version of Zarr, and its attributes."""

    version: int
    attributes: JsonObject

    def documents(self) -> dict[str, JsonObject]:
        """Return the metadata files by their names, `ATTRIBUTES_V2` before the one that makes it a
        group."""
        if self.version == 3:
            return {
                NODE_V3: {"zarr_format": 3, "node_type": "group", "attributes": self.attributes}
            }
        return {ATTRIBUTES_V2: self.attributes, GROUP_V2: {"zarr_format": 2}}


def is_zarr(path: str) -> bool:
    """Return True for a directory that is an array or a group of Zarr. Local."""
    return any(os.path.isfile(os.path.join(path, name)) for name in NODES)


def read_node(path: str) -> ZarrArray | ZarrGroup:
    """Return what the metadata in a directory describe. Local.

    Raises
    ------
    FormatError
        If there are none, or they describe nothing that can be read; it names the file.
    """
    name = next((name for name in NODES if os.path.isfile(os.path.join(path, name))), None)
    if name is None:
        raise FormatError(f"{path}: is no array or group of Zarr: it has no {NODE_V3}")
    file = os.path.join(path, name)
    try:
        document = _read_json(file)
        if name == NODE_V3:
            return _node_v3(document)
        if document.get("zarr_format") != 2:
            raise FormatError(f"is of version {quote(document.get('zarr_format'))} of Zarr, not 2")
        beside = os.path.join(path, ATTRIBUTES_V2)
        attributes = _read_json(beside) if os.path.isfile(beside) else {}
        if name == ARRAY_V2:
            return ZarrArray.from_v2(document, attributes)
        return ZarrGroup(2, attributes)
    except FormatError as error:
        raise FormatError(f"{file}: {error}") from None


def _node_v3(document: JsonObject) -> ZarrArray | ZarrGroup:
    if document.get("zarr_format") != 3:
        raise FormatError(f"is of version {quote(document.get('zarr_format'))} of Zarr, not 3")
    if document.get("node_type") == "array":
        return ZarrArray.from_v3(document)
    if document.get("node_type") != "group":
        raise FormatError(f"is a node of the type {quote(document.get('node_type'))}")
    attributes = document.get("attributes")
    return ZarrGroup(3, attributes if isinstance(attributes, dict) else {})


def _read_json(path: str) -> JsonObject:
    with open(path, "rb") as file:
        # What is asked for is allocated, whatever the file has.
        content = file.read(min(os.fstat(file.fileno()).st_size, MOST_BYTES) + 1)
    if len(content) > MOST_BYTES:
        raise FormatError(f"has more than {MOST_BYTES} bytes, and so is no metadata")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise FormatError("is no object of JSON")
    return document
