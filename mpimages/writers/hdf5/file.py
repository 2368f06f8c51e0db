"""What an HDF5 file of ours holds: one dataset, its attributes, and where its storage is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.json_types import JsonObject
from ...core.text import quote
from ...errors import FormatError
from ...formats.hdf5_plugins import filters_of
from ...formats.output_names import HDF5_MARK, HDF5_VERSION
from .enclosure import Enclosure
from .filters import Filters
from .scales import LINKS, Axis, attach_scales, create_scales, has_axes

if TYPE_CHECKING:
    import h5py

# HDF5's oldest attributes, which every reader knows, end at 64 KiB.
SMALL_ATTRIBUTE = 60_000


@dataclass(frozen=True)
class DatasetPlan:
    """What is to be created: everything in the file but the values.

    Parameters
    ----------
    name : str
        With slashes for groups, none at its ends.
    shape, chunk : tuple of int
        In the dataset's axes; a chunk of None: contiguous.
    dtype : numpy.dtype
        Stored little-endian whatever its byte order.
    filters : Filters or None
    attributes : mapping
    axes : tuple of Axis
        In the dataset's order.
    enclosure : Enclosure, optional
        What else the file holds.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...] | None
    filters: Filters | None
    attributes: JsonObject
    axes: tuple[Axis, ...]
    enclosure: Enclosure | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each axis; a contiguous dataset is one."""
        cell = self.chunk or self.shape
        return tuple(-(-n // c) for n, c in zip(self.shape, cell, strict=True))

    @property
    def nbytes(self) -> int:
        """The values' bytes, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize


def dataset_name(name: object) -> str:
    """A dataset's name without slashes at its ends, if HDF5 can take it."""
    if not isinstance(name, str):
        raise TypeError(f"the dataset's name must be text, got {type(name).__name__}")
    parts = name.strip("/").split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{quote(name)} cannot be the name of an HDF5 dataset")
    return "/".join(parts)


def dataset_attributes(
    layout: str,
    index: np.ndarray,
    metadata: JsonObject,
    figures: Mapping[str, object],
    checksums: Mapping[str, object],
    further: Mapping[str, object] | None,
) -> JsonObject:
    """All attributes of a dataset, in the order in which they are created."""
    own = {
        HDF5_MARK: np.int64(HDF5_VERSION),
        "layout": layout,
        "index": index,
        "metadata": json.dumps(metadata, sort_keys=True),
        **figures,
        **checksums,
    }
    given = dict(sorted((further or {}).items()))
    taken = own.keys() & given.keys()
    if taken:
        raise ValueError(f"the attribute {min(taken)!r} is mpimages' own")
    return own | given


def create_dataset(file: h5py.File, plan: DatasetPlan) -> h5py.h5d.DatasetID:
    """Create the planned dataset and its scales in a new file; a ``h5py.h5d.DatasetID``.

    Without filters its storage is allocated, and in either case none of it is filled.
    """
    import h5py

    if plan.enclosure is not None:
        plan.enclosure.create(file)
    create_scales(file, plan.name, plan.axes)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    if plan.attributes["index"].nbytes > SMALL_ATTRIBUTE:
        # Only a header of HDF5 1.8 holds more, and this is what makes HDF5 write one.
        properties.set_attr_creation_order(h5py.h5p.CRT_ORDER_TRACKED)
    if plan.chunk is not None:
        properties.set_chunk(plan.chunk)
    if plan.filters is None:
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    else:
        plan.filters.add_to(properties)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    links.set_char_encoding(h5py.h5t.CSET_UTF8)
    kind = h5py.h5t.py_create(plan.dtype.newbyteorder("<"), logical=True)
    space = h5py.h5s.create_simple(plan.shape)
    raw = h5py.h5d.create(file.id, plan.name.encode(), kind, space, properties, links)
    dataset = h5py.Dataset(raw)
    for key, value in plan.attributes.items():
        dataset.attrs[key] = value
    attach_scales(dataset, plan.axes)
    file.flush()
    return raw


def fill_checksums(raw: h5py.h5d.DatasetID, checksums: np.ndarray) -> None:
    """Put the checksums, uint32, into the attribute that was created for them."""
    import h5py

    # In place: to remove an attribute and create it anew would move others.
    h5py.h5a.open(raw, b"checksum").write(checksums)


def check_same(path: str, file: h5py.File, plan: DatasetPlan) -> h5py.h5d.DatasetID:
    """The dataset's ``DatasetID``, if the file is what `plan` would create, values aside.

    Raises
    ------
    ValueError
        When it is another; the message says in what.
    FormatError
        When what it holds beside the dataset is no longer what was created.
    """
    beside = plan.enclosure
    if beside is not None and (beside.difference(file) is not None or not beside.begins(path)):
        raise FormatError(f"{path}: what it holds beside its dataset is not what was begun")
    if plan.name not in file:
        raise _other(path, f"has no dataset {plan.name!r}")
    dataset = file[plan.name]
    filters = [number for number, _ in filters_of(dataset)]
    wanted = plan.filters.numbers() if plan.filters is not None else []
    stored = plan.dtype.newbyteorder("<")
    for what, found, expected in [
        ("shape", dataset.shape, plan.shape),
        ("dtype", dataset.dtype, stored),
        ("chunks", dataset.chunks, plan.chunk),
        ("filters", filters, wanted),
        ("attributes", sorted({*dataset.attrs} - {*LINKS}), sorted(plan.attributes)),
    ]:
        if found != expected:
            raise _other(path, f"has the {what} {found} instead of {expected}")
    for key, value in plan.attributes.items():
        if key != "checksum" and not np.array_equal(dataset.attrs[key], value):
            raise _other(path, f"has another {key}")
    if not has_axes(dataset, plan.axes):
        raise _other(path, "has other axes")
    return dataset.id


def _other(path: str, why: str) -> ValueError:
    return ValueError(
        f"{path} cannot be taken up: it {why}. Resume with the arguments that it was begun with, "
        "or begin anew"
    )


def find_places(raw: h5py.h5d.DatasetID, plan: DatasetPlan) -> np.ndarray:
    """The byte at which each chunk begins in the file, in the grid's shape: int64."""
    places = np.full(plan.grid, -1, dtype=np.int64)
    chunk = plan.chunk
    if chunk is None:
        offset = raw.get_offset()
        places.fill(-1 if offset is None else offset)
    elif hasattr(raw, "chunk_iter"):

        def note(info: h5py.h5d.StoreInfo) -> None:
            number = tuple(o // c for o, c in zip(info.chunk_offset, chunk, strict=True))
            places[number] = info.byte_offset

        raw.chunk_iter(note)
    else:  # HDF5 before 1.10.10: one search of the index for each chunk
        for number in np.ndindex(places.shape):
            corner = tuple(i * c for i, c in zip(number, chunk, strict=True))
            offset = raw.get_chunk_info_by_coord(corner).byte_offset
            places[number] = -1 if offset is None else offset
    apart = np.diff(np.sort(places, axis=None))
    if int(places.min()) < 0 or (apart < math.prod(chunk or ()) * plan.dtype.itemsize).any():
        raise RuntimeError("internal error: HDF5 did not allocate the dataset's storage")
    return places
