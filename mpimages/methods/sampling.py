"""Methods that draw records at random, the same on any number of ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..collection import Collection
from ..core.arguments import check_choice, check_int, check_number, check_seed
from ..core.partition import Partition
from ..core.public import public
from ..core.text import quote
from ..engine.runner import Action
from ..engine.selection import Settled
from ..engine.series_steps import statistic_rows
from ..spmd import memory_limit
from ..spmd.actions import action
from ..spmd.agreement import allgather_rows, from_rank
from ..spmd.collectives import allgather, allreduce
from .base import SeriesMethods

if TYPE_CHECKING:
    from ..statistics.sample import Sample

__all__ = ["Sampling", "SeriesSampling"]

SUBSET_STATISTICS = {"mean": "mean", "std": "stdev", "max": "max", "min": "min", "norm": "norm"}


@public
class Sampling(Collection):
    """Samples of the records of any collection."""

    @action
    def sample(self, nsamples: int = 100, seed: int | None = None) -> Self:
        """A collection of some records that are drawn at random. Collective.

        No value is read, unless a `filter` has first to find out which records there are.

        Parameters
        ----------
        nsamples : int
            At most so many are drawn, without replacement.
        seed : int, optional
            For the same sample again, on any number of ranks.

        Returns
        -------
        Images or Series
            The records keep their keys and their order. For a seed they are those of
            `Series.subset` without a threshold.
        """
        from ..statistics.sample import priorities

        number = check_int(nsamples, "sample: nsamples", 1)
        begun, selection = self.records.begin("sample")
        drawn = from_rank(begun.comm, 0, begun.name, check_seed, seed, given=(number, quote(seed)))
        if number >= selection.count:
            return self._derived(selection.chain())
        with begun.together():
            chances = priorities(drawn, np.arange(selection.count))
            kept = np.sort(np.argsort(chances, kind="stable")[:number])
        return self._derived(selection.take(kept).chain())


@public
class SeriesSampling(Sampling, SeriesMethods):
    """Samples of series."""

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
        from ..statistics.sample import Sample

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


def _merge_samples(action: Action, sample: Sample, series: Settled) -> np.ndarray:
    """All ranks' samples as one. Collective."""
    from ..statistics.sample import Sample

    comm = action.comm
    partition = Partition.fromCounts(allgather(comm, len(sample.numbers)))
    rows = np.empty((0, *series.dims), series.dtype) if sample.rows is None else sample.rows
    merged = Sample(sample.size, sample.seed)
    numbers, rows = (allgather_rows(comm, part, partition) for part in (sample.numbers, rows))
    merged.offer(numbers, rows)
    return rows if merged.rows is None else merged.rows


def _max_op() -> Any:
    from mpi4py import MPI

    return MPI.MAX
