"""Lazy transformations of blocks. Local.

The record of a block is (times, pixels of the largest block); the block lies at its beginning, in C
order of (times, row, column[, page]), and what is left over at the end has no meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.grid import Grid
from ..spmd.watch import between_calls
from .chain import Shape
from .functions import Apply, Keys

__all__ = ["BlockApply", "block_of"]


def block_of(record: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the block of a record, (times,) + shape, as a view."""
    times = len(record)
    return record.reshape(-1)[: times * math.prod(shape)].reshape(times, *shape)


class BlockApply(Apply):
    """A function of the user's on each block, which may change the number of times.

    `grid` tells the shapes of the blocks, once they are known.
    """

    def __init__(
        self,
        func: Callable[[np.ndarray], Any],
        length: int | None,
        dtype: np.dtype | None,
        grid: Callable[[], Grid],
        label: Callable[[Any], Any],
    ) -> None:
        super().__init__(func, None, dtype, label=label)
        self._length = length
        self._grid = grid

    @property
    def known(self) -> bool:
        return super().known or (self._length is not None and self.known_dtype is not None)

    def dims(self, dims: Shape | None) -> Shape | None:
        """Declared is the number of times alone: the pixels are those of the largest block."""
        if self.known_dims is None and self._length is not None and dims is not None:
            self.known_dims = (self._length, dims[1])
        return self.known_dims

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        out = None
        self.dims(batch.shape[1:])
        for i, key in enumerate(keys):
            value = self._of_block(batch[i], int(key))
            if out is None:
                out = np.empty((len(batch), *value.shape), dtype=value.dtype)
            out[i] = value
        if out is None:
            return np.empty((0, *(self.known_dims or ())), dtype=self.known_dtype)
        return out

    def _of_block(self, record: np.ndarray, key: int) -> np.ndarray:
        """Return the record of what the function returns for a block."""
        shape = self._grid().outer(key)[1]
        between_calls()
        result = self.func(block_of(record, shape).copy())
        array = np.asarray(result)
        if array.shape[1:] != shape or array.ndim != 1 + len(shape):
            raise ValueError(
                f"apply: the function returned shape {array.shape} for the block at "
                f"{self.label(key)}, which has shape {(len(record), *shape)}: only the number of "
                "times may be another"
            )
        if array.size == 0 or (array is not result and np.ma.is_masked(result)):
            return self._checked(result, key)  # which refuses it
        pixels = record.shape[1]
        if array[0].size != pixels:
            padded = np.zeros((len(array), pixels), array.dtype)
            block_of(padded, shape)[...] = array
            array = padded
        return self._checked(array.reshape(len(array), pixels), key)
