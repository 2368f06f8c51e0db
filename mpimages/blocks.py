"""A distributed collection of blocks of images: parts of the images with all times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .collection import Collection, View
from .core.arguments import check_callable, check_dtype, check_int, check_ints
from .core.grid import BlockKey, Grid
from .core.json_types import JsonObject
from .core.public import public
from .core.text import quote
from .dims import Dims
from .engine.block_steps import BlockApply, block_of
from .engine.chain import Chain, Filter, Positions, Shape
from .engine.session import Session
from .exchange.to_blocks import BlockSource
from .spmd.actions import action

if TYPE_CHECKING:
    from .images import Images
    from .series import Series, TimeSeries

__all__ = ["Blocks"]


@public
class Blocks(Collection):
    """Blocks of images, one a record: a part of the images with all times, and a halo around it.

    Made by `Images.toBlocks`. The key of a block is its first pixel, (row, column[, page]), a
    tuple that also has ``shape``, ``padding`` (the pixels of the halo before and after, along each
    axis) and ``neighbors()``. The value is an array (T,) + shape with the halo, which ends at the
    borders of the image. Blocks are numbered in C order, as pixels are.

    Properties are local; every other method is to be called by all ranks and gives all ranks the
    same. Methods that return Blocks, Images or Series are lazy, unless they say "action".
    """

    _made_by = "Images.toBlocks"

    def __init__(
        self,
        session: Session,
        chain: Chain,
        metadata: JsonObject | None = None,
        inputs: JsonObject | None = None,
        *,
        source: BlockSource,
    ) -> None:
        super().__init__(session, chain, metadata, inputs)
        self._source = source

    def _derived(self, chain: Chain) -> Self:
        return type(self)(
            self.session, chain, self.metadata, self.records.inputs, source=self._source
        )

    def _grid(self) -> Grid:
        return self._source.known_grid()

    def _key(self, key: int) -> BlockKey:
        return BlockKey(self._grid(), int(key))

    def _value(self, number: int, record: np.ndarray) -> np.ndarray:
        """The block of a record, an array of its own. Local."""
        return block_of(record, self._grid().outer(int(number))[1]).copy()

    # -- properties: local -----------------------------------------------------------------

    @property
    def dims(self) -> Dims | None:
        """The images' extent, (row, column[, page]); None while only an action can tell. Local."""
        self.records.inspected = True
        dims = self._source.records.dims
        return None if dims is None else Dims(dims)

    @property
    def blockShape(self) -> Shape | None:
        """Shape of the largest block, without times and halo; None while only an action can tell.

        Local.
        """
        grid = self._source.grid
        return None if grid is None else grid.block_shape

    @property
    def nimages(self) -> int | None:
        """The number of times of a block; None while only an action can tell. Local."""
        dims = self.records.dims
        return None if dims is None else dims[0]

    @property
    def shape(self) -> Shape | None:
        """(T,) + dims, as `toArray` gives it; None while only an action can tell. Local."""
        dims, times = self.dims, self.nimages
        return None if dims is None or times is None else (times, *dims)

    def __len__(self) -> int:
        """The number of blocks. Local; TypeError while only an action can tell."""
        if self.records.count is None:
            raise TypeError("len() of Blocks is not known yet: count() finds it")
        return self.records.count

    def __iter__(self) -> Iterator[np.ndarray]:
        """TypeError: `apply` calls a function for each block where it is."""
        raise TypeError(
            "Blocks have no loop: apply(func) calls a function for each, and values().collect() "
            "gathers them"
        )

    def __repr__(self) -> str:
        unknown = "None (inspect to compute)"
        records, seen = self.records, self.records.inspected
        dims, dtype = (self.dims, records.dtype) if seen else (None, None)
        return "\n".join(
            [
                type(self).__name__,
                f"nrecords: {unknown if records.count is None else records.count}",
                f"dtype: {unknown if dtype is None else dtype}",
                f"dims: {unknown if dims is None else dims}",
                f"blockShape: {(self.blockShape if seen else None) or unknown}",
            ]
        )

    # -- records ---------------------------------------------------------------------------

    def values(self) -> View:
        """The blocks, as a view with first, take and collect. Local; the view's methods are
        collective."""

        def take(n: int | None, method: str) -> list[Any]:
            with self.session.action(f"{type(self).__name__}.{method}"):
                begun, selection = self.records.begin(method)
                if n == 0:
                    return []
                if n is not None and n < selection.count:
                    selection = selection.take(np.arange(n))
                rows = begun.gather(selection)
                return [
                    self._value(key, row) for key, row in zip(selection.keys, rows, strict=True)
                ]

        return View("values", take)

    @action
    def __getitem__(self, key: tuple[int, ...]) -> np.ndarray:
        """The block that begins at this pixel, (T,) + shape. Collective; an action.

        Raises
        ------
        KeyError
            Where no block begins there.
        """
        value = self._at(key, "__getitem__")
        if value is None:
            raise KeyError(
                f"no block begins at {quote(key)}: dims are {Dims(self._grid().dims)}, blocks have "
                f"shape {self.blockShape}, and there are {self.records.count}"
            )
        return value

    @action
    def get(self, key: tuple[int, ...]) -> np.ndarray | None:
        """The block that begins at this pixel, or None where none does. Collective; an action."""
        return self._at(key, "get")

    def _at(self, key: object, method: str) -> np.ndarray | None:
        start = check_ints(key, "the key of a block")
        self.records.begin(method)
        number = self._grid().number(start)
        found = self._find(number, method)
        return None if found is None else self._value(number, found)

    def filter(self, func: Callable[[Any, np.ndarray], bool]) -> Self:
        """Keep the blocks for which func(key, value) is true. Collective; lazy.

        Which they are is found out by the first action, in a pass of its own. What is left has no
        `toImages`, `toSeries` and `toArray`.
        """
        check_callable(func, "filter: func")

        def keep(number: Any, record: np.ndarray) -> bool:
            return func(self._key(number), self._value(number, record))

        return self._derived(self.records.chain.then(Filter(keep, int)))

    @action
    def toArray(self) -> np.ndarray:
        """All blocks without their halos in one array, (T,) + dims, on every rank.

        Collective; an action.

        Raises
        ------
        MemoryError
            Where that exceeds the budget.
        ValueError
            Where a filter has left out blocks.
        """
        return self.toImages().toArray()

    # -- statistics: of blocks that are alike ------------------------------------------------

    def _statistic(self, name: str) -> np.ndarray:
        shape = self._alike(name)
        return block_of(super()._statistic(name), shape)

    @action
    def stats(self) -> JsonObject:
        """All of count, mean, variance, stdev, sum, min and max over the blocks, in one pass.

        Collective; an action. As `Images.stats`; ValueError where blocks differ in shape.
        """
        shape = self._alike("stats")
        found = super().stats()
        return {
            name: block_of(value, shape) if isinstance(value, np.ndarray) else value
            for name, value in found.items()
        }

    def _alike(self, name: str) -> Shape:
        """The shape of all blocks; ValueError where they differ. Collective."""
        begun, _ = self.records.begin(name, least=1)
        shape = self._grid().uniform
        if shape is None:
            raise ValueError(
                f"{begun.name}: over the blocks there is none, as they differ in shape; "
                "toImages() and toSeries() have statistics over times and pixels"
            )
        return shape

    # -- steps: lazy -----------------------------------------------------------------------

    def apply(
        self,
        func: Callable[[np.ndarray], np.ndarray],
        length: int | None = None,
        dtype: object = None,
    ) -> Self:
        """func(value) for each block. Collective; lazy.

        Parameters
        ----------
        func : callable
            Gets an array of its own, (T,) + shape with the halo, and returns one of the same
            shape, or with another number of times. It sees nothing beyond the halo: what it makes
            of the halo itself is thrown away by `toImages`.
        length, dtype : optional
            The number of times and the dtype of what it returns. Undeclared, they stay None until
            an action has run, and a block that differs from the first is then a ValueError that
            names its key.
        """
        check_callable(func, "apply: func")
        times = None if length is None else check_int(length, "length", 1)
        kind = None if dtype is None else check_dtype(dtype, "dtype")
        step = BlockApply(func, times, kind, self._grid, self._key)
        return self._derived(self.records.chain.then(step))

    # -- conversion ------------------------------------------------------------------------

    def toImages(self) -> Images:
        """The blocks put together again, without their halos. Collective; lazy.

        The keys are those of the images that the blocks were made of, or count from 0 where
        `apply` has changed the number of times.

        Raises
        ------
        ValueError
            Where a filter has left out blocks; by the action, where only that can tell.
        """
        from .exchange.to_images import FrameSource, chain_of
        from .images import Images

        chain, images = self.records.chain, self._source.records
        made = images.chain
        if chain.source is not self._source or chain.steps or chain.count != self._source.count:

            def labels(count: int) -> Positions:
                keys = images.keys
                return range(count) if keys is None or len(keys) != count else keys

            made = chain_of(FrameSource(self.records, lambda: images.dims, self._source), labels)
        return Images(self.session, made, self.metadata, self.records.inputs)

    def toSeries(self) -> Series:
        """``toImages().toSeries()``: a record per pixel. Collective; lazy."""
        return self.toImages().toSeries()

    def toTimeSeries(self) -> TimeSeries:
        """``toImages().toTimeSeries()``. Collective; lazy."""
        return self.toImages().toTimeSeries()
