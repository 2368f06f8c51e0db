"""Bins of successive images: a source whose records are made of those of another collection.

Each bin is summed image by image, in their order, so that its bits depend on nothing else. Of files
any rank reads the images of its own bins. Of images in memory a bin belongs to the rank that has
its last image; what the ranks before have of it is summed there, and the sum is handed on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.partition import Partition
from ..core.timers import phase
from ..core.workspace import Workspace
from ..spmd.collectives import Transfer
from .chain import Chain, Positions, Shape, Source
from .derived_source import (
    DerivedSource,
    check_local,
    known_records,
    part_of,
    record_need,
    run_part,
)
from .repairs import real_dtype
from .selection import Selection, Settled, pick
from .sources import CacheSource, resolve_caches

if TYPE_CHECKING:
    from .runner import Records

__all__ = ["BinSource", "beside", "every_step", "origin", "recorded", "resolve"]

# So many integers of 16 bits have a sum of 32 bits.
FEW = 1 << 16
HALF, LOW = 32, (1 << 32) - 1


class BinSource(DerivedSource):
    """Bins of n successive images of a collection; record i is the mean or sum of bin i.

    Parameters
    ----------
    images : Records
        Of this source alone: the images as they were when the bins were made.
    n : int
    how : {'mean', 'sum'}
    drop : bool
        Leave out images that do not fill the last bin; otherwise they are refused.
    """

    name = "timeBin"

    def __init__(self, images: Records, n: int, how: str, drop: bool) -> None:
        self.images = images
        self.n = n
        self.how = how
        self.drop = drop
        self.number = images.chain.source.number
        self._carried: np.ndarray | None = None

    @property
    def inner(self) -> Settled:
        """The images; local, as `prepare` has found out what only an action can tell."""
        return known_records(self.images, self.name)

    def inner_selections(self) -> tuple[Settled, ...]:
        """See `DerivedSource`."""
        return (self.inner,)

    @property
    def inputs(self) -> Sequence[str]:
        """The files of the images."""
        return self.images.chain.source.inputs

    @property
    def count(self) -> int | None:
        """The number of bins, or None while only an action can tell."""
        count = self.images.count
        if count is None or self.dims is None or self.dtype is None:
            return None
        return count // self.n

    @property
    def dims(self) -> Shape | None:
        """The shape of an image, or None while only an action can tell."""
        return self.images.dims

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of a bin, or None while only an action can tell."""
        dtype = self.images.dtype
        return None if dtype is None else _result_dtype(self.how, dtype)

    @property
    def partition(self) -> Partition | None:
        """A bin has the owner of its last image, if the images' owners are dictated."""
        inner = self.inner
        if inner.source.partition is None:
            return None
        return Partition(tuple(offset // self.n for offset in inner.partition.offsets))

    @property
    def parameters(self) -> tuple[object, ...]:
        """What tells these bins from others of the recording."""
        return (self.n, self.how, self.inner.question())

    def prepare(self) -> None:
        """Find out which images there are, and their shape and dtype. Collective.

        A function whose result was not declared is called for the first image, once more.
        """
        action = self.images.make_action(self.name)
        selection = self.images.settle(action)
        if not isinstance(selection, Settled):
            action.stream(selection.take(np.arange(min(1, selection.count))), lambda *_: None)
            selection = self.images.settle(action)
        self.check_count(selection.count)

    def check_count(self, count: int) -> None:
        """Raise ValueError unless so many images fill the bins. Local."""
        bins, rest = divmod(count, self.n)
        if rest and not bins:
            raise ValueError(
                f"timeBin: bins of {self.n} need as many images, but there are {count}"
            )
        if rest and not self.drop:
            raise ValueError(
                f"timeBin: {count} images fill {bins} bins of {self.n}, and {rest} more are left "
                "over; remainder='drop' leaves them out"
            )

    def resolved(self, resolve: Callable[[Chain], Chain]) -> BinSource:
        """See `DerivedSource`."""
        chain = resolve(self.images.chain)
        if chain is self.images.chain:
            return self
        return BinSource(self.images.on(chain), self.n, self.how, self.drop)

    def members(self, positions: Positions) -> Selection:
        """Return the images of bins. Local."""
        if isinstance(positions, range) and positions.step == 1:
            return part_of(self.inner, range(positions.start * self.n, positions.stop * self.n))
        firsts = np.asarray(positions, dtype=np.int64) * self.n
        return part_of(self.inner, (firsts[:, None] + np.arange(self.n)).reshape(-1))

    def record_bytes(self) -> int:
        """Return the bytes that one bin takes, and those that its images and sums take."""
        inner = self.inner
        summed = _Sums(inner, self.n, self.how).state_bytes
        made = math.prod(inner.dims) * _result_dtype(self.how, inner.dtype).itemsize
        return record_need(inner) + summed + made

    # -- the images ---------------------------------------------------------------------------

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        """See `Source`. `make_ready` comes first."""
        start, stop = partition.bounds(rank)
        own = positions[start:stop]
        if len(own) == 0:
            return
        inner = self.inner
        sums = _Sums(inner, self.n, self.how)
        members, missing = self.members(own), self.n
        first, carried = inner.partition.bounds(rank)[0], self._carried
        if carried is not None and own[0] == first // self.n:
            sums.state[...] = carried
            there = first % self.n  # of the first bin, which the ranks before have summed
            missing -= there
            members = replace(
                members, positions=members.positions[there:], keys=members.keys[there:]
            )
        dtype = _result_dtype(self.how, inner.dtype)
        size = math.prod(inner.dims) * max(dtype.itemsize, self.n * inner.dtype.itemsize)
        out = workspace.empty((max(1, min(len(own), limit // max(1, size))), *inner.dims), dtype)
        filled = 0
        with closing(run_part(self.images, members, rank, limit, workspace, room)) as batches:
            for batch in batches:
                place = 0
                while place < len(batch):
                    taken = batch[place : place + missing]
                    with phase("compute", taken.nbytes):
                        sums.add(taken)
                    place, missing = place + len(taken), missing - len(taken)
                    if missing:
                        continue
                    sums.finish(out[filled, ...])  # an array, also of records of one value
                    filled, missing = filled + 1, self.n
                    if filled == len(out):
                        yield out
                        filled = 0
        if filled:
            yield out[:filled]

    # -- bins of several ranks ------------------------------------------------------------------

    def make_ready(self, records: Selection, limit: int) -> None:
        """Hand on the sums of bins that begin on ranks before their owners. Collective.

        Nothing is exchanged unless images in memory lie so. Who sends to whom follows from the
        partition. A bin that goes over several ranks is handed from one to the next.
        """
        inner, self._carried = self.inner, None
        check_local(inner.source, self.name)
        if inner.source.partition is None:
            return
        action = self.images.make_action(self.name)
        action.together(records.signature()).agree()
        if isinstance(inner.source, DerivedSource):
            inner.source.make_ready(inner, limit)
        rank, offsets = action.comm.rank, inner.partition.offsets
        rounds = _rounds(offsets, self.n, records.positions)
        for now in range(max(rounds.values(), default=-1) + 1):
            sums = _Sums(inner, self.n, self.how)
            received: np.ndarray | None = None
            with action.together():
                if rounds.get(rank) == now:
                    stop = offsets[rank + 1]
                    start = max(offsets[rank], stop - stop % self.n)
                    if start > stop - stop % self.n and self._carried is not None:
                        sums.state[...] = self._carried
                    tail, workspace = part_of(inner, range(start, stop)), action.session.workspace
                    for batch in run_part(self.images, tail, rank, limit, workspace, 0):
                        sums.add(batch)
                if rounds.get(rank - 1) == now:
                    received = np.empty_like(sums.state)
            Transfer(
                action.comm,
                [(rank + 1, sums.state)] if rounds.get(rank) == now else [],
                [] if received is None else [(rank - 1, received)],
            ).finish()
            if received is not None:
                self._carried = received


def _rounds(offsets: Sequence[int], n: int, positions: Positions) -> dict[int, int]:
    """Return the ranks that hand a sum to the next rank, and in which round each does.

    A rank on which the bin begins needs to wait for nobody; others wait for the rank before.
    """
    rounds: dict[int, int] = {}
    bins = positions if isinstance(positions, range) else set(positions.tolist())
    for rank, (start, stop) in enumerate(itertools.pairwise(offsets)):
        number, rest = divmod(stop, n)
        if rest and number in bins:
            rounds[rank] = 0 if number * n >= start else rounds[rank - 1] + 1
    return rounds


class _Sums:
    """The sum of the images of one bin, exact for integers, and what becomes of it. Local."""

    def __init__(self, images: Settled, n: int, how: str) -> None:
        self.n, self.how = n, how
        self.dims, self.dtype = images.dims, images.dtype
        kind, size = self.dtype.kind, self.dtype.itemsize
        narrow = size <= 2 and n < FEW
        self.parts = 2 if kind in "iu" and size == 8 else 1
        self.kind = np.dtype("f8" if kind == "f" else f"{kind}4" if narrow else "i8")
        self.zero = -0.0 if kind == "f" else 0  # which changes no value, not even -0.0
        self._state: np.ndarray | None = None

    @property
    def state(self) -> np.ndarray:
        """The sum so far, (1,) + dims; of integers of 64 bits (2,) + dims, high and low half."""
        if self._state is None:
            self._state = np.full((self.parts, *self.dims), self.zero, self.kind)
        return self._state

    @property
    def state_bytes(self) -> int:
        """The bytes of `state`."""
        return self.parts * math.prod(self.dims) * self.kind.itemsize

    def add(self, batch: np.ndarray) -> None:
        """Add images, one after the other."""
        state = self.state
        with np.errstate(over="ignore", invalid="ignore"):
            for image in batch:
                if self.parts == 2:
                    state[0] += (image >> image.dtype.type(HALF)).astype(np.int64)
                    state[1] += (image & image.dtype.type(LOW)).astype(np.int64)
                else:
                    np.add(state[0], image, out=state[0, ...], dtype=self.kind, casting="same_kind")

    def finish(self, out: np.ndarray) -> None:
        """Write the result of the bin, and begin the next one."""
        state = self.state
        with np.errstate(over="ignore", invalid="ignore"):
            if self.parts == 2:
                self._join_halves(state, out)
            elif self.how == "sum":
                np.copyto(out, state[0], casting="unsafe")
            else:
                np.divide(state[0], self.n, out=out, dtype=np.float64, casting="same_kind")
        state[...] = self.zero

    def _join_halves(self, state: np.ndarray, out: np.ndarray) -> None:
        high, low = state
        if self.how == "mean":
            whole, rest = np.divmod(high, self.n)
            more, left = np.divmod((rest << HALF) + low, self.n)
            whole = _joined(whole + (more >> HALF), more & LOW, self.dtype)
            np.add(whole, left / self.n, out=out)
            return
        high += low >> HALF
        limits = np.iinfo(self.dtype)
        if ((high < limits.min >> HALF) | (high > limits.max >> HALF)).any():
            raise OverflowError(f"timeBin: {self.dtype} cannot hold a sum; how='mean' can")
        np.copyto(out, _joined(high, low & LOW, self.dtype))


def _joined(high: np.ndarray, low: np.ndarray, dtype: np.dtype) -> np.ndarray:
    joined: np.ndarray = ((high << HALF) | low).view(dtype)
    return joined


def _result_dtype(how: str, dtype: np.dtype) -> np.dtype:
    if how == "mean":
        return real_dtype(dtype)
    return np.dtype(f"{dtype.kind}8")


# -- chains and selections over derived sources --------------------------------------------------


def resolve(chain: Chain) -> Chain:
    """Return the chain without the caches that were dropped since it was made; in bins, too."""
    chain = resolve_caches(chain)
    if isinstance(chain.source, DerivedSource):
        source = chain.source.resolved(resolve)
        if source is not chain.source:
            return replace(chain, source=source)
    return chain


def origin(selection: Selection) -> Selection:
    """Return the records of files or memory that the records of a selection are made of. Local.

    Where they are made of two collections, those of the first.
    """
    while isinstance(selection.source, DerivedSource):
        selection = selection.source.members(selection.positions)
    return selection


def beside(selection: Selection) -> list[Selection]:
    """Return the further collections whose records are in those of a selection. Local."""
    found: list[Selection] = []
    while isinstance(selection.source, DerivedSource):
        found += selection.source.inner_selections()[1:]
        selection = selection.source.members(selection.positions)
    return found


def recorded(source: Source, positions: Positions) -> tuple[np.ndarray, int]:
    """Which images of the recording some records are made of, and how many it has. Local.

    The numbers of the images, (records, images of a bin) int64; they count from 0 and stay what
    they are when keys are counted anew.
    """
    count = len(positions)
    while isinstance(source, DerivedSource | CacheSource):
        if isinstance(source, DerivedSource):
            inner = source.members(positions)
            source, positions = inner.source, inner.positions
        else:
            origin = source.origin
            positions = pick(origin.positions, np.asarray(positions, dtype=np.int64))
            source = origin.source
    numbers = np.asarray(positions, dtype=np.int64)
    return numbers.reshape((count, -1) if count else (0, 1)), source.count or 0


def every_step(selection: Selection) -> tuple[Any, ...]:
    """Return all steps to the records of a selection, with the bins among them. Local."""
    source = selection.source
    if not isinstance(source, DerivedSource):
        return selection.steps
    before = [step for inner in source.inner_selections() for step in every_step(inner)]
    return (*before, source, *selection.steps)
