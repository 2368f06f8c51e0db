"""Series in an array in chunks: dims + (T,), or frame-major (T,) + dims."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...dims import box_shape, boxes, chunk_boxes, pixel_boxes, pixel_grain
from ..base import Scratch, has_gaps
from ..byte_ranges import transpose_matrix
from ..chunked_array import ChunkedArray
from ..flat.array import BAND_BYTES
from .header import SeriesHandle, SeriesHeader


def chunked_grain(chunks: Sequence[int] | None, dims: Sequence[int], images: bool) -> int:
    """Ranges of pixels that are cut at multiples of this hold whole chunks."""
    if chunks is None:
        return 1
    chunk = chunks[1:] if images else chunks[:-1]
    grain = pixel_grain(dims, [min(c, n) for c, n in zip(chunk, dims, strict=True)])
    return min(grain, math.prod(dims))


class ChunkedSeriesHandle(SeriesHandle):
    """The series in an array in chunks.

    Parameters
    ----------
    header, scratch
        As `SeriesHandle`.
    array : ChunkedArray
        It is closed with the handle.
    images : bool
        Whether it is frame-major.
    """

    def __init__(
        self, header: SeriesHeader, array: ChunkedArray, images: bool, scratch: Scratch | None
    ) -> None:
        super().__init__(header, scratch)
        self._array = array
        self._images = images

    def close(self) -> None:
        self._array.close()

    def read_pixels(self, pixels: np.ndarray, out: np.ndarray) -> None:
        if self.header.grain == 1 or not has_gaps(pixels):
            super().read_pixels(pixels, out)
        else:  # of chunks that several share, not one after the other
            self._read_boxes(*self._widen(int(pixels[0]), int(pixels[-1]) + 1), pixels, out)

    def read_box(self, low: Sequence[int], out: np.ndarray) -> None:
        if out.size == 0:
            return
        turned = (*low[-1:], *low[:-1]) if self._images else tuple(low)
        stored = np.moveaxis(out, -1, 0) if self._images else out
        unit = self._array.chunks or (1,) * out.ndim
        for begin, size in chunk_boxes(turned, stored.shape, unit, out.dtype.itemsize, BAND_BYTES):
            values = self.scratch.take(size, out.dtype)
            self._array.read(begin, values)
            places = zip(begin, size, turned, strict=True)
            stored[tuple(slice(a - b, a - b + n) for a, n, b in places)] = values

    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        regions = list(pixel_boxes(self.header.dims, first, stop))
        whole = self._widen(first, stop)
        if self._images or (len(regions) > 1 and (first, stop) != whole):
            # Boxes of whole chunks, as several may have parts of the same ones.
            self._read_boxes(*whole, np.arange(first, stop), out)
            return
        done = 0
        for start, extent in regions:
            count = math.prod(extent)
            part = out[done : done + count].reshape(*extent, self.header.length)
            self._array.read((*start, 0), part)
            done += count

    def _widen(self, first: int, stop: int) -> tuple[int, int]:
        """The pixels of all chunks in which those of [first, stop) lie."""
        grain = self.header.grain
        return first // grain * grain, min(self.header.pixels, -(-stop // grain) * grain)

    def _read_boxes(self, first: int, stop: int, pixels: np.ndarray, out: np.ndarray) -> None:
        """Read those `pixels` that lie in [first, stop) through memory of about BAND_BYTES."""
        dims, length, images = self.header.dims, self.header.length, self._images
        places = np.stack(np.unravel_index(pixels, dims), axis=1)
        for corner, extent in pixel_boxes(dims, first, stop):
            whole = (length, *extent) if images else (*extent, length)
            unit = self._array.chunks or (1,) * len(whole)
            step = box_shape(whole, unit, out.dtype.itemsize, BAND_BYTES)
            origin = (0, *corner) if images else (*corner, 0)
            for low, size in boxes(origin, whole, step):
                begin, number = (low[1:], size[1:]) if images else (low[:-1], size[:-1])
                inside = places - np.array(begin)
                rows = np.flatnonzero(((inside >= 0) & (inside < number)).all(axis=1))
                if len(rows) == 0:
                    continue
                values = self.scratch.take(size, out.dtype)
                self._array.read(low, values)
                time = (
                    slice(low[0], low[0] + size[0])
                    if images
                    else slice(low[-1], low[-1] + size[-1])
                )
                columns = np.ravel_multi_index(tuple(inside[rows].T), number)
                _put(values, images, columns, out, rows, time)


def _put(
    values: np.ndarray,
    images: bool,
    columns: np.ndarray,
    out: np.ndarray,
    rows: np.ndarray,
    time: slice,
) -> None:
    """Put the pixels number `columns` of a box where they belong: out[rows, time]."""
    if not images:
        out[rows, time] = values.reshape(-1, values.shape[-1])[columns]
        return
    frames = values.reshape(len(values), -1)
    if len(columns) == frames.shape[1] == rows[-1] - rows[0] + 1:
        transpose_matrix(frames, out[rows[0] : rows[-1] + 1, time])
    else:
        out[rows, time] = frames[:, columns].T
