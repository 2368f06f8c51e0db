"""A distributed collection of time series, one for each pixel."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .core.arguments import check_choice, check_int, check_number, check_seed
from .core.partition import Partition
from .core.public import public
from .dims import Dims
from .engine.chain import Positions, Shape
from .engine.runner import Action
from .engine.selection import Settled
from .engine.series_steps import statistic_rows
from .methods.arithmetic import SeriesArithmetic
from .methods.base import SeriesMethods, labels_of
from .methods.baselines import Baselines
from .methods.indexing import Indexing
from .methods.lookup import SeriesLookup
from .methods.mapping import SeriesMapping
from .methods.matrices import Matrices
from .methods.regions import SeriesRegions
from .methods.series_statistics import SeriesStatistics
from .methods.time_toolbox import TimeToolbox
from .methods.toolbox import SeriesToolbox
from .spmd import memory_limit
from .spmd.actions import action, stoppable
from .spmd.agreement import allgather_rows, from_rank
from .spmd.collectives import allgather, allreduce

if TYPE_CHECKING:
    from .blocks import Blocks
    from .conversion.saving import Content
    from .images import Images
    from .statistics.sample import Sample

__all__ = ["Series", "TimeSeries"]

SUBSET_STATISTICS = {"mean": "mean", "std": "stdev", "max": "max", "min": "min", "norm": "norm"}


@public
class Series(
    SeriesMapping,
    SeriesLookup,
    SeriesArithmetic,
    SeriesStatistics,
    SeriesToolbox,
    Indexing,
    SeriesRegions,
    Matrices,
    SeriesMethods,
):
    """Series of values, one a record: the key a pixel (row, column[, page]), the value 1-D.

    Made by `Images.toSeries` and the ``load*`` methods of `ThunderContext`. Properties are
    local; every other method is to be called by all ranks and gives all ranks the same.
    Methods that return a Series are lazy, unless they say "action".
    """

    # -- properties: local -----------------------------------------------------------------

    @property
    def shape(self) -> Shape | None:
        """dims + (T,), as `toArray` gives it; None while only an action can tell. Local.

        (n, T) where a filter has left n of the pixels.
        """
        dims, count, length = self.dims, self.records.count, self._length()
        if dims is None or count is None or length is None:
            return None
        return (*dims, length) if count == math.prod(dims) else (count, length)

    def __len__(self) -> int:
        """The first number of `shape`, as of an ndarray. Local; TypeError where it is None."""
        shape = self.shape
        if shape is None:
            raise TypeError(
                f"len() of this {type(self).__name__} is not known yet: an action finds it, such "
                "as first()"
            )
        return shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        """TypeError: pixels are too many for a loop of collective calls."""
        raise TypeError(
            f"a {type(self).__name__} has too many records for a loop: apply(func) calls a "
            "function for each, and toArray() gathers an ndarray"
        )

    def __repr__(self) -> str:
        unknown = "None (inspect to compute)"
        records, seen = self.records, self.records.inspected
        dims, dtype = (self._shape(), records.dtype) if seen else (None, None)
        index = self.index if seen else None
        return "\n".join(
            [
                type(self).__name__,
                f"nrecords: {unknown if records.count is None else records.count}",
                f"dtype: {unknown if dtype is None else dtype}",
                f"index: {unknown if index is None else index}",
                f"dims: {unknown if dims is None else Dims(dims)}",
            ]
        )

    # -- keys ------------------------------------------------------------------------------

    @action
    def __getitem__(self, key: tuple[int, ...]) -> np.ndarray:
        """The series of one pixel, 1-D. Collective; an action.

        Negative coordinates count from the end of their axis.

        Raises
        ------
        KeyError
            Where there is no such pixel; the message says what there is.
        """
        value = self._value(key, "__getitem__", from_end=True)
        if value is None:
            raise KeyError(
                f"no record with key {key}: dims are {Dims(self._shape() or ())}, "
                f"{self.records.count} records"
            )
        return value

    @action
    def get(self, key: tuple[int, ...]) -> np.ndarray | None:
        """The series of one pixel, or None where there is none. Collective; an action.

        The key is just (row, column[, page]).
        """
        return self._value(key, "get", from_end=False)

    def _value(self, key: object, method: str, from_end: bool) -> np.ndarray | None:
        self.records.begin(method)
        return self._find(self._number(key, from_end), method)

    # -- arrays ----------------------------------------------------------------------------

    @action
    def toArray(self) -> np.ndarray:
        """All series in one array, dims + (T,), on every rank. Collective; an action.

        Raises
        ------
        MemoryError
            Where that exceeds the budget.
        ValueError
            Where a filter has left out pixels.
        """
        begun, series = self._whole("toArray")
        rows = begun.gather(series)
        return rows.reshape(*self._extent(), rows.shape[1])

    @action
    def pack(self) -> np.ndarray:
        """All series in one array, (T,) + dims, axes of length 1 left out, on every rank.

        Collective; an action. Raises as `toArray`.
        """
        begun, series = self._whole("pack")
        rows = begun.gather(series)
        return np.ascontiguousarray(rows.T).reshape(rows.shape[1], *self._extent()).squeeze()

    # -- steps: lazy -----------------------------------------------------------------------

    def toTimeSeries(self) -> TimeSeries:
        """The same records as a `TimeSeries`. Collective; lazy."""
        return self._as(TimeSeries, self.records.chain, self._index)

    def toImages(self) -> Images:
        """The same values as Images: a record per time, with all pixels. Collective; lazy.

        The keys are the index where that ascends from 0 or more, else they count from 0. Of a
        Series that `Images.toSeries` has just made they are those images. Otherwise an action
        moves the values between the ranks. Where a rank's share exceeds a third of the budget, the
        series are read, and their steps are run, once for each of several windows of the times.

        Raises
        ------
        ValueError
            Where a filter has left out pixels; by the action, where only that can tell.
        MemoryError
            By the action, where one image does not fit into the budget three times.
        """
        from .exchange.frames import FrameSource, chain_of
        from .exchange.source import ExchangeSource
        from .images import Images

        chain, source = self.records.chain, self.records.chain.source
        if (
            isinstance(source, ExchangeSource)
            and self._index is None
            and not chain.steps
            and chain.count == source.count
            and self._shape() == source.images.dims
        ):
            made = source.images.chain
        else:
            index, images = self._index, self._images  # the index may be set to another later

            def labels(count: int) -> Positions:
                return _ascending(labels_of(index, images, count))

            made = chain_of(FrameSource(self.records, self._shape), labels)
        return Images(self.session, made, self.metadata, self.records.inputs)

    def toBlocks(
        self,
        size: int | str | Sequence[int] = "150M",
        units: str = "pixels",
        padding: int | Sequence[int] = 0,
    ) -> Blocks:
        """``toImages().toBlocks(...)``: parts of the images with all times. Collective; lazy."""
        return self.toImages().toBlocks(size, units, padding)

    # -- files -----------------------------------------------------------------------------

    @action
    @stoppable
    def saveAsBinarySeries(
        self,
        path: str | os.PathLike[str],
        blockSize: int | str = "150MB",
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write flat binary files and a ``conf.json``, from all ranks. Collective; an action.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        blockSize : int or str
            About how large a file is; the split does not depend on the number of ranks.
        overwrite : bool
            Replace what mpimages wrote there before, and nothing else.
        resume : bool
            Go on with what an interrupted job left; begin where there is nothing, and succeed
            at once where all is there. The result is the same, byte for byte, as of one job
            that was not interrupted, whatever the ranks and the budgets: what was left is read
            once, and done again where it does not have its checksums.
        memory : int or str, optional
            Bytes that each rank may take, such as ``'2GB'``; by default the context's budget.
            It decides the number of rounds, and nothing about the output.

        Raises
        ------
        FileExistsError
            Where there is something already, or what mpimages did not write; with `resume`,
            where the input or the arguments have changed since the job that is to be resumed.
        ValueError
            Where a filter has left out pixels, or for both `overwrite` and `resume`.
        MemoryError
            Where not even one pixel of all images fits into the budget.
        """
        from .conversion.saving import Target, save_binary_series

        target = Target.checked(path, overwrite, resume, memory)
        begun, series = self._whole("saveAsBinarySeries", target.memory)
        known = begun.known(series)
        save_binary_series(begun, known, self._content(known), target, blockSize)

    @action
    @stoppable
    def saveAsHDF5(
        self,
        path: str | os.PathLike[str],
        dataset: str = "series",
        layout: str = "series",
        chunks: object = None,
        compression: object = None,
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write one HDF5 file, from all ranks. Collective; an action.

        Parameters
        ----------
        path : path
            A new file; its directory must exist.
        dataset : str
            Its name in the file.
        layout : {'series', 'images'}
            dims + (T,), or frame-major, (T,) + dims.
        chunks : tuple of int, True or 'auto', or None
            Shape of a chunk in the dataset's axes; True: a sensible one; None: contiguous.
        overwrite : bool
            Replace what mpimages wrote there before, and nothing else.
        compression : optional
            As h5py users know it: ``'gzip'``, a gzip level 0 … 9, ``('gzip', 4)``, ``'lzf'``, or
            a mapping of h5py's keywords, such as hdf5plugin's filters are. The chunks are
            then sensible ones unless given.
        resume, memory
            As in `saveAsBinarySeries`.

        Raises
        ------
        FileExistsError, MemoryError
            As `saveAsBinarySeries`.
        ValueError
            Where a filter has left out pixels, the chunks do not fit, or for both `overwrite`
            and `resume`.
        """
        from .conversion.saving import Target, save_series_hdf5

        target = Target.checked(path, overwrite, resume, memory)
        begun, series = self._whole("saveAsHDF5", target.memory)
        known = begun.known(series)
        save_series_hdf5(
            begun, known, self._content(known), target, dataset, layout, chunks, compression
        )

    def _content(self, series: Settled) -> Content:
        """What is written of a Series beside its values. Local."""
        from .conversion.saving import Content

        length = series.dims[0]
        return Content(
            (*self._extent(), length), self._labels(length), self.metadata, self.records.inputs
        )

    # -- samples ---------------------------------------------------------------------------

    @action
    def subset(
        self,
        nsamples: int = 100,
        thresh: float | None = None,
        stat: str = "std",
        seed: int | None = None,
    ) -> np.ndarray:
        """A random sample of the series. Collective; an action, in one pass.

        Parameters
        ----------
        nsamples : int
            At most so many are drawn, without replacement.
        thresh : float, optional
            Only series whose statistic is strictly above it; NaN never is.
        stat : {'std', 'mean', 'max', 'min', 'norm'}
            Which statistic of a series `thresh` is for; the norm is the Euclidean one.
        seed : int, optional
            For the same sample again, on any number of ranks.

        Returns
        -------
        (k, T) ndarray
            In the order of the pixels.

        Raises
        ------
        ValueError
            Where no series passes; the message says the highest value found.
        """
        from .statistics.sample import Sample

        check_choice(stat, "stat", SUBSET_STATISTICS)
        nsamples = check_int(nsamples, "nsamples", 1)
        if thresh is not None:
            thresh = check_number(thresh, "thresh")
        begun, series = self.records.begin("subset")
        comm = begun.comm
        drawn = from_rank(comm, 0, begun.name, check_seed, seed, given=seed)
        if isinstance(series, Settled):
            memory_limit.check_fits(
                2 * min(int(nsamples), series.count) * series.record_bytes,
                begun.memory,
                begun.name,
                "draw fewer, or give the context more with memory=",
            )
        sample = Sample(int(nsamples), drawn)
        highest = np.array([-np.inf])

        def offer(first: int, block: np.ndarray) -> None:
            numbers = np.arange(first, first + len(block))
            if thresh is not None:
                values = statistic_rows(SUBSET_STATISTICS[stat], block)
                if not np.isnan(values).all():
                    highest[0] = max(highest[0], np.nanmax(values))
                passed = values > thresh
                numbers, block = numbers[passed], block[passed]
            sample.offer(numbers, block)

        known = begun.stream(series, offer, (int(nsamples), thresh, stat))
        rows = _merge_samples(begun, sample, known)
        if len(rows) == 0:
            if thresh is None:
                raise ValueError("subset: the collection has no records")
            allreduce(comm, highest, _max_op())
            found = (
                "no record has one" if highest[0] == -np.inf else f"the highest is {highest[0]:g}"
            )
            raise ValueError(f"subset: no record has {stat} above {thresh:g}; {found}")
        return rows


def _ascending(labels: np.ndarray) -> Positions:
    """Labels as keys of images: as they are if they ascend from 0 or more, else from 0. Local."""
    steps = np.diff(labels, axis=0)
    if labels.ndim > 1 or labels[0] < 0 or (steps <= 0).any():
        return range(len(labels))
    if (steps == 1).all():
        return range(int(labels[0]), int(labels[-1]) + 1)
    return labels


def _merge_samples(action: Action, sample: Sample, series: Settled) -> np.ndarray:
    """All ranks' samples as one. Collective."""
    from .statistics.sample import Sample

    comm = action.comm
    partition = Partition.fromCounts(allgather(comm, len(sample.numbers)))
    rows = np.empty((0, *series.dims), series.dtype) if sample.rows is None else sample.rows
    merged = Sample(sample.size, sample.seed)
    numbers, rows = (allgather_rows(comm, part, partition) for part in (sample.numbers, rows))
    merged.offer(numbers, rows)
    return rows if merged.rows is None else merged.rows


@public
class TimeSeries(TimeToolbox, Baselines, Series):
    """A Series whose values are samples over time."""

    def toTimeSeries(self) -> TimeSeries:
        """This. Local."""
        return self


def _max_op() -> Any:
    from mpi4py import MPI

    return MPI.MAX
