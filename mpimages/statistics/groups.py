"""Means over groups of records, all groups in one pass and one merge.

A record may belong to several groups. Integers are summed exactly. Floats are summed along the tree
of `accumulator`, in which the members of each group are numbered from 0 in the order of the
records: the mean of a group has the same bits as that of a collection of its members alone.

The trees of all groups are merged as one forest: in it each group has a range of numbers that
begins at a multiple of twice its size or more, so that nodes of two groups are never siblings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from ..core.arguments import check_record_dtype
from ..core.partition import Partition
from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection
from ..kernels import moments
from ..spmd import memory_limit
from .accumulator import (
    COPY_BYTES,
    NARROW,
    Extrema,
    FloatTree,
    add_limbs,
    complete,
    join_nodes,
    nodes_of,
    one_label,
)
from .merge import Arrays, Finish, Label, MergeInput, Results, finish_by_bands
from .passes import MERGE_SHARE, sum_in_passes

__all__ = ["Groups", "group_means"]

# Divisor of the budget for records that are copied at once: the kernels take many, and cut them to
# fit the cache.
PIECE_PART = 16
# Bytes that a rank holds for each member of a group.
MEMBER_BYTES = 64
ADVICE = "take fewer or smaller groups, or give the context more with memory="


@dataclass(frozen=True)
class Groups:
    """Groups of records. Local.

    Attributes
    ----------
    members : (p,) int64 ndarray
        Numbers of records, group by group, ascending in each; a record may stand there twice.
    starts : (groups + 1,) int64 ndarray
        Group g has the members [starts[g], starts[g + 1]).
    weights : (p,) float64 ndarray, optional
        Of each member.
    """

    members: np.ndarray
    starts: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def of(
        cls, records: Sequence[np.ndarray], weights: Sequence[np.ndarray] | None = None
    ) -> Groups:
        """Return groups of the given records, in any order, with weights as many as records."""
        counts = [len(one) for one in records]
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        members = np.concatenate([np.empty(0, np.int64), *records]).astype(np.int64)
        order = np.lexsort((members, np.repeat(np.arange(len(counts)), counts)))
        if weights is None:
            return cls(members[order], starts)
        return cls(members[order], starts, np.concatenate([np.empty(0), *weights])[order])

    @property
    def count(self) -> int:
        """The number of groups."""
        return len(self.starts) - 1

    @cached_property
    def sizes(self) -> np.ndarray:
        """The number of members of each group, int64."""
        return np.diff(self.starts)

    @cached_property
    def divisors(self) -> np.ndarray:
        """What the sum of each group is divided by, float64: its members' weights."""
        if self.weights is None:
            return self.sizes.astype(np.float64)
        cuts = itertools.pairwise(self.starts.tolist())
        return np.array([math.fsum(self.weights[a:b].tolist()) for a, b in cuts])

    @cached_property
    def owners(self) -> np.ndarray:
        """The group of each member."""
        return np.repeat(np.arange(self.count), self.sizes)

    @cached_property
    def by_record(self) -> tuple[np.ndarray, np.ndarray]:
        """All members in the order of the records: their record, and their place in `members`."""
        order = np.argsort(self.members, kind="stable")
        return self.members[order], order

    def dtype(self, dtype: np.dtype) -> np.dtype:
        """Return the dtype that is summed of records of this dtype."""
        if self.weights is not None:
            return np.dtype(np.float64)
        return np.dtype(np.float32) if dtype == np.float16 else dtype


def group_means(action: Action, selection: Selection, groups: Groups) -> np.ndarray:
    """Compute the mean of each group of records: (groups,) + dims float64. Collective.

    NaN for a group without members.

    Raises
    ------
    MemoryError
        If the result, or the members of the groups, exceed the budget; see `sum_in_passes`, too.
    """
    session, partition, rank = action.session, selection.partition, action.comm.rank
    shares = _Shares(groups, partition)
    memory_limit.check_fits(MEMBER_BYTES * len(groups.members), action.memory, action.name, ADVICE)

    def need(dims: Shape, dtype: np.dtype) -> int:
        check_record_dtype(dtype, "records")
        made = 2 * 8 * groups.count * math.prod(dims)
        memory_limit.check_fits(made, action.memory, f"{action.name}: the result", ADVICE)
        return shares.need_per_pixel(groups.dtype(dtype))

    def make(dims: Shape, dtype: np.dtype, band: tuple[int, int]) -> _Sums:
        kind = _FloatSums if groups.dtype(dtype).kind == "f" else _IntegerSums
        piece = min(COPY_BYTES, action.memory // PIECE_PART)
        return kind(shares, rank, groups.dtype(dtype), band, math.prod(dims), piece)

    def merge(sums: _Sums) -> np.ndarray:
        given, results, finish = sums.merge_input()
        found = finish_by_bands(
            session.nodes,
            [given],
            results,
            sums.merged_width,
            finish,
            session.workspace.empty,
            action.memory // MERGE_SHARE,
            session.segments,
        )
        with action.together():
            return sums.means(found)

    found, known = sum_in_passes(action, selection, "the sums of the groups", need, make, merge)
    with action.together():
        means = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
    return means.reshape(groups.count, *known.dims)


class _Shares:
    """Which members of each group belong to which rank. Local, the same on all ranks."""

    def __init__(self, groups: Groups, partition: Partition) -> None:
        self.groups = groups
        ranks = np.searchsorted(partition.offsets, groups.members, side="right") - 1
        new = (np.diff(groups.owners) != 0) | (np.diff(ranks) != 0)
        begins = np.flatnonzero(np.concatenate([[True], new])) if len(ranks) else np.empty(0, int)
        # For each share: the rank, the group, and the numbers of its members in the group.
        self.rank = ranks[begins]
        self.group = groups.owners[begins]
        origin = groups.starts[self.group]
        self.first = begins - origin
        self.stop = np.append(begins[1:], len(ranks))[: len(begins)] - origin
        levels = [max(1, int(size) - 1).bit_length() + 1 for size in groups.sizes]
        # Where a group's numbers begin in the forest.
        self.bases: list[int] = []
        base = 0
        for level in levels:
            base = -(-base >> level) << level
            self.bases.append(base)
            base += 1 << level

    def of(self, ranks: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return (group, first, stop) of the members of some ranks, joined where they can be."""
        found: list[tuple[int, int, int]] = []
        for i in np.flatnonzero(np.isin(self.rank, ranks)):
            group, first, stop = int(self.group[i]), int(self.first[i]), int(self.stop[i])
            if found and found[-1][::2] == (group, first):
                first = found.pop()[1]
            found.append((group, first, stop))
        return found

    def labels(self, ranks: tuple[int, ...]) -> list[Label]:
        """Return the nodes of the forest that remain of some ranks' members, in order."""
        return [
            (level, index + (self.bases[group] >> level))
            for group, first, stop in self.of(ranks)
            for _, level, index in nodes_of(first, stop)
        ]

    def need_per_pixel(self, dtype: np.dtype) -> int:
        """Return the bytes a pixel of the sums, and of their results, on the rank with most."""
        results = 8 * self.groups.count
        if dtype.kind != "f":
            return results + 8 * self.groups.count * moments.integer_limbs(dtype)[0]
        counts = self.stop - self.first
        levels = np.ceil(np.log2(counts + 1)).astype(np.int64) * np.where(self.first > 0, 2, 1)
        most = int(np.bincount(self.rank, levels).max(initial=0)) if len(levels) else 0
        return results + 16 * most


class _Sums:
    """One rank's sums of each group over a band of the pixels of a record. Local."""

    merged_width: int

    def __init__(
        self,
        shares: _Shares,
        rank: int,
        dtype: np.dtype,
        band: tuple[int, int],
        pixels: int,
        piece_bytes: int,
    ) -> None:
        self.shares, self.rank, self.kind = shares, rank, dtype
        self.piece_bytes = piece_bytes
        self.groups = shares.groups
        self.width = band[1] - band[0]
        self._band = None if self.width == pixels else slice(*band)

    def add(self, first: int, batch: np.ndarray) -> None:
        """Add the records from number `first` on, which follow the last ones."""
        records, order = self.groups.by_record
        low, high = np.searchsorted(records, [first, first + len(batch)])
        members = np.sort(order[low:high])
        owners = self.groups.owners[members]
        cuts = np.flatnonzero(np.diff(owners)) + 1
        step = max(1, self.piece_bytes * len(batch) // max(1, batch.nbytes))
        for begin, end in itertools.pairwise([0, *cuts.tolist(), len(members)]):
            if begin == end:
                continue
            # The members of a group that lie in a batch follow each other.
            start, stop = int(members[begin]), int(members[end - 1]) + 1
            for i in range(start, stop, step):
                rows = self._rows(batch, first, slice(i, min(i + step, stop)))
                self._add_rows(int(owners[begin]), i - int(self.groups.starts[owners[begin]]), rows)

    def _rows(self, batch: np.ndarray, first: int, members: slice) -> np.ndarray:
        """Return some members' values in the band of pixels, in the dtype that is summed."""
        places = self.groups.members[members] - first
        follow = (np.diff(places) == 1).all()
        rows = batch[places[0] : places[-1] + 1] if follow else batch[places]
        rows = rows.reshape(len(rows), -1)
        if self._band is not None:
            rows = rows[:, self._band]
        if self.groups.weights is not None:
            with np.errstate(invalid="ignore"):  # infinity times 0
                weighted: np.ndarray = rows * self.groups.weights[members, np.newaxis]
            return weighted
        return np.ascontiguousarray(rows, dtype=self.kind)

    def _add_rows(self, group: int, number: int, rows: np.ndarray) -> None:
        """Add members of a group, the first of which has this number in it."""
        raise NotImplementedError

    def merge_input(self) -> tuple[MergeInput, dict[str, np.dtype], Finish]:
        """Return the operand of the merge, the results' dtypes, and how to finish them."""
        raise NotImplementedError

    def means(self, found: Results) -> np.ndarray:
        """Return the means, (groups, width) float64, from the merged results."""
        raise NotImplementedError


class _IntegerSums(_Sums):
    """Exact sums, as 64-bit limbs; in the merge the groups lie one after the other."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.limbs = moments.integer_limbs(self.kind)[0]
        self.sums = np.zeros((self.groups.count, self.limbs, self.width), np.uint64)
        self.merged_width = self.groups.count * self.width

    def _add_rows(self, group: int, number: int, rows: np.ndarray) -> None:
        moments.accumulate(rows, self.sums[group])

    def merge_input(self) -> tuple[MergeInput, dict[str, np.dtype], Finish]:
        is_signed = self.kind.kind == "i"
        bound = int(self.groups.sizes.max(initial=0)) << (8 * self.kind.itemsize)
        wire: np.dtype = np.dtype(np.uint64)
        if self.limbs == 1 and bound < NARROW:
            wire = np.dtype(np.int32 if is_signed else np.uint32)

        def own() -> list[np.ndarray]:
            limbs = self.sums.swapaxes(0, 1).reshape(self.limbs, self.merged_width)
            return [np.ascontiguousarray(limbs)]

        def join(labels: list[Label], arrays: list[np.ndarray]) -> list[np.ndarray]:
            return [add_limbs(arrays)]

        def finish(joined: Arrays, out: Results) -> None:
            for name, limb in zip(sorted(out), joined[0][0], strict=True):
                out[name][...] = limb

        results = {f"limb {i}": np.dtype(np.uint64) for i in range(self.limbs)}
        return MergeInput(own, self.limbs, wire, one_label, join), results, finish

    def means(self, found: Results) -> np.ndarray:
        means = np.full((self.groups.count, self.width), np.nan)
        limbs = np.stack([found[name] for name in sorted(found)])
        for group, size in enumerate(self.groups.sizes.tolist()):
            if size:
                sums = limbs[:, group * self.width : (group + 1) * self.width]
                moments.finish_integers(sums, None, size, self.kind.kind == "i", means[group])
        return means


class _FloatSums(_Sums):
    """The nodes that remain of each group's tree."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.trees = {
            group: FloatTree(self.width, self.kind, False, first, stop, np.empty)
            for group, first, stop in self.shares.of((self.rank,))
        }
        self.none = Extrema(self.width, self.kind, set())
        self.merged_width = self.width

    def _add_rows(self, group: int, number: int, rows: np.ndarray) -> None:
        self.trees[group].add(number, rows, self.none)

    def merge_input(self) -> tuple[MergeInput, dict[str, np.dtype], Finish]:
        def own() -> list[np.ndarray]:
            return [node for tree in self.trees.values() for node in tree.remaining()]

        join = partial(join_nodes, moments.exact_levels(self.kind))
        given = MergeInput(own, 2, np.dtype(np.float64), cache(self.shares.labels), join)
        # One value for each group: a result has no shape of its own.
        return given, {"means": np.dtype(f"V{8 * self.groups.count}")}, self._finish

    def _finish(self, joined: Arrays, out: Results) -> None:
        means = out["means"].view(np.float64).reshape(-1, self.groups.count)
        column, nodes = np.empty(len(means)), iter(joined[0])
        for group, size in enumerate(self.groups.sizes.tolist()):
            if not size:
                means[:, group] = np.nan
                continue
            levels = [level for _, level, _ in nodes_of(0, size)]
            total = complete(levels, [next(nodes) for _ in levels])
            if self.groups.weights is None:
                moments.finish_floats(total, size, None, column)
            else:
                moments.finish_floats(total, size, column)
                column /= self.groups.divisors[group]
            means[:, group] = column

    def means(self, found: Results) -> np.ndarray:
        means: np.ndarray = found["means"].view(np.float64).reshape(-1, self.groups.count)
        return np.ascontiguousarray(means.T)
