"""The source of a Series that is made of images: its records are taken out by exchange."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, ClassVar, Protocol

import numpy as np
from mpi4py import MPI

from ..core.partition import Partition
from ..core.workspace import Workspace
from ..engine.chain import Positions, Shape
from ..spmd.agreement import Together
from ..spmd.shared_memory import Segments
from .redistribution import ExchangePlan

__all__ = ["ExchangeSource", "ImageCollection"]


class ImageCollection(Protocol):
    """What the exchange asks of the images that it transposes."""

    @property
    def count(self) -> int | None: ...
    @property
    def keys(self) -> Positions | None: ...
    @property
    def shape(self) -> Shape | None: ...
    @property
    def kind(self) -> np.dtype | None: ...

    @property
    def collection(self) -> Any:
        """The collection itself."""

    def settle(self) -> None:
        """Find out which images there are. Collective."""

    def share(self) -> tuple[np.ndarray, Partition]:
        """This rank's images, (n,) + dims, and who has which. Collective."""


class ExchangeSource:
    """A Series' records, taken out of a collection of images by exchange."""

    collective: ClassVar[bool] = True

    def __init__(
        self, comm: MPI.Intracomm, images: ImageCollection, segments: Segments | None = None,
        number: int = 0,
    ) -> None:
        self.comm = comm
        self.images = images
        self.number = number
        self._segments = segments
        self._share: tuple[np.ndarray, Partition] | None = None

    @property
    def count(self) -> int | None:
        shape = self.images.shape
        if shape is None or self.images.kind is None or not self.images.count:
            return None  # without images there is nothing to transpose: `prepare` says so
        return int(np.prod(shape, dtype=np.int64))

    @property
    def dims(self) -> Shape | None:
        return None if self.images.count is None else (self.images.count,)

    @property
    def dtype(self) -> np.dtype | None:
        return self.images.kind

    @property
    def partition(self) -> Partition | None:
        return None

    def prepare(self) -> None:
        """Find out how many pixels and images there are. Collective.

        Where only running the images' steps can tell, what they gave is kept for the
        exchange that follows, so that nothing is computed twice.
        """
        self.images.settle()
        if self.images.count == 0:
            raise ValueError("toSeries: the collection has no images")
        if self.images.shape is None or self.images.kind is None:
            self._share = self.images.share()

    def batches(
        self, positions: Positions, partition: Partition, rank: int, limit: int,
        workspace: Workspace, room: int = 0,
    ) -> Generator[np.ndarray]:
        block, plan = self._plan(partition, limit)
        yield from plan.execute(self.comm, block, positions, workspace)

    def load(
        self, positions: Positions, partition: Partition, rank: int, out: np.ndarray, limit: int,
        workspace: Workspace, tick: Callable[[int], None],
    ) -> None:
        """The whole of this rank's pixels into out, (n, times). Collective."""
        block, plan = self._plan(partition, limit)
        for moved in plan.execute(self.comm, block, positions, workspace, out):
            tick(len(moved))

    def take_share(self) -> tuple[np.ndarray, Partition] | None:
        """What `prepare` had to compute of the images, once. Local."""
        share, self._share = self._share, None
        return share

    def _plan(self, partition: Partition, limit: int) -> tuple[np.ndarray, ExchangePlan]:
        block, images = self.take_share() or self.images.share()
        flat = np.empty((0, 0))
        with Together(self.comm, "toSeries"):
            flat = np.ascontiguousarray(block).reshape(len(block), self.count or 0)
        return flat, ExchangePlan(images, partition, block.dtype, limit, self._segments)
