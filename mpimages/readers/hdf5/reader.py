"""HDF5: a movie in one dataset.

Contiguous datasets without filters are read past the HDF5 library, straight from their
place in the file: the library would take its global lock for each read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...formats.output_names import HDF5_MARK, HDF5_SIGNATURE
from ..array_axes import array_axes, can_have, cut_array, image_shape, require_kind
from ..base import Handle, Header, Reader, Scratch, check_claim
from ..flat.array import FlatArray, FlatHandle, image_grain, scratch_bytes
from ..options import Options
from .handle import Hdf5Handle, chunk_grain
from .links import open_item, require_readable
from .opening import open_hdf5

if TYPE_CHECKING:
    import h5py


class Hdf5Reader(Reader):
    """The reader of HDF5 files: a movie or an image each."""

    name = "hdf5"
    signatures = (HDF5_SIGNATURE,)
    signature_places = (0, *(1 << power for power in range(9, 24)))  # behind a block of the user's
    takes = frozenset({"dims", "dtype", "nplanes", "channel", "dataset", "axes", "incomplete"})

    def inspect(self, path: str, options: Options) -> Header:
        with open_hdf5(path) as file:
            dataset = _images(path, file, options)
            shape, axes = _describe(path, dataset, options)
            dtype = image_dtype(dataset.dtype, f"{path}: dtype")
            metadata = read_metadata(dataset)
            plain = dataset_offset(dataset) is not None
            grain = (
                image_grain(shape, axes, dtype.itemsize)
                if plain
                else chunk_grain(dataset, shape, axes)
            )
        count, dims = image_shape(shape, axes)
        require_kind(path, dims, dtype, options)
        if "pixelSize" in metadata and len(metadata["pixelSize"]) != len(dims):
            del metadata["pixelSize"]
        return Header(path, dims, dtype, count, metadata, {"axes": axes, "grain": grain})

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        with open_hdf5(path) as file:
            dataset = _images(path, file, options)
            shape, axes = _describe(path, dataset, options)
            count, dims = image_shape(shape, axes)
            header.require(path, dims, image_dtype(dataset.dtype, f"{path}: dtype"))
            if not self.multiple(options, header):
                header.require_count(path, count)
            offset, stored, name = dataset_offset(dataset), dataset.dtype, dataset.name
        if offset is not None:
            array = FlatArray(offset, shape, axes, stored, options.channel)
            return FlatHandle(path, header, array, scratch)
        return Hdf5Handle(path, header, name, shape, axes, scratch, options.channel)

    def scratch_bytes(self, header: Header) -> int:
        return scratch_bytes(header)


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Every dataset of the file by its name, nested groups too; links out are not followed."""
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(note)
    return found


def _images(path: str, file: h5py.File, options: Options) -> h5py.Dataset:
    """The dataset that was named, or the only one that images can be in."""
    axes = options.axes
    if axes is None:
        return find_dataset(path, file, options.dataset, (3, 4), lambda shape: len(shape) > 4)
    return find_dataset(
        path,
        file,
        options.dataset,
        (len(axes),),
        lambda shape: can_have(shape, axes),
        lambda shape: len(shape) > 2,
    )


def find_dataset(
    path: str,
    file: h5py.File,
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
    import h5py

    if name is not None:
        item = open_item(path, file, name)
        if isinstance(item, h5py.Dataset):
            require_readable(path, file, item)
            return item
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
        require_readable(path, file, dataset)
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


def _describe(path: str, dataset: h5py.Dataset, options: Options) -> tuple[tuple[int, ...], str]:
    """The shape and axes of a dataset, in the order in which it is stored."""
    shape = dataset.shape
    if shape is None or any(n < 1 for n in shape):
        raise ValueError(f"{path}: dataset {dataset.name} has no images: its shape is {shape}")
    axes = options.axes
    if axes is None and HDF5_MARK in dataset.attrs:
        axes = written_axes(dataset)
    axes = array_axes(f"{path}, dataset {dataset.name}", shape, axes, options.channel)
    _, dims = image_shape(shape, axes)
    check_claim(path, math.prod(dims) * dataset.dtype.itemsize, dataset.file.id.get_filesize())
    return cut_array(path, shape, axes, options)


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
        and dataset.dtype.kind in "iuf"
        # Not so where some bits of each value are padding.
        and h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type())
        and dataset.id.get_storage_size() == math.prod(dataset.shape) * dataset.dtype.itemsize
    )
    return dataset.id.get_offset() if plain else None
