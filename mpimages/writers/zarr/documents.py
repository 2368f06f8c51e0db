"""The metadata files of an output of Zarr: what OME-Zarr and mpimages say, as JSON. Local."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from ...core.json_types import JsonObject
from ...formats.output_names import ZARR_FORMAT, ZARR_MARK, ZARR_VERSION
from ...formats.zarr.names import ATTRIBUTES_V2, GROUP_V2, NODE_V3
from ...formats.zarr.nodes import ZarrGroup
from ..calibration import Calibration
from .layout import ZarrForm, pixel_names

__all__ = ["array_documents", "mark", "multiscales", "root_documents"]

# Names of units in OME-Zarr, which are those of UDUNITS-2.
UNITS = {
    "um": "micrometer",
    "micrometer": "micrometer",
    "micrometre": "micrometer",
    "nm": "nanometer",
    "nanometer": "nanometer",
    "mm": "millimeter",
    "millimeter": "millimeter",
    "cm": "centimeter",
    "centimeter": "centimeter",
    "m": "meter",
    "meter": "meter",
    "pm": "picometer",
    "Å": "angstrom",
    "angstrom": "angstrom",
    "inch": "inch",
}
# The version of OME-Zarr of each version of Zarr.
OME_VERSIONS = {2: "0.4", 3: "0.5"}
OME_NAME = "images"


def array_documents(form: ZarrForm) -> dict[str, bytes]:
    """The metadata files of all arrays by their paths; the last of each makes it one."""
    return {
        f"{placed.name}/{name}": _json(document)
        for placed in form.arrays
        for name, document in placed.array.documents().items()
    }


def multiscales(form: ZarrForm, calibration: Calibration) -> JsonObject:
    """What OME-Zarr says of images: their axes, and where the pixels of each level lie.

    Where a size is unknown it is 1, without a unit.
    """
    names = pixel_names(len(form.dims), form.layout)
    known = calibration.sizes if len(calibration.sizes) == len(form.dims) else ()
    # Sizes are those of (row, column[, page]).
    sizes = dict(zip(("y", "x", "z"), known, strict=False))
    unit = UNITS.get(calibration.unit)
    axes: list[JsonObject] = [{"name": "t", "type": "time"}]
    if calibration.interval is not None:
        axes[0]["unit"] = "second"
    for name in names:
        axis = {"name": name, "type": "space"}
        if unit is not None and sizes.get(name) is not None:
            axis["unit"] = unit
        axes.append(axis)
    datasets = []
    for level, placed in enumerate(form.arrays):
        scale, shift = [calibration.interval or 1.0], [0.0]
        for name in names:
            size, factor = sizes.get(name) or 1.0, 1 if name == "z" else 1 << level
            scale.append(size * factor)
            shift.append(size * (factor - 1) / 2)
        steps: list[JsonObject] = [{"type": "scale", "scale": scale}]
        if level:
            steps.append({"type": "translation", "translation": shift})
        datasets.append({"path": placed.name, "coordinateTransformations": steps})
    version = OME_VERSIONS[form.version]
    said: JsonObject = {"name": OME_NAME, "axes": axes, "datasets": datasets}
    if len(datasets) > 1:
        said["type"] = "mean"
    if form.version == 2:
        return {"multiscales": [{"version": version, **said}]}
    return {"ome": {"version": version, "multiscales": [said]}}


def mark(
    form: ZarrForm,
    index: np.ndarray,
    metadata: JsonObject,
    origin: Mapping[str, object],
    checksums: Sequence[Sequence[int]],
    piece: int,
    documents: Mapping[str, bytes],
) -> JsonObject:
    """What mpimages says of an output, without the checksum of all of it.

    Parameters
    ----------
    checksums : sequence of sequences of int
        The CRC-32 of each piece of each array's values in C order, little-endian.
    piece : int
        The length of a piece in bytes.
    documents : mapping
        The metadata files of the arrays.
    """
    arrays = {
        placed.name: {"checksum": list(sums), "piece": piece}
        for placed, sums in zip(form.arrays, checksums, strict=True)
    }
    return {
        "format": ZARR_FORMAT,
        "version": ZARR_VERSION,
        "layout": form.layout,
        "index": index.tolist(),
        "metadata": metadata,
        **dict(sorted(origin.items())),
        "arrays": arrays,
        "documents": {name: zlib.crc32(content) for name, content in documents.items()},
    }


def root_documents(version: int, ome: JsonObject, said: JsonObject) -> dict[str, bytes]:
    """The metadata files of the group; the last one has the mark, and makes it whole.

    Of version 2 that of the group is one of those of which the mark has the checksums.
    """
    name = NODE_V3 if version == 3 else ATTRIBUTES_V2
    group = ZarrGroup(version, {}).documents()
    made = {GROUP_V2: _json(group[GROUP_V2])} if version == 2 else {}
    listed = {**said["documents"], **{key: zlib.crc32(content) for key, content in made.items()}}
    attributes = {**ome, ZARR_MARK: {**said, "documents": listed}}
    made[name] = _with_end(ZarrGroup(version, attributes).documents()[name])
    return made


def _with_end(document: JsonObject) -> bytes:
    """A document with a last member ``"crc32"`` of its last object: of all the bytes before."""
    text = _json(document)
    head = text.rstrip(b"}")
    depth = len(text) - len(head) - 1  # the last member is an object: of the documents
    head = text[: len(text) - depth] + b", "
    return head + b'"crc32": "%08x"' % zlib.crc32(head) + b"}" * depth


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, allow_nan=False).encode("ascii")
