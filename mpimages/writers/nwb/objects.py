"""The objects of an NWB 2 file around one dataset, as plain values. Local.

Types, names and what is required are those of the NWB schema 2.7 (nwb-schema.readthedocs.io), which
later versions of 2 read. Nothing is here that was not given: what an object says of itself in words
is about the file, never about the experiment.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...formats.output_names import NWB_UUID
from ..hdf5.enclosure import Enclosure, Item, Link, Reference
from .facts import Facts, Timing

if TYPE_CHECKING:
    import h5py

__all__ = ["created_in", "enclose_images", "enclose_traces", "image_dataset", "traces_dataset"]

NWB_VERSION = "2.7.0"
PLANE = "/general/optophysiology/ImagingPlane"
OPHYS = "/processing/ophys"
SEGMENTATION = f"{OPHYS}/ImageSegmentation"
MASKS = f"{SEGMENTATION}/PlaneSegmentation"
# Of a mask with the regions' pixels: their coordinates, and their weights.
COORDINATES = ("x", "y", "z")


def image_dataset(facts: Facts) -> str:
    """The path of the dataset of a series of images."""
    return f"acquisition/{facts.name}/data"


def traces_dataset(facts: Facts) -> str:
    """The path of the dataset of traces."""
    return f"{OPHYS[1:]}/{facts.kind}/{facts.name}/data"


def created_in(file: h5py.File) -> str:
    """The date of creation that a file of ours has; empty where it has none."""
    if "file_create_date" not in file:
        return ""
    return str(file["file_create_date"].asstr()[0])


def enclose_images(facts: Facts, timing: Timing, created: str, dims: tuple[int, ...]) -> Enclosure:
    """The file of a series of images of these dims, in the order of the dataset: x, y[, z]."""
    make = _Objects(facts.identifier)
    group = f"/acquisition/{facts.name}"
    items = [*_session(make, facts, created), *_hardware(make, facts)]
    described = {"description": facts.description} if facts.description else {}
    items.append(make.group(group, facts.kind, **described))
    items.append(Item(f"{group}/dimension", np.array(dims, dtype="<i4")))
    items.append(Item(f"{group}/format", "raw"))
    items += _times(group, timing)
    if facts.optics is not None:
        items.append(Item(f"{group}/imaging_plane", Link(PLANE)))
    elif facts.device is not None:
        items.append(Item(f"{group}/device", Link(_device(facts))))
    axes = ("time", *COORDINATES[: len(dims)])
    return Enclosure(tuple(items), _data(facts), axes)


def enclose_traces(
    facts: Facts,
    timing: Timing,
    created: str,
    pixels: Sequence[np.ndarray],
    weights: Sequence[np.ndarray] | None,
) -> Enclosure:
    """The file of the traces of regions.

    `pixels` has the coordinates of each region's pixels, (k, 2 or 3) as (row, column[, page]).
    """
    make = _Objects(facts.identifier)
    container = f"{OPHYS}/{facts.kind}"
    group = f"{container}/{facts.name}"
    items = [*_session(make, facts, created), *_hardware(make, facts)]
    module = "Regions of interest and their responses"
    items.append(make.group(OPHYS, "ProcessingModule", description=module))
    items += _segmentation(make, pixels, weights)
    items.append(make.group(container, facts.kind))
    described = {"description": facts.description} if facts.description else {}
    items.append(make.group(group, "RoiResponseSeries", **described))
    rois = make.common(
        f"{group}/rois",
        np.arange(len(pixels), dtype="<i4"),
        "DynamicTableRegion",
        description="The region of each column of data",
        table=Reference(MASKS),
    )
    items += [rois, *_times(group, timing)]
    return Enclosure(tuple(items), _data(facts), ("time", "region"))


class _Objects:
    """Makes typed objects, whose identifiers follow from the file's and from their paths."""

    def __init__(self, identifier: str) -> None:
        self._of = uuid.uuid5(uuid.UUID(NWB_UUID), identifier)

    def _typed(self, path: str, namespace: str, kind: str) -> dict[str, object]:
        return {
            "namespace": namespace,
            "neurodata_type": kind,
            "object_id": str(uuid.uuid5(self._of, path)),
        }

    def group(self, path: str, kind: str, **attributes: object) -> Item:
        return Item(path, None, {**attributes, **self._typed(path, "core", kind)})

    def common(self, path: str, values: np.ndarray, kind: str, **attributes: object) -> Item:
        """A dataset of a type of hdmf-common, such as a column of a table."""
        return Item(path, values, {**attributes, **self._typed(path, "hdmf-common", kind)})


def _session(make: _Objects, facts: Facts, created: str) -> list[Item]:
    """The root, and what is said of the session."""
    items = [
        make.group("/", "NWBFile", nwb_version=NWB_VERSION),
        Item("/identifier", facts.identifier),
        Item("/session_description", facts.session),
        Item("/session_start_time", facts.started),
        Item("/timestamps_reference_time", facts.started),
        Item("/file_create_date", [created]),
        *(
            Item(path)
            for path in (
                "/acquisition",
                "/analysis",
                "/general",
                "/processing",
                "/stimulus",
                "/stimulus/presentation",
                "/stimulus/templates",
            )
        ),
        *(Item(f"/general/{name}", value) for name, value in facts.general.items()),
    ]
    if facts.subject:
        items.append(make.group("/general/subject", "Subject"))
        items += [Item(f"/general/subject/{name}", value) for name, value in facts.subject.items()]
    return items


def _device(facts: Facts) -> str:
    return "" if facts.device is None else f"/general/devices/{facts.device['name']}"


def _hardware(make: _Objects, facts: Facts) -> list[Item]:
    """The device, the imaging plane and its channel, as far as there are such."""
    items = []
    if facts.device is not None:
        said = {name: value for name, value in facts.device.items() if name != "name"}
        items += [Item("/general/devices"), make.group(_device(facts), "Device", **said)]
    if facts.optics is None:
        return items
    optics, channel = facts.optics, f"{PLANE}/OpticalChannel"
    items += [
        Item("/general/optophysiology"),
        make.group(PLANE, "ImagingPlane"),
        Item(f"{PLANE}/device", Link(_device(facts))),
        Item(f"{PLANE}/excitation_lambda", np.array(optics.excitation, dtype="<f8")),
        Item(f"{PLANE}/indicator", optics.indicator),
        Item(f"{PLANE}/location", optics.location),
    ]
    if facts.spacing:
        spacing = np.array(facts.spacing, dtype="<f8")
        items.append(Item(f"{PLANE}/grid_spacing", spacing, {"unit": facts.spacing_unit}))
    items += [
        make.group(channel, "OpticalChannel"),
        Item(f"{channel}/description", optics.channel),
        Item(f"{channel}/emission_lambda", np.array(optics.emission, dtype="<f8")),
    ]
    return items


def _segmentation(
    make: _Objects, pixels: Sequence[np.ndarray], weights: Sequence[np.ndarray] | None
) -> list[Item]:
    """The table of the regions: the coordinates and weights of their pixels."""
    axes = pixels[0].shape[1]
    column = "voxel_mask" if axes == 3 else "pixel_mask"
    kind = np.dtype([(name, "<u4") for name in COORDINATES[:axes]] + [("weight", "<f4")])
    masks = np.empty(sum(map(len, pixels)), dtype=kind)
    each = np.concatenate(pixels)
    for name, axis in zip(COORDINATES, (1, 0, 2)[:axes], strict=False):  # x is the column
        masks[name] = each[:, axis]
    masks["weight"] = 1 if weights is None else np.concatenate(weights)
    ends = np.cumsum([len(one) for one in pixels])
    index = ends.astype(np.min_scalar_type(int(ends[-1])).newbyteorder("<"))
    return [
        make.group(SEGMENTATION, "ImageSegmentation"),
        make.group(
            MASKS,
            "PlaneSegmentation",
            colnames=[column],
            description="The pixels of each region, and their weights",
        ),
        make.common(f"{MASKS}/id", np.arange(len(pixels), dtype="<i4"), "ElementIdentifiers"),
        make.common(
            f"{MASKS}/{column}",
            masks,
            "VectorData",
            description="Pixels from 0: x is the column, y the row"
            + (", z the page" if axes == 3 else ""),
        ),
        make.common(
            f"{MASKS}/{column}_index",
            index,
            "VectorIndex",
            description=f"Where the pixels of each region end in {column}",
            target=Reference(f"{MASKS}/{column}"),
        ),
        Item(f"{MASKS}/imaging_plane", Link(PLANE)),
        Item(f"{MASKS}/reference_images"),
    ]


def _times(group: str, timing: Timing) -> list[Item]:
    if timing.stamps is not None:
        attributes = {"interval": np.int32(1), "unit": "seconds"}
        return [Item(f"{group}/timestamps", timing.stamps.astype("<f8"), attributes)]
    assert timing.interval is not None
    attributes = {"rate": np.float64(1 / timing.interval), "unit": "seconds"}
    return [Item(f"{group}/starting_time", np.array(timing.start, dtype="<f8"), attributes)]


def _data(facts: Facts) -> dict[str, object]:
    """The attributes of the dataset itself."""
    return {
        "conversion": np.float64(1),
        "offset": np.float64(0),
        "resolution": np.float64(-1),  # unknown
        "unit": facts.unit,
    }
