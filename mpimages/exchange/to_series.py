"""The source of a Series that is made from images by an exchange between the ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator

import numpy as np

from ..core.partition import Partition
from ..core.workspace import Workspace
from ..engine.chain import Positions, Shape
from ..engine.runner import Action, Records
from ..engine.selection import Settled
from .redistribution import Redistribution
from .source import ExchangedSource

__all__ = ["ExchangeSource"]


class ExchangeSource(ExchangedSource):
    """The records of a Series, obtained from the images of a collection by exchange.

    Parameters
    ----------
    images : Records
        Shared with the Images: results of settling are visible to both.
    """

    name = "toSeries"
    parameters: tuple[object, ...] = ()

    def __init__(self, images: Records) -> None:
        super().__init__(images)
        self._share: tuple[np.ndarray, Settled] | None = None

    @property
    def count(self) -> int | None:
        """The number of pixels, or None while only an action can tell."""
        dims = self.records.dims
        if dims is None or self.records.dtype is None or not self.records.count:
            return None  # without images there is nothing to transpose: `prepare` says so
        return math.prod(dims)

    @property
    def dims(self) -> Shape | None:
        """The length of a series, or None while only an action can tell."""
        count = self.records.count
        return None if count is None else (count,)

    def prepare(self) -> None:
        """Find out the number of pixels and images. Collective.

        If only running the images' steps can tell, their results are kept for the exchange
        that follows, so that nothing is computed twice.
        """
        action = self._action()
        selection = self.records.settle(action)
        if selection.count == 0:
            raise ValueError("toSeries: the collection has no images")
        if not isinstance(selection, Settled):
            self._share = self._load(action)

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        """See `Source`. Collective."""
        block, plan = self._plan(partition, limit)
        yield from plan.execute(self.records.session.comm, block, positions, workspace)

    def load(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        out: np.ndarray,
        limit: int,
        workspace: Workspace,
        tick: Callable[[int], None],
    ) -> None:
        """Write all of this rank's pixels into out, (n, times). Collective."""
        block, plan = self._plan(partition, limit)
        for moved in plan.execute(self.records.session.comm, block, positions, workspace, out):
            tick(len(moved))

    def take_share(self) -> tuple[np.ndarray, Settled] | None:
        """Return what `prepare` had to load of the images, once; later None. Local."""
        share, self._share = self._share, None
        return share

    def _load(self, action: Action) -> tuple[np.ndarray, Settled]:
        """Return this rank's images, (n,) + dims, and their selection. Collective."""
        selection = self.records.settle(action)
        action.check_share(selection)
        block, images = action.load(selection)
        action.check_share(images)  # shape and dtype may not have been known before
        return block, images

    def _plan(self, partition: Partition, limit: int) -> tuple[np.ndarray, Redistribution]:
        action = self._action()
        block, images = self.take_share() or self._load(action)
        flat = np.empty((0, 0))
        with action.together():
            flat = np.ascontiguousarray(block).reshape(len(block), math.prod(images.dims))
        return flat, Redistribution(
            images.partition, partition, block.dtype, limit, action.session.segments
        )
