"""One dataset of an HDF5 file: how it is found, what mpimages wrote beside it, where it lies."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...core.text import shortened
from ...formats.matlab import CLASS
from ...formats.output_names import HDF5_MARK
from .links import LinkedFiles

if TYPE_CHECKING:
    import h5py


def all_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Every dataset of the file by its name, nested groups too; links out are not followed."""
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(note)
    return found


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
        raise ValueError(f"{path}: has no dataset {name!r}; it has {listed(all_datasets(file))}")
    datasets = all_datasets(file)
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
        links = _links_out(files.file)
        more = f", and links into other files: {shortened(links)}" if links else ""
        raise ValueError(
            f"{path}: has no {kinds} dataset; it has {listed(datasets)}{more}; name one by dataset="
        )
    several = (
        f"{kinds} datasets"
        if next(iter(fitting.values())).ndim in ranks
        else f"datasets, none of them {kinds}"
    )
    raise ValueError(f"{path}: has several {several}: {listed(fitting)}; name one by dataset=")


def _links_out(file: h5py.File) -> list[str]:
    """The names in a file that are links into others."""
    import h5py

    found: list[str] = []

    def note(name: str, link: object) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(name)

    file.visititems_links(note)
    return found


def _is_numeric(dataset: h5py.Dataset) -> bool:
    try:
        image_dtype(dataset.dtype)
    except (ValueError, TypeError):
        return False
    return True


def listed(datasets: dict[str, h5py.Dataset]) -> str:
    if not datasets:
        return "none"
    named = [f"{name} {d.shape} {d.dtype}" for name, d in sorted(datasets.items())]
    more = f" and {len(named) - 10} more" if len(named) > 10 else ""
    return ", ".join(named[:10]) + more


def written_axes(dataset: h5py.Dataset) -> str | None:
    """The axes of a dataset that mpimages wrote, by its attribute ``layout``, or for MATLAB."""
    volume = dataset.ndim == 4
    if CLASS in dataset.attrs:
        return "TZXY" if volume else "TXY"
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
        and is_plain(dataset)
        and dataset.id.get_storage_size() == math.prod(dataset.shape) * dataset.dtype.itemsize
    )
    return dataset.id.get_offset() if plain else None


def is_plain(dataset: h5py.Dataset) -> bool:
    """Whether values are stored as NumPy's: not so where some bits of each are padding."""
    import h5py

    stored: bool = h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type())
    return dataset.dtype.kind in "iuf" and stored
