"""HDF5: a movie in one dataset.

Contiguous datasets without filters are read past the HDF5 library, straight from their
place in the file: the library would take its global lock for each read.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..phases import phase
from .base import Handle, Header, Reader, Scratch, check_claim
from .flatarray import FlatHandle, check_axes, cut_array, image_shape, require_given, scratch_bytes
from .hdf5links import open_item, require_readable
from .hdf5open import HDF5_ENDINGS, open_hdf5, open_hdf5_file, told_as_damage
from .options import Options, image_dtype
from .rawio import byteswap, copy_axes, product

__all__ = ["Hdf5Reader", "as_text", "dataset_offset", "find_dataset", "plain_metadata",
           "read_metadata", "read_values"]


class Hdf5Reader(Reader):
    """The reader of HDF5 files: a movie or an image each."""

    name = "hdf5"
    extensions = HDF5_ENDINGS
    takes = frozenset({"dims", "dtype", "nplanes", "dataset", "axes"})

    def inspect(self, path: str, options: Options) -> Header:
        with open_hdf5(path) as file:
            dataset = find_dataset(path, file, options.dataset, (3, 4))
            shape, axes = _describe(path, dataset, options)
            dtype = image_dtype(dataset.dtype, path)
            metadata = read_metadata(dataset)
        count, dims = image_shape(shape, axes)
        require_given(path, dims, dtype, options)
        if "pixelSize" in metadata and len(metadata["pixelSize"]) != len(dims):
            del metadata["pixelSize"]
        return Header(path, dims, dtype, count, metadata, {"axes": axes})

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        with open_hdf5(path) as file:
            dataset = find_dataset(path, file, options.dataset, (3, 4))
            shape, axes = _describe(path, dataset, options)
            count, dims = image_shape(shape, axes)
            header.require(path, dims, image_dtype(dataset.dtype, path))
            if not self.multiple(options, header):
                header.require_count(path, count)
            offset, stored, name = dataset_offset(dataset), dataset.dtype, dataset.name
        if offset is not None:
            return FlatHandle(path, header, offset, shape, axes, stored, scratch)
        return Hdf5Handle(path, header, name, shape, axes, scratch)

    def scratch_bytes(self, header: Header) -> int:
        return scratch_bytes(header)


def _datasets(file: Any) -> dict[str, Any]:
    """Every dataset of the file by its name, nested groups too; links out are not followed."""
    import h5py

    found: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(note)
    return found


def find_dataset(path: str, file: Any, name: str | None, ranks: tuple[int, ...]) -> Any:
    """The dataset that was named, or the only one with so many axes.

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
        raise ValueError(f"{path}: has no dataset {name!r}; it has {_listed(_datasets(file))}")
    datasets = _datasets(file)
    fitting = {n: d for n, d in datasets.items() if d.ndim in ranks and _is_numeric(d)}
    if len(fitting) == 1:
        dataset = next(iter(fitting.values()))
        require_readable(path, file, dataset)
        return dataset
    kinds = " or ".join(f"{rank}-D" for rank in ranks)
    if not fitting:
        raise ValueError(
            f"{path}: has no {kinds} dataset; it has {_listed(datasets)}; name one by dataset="
        )
    raise ValueError(
        f"{path}: has several {kinds} datasets: {_listed(fitting)}; name one by dataset="
    )


def _is_numeric(dataset: Any) -> bool:
    try:
        image_dtype(dataset.dtype)
    except (ValueError, TypeError):
        return False
    return True


def _listed(datasets: dict[str, Any]) -> str:
    if not datasets:
        return "none"
    named = [f"{name} {d.shape} {d.dtype}" for name, d in sorted(datasets.items())]
    more = f" and {len(named) - 10} more" if len(named) > 10 else ""
    return ", ".join(named[:10]) + more


def _describe(path: str, dataset: Any, options: Options) -> tuple[tuple[int, ...], str]:
    """The shape and axes of a dataset, in the order in which it is stored."""
    shape = dataset.shape
    if shape is None or any(n < 1 for n in shape):
        raise ValueError(f"{path}: dataset {dataset.name} has no images: its shape is {shape}")
    axes = options.axes
    if axes is None and "mpimages_format" in dataset.attrs:
        axes = written_axes(dataset)
    axes = check_axes(f"{path}, dataset {dataset.name}", shape, axes, "TZYX")
    _, dims = image_shape(shape, axes)
    check_claim(path, product(dims) * dataset.dtype.itemsize, dataset.file.id.get_filesize())
    return cut_array(path, shape, axes, options)


def written_axes(dataset: Any) -> str | None:
    """The axes of a dataset that mpimages wrote, by its attribute ``layout``."""
    volume = dataset.ndim == 4
    layout = as_text(dataset.attrs.get("layout"))
    return {"images": "TYXZ" if volume else "TYX", "series": "YXZT" if volume else "YXT"}.get(
        layout
    )


def as_text(value: Any) -> str:
    """An attribute's text; empty where it is none."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def read_metadata(dataset: Any) -> dict[str, Any]:
    """The metadata that mpimages wrote: JSON in the attribute ``metadata``."""
    if "mpimages_format" not in dataset.attrs:
        return {}
    try:
        metadata = json.loads(as_text(dataset.attrs.get("metadata")) or "{}")
    except (ValueError, RecursionError):
        return {}
    return plain_metadata(metadata)


def plain_metadata(metadata: Any) -> dict[str, Any]:
    """Metadata from JSON, where a tuple has become a list."""
    if not isinstance(metadata, dict):
        return {}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in metadata.items()}


def dataset_offset(dataset: Any) -> int | None:
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
        and dataset.id.get_storage_size() == product(dataset.shape) * dataset.dtype.itemsize
    )
    return dataset.id.get_offset() if plain else None


def read_values(dataset: Any, out: np.ndarray, selection: tuple[slice, ...]) -> None:
    """Read a part of a dataset through the library into `out`, of its dtype in native order.

    Local. Bytes are swapped here: where the library swaps them, it leaves padding bits in.
    """
    dataset.read_direct(out.view(dataset.dtype), selection)
    byteswap(out, dataset.dtype)


class Hdf5Handle(Handle):
    """A dataset that must be read through the library: chunked or compressed."""

    def __init__(
        self,
        path: str,
        header: Header,
        name: str,
        shape: tuple[int, ...],
        axes: str,
        scratch: Scratch | None,
    ) -> None:
        count, _ = image_shape(shape, axes)
        super().__init__(path, header, count, scratch)
        self.shape, self.axes = shape, axes
        self._name = name
        self._file = open_hdf5_file(path)
        try:
            with told_as_damage(path):
                self._dataset = self._file[name]
        except BaseException:
            self._file.close()
            raise
        # Where nplanes cuts the Z axis into images and planes, these are one axis of the file.
        self._planes = shape[axes.index("Z")] if len(shape) > self._dataset.ndim else 1

    def close(self) -> None:
        self._file.close()

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        order = [self.axes.index(axis) for axis in "TYXZ" if axis in self.axes]
        time = self.axes.find("T")
        stored, selected = list(self.shape), list(self._dataset.shape)
        selection = [slice(None)] * len(selected)
        if time >= 0:
            stored[time] = stop - start
            selected[time] = (stop - start) * self._planes
            selection[time] = slice(start * self._planes, stop * self._planes)
        natural = order == sorted(order)
        values = out if natural else self.scratch.take(stored, out.dtype)
        target = values.reshape(selected)
        damage = told_as_damage(self.path, f"dataset {self._name}")
        with damage, phase("decode", target.nbytes):
            read_values(self._dataset, target, tuple(selection))
        if not natural:
            copy_axes(values, order, out if time >= 0 else out[0])
