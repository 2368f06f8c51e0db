"""Methods of Series that average over regions of pixels, or take the maximum along an axis."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ..core.arguments import check_choice, check_flag, check_int, check_text
from ..core.public import public
from ..core.text import expand_user, quote
from ..engine.chain import Chain, Shape
from ..engine.runner import Action
from ..engine.selection import Selection, places_of
from ..spmd.actions import action
from ..spmd.agreement import from_rank
from .base import SeriesMethods

__all__ = ["SeriesRegions"]

Regions = np.ndarray | Sequence[Sequence[Sequence[int]]]


@public
class SeriesRegions(SeriesMethods):
    """Means over regions of pixels. All regions are measured in one pass."""

    @action
    def meanByRegions(
        self,
        nestedKeys: Regions,
        validate: bool = False,
        weights: np.ndarray | Sequence[Sequence[float]] | None = None,
        excludeOverlaps: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean series of each of several regions. Collective; an action.

        Parameters
        ----------
        nestedKeys : ndarray of the Series' dims, or sequence of regions
            A boolean mask is one region; an integer mask has a region for each value but 0,
            in ascending order. A region in a sequence is a list of keys; one that is listed twice
            counts twice.
        validate : bool
            Whether a key without a record is an error. Otherwise the mean is that of the others.
        weights, excludeOverlaps
            As in `Images.meanByRegions`.

        Returns
        -------
        keys : (regions, axes) float64 ndarray
            The mean of the keys, by the same weights. It is not cut to whole numbers.
        values : (regions, T) float64 ndarray
            Means of integers are those of their exact sums; those of floats have the same bits as
            the `mean` of these records alone. A region without records is NaN.

        Raises
        ------
        ValueError, TypeError
            Where regions or weights are not as above; with `validate`, for a key without a record.
        MemoryError
            Where the result, or the lists of pixels, exceed the budget.
        """
        check = check_flag(validate, "meanByRegions: validate")
        exclude = check_flag(excludeOverlaps, "meanByRegions: excludeOverlaps")
        begun, series = self.records.begin("meanByRegions")
        return self._means(begun, series, nestedKeys, check, weights, exclude)

    @action
    def meanOfRegion(
        self, selection: np.ndarray | Sequence[Sequence[int]], validate: bool = False
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Mean key and mean series of one region. Collective; an action.

        Parameters
        ----------
        selection : ndarray of the Series' dims, or sequence of keys
            A mask of what is not 0, or a list of keys.
        validate : bool
            As in `meanByRegions`.

        Returns
        -------
        key : (axes,) float64 ndarray
        value : (T,) float64 ndarray
            Or None and None, if no key of the region has a record.

        Raises
        ------
        ValueError, TypeError
            As `meanByRegions`.
        """
        check = check_flag(validate, "meanOfRegion: validate")
        begun, series = self.records.begin("meanOfRegion")
        region: Any = [selection]
        if isinstance(selection, np.ndarray) and selection.shape == self._extent():
            if selection.dtype.kind not in "biu":
                raise TypeError(f"a mask must be boolean or of integers, got {selection.dtype}")
            region = selection != 0
        keys, values = self._means(begun, series, region, check)
        return (None, None) if np.isnan(keys).any() else (keys[0], values[0])

    @action
    def query(
        self,
        inds: Sequence[Sequence[int]] | str | os.PathLike[str],
        var: str = "inds",
        order: str = "F",
        isOneBased: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean key and mean series of each group of linear indices. Collective; an action.

        Parameters
        ----------
        inds : sequence of lists of int, or path
            Each list has the numbers of a group's pixels. A path is that of a MAT file, which
            needs SciPy.
        var : str
            The name of the cell array in a MAT file; otherwise without effect.
        order : {'F', 'C'}
            Whether the first or the last axis of the keys is the fastest in these numbers.
        isOneBased : bool
            Whether they count from 1.

        Returns
        -------
        keys : (groups, axes) float64 ndarray
            Means of keys as this Series has them: they count from 0.
        values : (groups, T) float64 ndarray
            As `meanByRegions`.

        Raises
        ------
        ValueError, TypeError
            Where a list is empty, or a number lies outside the Series.
        OSError, KeyError
            Where a MAT file cannot be read, or has no such variable.
        """
        check_choice(order, "query: order", ("F", "C"))
        one_based = check_flag(isOneBased, "query: isOneBased")
        name = check_text(var, "query: var")
        begun, series = self.records.begin("query")
        groups: Any = inds
        if isinstance(inds, str | os.PathLike):
            path = expand_user(check_text(os.fspath(inds), "query: inds"))
            groups = from_rank(begun.comm, 0, begun.name, _cells, path, name, given=(path, name))
        elif name != "inds":
            raise ValueError(f"query: var={quote(name)} is for a MAT file, but inds is none")
        shape = self._extent()
        regions = _of_numbers(groups, shape, order, int(one_based))
        return self._means(begun, series, regions, False)

    def _means(
        self,
        begun: Action,
        series: Selection,
        regions: Any,
        validate: bool,
        weights: Any = None,
        exclude: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean keys and values of regions. Collective."""
        from ..statistics.groups import Groups, group_means
        from ..statistics.regions import present_regions, regions_of

        shape, method = self._extent(), begun.method
        if isinstance(regions, np.ndarray):
            found = regions_of(regions, shape, weights, exclude, method)
        else:
            found = present_regions(regions, shape, weights, exclude, method, validate)
        places = [places_of(series.keys, pixels) for pixels in found.pixels]
        there = [one >= 0 for one in places]
        for pixels, some in zip(found.pixels, there, strict=True):
            if validate and not some.all():
                missing = self._key(pixels[~some][0])
                raise ValueError(f"{method}: a filter has left out the record with key {missing}")
        found = found.kept(there)
        begun.together(found.checksum).agree()
        places = [one[some] for one, some in zip(places, there, strict=True)]
        values = group_means(begun, series, Groups.of(places, found.weights))
        return mean_keys(found, shape), values

    @action
    def maxProject(self, axis: int = 0) -> Self:
        """Maximum over an axis of the keys: a Series with one axis less. Collective; an action.

        The values keep their dtype, and NaN wins. Each rank keeps its share of the result in
        memory. `Images.maxProjection` before `toSeries` gives the same, lazily and without that
        memory, where nothing was done to the series.

        Parameters
        ----------
        axis : int
            Of the keys: 0 (row), 1 (column) or 2 (page); negative ones count from the last.

        Raises
        ------
        ValueError
            Where the keys have no such axis, or no other one, or a filter has left out records.
        MemoryError
            Where the result exceeds the budget.
        """
        from ..engine.sources import MemorySource
        from ..statistics.maxima import project_keys

        number = check_int(axis, "maxProject: axis")
        begun, series = self._whole("maxProject")
        shape = self._extent()
        if not -len(shape) <= number < len(shape):
            raise ValueError(
                f"maxProject: axis {number} is out of range: the keys have dims {shape}"
            )
        if len(shape) == 1:
            raise ValueError("maxProject: the keys have one axis; max() is the maximum over it")
        number %= len(shape)
        block, known, partition = project_keys(begun, series, shape, number)
        source = MemorySource(block, known.dims, known.dtype, partition)
        source.number = known.source.number
        projected = type(self)(
            self.session,
            Chain.whole(source),
            self.metadata,
            self.records.inputs,
            dims=shape[:number] + shape[number + 1 :],
            index=self._labels(known.dims[0]),
        )
        size = self.metadata.get("pixelSize")
        if isinstance(size, list | tuple) and len(size) == len(shape):
            projected.metadata["pixelSize"] = (*size[:number], *size[number + 1 :])
        return projected


def mean_keys(regions: Any, shape: Shape) -> np.ndarray:
    """Return the weighted mean key of each region, (regions, axes) float64. Local."""
    keys = np.full((len(regions.pixels), len(shape)), np.nan)
    for number, pixels in enumerate(regions.pixels):
        if len(pixels) == 0:
            continue
        each = np.stack(np.unravel_index(pixels, shape), axis=1)
        if regions.weights is None:
            keys[number] = each.sum(axis=0) / len(each)  # sums of integers are exact
        else:
            keys[number] = np.average(each, axis=0, weights=regions.weights[number])
    return keys


def _of_numbers(groups: Any, shape: Shape, order: Any, base: int) -> list[np.ndarray]:
    """Return the keys of pixels that are given by their numbers, (k, axes) each. Local."""
    from ..statistics.regions import check_coordinates

    try:
        given = list(groups)
        if isinstance(groups, bytes | dict | set) or not given:
            raise TypeError
    except Exception:  # of any type: the code of the user's object runs here
        raise TypeError(f"query: inds must be lists of integers, got {quote(groups)}") from None
    found = []
    for place, one in enumerate(given):
        numbers = check_coordinates(one, f"query: inds[{place}]", 1)[:, 0] - base
        size = int(np.prod(shape, dtype=np.int64))
        if ((numbers < 0) | (numbers >= size)).any():
            raise ValueError(
                f"query: inds[{place}] has numbers outside {base}…{size - 1 + base}, those of dims "
                f"{shape}"
            )
        found.append(np.stack(np.unravel_index(numbers, shape, order), axis=1))
    return found


def _cells(path: str, name: str) -> list[list[int]]:
    """Return the lists of integers of a cell array in a MAT file. Local."""
    from scipy.io import loadmat

    try:
        found = loadmat(path, appendmat=False)
    except NotImplementedError:  # version 7.3
        raise ValueError(f"query: {path} is an HDF5 file: read it with h5py") from None
    if name not in found:
        raise KeyError(f"{path} has no variable {name!r}")
    cells = found[name]
    each = cells.reshape(-1) if cells.dtype == object else cells
    return [[int(number) for number in np.ravel(one)] for one in each]
