"""The datasets of an HDF5 file that are read, and how: what the file and the arguments say."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.arguments import image_dtype
from ...errors import FormatError
from ...formats.output_names import HDF5_MARK
from ..array_axes import LEFT_OUT, array_axes, can_have, image_shape, own_channel
from ..base import Handle, Header, Scratch, check_claim
from ..chunked_array import ArrayPlan, ChunkedHandle, chunk_grain, open_images, plan_array
from ..flat.array import FlatArray, FlatHandle, image_grain
from ..options import Options
from ..page_handle import page_grain
from .datasets import dataset_offset, find_dataset, is_plain, written_axes
from .families import Family, recognise
from .handle import Hdf5Array
from .links import LinkedFiles
from .opening import as_format_error
from .sequence import PLACE, SequenceHandle, numbered_datasets

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class Part(ArrayPlan):
    """A dataset, and how it is read.

    Attributes
    ----------
    dataset : h5py.Dataset
    place : (str, int), optional
        The file, and where in it the values lie in one piece as they are; None where they do not.
    """

    dataset: h5py.Dataset
    place: tuple[str, int] | None

    @property
    def inner_grain(self) -> int:
        """How many of the images, or pages, are stored together."""
        if self.place is not None:
            return image_grain(self.shape, self.axes, self.stored.itemsize)
        return chunk_grain(self.dataset.shape, self.dataset.chunks, self.shape, self.axes)


@dataclass(frozen=True)
class Recording:
    """What is read of a file.

    Attributes
    ----------
    path : str
    names : list of str
        The datasets, one after the other.
    in_turn : bool
        Whether they were found by a pattern.
    options : Options
        Those that are about one dataset.
    family : Family, optional
    first : Part
    count : int
        The images of all.
    """

    path: str
    names: list[str]
    in_turn: bool
    options: Options
    family: Family | None
    first: Part
    count: int

    @property
    def dims(self) -> tuple[int, ...]:
        return self.first.dims

    @property
    def chunk(self) -> tuple[int, ...] | None:
        return None if self.in_turn else self.first.image_chunk(self.first.dataset.chunks)

    @property
    def grain(self) -> int:
        first = self.first
        grain = first.inner_grain
        if first.pages is not None:
            grain = page_grain(first.pages, grain)
        if self.in_turn and first.count % grain:  # the next dataset has chunks of its own
            return first.count
        return grain


def find_recording(files: LinkedFiles, options: Options) -> Recording:
    """Which datasets are read, and how."""
    family = recognise(files, options)
    name = options.dataset or ""
    if family is None and not name:
        name = _images(files, options).name.lstrip("/")
        family = recognise(files, replace(options, dataset=name))
    if family is not None:
        name = family.dataset
        if family.chooses:
            options = replace(options, channel=None)
    in_turn = PLACE in name
    names = [name]
    if in_turn:
        names = numbered_datasets(files, name, options.incomplete is not None)
    first = _part(files, family, names[0], options)
    found = Recording(files.path, names, in_turn, options, family, first, first.count)
    if len(names) > 1:
        last = part_of(files, found, names[-1])
        require_alike(found, names[-1], last)
        found = replace(found, count=(len(names) - 1) * first.count + last.count)
    return found


def part_of(files: LinkedFiles, found: Recording, name: str) -> Part:
    return _part(files, found.family, name, found.options)


def _part(files: LinkedFiles, family: Family | None, name: str, options: Options) -> Part:
    """One dataset, and how it is read."""
    path, dataset = files.path, find_dataset(files, name, ())
    image_dtype(dataset.dtype, f"{path}, dataset {dataset.name}: dtype")
    shape, axes = _describe(path, dataset, options, family)
    stored = _stored(dataset.dtype, options, family)
    plan = plan_array(path, shape, axes, stored, options)
    place = None if shape != dataset.shape else _place(files, dataset)
    return Part(**vars(plan), dataset=dataset, place=place)


def _stored(stored: np.dtype, options: Options, family: Family | None) -> np.dtype:
    """The dtype as it is meant: int16 may stand for uint16."""
    asked = options.dtype is not None and options.dtype.newbyteorder("=") == np.uint16
    meant = family is not None and (family.unsigned or (family.doubtful and asked))
    if not meant or stored.newbyteorder("=") != np.int16:
        return stored
    return np.dtype(np.uint16).newbyteorder(stored.byteorder)


def _place(files: LinkedFiles, dataset: h5py.Dataset) -> tuple[str, int] | None:
    """The file, and where in it the values lie in one piece as they are."""
    outside = files.storage(dataset)
    if outside is not None:
        if not is_plain(dataset):
            raise ValueError(
                f"{files.path}: the values of dataset {dataset.name}, of dtype {dataset.dtype}, "
                "stand in another file: copy them into one dataset"
            )
        return outside
    offset = dataset_offset(dataset)
    return None if offset is None else (dataset.file.filename, offset)


def require_alike(found: Recording, name: str, part: Part) -> None:
    """Raise FormatError where a dataset of several is not as the first; the last may be shorter."""
    first = found.first
    same = part.dims == first.dims and part.dtype == first.dtype
    shorter = name == found.names[-1] and part.count <= first.count
    if not same or (part.count != first.count and not shorter):
        raise FormatError(
            f"{found.path}: dataset {name} has {part.count} images of shape {part.dims} and dtype "
            f"{part.dtype}, but the first, {found.names[0]}, has {first.count} of shape "
            f"{first.dims} and dtype {first.dtype}"
        )


def open_recording(
    files: LinkedFiles, found: Recording, header: Header, scratch: Scratch | None
) -> Handle:
    """The handle of what was found; `files` is closed with it."""
    if not found.in_turn:
        return _open_part(files.path, found.first, header, scratch, files)

    def open_part(number: int) -> Handle:
        name = found.names[number]
        with as_format_error(files.path):
            part = part_of(files, found, name)
            require_alike(found, name, part)
        return _open_part(files.path, part, header, scratch, None)

    return SequenceHandle(
        files.path, header, found.count, found.first.count, open_part, files, scratch
    )


def _open_part(
    path: str, part: Part, header: Header, scratch: Scratch | None, files: LinkedFiles | None
) -> Handle:
    """The handle of one dataset; `files`, where they are given, are closed with it."""

    def open_inner(own: Header) -> Handle:
        shape, axes, channel = part.shape, part.axes, part.channel
        if part.place is None:
            array = Hdf5Array(path, part.dataset, files)
            return ChunkedHandle(path, own, array, shape, axes, scratch, channel)
        file, offset = part.place
        flat = FlatHandle(file, own, FlatArray(offset, shape, axes, part.stored, channel), scratch)
        if files is not None:
            files.close()
        return flat

    return open_images(path, part, header, scratch, part.inner_grain, open_inner)


def _images(files: LinkedFiles, options: Options) -> h5py.Dataset:
    """The only dataset that images can be in."""
    axes = options.axes
    if axes is None:
        return find_dataset(files, None, (3, 4), lambda shape: len(shape) > 4)
    return find_dataset(
        files, None, (len(axes),), lambda shape: can_have(shape, axes), lambda shape: len(shape) > 2
    )


def _describe(
    path: str, dataset: h5py.Dataset, options: Options, family: Family | None
) -> tuple[tuple[int, ...], str]:
    """The shape and axes of a dataset, in the order in which it is stored."""
    shape = dataset.shape
    if shape is None or any(n < 1 for n in shape):
        raise ValueError(f"{path}: dataset {dataset.name} has no images: its shape is {shape}")
    if family is not None and family.extent is not None:
        shape = family.extent(dataset)
    axes = options.axes or (None if family is None else family.axes)
    if axes is None and HDF5_MARK in dataset.attrs:
        axes = written_axes(dataset)
    axes = array_axes(f"{path}, dataset {dataset.name}", shape, axes, own_channel(options))
    found = options.axes is None and family is not None and HDF5_MARK not in dataset.attrs
    if found and image_shape(shape, axes)[1][2:] == (1,):
        axes = axes.replace("Z", LEFT_OUT)
    _, dims = image_shape(shape, axes)
    check_claim(path, math.prod(dims) * dataset.dtype.itemsize, dataset.file.id.get_filesize())
    return shape, axes
