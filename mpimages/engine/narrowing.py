"""A lazy change to the dtype that another program's files have. Local; by batches."""

from __future__ import annotations

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
    """

    def __init__(self, name: str, kind: np.dtype, turned: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.turned = turned

    def dims(self, dims: Shape | None) -> Shape | None:
        return dims[::-1] if self.turned and dims is not None else dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return self.kind

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: it stays with its axis."""
        return size[::-1] if self.turned else size

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        convert = self._copy if np.can_cast(batch.dtype, out.dtype) else self._narrow
        for key, image, result in zip(keys, batch, out, strict=True):
            placed = result.T if self.turned else result
            step = max(1, PIECE_BYTES * len(image) // max(1, image.nbytes))
            for i in range(0, len(image), step):
                convert(key, image[i : i + step], placed[i : i + step])

    def _copy(self, key: object, values: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out, values)

    def _narrow(self, key: object, values: np.ndarray, out: np.ndarray) -> None:
        if self.kind.kind == "f":
            with np.errstate(over="ignore"):
                np.copyto(out, values, casting="unsafe")
            held = np.isfinite(out) | ~np.isfinite(values) if values.dtype.kind == "f" else True
        else:
            info = np.iinfo(self.kind)
            if values.dtype.kind == "f":
                # float16 has no 32767.
                values = np.rint(values.astype(np.float32) if values.itemsize == 2 else values)
            held = (values >= info.min) & (values <= info.max)
        if not np.all(held):
            raise OverflowError(
                f"{self.name}: image {key} has the value {values[~held].flat[0]}, which "
                f"{self.kind} does not hold; clip(min, max) bounds the values first, or "
                "dotdivide(number) makes them smaller"
            )
        if self.kind.kind != "f":
            np.copyto(out, values, casting="unsafe")
