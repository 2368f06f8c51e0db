"""Whether a complete output is what a job that resumes was asked for.

An output says nothing of the times or the directories of its input: the same recording gives the
same bytes wherever it lies. So some of its values are compared with those of the records.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.json_types import JsonObject
from ..core.text import quote
from ..engine.narrowing import Narrow
from ..engine.runner import Action
from ..engine.selection import Settled
from ..errors import FormatError
from ..exchange.to_series import ExchangeSource
from ..formats.hdf5_plugins import filters_of
from ..spmd.agreement import from_rank
from ..writers.output.plain import read_object

if TYPE_CHECKING:
    from ..readers.series.header import SeriesHeader
    from ..writers.zarr.layout import ZarrForm

__all__ = [
    "OTHERWISE",
    "Open",
    "Stored",
    "check_arrays",
    "check_form",
    "check_shape",
    "check_values",
    "stored_series",
]

# The values that are compared of images: so many pixels, of so many bytes over all times.
PIXELS = 256
SAMPLE_BYTES = 8 << 20
OTHERWISE = "choose another path, or remove it"


@dataclass(frozen=True)
class Stored:
    """What a complete output holds.

    Attributes
    ----------
    shape : list of int
        dims + (T,).
    dtype : str
    index : ndarray or None
        None: the values count from 0.
    read : callable
        Takes ascending numbers of pixels and of times, and returns the values, (pixels, times).
    """

    shape: list[int]
    dtype: str
    index: np.ndarray | None
    read: Callable[[np.ndarray, np.ndarray], np.ndarray]


# Opens a complete output, given its path and the options that determine its bytes. Local.
Open = Callable[[str, JsonObject], Stored]


def stored_series(path: str, options: JsonObject) -> Stored:
    """Return what a file or directory holds that `loadSeries` takes.

    Raises
    ------
    FileExistsError
        If it is something else.
    """
    try:
        header = _inspect(path, options)
    except FormatError:  # it is damaged
        raise
    except ValueError as error:
        raise FileExistsError(
            f"{path} exists, but is another kind of output ({error}); {OTHERWISE}"
        ) from None

    def read(pixels: np.ndarray, times: np.ndarray) -> np.ndarray:
        from ..readers.base import Scratch
        from ..readers.series.base import open_series

        found = np.empty((len(pixels), header.length), header.dtype)
        with open_series(header, Scratch()) as handle:
            handle.read_pixels(pixels, found)
        return found[:, times]

    return Stored([*header.dims, header.length], str(header.dtype), header.index, read)


def check_shape(path: str, options: JsonObject, index: np.ndarray, stored: Stored) -> None:
    """Raise FileExistsError unless a complete output has this shape, dtype and index.

    Local: rank 0.
    """
    wanted = (options["shape"], options["dtype"])
    if (stored.shape, stored.dtype) != wanted:
        raise FileExistsError(
            f"{path} is complete, but holds {stored.shape} {stored.dtype} and not "
            f"{wanted[0]} {wanted[1]}; choose another path"
        )
    found = np.arange(stored.shape[-1]) if stored.index is None else stored.index
    if not np.array_equal(found, index):
        raise FileExistsError(
            f"{path} is complete, but its values have another index than these; {OTHERWISE}"
        )


def _inspect(path: str, options: JsonObject) -> SeriesHeader:
    from ..readers.series.base import inspect_series
    from ..readers.series.header import SeriesOptions

    kind = "hdf5" if os.path.isfile(path) else None  # whatever its name is
    dataset = options.get("dataset", "series")
    return inspect_series(path, SeriesOptions(inputFormat=kind, dataset=dataset))


def check_values(
    action: Action, records: Settled, path: str, options: JsonObject, opened: Open = stored_series
) -> None:
    """Raise FileExistsError unless a complete output has the values of these records. Collective.

    The first, the middle and the last record are read. Of images some pixels in a row are compared,
    from the brightest one on. Series that steps make of images are not compared: each value would
    need all images.
    """
    source, made = records.source, records
    if isinstance(source, ExchangeSource):
        images = source.records.settle(action)
        steps = [step.of_images() for step in records.steps if isinstance(step, Narrow)]
        if len(steps) < len(records.steps):
            return
        with_steps = replace(images, steps=(*images.steps, *steps)).describe()
        if not isinstance(with_steps, Settled):
            return
        made = with_steps
    elif source.collective:
        return
    places = np.unique([0, made.count // 2, made.count - 1])
    if 2 * len(places) * made.record_bytes > action.memory:
        return
    values = action.gather(made.take(places)).reshape(len(places), -1)
    pixels, times = places, np.arange(values.shape[1])
    if len(made.dims) > 1:
        brightest = int(np.nan_to_num(values[0].astype(np.float64), posinf=0, neginf=0).argmax())
        most = SAMPLE_BYTES // (made.count * made.dtype.itemsize)
        pixels = np.arange(brightest, min(brightest + min(PIXELS, most + 1), values.shape[1]))
        values, times = values[:, pixels].T, places
    from_rank(action.comm, 0, action.name, _compare, path, options, opened, pixels, times, values)


def _compare(
    path: str,
    options: JsonObject,
    opened: Open,
    pixels: np.ndarray,
    times: np.ndarray,
    values: np.ndarray,
) -> None:
    """Compare values, (pixels, times), with those of an output on disk. Local: rank 0."""
    found = opened(path, options).read(pixels, times)
    if not np.array_equal(found, values, equal_nan=values.dtype.kind == "f"):
        raise FileExistsError(
            f"{path} is complete, but has other values than these records: it was made of another "
            f"recording, or in another way; {OTHERWISE}"
        )


def check_form(
    path: str, dataset: str, layout: str, chunk: tuple[int, ...] | None, filters: list[int]
) -> None:
    """Raise FileExistsError unless a complete HDF5 file is stored in this form. Local: rank 0."""
    from ..readers.hdf5.datasets import as_text
    from ..readers.hdf5.opening import open_hdf5

    with open_hdf5(path) as file:
        stored = file[dataset]
        numbers = [number for number, _ in filters_of(stored)]
        found = (as_text(stored.attrs["layout"]), stored.chunks, numbers)
    for what, one, wanted in zip(
        ("layout", "chunks", "filters"), found, (layout, chunk, filters), strict=True
    ):
        if one != wanted:
            raise FileExistsError(
                f"{path} is complete, but has the {what} {one} and not {wanted}; {OTHERWISE}"
            )


def check_arrays(path: str, form: ZarrForm) -> None:
    """Raise FileExistsError unless a complete Zarr is stored in this form. Local: rank 0."""
    from ..formats.zarr.nodes import is_zarr, read_node

    for placed in form.arrays:
        inside = os.path.join(path, placed.name)
        if not is_zarr(inside):
            raise FileExistsError(
                f"{path} is complete, but has no array {placed.name}; {OTHERWISE}"
            )
        version = read_node(inside).version
        if version != form.version:
            raise FileExistsError(
                f"{inside} is complete, but has the version {version} and not {form.version}; "
                f"{OTHERWISE}"
            )
        for name, document in placed.array.documents().items():
            stored = read_object(inside, name)
            for what, wanted in document.items():
                if stored.get(what) != wanted:
                    raise FileExistsError(
                        f"{inside} is complete, but has the {what} {quote(stored.get(what))} and "
                        f"not {quote(wanted)}; {OTHERWISE}"
                    )
    further = os.path.join(path, str(len(form.arrays)))
    if form.layout == "images" and os.path.lexists(further):
        raise FileExistsError(f"{path} is complete, but has more levels; {OTHERWISE}")
