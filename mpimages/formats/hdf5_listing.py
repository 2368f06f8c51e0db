"""All of an HDF5 file but the values of our datasets, as one checksum.

A file of another standard, such as NWB, holds more than datasets of mpimages: groups, links, text
and attributes that the standard prescribes. A listing of all of it, in a fixed order and
independent of how HDF5 stores it, has a CRC-32 in an attribute of the root. By this the file is
verified, and recognised as one to which nothing was added.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FormatError
from .output_names import HDF5_LISTING, HDF5_MARK

if TYPE_CHECKING:
    import h5py

# Filled in after the listing was made, and compared with the values by themselves.
APART = "checksum"
# Text of variable length lies elsewhere in the file: an entry is only as long as this.
POINTER_BYTES = 16
# No listing of ours has so many objects and attributes.
MOST_ENTRIES = 100_000


def mark_listed(file: h5py.File) -> None:
    """Store the checksum of the listing in a new file, of which all but values is there."""
    file.attrs[HDF5_LISTING] = np.uint32(listing_checksum(file))


def is_as_listed(file: h5py.File) -> bool | None:
    """Whether a file holds what it held when it was made; None where it has no listing.

    Raises
    ------
    FormatError
        If it cannot be one of mpimages'.
    """
    if HDF5_LISTING not in file.attrs:
        return None
    stored = file.attrs.get_id(HDF5_LISTING)
    if stored.shape != () or stored.dtype.kind != "u":
        return False
    return int(file.attrs[HDF5_LISTING]) == listing_checksum(file)


def listing_checksum(file: h5py.File) -> int:
    """The CRC-32 of the listing of a file."""
    crc = 0
    for number, line in enumerate(_Listing(file).lines()):
        if number > MOST_ENTRIES:
            raise FormatError(f"{file.filename}: has more than mpimages writes beside a dataset")
        crc = zlib.crc32(line, zlib.crc32(b"%d:" % len(line), crc))
    return crc


class _Listing:
    """Objects by their names, each with its attributes by theirs."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._size = os.path.getsize(file.filename) if os.path.exists(file.filename) else None
        self._seen: set[int] = set()

    def lines(self) -> Iterator[bytes]:
        yield from self._object(self._file["/"], "")

    def _object(self, item: Any, path: str) -> Iterator[bytes]:
        import h5py

        address = h5py.h5o.get_info(item.id).addr
        if address in self._seen:  # links can go in circles
            yield f"again {path}".encode()
            return
        self._seen.add(address)
        ours = False
        if isinstance(item, h5py.Group):
            yield f"group {path}".encode()
        elif isinstance(item, h5py.Dataset):
            ours = HDF5_MARK in item.attrs
            yield f"dataset {path} {item.shape} {_described(item.dtype)}".encode()
            if not ours:
                if item.is_virtual or item.external:
                    raise FormatError(f"dataset {path} has its values in other files")
                self._check_size(path, item.shape, item.dtype)
                yield self._values(item[()])
        else:
            yield f"other {path}".encode()
        yield from self._attributes(item, path, ours)
        if isinstance(item, h5py.Group):
            for name in sorted(item):
                yield from self._member(item, name, f"{path}/{name}")

    def _attributes(self, item: Any, path: str, ours: bool) -> Iterator[bytes]:
        for name in sorted(item.attrs):
            if (ours and name == APART) or (path == "" and name == HDF5_LISTING):
                continue
            stored = item.attrs.get_id(name)
            self._check_size(f"{path} {name}", stored.shape, stored.dtype)
            yield f"attribute {path} {name} {stored.shape} {_described(stored.dtype)}".encode()
            yield self._values(item.attrs[name])

    def _member(self, group: h5py.Group, name: str, path: str) -> Iterator[bytes]:
        import h5py

        link = group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            yield f"link {path} {link.path}".encode()
        elif isinstance(link, h5py.HardLink):
            yield from self._object(group[name], path)
        else:
            yield f"link out of the file {path}".encode()

    def _check_size(self, what: str, shape: tuple[int, ...] | None, dtype: np.dtype) -> None:
        """Raise FormatError where values cannot be in the file: damage must not take all memory."""
        size = math.prod(shape or ()) * min(dtype.itemsize, POINTER_BYTES)
        if self._size is not None and size > self._size:
            raise FormatError(f"{what} claims to hold {size} bytes, which the file does not have")

    def _values(self, values: Any) -> bytes:
        """Values as bytes that do not depend on the byte order, nor on where text is stored."""
        import h5py

        if isinstance(values, h5py.Reference):
            return b"-> " + (self._file[values].name.encode() if values else b"nothing")
        if isinstance(values, str):
            return values.encode("utf-8", "surrogateescape")
        if isinstance(values, bytes):
            return values
        array = np.asarray(values)
        if array.dtype.kind == "O":
            each = [self._values(one) for one in array.ravel().tolist()]
            return b"".join(b"%d:%s" % (len(one), one) for one in each)
        return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _described(dtype: np.dtype) -> str:
    return "text or references" if dtype.kind == "O" else str(dtype.newbyteorder("<").descr)
