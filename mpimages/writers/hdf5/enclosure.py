"""What an HDF5 file holds beside its dataset, where another standard says what that is.

An `Enclosure` is plain values: groups, small datasets, links and attributes. Rank 0 creates them
before the dataset, in the order in which they are listed, so that the same values give the same
bytes. A complete file with items ends with a trailer (`hdf5_trailer`), by which it is verified.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...formats.hdf5_trailer import pack_trailer
from ..output.files import naming_file, write_all
from ..output.ownership import DAMAGE
from .file_object import open_file

if TYPE_CHECKING:
    import h5py

__all__ = ["Enclosure", "Item", "Link", "Reference", "seal"]


class Link(NamedTuple):
    """A soft link: the path of its target."""

    target: str


class Reference(NamedTuple):
    """The value of an attribute that refers to an object: the path of that object."""

    target: str


@dataclass(frozen=True)
class Item:
    """A group, a dataset or a link.

    Attributes
    ----------
    path : str
    value : None, str, sequence of str, ndarray or Link
        None: a group.
    attributes : mapping
        Text, numbers, lists of text, or a `Reference`.
    """

    path: str
    value: Any = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Enclosure:
    """The items of a file, those above before those below, and what the dataset is to say.

    Attributes
    ----------
    items : tuple of Item
        The group of the dataset is one of them.
    attributes : mapping
        Of the dataset.
    axes : tuple of str
        The labels of the dataset's axes.
    block : bytes
        What the file begins with, before all that is HDF5's: 512 bytes, or a larger power of 2; or
        none.
    """

    items: tuple[Item, ...]
    attributes: Mapping[str, object]
    axes: tuple[str, ...]
    block: bytes = b""

    def create(self, file: h5py.File) -> None:
        """Create the items in a new file. Local."""
        for item in self.items:
            _create(file, item)
        for item in self.items:
            for name, value in item.attributes.items():
                if isinstance(value, Reference):
                    file[item.path].attrs[name] = file[value.target].ref

    def begins(self, path: str) -> bool:
        """Whether a file begins with the block. Local."""
        with open(path, "rb") as file:
            return file.read(len(self.block)) == self.block

    def difference(self, file: h5py.File) -> str | None:
        """The path of the first item that a file has not as it is here, or None. Local."""
        return next((item.path for item in self.items if not _is_same(file, item)), None)


def seal(path: str, dataset: str) -> None:
    """Append the trailer to a complete file, of which `dataset` is ours. Local: rank 0."""
    with open_file(path, "r") as file:
        values = _value_spans(file[dataset].id)
    with open(path, "r+b", buffering=0) as raw, naming_file(path):
        size = os.fstat(raw.fileno()).st_size
        write_all(raw.fileno(), pack_trailer(raw, _rest(values, size)), size)
        os.fsync(raw.fileno())


def _value_spans(raw: h5py.h5d.DatasetID) -> np.ndarray:
    """The bytes [start, stop) of a file in which a dataset has its values, (n, 2) int64."""
    from h5py import h5d

    found: list[tuple[int, int]] = []

    def note(info: h5py.h5d.StoreInfo) -> None:
        found.append((info.byte_offset, info.byte_offset + info.size))

    properties = raw.get_create_plist()
    if properties.get_layout() != h5d.CHUNKED:
        offset = raw.get_offset()
        found.append((offset, offset + raw.get_storage_size()))
    elif hasattr(raw, "chunk_iter"):
        raw.chunk_iter(note)
    else:  # HDF5 before 1.10.10: one search of the index for each chunk
        chunk = properties.get_chunk()
        grid = [-(-n // c) for n, c in zip(raw.shape, chunk, strict=True)]
        for number in np.ndindex(*grid):
            corner = tuple(i * c for i, c in zip(number, chunk, strict=True))
            note(raw.get_chunk_info_by_coord(corner))
    return np.array(sorted(found), dtype=np.int64)


def _rest(values: np.ndarray, size: int) -> list[tuple[int, int]]:
    """The spans of a file of `size` bytes that lie between those of values."""
    starts = np.concatenate([[0], values[:, 1]])
    stops = np.concatenate([values[:, 0], [size]])
    some = starts < stops
    return list(zip(starts[some].tolist(), stops[some].tolist(), strict=True))


def _is_same(file: h5py.File, item: Item) -> bool:
    try:
        return _has_value(file, item)
    except DAMAGE:
        return False


def _has_value(file: h5py.File, item: Item) -> bool:
    if isinstance(item.value, Link):
        link = file.get(item.path, getlink=True)
        return getattr(link, "path", None) == item.value.target
    if item.path not in file:
        return False
    stored = file[item.path]
    if item.value is not None:
        text = isinstance(item.value, str) or _is_list_of_text(item.value)
        found = stored.asstr()[()] if text else stored[()]
        if not np.array_equal(found, item.value):
            return False
    for name, value in item.attributes.items():
        found, wanted = stored.attrs.get(name), value
        if isinstance(value, Reference):
            found, wanted = file[found].name, value.target
        if not np.array_equal(found, np.asarray(wanted)):
            return False
    return True


def _create(file: h5py.File, item: Item) -> None:
    import h5py

    if isinstance(item.value, Link):
        file[item.path] = h5py.SoftLink(item.value.target)
        return
    made: Any
    if item.path == "/":
        made = file
    elif item.value is None:
        made = file.create_group(item.path)
    else:
        text = isinstance(item.value, str) or _is_list_of_text(item.value)
        made = file.create_dataset(
            item.path,
            data=item.value,
            dtype=h5py.string_dtype() if text else None,
            track_times=False,
        )
    for name, value in item.attributes.items():
        if isinstance(value, Reference):
            continue
        if _is_list_of_text(value):
            made.attrs.create(name, value, dtype=h5py.string_dtype())
        else:
            made.attrs[name] = value


def _is_list_of_text(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes | np.ndarray)
        and all(isinstance(one, str) for one in value)
    )
