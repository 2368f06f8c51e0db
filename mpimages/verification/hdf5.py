"""HDF5: the datasets of mpimages, by the checksums among their attributes.

A dataset's bytes are those of its values in C order, little-endian, however they are stored.
Contiguous ones are read past the HDF5 library; others through it, see `boxes`. Where a file follows
another standard, such as NWB, all its other bytes are compared with the checksum at its end.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from ..dims import Box
from ..errors import FormatError
from ..formats.hdf5_plugins import require_filters
from ..formats.hdf5_trailer import Trailer, read_trailer, spans_checksum
from ..formats.matlab import CLASS, matlab_class
from ..formats.output_names import HDF5_MARK, HDF5_SIGNATURE, HDF5_VERSION, MATLAB_BLOCK
from ..readers.hdf5.opening import open_hdf5_file
from .boxes import find_damaged_boxes
from .findings import Findings
from .pieces import Stored, find_damaged

if TYPE_CHECKING:
    import h5py

# No codec makes more of its bytes: what claims to be larger is damage, not data.
SMALL_CLAIM = 1 << 24
LARGEST_RATIO = 1 << 16
# What HDF5 raises on damage differs from call to call.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def verify_hdf5(path: str, findings: Findings) -> None:
    """Add to `findings` what is wrong with an HDF5 file.

    Raises
    ------
    FormatError
        When mpimages wrote none of its datasets.
    """
    real = os.path.realpath(path)
    findings.files += 1
    _verify_block(real, findings)
    trailer = _trailer(real)
    if trailer is not None and not _verify_rest(real, trailer, findings):
        return  # HDF5 may crash on damage to what it takes for granted
    try:
        file = open_hdf5_file(real)
    except _DAMAGE as error:
        findings.problem(f"cannot be opened as HDF5: {_line(error)}")
        return
    with file:
        try:
            ours, foreign = _datasets(file)
        except _DAMAGE as error:
            findings.problem(f"its datasets cannot be listed, it is damaged: {_line(error)}")
            return
        if not ours:
            raise FormatError(f"{path}: is an HDF5 file, but mpimages wrote no dataset in it")
        for name in foreign if trailer is None else ():
            findings.problem(f"dataset {name!r} is not of mpimages, and was not verified")
        for name in ours:
            try:
                _verify_dataset(real, file[name], findings)
                _verify_class(file[name], findings)
            except FormatError as error:
                findings.problem(f"dataset {name!r}: {error}")
            except _DAMAGE as error:
                findings.problem(f"dataset {name!r} cannot be read: {_line(error)}")


def _verify_block(path: str, findings: Findings) -> None:
    """Look at what stands before HDF5's own bytes: nothing, or what MATLAB knows its files by."""
    size = len(MATLAB_BLOCK)
    with open(path, "rb") as file:
        head = file.read(size)
    if head.startswith(HDF5_SIGNATURE):
        return
    findings.bytes += size
    findings.tick(size)
    if head != MATLAB_BLOCK:
        findings.problem(f"bytes [0, {size}) are not those that a MATLAB file of mpimages has")


def _verify_class(dataset: h5py.Dataset, findings: Findings) -> None:
    """Look at what a dataset says to MATLAB, if the file is one of MATLAB's."""
    if not dataset.file.userblock_size:
        return
    said, meant = dataset.attrs.get(CLASS), matlab_class(dataset.dtype)
    if said != str(meant).encode():
        findings.problem(f"dataset {dataset.name!r}: {CLASS} is {said!r:.80} and not {meant}")


def _trailer(path: str) -> Trailer | None:
    """The trailer of a file of another standard; None where it has none, or cannot be read."""
    try:
        with open(path, "rb") as file:
            return read_trailer(file)
    except OSError:
        return None


def _verify_rest(path: str, trailer: Trailer, findings: Findings) -> bool:
    """Whether all but the values is as it was; else that is added to the findings."""
    with open(path, "rb") as file:
        crc = spans_checksum(file, trailer.file_bytes, trailer.spans, findings.tick)
    findings.bytes += trailer.nbytes
    if crc != trailer.crc:
        findings.problem(
            "its groups, attributes and texts do not have their checksum, which is at the end of "
            "the file; the values were not verified"
        )
    return crc == trailer.crc


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _datasets(file: h5py.File) -> tuple[list[str], list[str]]:
    """The names of the datasets that mpimages wrote, and of the others."""
    import h5py

    ours: list[str] = []
    foreign: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            (ours if HDF5_MARK in item.attrs else foreign).append(f"/{name}")

    file.visititems(note)  # it follows no links to other files
    return ours, foreign


def _verify_dataset(path: str, dataset: h5py.Dataset, findings: Findings) -> None:
    """Add what is wrong with one dataset; FormatError where it cannot be told."""
    size = _check_size(path, dataset)
    piece, crcs = _checksums(dataset, size)
    offset = dataset.id.get_offset() if dataset.chunks is None else None
    if offset is not None and _is_little(dataset.dtype):
        present = max(0, min(size, os.path.getsize(path) - offset))
        if present < size:
            findings.problem(
                f"dataset {dataset.name!r}: only {present} of its {size} bytes are in the file"
            )
        runs = [Stored(path, offset, size, piece, crcs.tolist(), present)]
        found = [(first, stop, why) for _, first, stop, why in find_damaged(runs, findings)]
    else:
        require_filters(path, dataset)
        found = find_damaged_boxes(_Chunked(dataset), piece, crcs, findings)
    for first, stop, why in found:
        item = dataset.dtype.itemsize
        findings.problem(
            f"dataset {dataset.name!r}: bytes [{first}, {stop}) {why}: values "
            f"{_place(first // item, dataset.shape)} to {_place((stop - 1) // item, dataset.shape)}"
        )


class _Chunked:
    """A dataset that is read by the library, in one thread at a time."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype = dataset.dtype.newbyteorder("<")
        self.unit: tuple[int, ...] | None = None
        if dataset.chunks is not None:
            self.unit = tuple(min(c, n) for c, n in zip(dataset.chunks, dataset.shape, strict=True))
        size = math.prod(self.shape) * self.dtype.itemsize
        self._packed = dataset.id.get_storage_size() / size

    def read(self, box: Box, values: np.ndarray) -> int:
        """Read a box; how many bytes of the file that took, about."""
        where = tuple(slice(a, a + n) for a, n in zip(*box, strict=True))
        self._dataset.read_direct(values, where)
        return int(values.nbytes * self._packed)


def _is_little(dtype: np.dtype) -> bool:
    return dtype == dtype.newbyteorder("<")


def _place(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(n) for n in np.unravel_index(number, shape))


def _check_size(path: str, dataset: h5py.Dataset) -> int:
    """The number of a dataset's bytes, if it is one that mpimages writes and could be true."""
    version = dataset.attrs[HDF5_MARK]
    if not np.isscalar(version) or version != HDF5_VERSION:
        raise FormatError(
            f"is of format version {version!r:.80}; this mpimages verifies version {HDF5_VERSION}"
        )
    if dataset.dtype.kind not in "iuf" or not dataset.shape:
        raise FormatError(f"holds {dataset.dtype} of shape {dataset.shape}: mpimages writes none")
    if dataset.is_virtual or dataset.external:
        raise FormatError("its values are said to lie in other files, which mpimages never does")
    size: int = dataset.dtype.itemsize
    for n in dataset.shape:
        size *= int(n)
    if not 0 < size <= max(SMALL_CLAIM, os.path.getsize(path) * LARGEST_RATIO):
        raise FormatError(f"claims to hold {size} bytes, which cannot be in a file of this size")
    return size


def _checksums(dataset: h5py.Dataset, size: int) -> tuple[int, np.ndarray]:
    """The length of a piece, and the CRC of each piece of `size` bytes."""
    attributes = dataset.attrs
    if "checksum" not in attributes or "checksum_piece" not in attributes:
        raise FormatError(
            "has no checksums (an earlier version wrote it), so that it cannot be verified"
        )
    length = attributes.get_id("checksum_piece")
    if length.shape not in ((), (1,)) or length.dtype.kind not in "iu":
        raise FormatError("its attribute checksum_piece is no number")
    piece = int(np.ravel(attributes["checksum_piece"])[0])
    described = attributes.get_id("checksum")
    # The size is looked at before the values are: damage must not ask for all memory.
    if piece < 1 or described.shape != (-(-size // piece),) or described.dtype.kind not in "iu":
        raise FormatError(
            f"its attribute checksum has not one number for each piece of {piece} bytes"
        )
    return piece, np.asarray(attributes["checksum"]).astype(np.int64)
