"""HDF5: a movie in one dataset.

Contiguous datasets without filters are read past the HDF5 library, straight from their
place in the file: the library would take its global lock for each read.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...errors import FormatError
from ...formats.output_names import HDF5_MARK, HDF5_SIGNATURE
from ..array_axes import (
    LEFT_OUT,
    array_axes,
    array_pages,
    can_have,
    cut_array,
    image_shape,
    own_channel,
    page_sizes,
    require_kind,
    taken_shape,
)
from ..base import Handle, Header, Reader, Scratch, check_claim
from ..flat.array import FlatArray, FlatHandle, image_grain, scratch_bytes
from ..options import Options
from ..page_handle import PageHandle, page_grain, page_header
from .families import Family, Told, recognise
from .handle import Hdf5Handle, chunk_grain
from .links import LeadsOut, LinkedFiles
from .opening import as_format_error
from .sequence import PLACE, SequenceHandle, numbered_datasets

if TYPE_CHECKING:
    import h5py


class Hdf5Reader(Reader):
    """The reader of HDF5 files: a movie or an image each."""

    name = "hdf5"
    signatures = (HDF5_SIGNATURE,)
    signature_places = (0, *(1 << power for power in range(9, 24)))  # behind a block of the user's
    takes = frozenset(
        {"dims", "dtype", "nplanes", "nchannels", "order", "flyback", "channel", "dataset", "axes",
         "follow", "incomplete"}
    )  # fmt: skip

    def inspect(self, path: str, options: Options) -> Header:
        try:
            return _inspect(path, options)
        except LeadsOut as error:
            said = str(error)
        following = replace(options, follow="directory")
        try:
            _inspect(path, following)
        except (OSError, ValueError):
            raise ValueError(said) from None
        raise ValueError(f"{said}; follow='directory' reads it from there")

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        files = LinkedFiles(path, follow=options.follow)
        try:
            with as_format_error(path):
                found = _find(files, options)
                header.require(path, found.dims, found.first.dtype)
                if not self.multiple(options, header):
                    header.require_count(path, found.count)
            return _open(files, found, header, scratch)
        except BaseException:
            files.close()
            raise

    def scratch_bytes(self, header: Header) -> int:
        return scratch_bytes(header)


class _Part(NamedTuple):
    """A dataset, and how it is read.

    Attributes
    ----------
    dataset : h5py.Dataset
    shape, axes
        In the order in which it is stored, as `cut_array` gives them.
    pages : (images, planes) ndarray, optional
        As `array_pages` gives them.
    stored : numpy.dtype
        As it is read, byte order included.
    place : (str, int), optional
        The file, and where in it the values lie in one piece as they are; None where they do not.
    channel : int, optional
        Which of C, where that is an axis.
    axis_sizes : dict
        As ``axes`` of `Header.found`.
    """

    dataset: h5py.Dataset
    shape: tuple[int, ...]
    axes: str
    pages: np.ndarray | None
    stored: np.dtype
    place: tuple[str, int] | None
    channel: int | None
    axis_sizes: JsonObject

    @property
    def dtype(self) -> np.dtype:
        return image_dtype(self.stored)

    @property
    def count(self) -> int:
        return taken_shape(self.shape, self.axes, self.pages)[0]

    @property
    def dims(self) -> tuple[int, ...]:
        return taken_shape(self.shape, self.axes, self.pages)[1]

    @property
    def inner_grain(self) -> int:
        """How many of the images, or pages, are stored together."""
        if self.place is not None:
            return image_grain(self.shape, self.axes, self.stored.itemsize)
        return chunk_grain(self.dataset, self.shape, self.axes)


class _Found(NamedTuple):
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
    first : _Part
    count : int
        The images of all.
    """

    path: str
    names: list[str]
    in_turn: bool
    options: Options
    family: Family | None
    first: _Part
    count: int

    @property
    def dims(self) -> tuple[int, ...]:
        return self.first.dims

    @property
    def grain(self) -> int:
        first = self.first
        grain = first.inner_grain
        if first.pages is not None:
            grain = page_grain(first.pages, grain)
        if self.in_turn and first.count % grain:  # the next dataset has chunks of its own
            return first.count
        return grain


def _inspect(path: str, options: Options) -> Header:
    with LinkedFiles(path, follow=options.follow) as files, as_format_error(path):
        found = _find(files, options)
        first = found.first
        told = Told({}, {}, {}) if found.family is None else found.family.tell(len(found.names))
        metadata = {**told.metadata, **read_metadata(first.dataset)}
        layout = {"axes": first.axes, "grain": found.grain}
        if found.in_turn:
            layout["axes"] = "T" + first.axes.replace("T", "")
        dims, dtype, count = found.dims, first.dtype, found.count
        if told.spacing:
            steps = tuple(told.spacing.get(axis) for axis in "YXZ"[: len(dims)])
            metadata.setdefault("pixelSize", steps)
        axes = first.axis_sizes
        if found.in_turn:
            axes = {**axes, "T": count}
        for name in found.names[1:-1]:
            files.release()
            _require_alike(found, name, _part_of(files, found, name))
        if files.followed:
            layout["followed"] = _state_of(files.followed)
    require_kind(path, dims, dtype, options)
    if "pixelSize" in metadata and len(metadata["pixelSize"]) != len(dims):
        del metadata["pixelSize"]
    return Header(path, dims, dtype, count, metadata, layout, {"axes": axes, **told.found})


def _state_of(paths: Sequence[str]) -> str:
    """What tells whether other files have changed, for the fingerprint of a job."""
    said = []
    for path in paths:
        status = os.stat(path)
        said.append((os.path.basename(path), status.st_size, status.st_mtime_ns))
    return sha256(repr(said).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _find(files: LinkedFiles, options: Options) -> _Found:
    """Which datasets are read, and how."""
    family = recognise(files, options)
    name = options.dataset
    if family is None and name is None:
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
    found = _Found(files.path, names, in_turn, options, family, first, first.count)
    if len(names) > 1:
        last = _part_of(files, found, names[-1])
        _require_alike(found, names[-1], last)
        found = found._replace(count=(len(names) - 1) * first.count + last.count)
    return found


def _part_of(files: LinkedFiles, found: _Found, name: str) -> _Part:
    return _part(files, found.family, name, found.options)


def _part(files: LinkedFiles, family: Family | None, name: str, options: Options) -> _Part:
    """One dataset, and how it is read."""
    path, dataset = files.path, files.dataset(name)
    if dataset is None:
        raise ValueError(
            f"{path}: has no dataset {name!r}; it has {_enumerate(_datasets(files.file))}"
        )
    image_dtype(dataset.dtype, f"{path}, dataset {dataset.name}: dtype")
    shape, axes = _describe(path, dataset, options, family)
    sizes = page_sizes(shape, axes, options)
    cut = shape != dataset.shape
    shape, axes = cut_array(path, shape, axes, options)
    pages = array_pages(path, image_shape(shape, axes)[0], options)
    place = None if cut else _place(files, dataset)
    stored = _stored(dataset.dtype, options, family)
    return _Part(dataset, shape, axes, pages, stored, place, own_channel(options), sizes)


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
        if not _is_plain(dataset):
            raise ValueError(
                f"{files.path}: the values of dataset {dataset.name}, of dtype {dataset.dtype}, "
                "stand in another file: copy them into one dataset"
            )
        return outside
    offset = dataset_offset(dataset)
    return None if offset is None else (dataset.file.filename, offset)


def _require_alike(found: _Found, name: str, part: _Part) -> None:
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


def _open(files: LinkedFiles, found: _Found, header: Header, scratch: Scratch | None) -> Handle:
    """The handle of what was found; `files` is closed with it."""
    if not found.in_turn:
        return _open_part(files.path, found.first, header, scratch, files)

    def open_part(number: int) -> Handle:
        name = found.names[number]
        with as_format_error(files.path):
            part = _part_of(files, found, name)
            _require_alike(found, name, part)
        return _open_part(files.path, part, header, scratch, None)

    return SequenceHandle(
        files.path, header, found.count, found.first.count, open_part, files, scratch
    )


def _open_part(
    path: str, part: _Part, header: Header, scratch: Scratch | None, files: LinkedFiles | None
) -> Handle:
    """The handle of one dataset; `files`, where they are given, are closed with it."""
    shape, axes = part.shape, part.axes
    own = header
    if part.pages is not None:
        own = page_header(header, image_shape(shape, axes)[0], part.inner_grain)
    inner: Handle
    if part.place is None:
        inner = Hdf5Handle(path, own, part.dataset, shape, axes, scratch, part.channel, files)
    else:
        file, offset = part.place
        inner = FlatHandle(
            file, own, FlatArray(offset, shape, axes, part.stored, part.channel), scratch
        )
        if files is not None:
            files.close()
    if part.pages is None:
        return inner
    return PageHandle(path, header, inner, part.pages, scratch)


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Every dataset of the file by its name, nested groups too; links out are not followed."""
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(note)
    return found


def _images(files: LinkedFiles, options: Options) -> h5py.Dataset:
    """The only dataset that images can be in."""
    axes = options.axes
    if axes is None:
        return find_dataset(files, None, (3, 4), lambda shape: len(shape) > 4)
    return find_dataset(
        files, None, (len(axes),), lambda shape: can_have(shape, axes), lambda shape: len(shape) > 2
    )


def find_dataset(
    files: LinkedFiles,
    name: str | None,
    ranks: tuple[int, ...],
    *otherwise: Callable[[tuple[int, ...]], bool],
) -> h5py.Dataset:
    """The dataset that was named, or the only one with so many axes.

    Where none has so many, the only one whose shape the first of `otherwise` accepts that accepts
    any.

    Raises
    ------
    ValueError
        If it is not there, or not the only one; the datasets are listed.
    """
    path, file = files.path, files.file
    if name is not None:
        dataset = files.dataset(name)
        if dataset is not None:
            return dataset
        raise ValueError(f"{path}: has no dataset {name!r}; it has {_enumerate(_datasets(file))}")
    datasets = _datasets(file)
    numeric = {n: d for n, d in datasets.items() if d.shape and _is_numeric(d)}
    # Coordinates along the axes of others are datasets, too; they are meant only where named.
    numeric = {n: d for n, d in numeric.items() if not d.is_scale} or numeric
    fitting = {n: d for n, d in numeric.items() if d.ndim in ranks}
    for accepts in otherwise:
        fitting = fitting or {n: d for n, d in numeric.items() if accepts(d.shape)}
    if len(fitting) == 1:
        dataset = next(iter(fitting.values()))
        files.require_readable(dataset)
        return dataset
    kinds = " or ".join(f"{rank}-D" for rank in ranks)
    if not fitting:
        raise ValueError(
            f"{path}: has no {kinds} dataset; it has {_enumerate(datasets)}; name one by dataset="
        )
    several = (
        f"{kinds} datasets"
        if next(iter(fitting.values())).ndim in ranks
        else f"datasets, none of them {kinds}"
    )
    raise ValueError(f"{path}: has several {several}: {_enumerate(fitting)}; name one by dataset=")


def _is_numeric(dataset: h5py.Dataset) -> bool:
    try:
        image_dtype(dataset.dtype)
    except (ValueError, TypeError):
        return False
    return True


def _enumerate(datasets: dict[str, h5py.Dataset]) -> str:
    if not datasets:
        return "none"
    named = [f"{name} {d.shape} {d.dtype}" for name, d in sorted(datasets.items())]
    more = f" and {len(named) - 10} more" if len(named) > 10 else ""
    return ", ".join(named[:10]) + more


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
    if options.axes is None and family is not None and image_shape(shape, axes)[1][2:] == (1,):
        axes = axes.replace("Z", LEFT_OUT)
    _, dims = image_shape(shape, axes)
    check_claim(path, math.prod(dims) * dataset.dtype.itemsize, dataset.file.id.get_filesize())
    return shape, axes


def written_axes(dataset: h5py.Dataset) -> str | None:
    """The axes of a dataset that mpimages wrote, by its attribute ``layout``."""
    volume = dataset.ndim == 4
    layout = as_text(dataset.attrs.get("layout"))
    return {"images": "TYXZ" if volume else "TYX", "series": "YXZT" if volume else "YXT"}.get(
        layout
    )


def as_text(value: object) -> str:
    """An attribute's text; empty where it is none."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def read_metadata(dataset: h5py.Dataset) -> JsonObject:
    """The metadata that mpimages wrote: JSON in the attribute ``metadata``."""
    if HDF5_MARK not in dataset.attrs:
        return {}
    try:
        metadata = json.loads(as_text(dataset.attrs.get("metadata")) or "{}")
    except (ValueError, RecursionError):
        return {}
    return plain_metadata(metadata)


def plain_metadata(metadata: object) -> JsonObject:
    """Metadata from JSON, where a tuple has become a list."""
    if not isinstance(metadata, dict):
        return {}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in metadata.items()}


def dataset_offset(dataset: h5py.Dataset) -> int | None:
    """Where in the file the values lie, if they lie there in one piece as they are."""
    import h5py

    plist = dataset.id.get_create_plist()
    plain = (
        plist.get_layout() == h5py.h5d.CONTIGUOUS
        and plist.get_external_count() == 0
        and plist.get_nfilters() == 0
        and _is_plain(dataset)
        and dataset.id.get_storage_size() == math.prod(dataset.shape) * dataset.dtype.itemsize
    )
    return dataset.id.get_offset() if plain else None


def _is_plain(dataset: h5py.Dataset) -> bool:
    """Whether values are stored as NumPy's: not so where some bits of each are padding."""
    import h5py

    stored: bool = h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type())
    return dataset.dtype.kind in "iuf" and stored
