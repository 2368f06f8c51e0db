"""A lazy change to the dtype that another program's files have. Local; by batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .chain import Shape, WritingStep
from .image_steps import Keys, PixelSize

__all__ = ["Narrow"]

# Bytes of results that are made at once: they stay in the cache.
PIECE_BYTES = 1 << 20


class Narrow(WritingStep):
    """Each value in a dtype that is given; one beyond its range is an error that names the image.

    Floats that become integers are rounded to the nearest, halves to even ones; those that become
    smaller floats to the nearest of these.

    Parameters
    ----------
    name : str
        The method's name, as messages have it.
    kind : numpy.dtype
        int16 or a float.
    turned : bool
        Whether the results have the images' axes in reverse order.
    images : (T,) int64 ndarray, optional
        The records are series, and their values those of the images with these keys.
    """

    def __init__(
        self, name: str, kind: np.dtype, turned: bool = False, images: np.ndarray | None = None
    ) -> None:
        self.name = name
        self.kind = kind
        self.turned = turned
        self._images = images

    def of_images(self) -> Narrow:
        """Return the same step for the images of the series."""
        return Narrow(self.name, self.kind)

    def dims(self, dims: Shape | None) -> Shape | None:
        return dims[::-1] if self.turned and dims is not None else dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return self.kind

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: it stays with its axis."""
        return size[::-1] if self.turned else size

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        placed = out.transpose(0, *range(out.ndim - 1, 0, -1)) if self.turned else out
        for i, piece in _pieces(batch):
            values, results = batch[piece], placed[piece]
            if np.can_cast(batch.dtype, out.dtype):
                np.copyto(results, values)
                continue
            held = self._narrow(values, results)
            if not np.all(held):
                place = tuple(np.argwhere(~held)[0])
                image = keys[i + int(place[0])] if self._images is None else self._images[place[-1]]
                value = values[place]
                raise OverflowError(
                    f"{self.name}: image {image} has the value {value}, which "
                    f"{self.kind} does not hold; {_advice(value)}"
                )

    def _narrow(self, values: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write values in their new dtype; return which of them it holds."""
        if self.kind.kind == "f":
            with np.errstate(over="ignore"):
                np.copyto(out, values, casting="unsafe")
            held: np.ndarray = np.isfinite(out)
            return held if values.dtype.kind != "f" else held | ~np.isfinite(values)
        info = np.iinfo(self.kind)
        if values.dtype.kind == "f":
            # float16 has no 32767.
            values = np.rint(values.astype(np.float32) if values.itemsize == 2 else values)
        held = (values >= info.min) & (values <= info.max)
        np.copyto(out, values, casting="unsafe", where=held)
        return held


def _advice(value: np.generic) -> str:
    if np.isnan(value):
        return "apply(np.nan_to_num) makes it 0 first"
    return "clip(min, max) bounds the values first, or dotdivide(number) makes them smaller"


def _pieces(batch: np.ndarray) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Parts of some records, or of one: the number of the first record, and the index."""
    size = batch.nbytes // max(1, len(batch))
    step = max(1, PIECE_BYTES // max(1, size))
    rows = batch.shape[1] if size > PIECE_BYTES else 1
    some = max(1, PIECE_BYTES * rows // max(1, size))
    for i in range(0, len(batch), step):
        if rows == 1:
            yield i, (slice(i, i + step),)
        else:
            for row in range(0, rows, some):
                yield i, (slice(i, i + 1), slice(row, row + some))
