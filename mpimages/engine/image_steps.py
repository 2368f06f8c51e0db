"""Lazy transformations of images. Local; each works on a batch of records at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .chain import Shape, WritingStep

__all__ = ["Pixels", "Projection"]

# Bytes of images that are converted or made contiguous at once before they are reduced.
PIECE_BYTES = 4 << 20

Keys = Sequence[object] | np.ndarray
PixelSize = tuple[float | None, ...]


class Projection(WritingStep):
    """Reduce each image along one axis."""

    def __init__(self, kind: str, axis: int) -> None:
        self.name = f"{kind}Projection"
        self.kind = kind
        self.axis = axis

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is None:
            return None
        axis = projection_axis(self.axis, dims)
        return dims[:axis] + dims[axis + 1 :]

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        from ..kernels import projection

        if dtype is None:
            return None
        if dtype == np.float16:  # its own range is too small for a sum of two
            return dtype if self.kind in ("max", "min") else self.dtype(np.dtype(np.float32))
        return projection.result_dtype(self.kind, dtype)

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size; `size` is that of the images along each axis."""
        axis = projection_axis(self.axis, tuple(1 for _ in size))
        return size[:axis] + size[axis + 1 :]

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        if batch.flags.c_contiguous and batch.dtype != np.float16:
            self._reduce(batch, out)
            return
        step = max(1, PIECE_BYTES * len(batch) // max(1, batch.nbytes))
        for i in range(0, len(batch), step):
            piece = np.ascontiguousarray(batch[i : i + step])
            if piece.dtype == np.float16:
                piece = piece.astype(np.float32)
            result = np.empty(out[i : i + step].shape, self.dtype(piece.dtype))
            self._reduce(piece, result)
            out[i : i + step] = result

    def _reduce(self, batch: np.ndarray, out: np.ndarray) -> None:
        from ..kernels import projection

        dims = batch.shape[1:]
        axis = projection_axis(self.axis, dims)
        outer, inner = len(batch) * _product(dims[:axis]), _product(dims[axis + 1 :])
        projection.project(
            self.kind, batch.reshape(outer, dims[axis], inner), out.reshape(outer, inner)
        )


def projection_axis(axis: int, dims: Shape) -> int:
    """Return the axis counted from 0; raise ValueError if it is out of range for `dims`."""
    if not -len(dims) <= axis < len(dims):
        raise ValueError(
            f"axis {axis} is out of range: the images have {len(dims)} axes, dims {dims}"
        )
    return axis % len(dims)


def _product(dims: Shape) -> int:
    return int(np.prod(dims, dtype=np.int64))


class Pixels:
    """Keep a part of each image's pixels.

    `index` is one index per axis (a slice, an int or a list), or one slice for all axes. Crops,
    subsampling and the choice of planes are of this kind. Slices give a view, so that nothing is
    copied before it is needed. `least` is the minimum length of each axis.
    """

    def __init__(
        self,
        name: str,
        index: tuple[slice | int | list[int], ...] | slice,
        least: Shape | None = None,
    ) -> None:
        self.name = name
        self.index = index
        self.least = least

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is None:
            return None
        return self.run([0], np.broadcast_to(np.uint8(0), (1, *dims))).shape[1:]

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: strides make pixels larger, a list makes them uneven."""
        index = self.index if isinstance(self.index, tuple) else (self.index,) * len(size)
        return tuple(
            None if length is None or isinstance(part, list) else length * (part.step or 1)
            for length, part in zip(size, index, strict=False)
            if not isinstance(part, int)
        )

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        index = self.index
        if isinstance(index, slice):
            index = (index,) * (batch.ndim - 1)
        if batch.ndim - 1 != len(index):
            raise ValueError(
                f"{self.name} was given {len(index)} axes, "
                f"but the records have dims {batch.shape[1:]}"
            )
        if self.least is not None and any(
            n < k for n, k in zip(batch.shape[1:], self.least, strict=True)
        ):
            raise ValueError(
                f"{self.name}: that part of an image is not there: it takes dims "
                f"of at least {self.least}, the images have {batch.shape[1:]}"
            )
        return batch[(slice(None), *index)]
