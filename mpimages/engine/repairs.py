"""Lazy repairs of images: a detector is corrected. Local; by batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .chain import Shape, WritingStep
from .image_steps import Keys, PixelSize

__all__ = ["CorrectDetector", "PixelwiseStep", "over_planes", "real_dtype"]

# Bytes of results that go through all parts of a repair at once: they stay in the cache.
PIECE_BYTES = 1 << 20


def real_dtype(dtype: np.dtype) -> np.dtype:
    """Return float32 for integers of at most 16 bits, float16 and float32; else float64."""
    exact = dtype.itemsize <= (4 if dtype.kind == "f" else 2)
    return np.dtype(np.float32 if exact else np.float64)


class PixelwiseStep(WritingStep):
    """A step that keeps the records' dims, with values for each pixel."""

    records = "images"

    def __init__(self) -> None:
        # The values in the dtypes in which they are used. They follow from what the ranks compare.
        self._converted: dict[tuple[str, np.dtype], np.ndarray] = {}

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: it stays."""
        return size

    def _check_dims(self, values: np.ndarray, name: str, dims: Shape) -> None:
        """Raise ValueError unless `values` are of these dims, or one plane of such volumes."""
        if values.shape == dims or (len(dims) == 3 and values.shape == dims[:2]):
            return
        plane = f", or {dims[:2]} for all planes" if len(dims) == 3 else ""
        raise ValueError(
            f"{self.name}: {name} must have the {self.records}' dims {dims}{plane}, "
            f"got {values.shape}"
        )

    def _convert(self, values: np.ndarray, name: str, dtype: np.dtype) -> np.ndarray:
        """Return `values` in another dtype. Raise ValueError where that cannot hold them."""
        found = self._converted.get((name, dtype))
        if found is None:
            with np.errstate(over="ignore"):
                found = values.astype(dtype)
            if (np.isfinite(values) & ~np.isfinite(found)).any():
                raise ValueError(f"{self.name}: {name} has values beyond the range of {dtype}")
            self._converted[name, dtype] = found
        return found


def over_planes(values: np.ndarray, dims: Shape) -> np.ndarray:
    """Return the values so that they broadcast over images of these dims: one plane over all."""
    return values[..., None] if 0 < values.ndim < len(dims) else values


class CorrectDetector(PixelwiseStep):
    """Subtract the dark image, divide by the flat one, and fill in bad pixels.

    Each of the three is an array of the images' dims, or of one plane of volumes, or None. The
    bad pixels' own values of `dark` and `flat` are not used.
    """

    name = "correctDetector"

    def __init__(
        self, dark: np.ndarray | None, flat: np.ndarray | None, bad: np.ndarray | None
    ) -> None:
        super().__init__()
        self.bad = bad
        given = {"dark": dark, "flat": flat, "bad": bad}
        parts = {name: part for name, part in given.items() if part is not None}
        dims = max((part.shape for part in parts.values()), key=len)
        for name, part in parts.items():  # among each other, as the images' may not be known yet
            self._check_dims(part, name, dims)
        self.shapes = tuple((name, part.shape) for name, part in parts.items())
        if bad is not None and bad.all(axis=(0, 1)).any():
            planes = np.flatnonzero(bad.all(axis=(0, 1))).tolist() if bad.ndim == 3 else []
            where = f" in plane {planes[0]}" if planes else ""
            raise ValueError(f"correctDetector: bad leaves no good pixel{where}")
        self.dark = dark if dark is None else _without(bad, dark, 0, "dark")
        self.gain = None if flat is None else _gain(self.dark, flat, bad)
        self._filling = [] if bad is None else list(_plan_filling(bad))

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is not None:
            for name in ("dark", "gain", "bad"):
                values = getattr(self, name)
                if values is not None:
                    self._check_dims(values, "flat" if name == "gain" else name, dims)
        return dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        only_filled = self.dark is None and self.gain is None
        return dtype if dtype is None or only_filled else real_dtype(dtype)

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        step = max(1, PIECE_BYTES * len(out) // max(1, out.nbytes))
        for i in range(0, len(out), step):
            self._correct(batch[i : i + step], out[i : i + step])

    def _correct(self, batch: np.ndarray, out: np.ndarray) -> None:
        dims, kind = batch.shape[1:], out.dtype
        with np.errstate(over="ignore", invalid="ignore"):
            if self.dark is None:
                np.copyto(out, batch, casting="same_kind")
            else:
                dark = over_planes(self._convert(self.dark, "dark", kind), dims)
                np.subtract(batch, dark, out=out, dtype=kind, casting="same_kind")
            if self.gain is not None:
                np.divide(out, over_planes(self._convert(self.gain, "flat", kind), dims), out=out)
            if self.bad is not None:
                values = out.reshape(len(out), self.bad.size, -1)
                for pixels, neighbours in self._filling:
                    values[:, pixels] = _mean_of(values, neighbours)


def _without(bad: np.ndarray | None, values: np.ndarray, instead: float, name: str) -> np.ndarray:
    """Return a copy of finite values, with another value for bad pixels."""
    taken = values.astype(np.float64)
    if bad is not None:
        if bad.ndim > taken.ndim:  # a plane for all, where planes have bad pixels of their own
            taken = np.repeat(taken[..., None], bad.shape[-1], axis=2)
        taken[bad] = instead
    wrong = ~np.isfinite(taken)
    if wrong.any():
        raise ValueError(
            f"correctDetector: {name} is not finite at {_where(wrong)}; name such pixels in bad"
        )
    return taken


def _gain(dark: np.ndarray | None, flat: np.ndarray, bad: np.ndarray | None) -> np.ndarray:
    """Return (flat - dark) divided by its mean over good pixels; 1 for bad ones."""
    light = _without(bad, flat, 0, "flat")
    if dark is not None:
        light = over_planes(light, dark.shape) - over_planes(dark, light.shape)
    good = np.ones(light.shape, dtype=bool)
    if bad is not None:
        good &= ~over_planes(bad, light.shape)
    dim = good & ~(light > 0)
    if dim.any():
        minus = "" if dark is None else " minus dark"
        raise ValueError(
            f"correctDetector: flat{minus} is not above 0 at {_where(dim)}; name such pixels in "
            "bad"
            + (
                ""
                if dark is None
                else ". If dark was subtracted from flat before, give flat + dark"
            )
        )
    gain: np.ndarray = light / light[good].mean()
    gain[~good] = 1
    return gain


def _where(wrong: np.ndarray) -> str:
    """Return how many pixels are True, and the first of them."""
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    number = np.count_nonzero(wrong)
    return f"pixel {first}" if number == 1 else f"{number} pixels, the first {first}"


def _plan_filling(bad: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the bad pixels in the order in which they are filled in, with their neighbours.

    First those that have good ones among their eight neighbours in the plane; then those that have
    neighbours which are filled in by then; and so on inwards. Those with as many neighbours are
    filled in together: (m,) flat indices, and (m, k) of their neighbours.
    """
    known, number = ~bad, np.arange(bad.size).reshape(bad.shape)
    while not known.all():
        shifted = np.stack(list(_neighbours(known)), axis=-1)
        next_ones = ~known & shifted.any(axis=-1)
        pixels, there = number[next_ones], shifted[next_ones]
        around = np.stack(list(_neighbours(number)), axis=-1)[next_ones]
        counts = there.sum(axis=1)
        for count in np.unique(counts):
            rows = counts == count
            yield pixels[rows], around[rows][there[rows]].reshape(-1, int(count))
        known |= next_ones


def _neighbours(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the values of each pixel's eight neighbours in the plane; 0 beyond the border."""
    padded = np.pad(values, [(1, 1), (1, 1), (0, 0)][: values.ndim])
    rows, columns = values.shape[:2]
    for row in range(3):
        for column in range(3):
            if (row, column) != (1, 1):
                yield padded[row : row + rows, column : column + columns]


def _mean_of(values: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Return the mean of each pixel's neighbours, (images, pixels, planes), one after the other.

    Of integers it is the nearest integer, a half upwards.
    """
    count = neighbours.shape[1]
    each = [values[:, neighbours[:, i]] for i in range(count)]
    if values.dtype.kind == "f":
        total = each[0].astype(np.float64)
        for one in each[1:]:
            total += one
        mean: np.ndarray = total / count
        return mean
    # By quotients, whose sum fits where that of the values might not.
    quotient: np.ndarray = each[0] // count
    rest = (each[0] % count).astype(np.int64)
    for one in each[1:]:
        quotient += one // count
        rest += (one % count).astype(np.int64)
    quotient += ((2 * rest + count) // (2 * count)).astype(quotient.dtype)
    return quotient
