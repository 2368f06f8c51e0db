"""What an HDF5 file holds beside its dataset, where another standard says what that is.

An `Enclosure` is plain values: groups, small datasets, links and attributes. Rank 0 creates them
before the dataset, in the order in which they are listed, so that the same values give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...formats.hdf5_listing import is_as_listed, mark_listed

if TYPE_CHECKING:
    import h5py

__all__ = ["Enclosure", "Item", "Link", "Reference"]


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
    """The items of a file, those above before those below, and the dataset's place in it.

    Attributes
    ----------
    items : tuple of Item
        The group of the dataset is one of them.
    dataset : str
        The path of the dataset.
    attributes : mapping
        Of the dataset.
    axes : tuple of str
        The labels of the dataset's axes.
    """

    items: tuple[Item, ...]
    dataset: str
    attributes: Mapping[str, object]
    axes: tuple[str, ...]

    def create(self, file: h5py.File) -> None:
        """Create the items in a new file. Local."""
        for item in self.items:
            _create(file, item)
        for item in self.items:
            for name, value in item.attributes.items():
                if isinstance(value, Reference):
                    file[item.path].attrs[name] = file[value.target].ref

    def seal(self, file: h5py.File) -> None:
        """Store the checksum of all that is in the file but the dataset's values. Local."""
        mark_listed(file)

    def is_in(self, file: h5py.File) -> bool:
        """Whether a file still has what was created in it. Local."""
        return is_as_listed(file) is True

    def difference(self, file: h5py.File) -> str | None:
        """The path of the first item that a file has not as it is here, or None. Local."""
        return next((item.path for item in self.items if not _is_same(file, item)), None)


def _is_same(file: h5py.File, item: Item) -> bool:
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
