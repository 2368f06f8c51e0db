"""Arrays in place: a recording, or an output, as one lazy array of one process. Without MPI."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .core.arguments import check_choice, check_flag
from .core.json_types import JsonObject
from .core.public import public
from .core.text import quote
from .readers.base import Closing
from .stored_arrays import Stored, find_stored

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["LocalArray", "open"]

# Of an index: the box of each axis that is kept or dropped, and the new axes among them.
Selected = tuple[list[range], list[bool], list[int]]


@public
def open(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    layout: str | None = None,
    dims: Sequence[int] | None = None,
    dtype: object = None,
    inputFormat: str | None = None,
    ext: str | None = None,
    startIdx: int | None = None,
    stopIdx: int | None = None,
    recursive: bool = False,
    nplanes: int | str | None = None,
    channel: int | None = None,
    dataset: str | None = None,
    axes: str | None = None,
    confFilename: str = "conf.json",
    nchannels: int | None = None,
    incomplete: str | None = None,
    shape: Sequence[int] | None = None,
    order: str | None = None,
    flyback: int | Sequence[int] | None = None,
    pattern: str | None = None,
    follow: str | None = None,
) -> LocalArray:
    """Open a recording or an output as a lazy array. Local: no MPI is started.

    Parameters
    ----------
    path : path, or list of paths
        Whatever `loadImages` or `loadSeries` reads, but for series as text.
    layout : {'images', 'series'}, optional
        Images are an array (T, row, column[, page]), series (row[, column[, page]], T). Default:
        what mpimages has written as series is one (the directory of a binary series, an HDF5
        file or a Zarr with ``layout='series'``), all else is images.
    dims, dtype, inputFormat, ext, startIdx, stopIdx, recursive, nplanes, channel, dataset, axes, \
confFilename, nchannels, incomplete, shape, order, flyback, pattern, follow : optional
        Of images as in `ThunderContext.loadImages`; of series `inputFormat`, `dataset` and
        `confFilename`, as in `ThunderContext.loadSeries`.

    Returns
    -------
    LocalArray
        Only names and headers have been read. To count images, files that may hold several are
        opened once.

    Raises
    ------
    FileNotFoundError
        Where there is nothing to open.
    FormatError
        Where it is damaged, unfinished or of another format.
    ValueError
        Where the arguments contradict each other or the files, or mean nothing for a series.

    Examples
    --------
    >>> import dask.array, mpimages                                     # doctest: +SKIP
    >>> movie = mpimages.open('recording/')                             # doctest: +SKIP
    >>> movie[10], movie[:100, 30, 40], movie[..., ::2]                 # doctest: +SKIP
    >>> dask.array.from_array(movie).mean(axis=0).compute()             # doctest: +SKIP
    """
    if layout is not None:
        check_choice(layout, "layout", ("images", "series"))
    asked: JsonObject = {
        "dims": dims,
        "dtype": dtype,
        "nplanes": nplanes,
        "channel": channel,
        "dataset": dataset,
        "axes": axes,
        "confFilename": confFilename,
        "nchannels": nchannels,
        "incomplete": incomplete,
        "shape": shape,
        "order": order,
        "flyback": flyback,
        "pattern": pattern,
        "follow": follow,
    }
    finding: JsonObject = {
        "inputFormat": inputFormat,
        "ext": ext,
        "recursive": check_flag(recursive, "recursive"),
        "startIdx": startIdx,
        "stopIdx": stopIdx,
    }
    return LocalArray(find_stored(path, layout, asked, finding))


@public
class LocalArray(Closing):
    """A lazy array of one process: values are read when it is indexed. Made by `mpimages.open`.

    It has what dask, xarray, napari and NumPy ask of an array: ``dask.array.from_array(array)``,
    ``numpy.asarray(array[10:20])``. Several threads may read from it at once. It can be pickled:
    each process opens the files by itself, under the same absolute paths.

    Attributes
    ----------
    shape : tuple of int
        (T, row, column[, page]) of images, (row[, column[, page]], T) of series.
    dtype : numpy.dtype
        In native byte order.
    chunks : tuple of int
        The shape of a part that is well read at once, as dask takes it: images that are stored
        together, or the chunk of an HDF5 dataset; of series that lie plainly some 16 MB.
    axes : tuple of str
        'time', 'row', 'column' and 'page', in the order of `shape`.
    layout : {'images', 'series'}
    metadata : dict
        As ``Images.metadata``: pixelSize, unit, frameInterval, where the files have them.
    index : ndarray or None
        The labels of a Series' values, where it has any.
    """

    _made_by = "mpimages.open(path)"

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._stored.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the values."""
        return self._stored.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that all values would take in memory."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a part that is well read at once."""
        return self._stored.chunks

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes, as xarray's ``dims``."""
        return self._stored.axes

    @property
    def layout(self) -> str:
        """'images' or 'series'."""
        return self._stored.layout

    @property
    def metadata(self) -> JsonObject:
        """What the files say of pixels and times; a copy."""
        return dict(self._stored.metadata)

    @property
    def index(self) -> np.ndarray | None:
        """The labels of a Series' values, where it has any; a copy."""
        found = self._stored.index
        return None if found is None else found.copy()

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        """Read a part of the array, by NumPy's basic indexing.

        Parameters
        ----------
        key : int, slice, Ellipsis, None, or a tuple of these
            Negative numbers count from the end; slices may have any step; None is a new axis of
            length 1.

        Returns
        -------
        ndarray, or a NumPy scalar where all axes are indexed by integers
            New memory. Beside it, reading takes at most some 128 MB, or one image.

        Raises
        ------
        IndexError
            For a number out of range, or too many of them.
        TypeError
            For lists, masks and arrays: ``dask.array.from_array(array)`` takes them.
        """
        ranges, dropped, added = _select(key, self.shape)
        # Files are read forwards; what was asked for backwards is turned round at the end.
        forward = [r if r.step > 0 else r[::-1] for r in ranges]
        out = np.empty([len(r) for r in forward], self.dtype)
        if out.size:
            self._stored.read(forward, out)
        turn = tuple(slice(None, None, 1 if r.step > 0 else -1) for r in ranges)
        view = out[turn].reshape([len(r) for r, d in zip(ranges, dropped, strict=True) if not d])
        for axis in added:
            view = np.expand_dims(view, axis)
        return view if view.ndim else view[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all values. An array of this kind has no memory: ``copy=False`` is a ValueError."""
        if copy is False:
            raise ValueError(
                "the values are in files: numpy.asarray(array) reads them; copy=False cannot"
            )
        values: np.ndarray = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)

    def close(self) -> None:
        """Close the files that are open; may be called twice. What is read later opens them."""
        self._stored.close()

    def __dask_tokenize__(self) -> object:
        return type(self).__name__, self._stored.token()

    def __dir__(self) -> list[str]:
        return sorted(name for name in dir(type(self)) if name[0] != "_")

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        names = ", ".join(self.axes)
        return f"LocalArray: {shape} ({names}), {self.dtype}, {quote(self._stored.path)}"


def _select(key: object, shape: tuple[int, ...]) -> Selected:
    """Say which part of an array of `shape` a key selects.

    Returns
    -------
    ranges : list of range
        Which numbers of each axis.
    dropped : list of bool
        Whether the axis is indexed by an integer.
    added : list of int
        The places of new axes in the result, ascending.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    if sum(part is Ellipsis for part in parts) > 1:
        raise IndexError("an index can have one ellipsis (...) only")
    given = sum(part is not None and part is not Ellipsis for part in parts)
    if given > len(shape):
        raise IndexError(f"too many indices: {given} for an array of {len(shape)} axes")
    rest = [slice(None)] * (len(shape) - given)
    place = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
    parts = [*parts, *rest] if place is None else [*parts[:place], *rest, *parts[place + 1 :]]
    ranges: list[range] = []
    dropped: list[bool] = []
    added: list[int] = []
    for part in parts:
        if part is None:
            added.append(len(added) + dropped.count(False))
            continue
        chosen, drop = _along(part, len(ranges), shape[len(ranges)])
        ranges.append(chosen)
        dropped.append(drop)
    return ranges, dropped, added


def _along(part: object, axis: int, length: int) -> tuple[range, bool]:
    """Say which numbers of an axis are selected, and whether by an integer."""
    if isinstance(part, slice):
        try:
            return range(length)[part], False
        except TypeError:
            raise TypeError(f"slices are of integers, got {quote(part)}") from None
    try:
        if isinstance(part, bool | np.bool_):
            raise TypeError
        number = operator.index(part)  # type: ignore[arg-type]
    except Exception:  # of any type: it is the object that is asked
        raise TypeError(
            f"an index is of integers, slices, ... and None, got {quote(part)}; for others read "
            "a part first, or use dask.array.from_array"
        ) from None
    if not -length <= number < length:
        raise IndexError(f"index {number} is out of range: axis {axis} has length {length}")
    number %= length
    return range(number, number + 1), True
