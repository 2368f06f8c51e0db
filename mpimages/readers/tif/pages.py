"""Reading the pages of one TIFF: plain runs straight into memory, the rest by the codecs."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from ...core.cleanup import quietly
from ...core.ranges import consecutive
from ...core.timers import phase
from ...errors import FormatError
from ...formats.tif_tags import LSM
from ..base import Closing, check_claim
from ..byte_ranges import byteswap, open_status, read_into
from .geometry import NO_COMPRESSION, Entries, Geometry
from .index import UNWRITTEN, TifIndex, index_tif

if TYPE_CHECKING:
    import tifffile

# TIFF's numbers of the compressions whose strips are decoded one by one; others by tifffile.
CODECS = {5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits", 34925: "lzma", 50000: "zstd"}


class Segments(NamedTuple):
    """Where the strips or tiles of a page lie in the file: both 0 for one never written."""

    offsets: np.ndarray
    lengths: np.ndarray


class TifPages(Closing):
    """An open TIFF. Close it.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    identity : tuple
        Changes when the file does.
    size : int
    index : TifIndex
        Set by `find_index`, or from outside where it is known already.
    """

    index: TifIndex

    def __init__(self, path: str) -> None:
        self.path = path
        self._tifffile: tifffile.TiffFile | None = None
        self._again: BinaryIO | None = None
        self._fd: int | None = None
        self._fd, status = open_status(path)
        self.size = status.st_size
        self.identity = (path, status.st_dev, status.st_ino, self.size, status.st_mtime_ns)

    def find_index(self, limit: int | None = None, texts: bool = True) -> None:
        """Index the file, or its first pages."""
        self.index = index_tif(self.path, self._open_fd(), self.size, limit, texts)

    def is_like(self, index: TifIndex) -> bool:
        """Whether another file's index would be this one's too."""
        return index.describes(self._open_fd(), self.size)

    def extend(self, count: int) -> None:
        """Take the only directory as that of `count` pages which follow each other."""
        begin = self._find_run(0)
        if begin < 0:
            why = "was never written" if begin == UNWRITTEN else "is compressed"
            raise FormatError(
                f"{self.path}: its header says {count} pages, but it has one, which {why}"
            )
        self.index = self.index.extend(self.path, count, begin)

    def find_runs(self, pages: np.ndarray) -> np.ndarray | None:
        """The bytes at which pages begin; None unless each is one run of plain values.

        Raises
        ------
        FormatError
            If the file ends before one of them does.
        """
        begins: np.ndarray = self.index.data[pages]
        for place in np.argwhere(begins < 0):
            at = tuple(place)
            begins[at] = self._find_run(int(pages[at]))
            if begins[at] < 0:
                return None
        nbytes = self.index.geometry(int(pages.flat[0])).nbytes if pages.size else 0
        end = int(begins.max(initial=0)) + nbytes
        if end > self.size:
            raise FormatError(
                f"{self.path}: truncated: a page's data end at byte {end}, but the file has "
                f"{self.size} bytes"
            )
        return begins

    def _find_run(self, page: int) -> int:
        """Where a page begins if its strips follow each other without a gap; else -1, or
        UNWRITTEN."""
        geometry = self.index.geometry(page)
        if self.index.data[page] != -1 or not geometry.plain:
            return int(self.index.data[page])
        offsets, lengths = self._find_segments(page, geometry)
        if not lengths.all():
            return -1 if lengths.any() else UNWRITTEN
        height, width = geometry.segment
        full = height * width * geometry.dtype.itemsize
        gapless = (lengths[:-1] == full).all() and (np.diff(offsets) == full).all()
        whole = int(offsets[-1] + lengths[-1] - offsets[0]) >= geometry.nbytes
        return int(offsets[0]) if gapless and whole else -1

    def read(self, pages: np.ndarray, out: np.ndarray) -> None:
        """Read pages into out, (pages, rows, columns), C-contiguous."""
        begins: np.ndarray = self.index.data[pages]
        if begins.min() < 0:
            for k, page in enumerate(pages.tolist()):
                self._read_page(page, out[k])
            return
        nbytes = out[0].nbytes
        # Pages that follow each other in the file are read at once.
        for first, last in consecutive(begins, nbytes):
            read_into(self._open_fd(), int(begins[first]), out[first:last], self.path)
        byteswap(out, self.index.geometry(int(pages[0])).stored)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._tifffile is not None:
            quietly(self._tifffile.close)
            self._tifffile = None
        if self._again is not None:
            quietly(self._again.close)
        descriptor, self._fd = self._fd, None
        if descriptor is not None:
            quietly(os.close, descriptor)

    def _open_fd(self) -> int:
        if self._fd is None:
            raise ValueError(f"{self.path}: the file is closed")
        return self._fd

    def _read_page(self, page: int, out: np.ndarray) -> None:
        geometry = self.index.geometry(page)
        begin = int(self.index.data[page])
        if begin >= 0:
            read_into(self._open_fd(), begin, out, self.path)
            byteswap(out, geometry.stored)
            return
        if begin == UNWRITTEN:
            out[...] = 0
            return
        segments = self._find_segments(page, geometry)
        if not segments.lengths.any():
            out[...] = 0
        elif _is_decoded_here(geometry):
            self._read_segments(page, geometry, segments, out)
        else:
            self._read_by_tifffile(page, geometry, out)

    def unwritten(self, pages: np.ndarray) -> dict[str, int]:
        """How many ``pages``, and how many ``strips`` and ``tiles`` of others, were never
        written; what is 0 is left out."""
        found = {"pages": 0, "strips": 0, "tiles": 0}
        for page in pages.reshape(-1).tolist():
            geometry = self.index.geometry(page)
            if geometry.one_place:
                found["pages"] += int(self.index.data[page] == UNWRITTEN)
                continue
            if self.index.data[page] >= 0:
                continue  # one directory for all pages
            lengths = self._find_segments(page, geometry).lengths
            if not lengths.any():
                found["pages"] += 1
            else:
                found["tiles" if geometry.tiled else "strips"] += int((lengths == 0).sum())
        return {name: number for name, number in found.items() if number}

    def _find_segments(self, page: int, geometry: Geometry, all_samples: bool = False) -> Segments:
        """Where a page's strips or tiles lie: those of its sample, or of all."""
        index, fd = self.index, self._open_fd()
        ifd = int(index.ifds[page])
        head = os.pread(fd, index.layout.head, ifd)
        (count,) = index.layout.count.unpack(head)
        directory = os.pread(fd, count * index.layout.entry.itemsize, ifd + index.layout.head)
        entries = Entries(self.path, fd, index.size, index.layout, directory)
        # Tables may be longer than there are strips or tiles.
        first = geometry.sample * geometry.segments if geometry.planar else 0
        end = first + geometry.segments
        if all_samples and geometry.planar:
            first, end = 0, geometry.samples * geometry.segments
        offsets = entries.integers(geometry.offsets_tag)[first:end]
        lengths = entries.integers(geometry.counts_tag)[first:end]
        if LSM in index.private and geometry.compression != NO_COMPRESSION:
            # Zeiss' program writes the lengths before compression. What is decoded ends by itself.
            lengths = np.minimum(lengths, np.maximum(1, index.size - offsets))
        if not lengths.size or (geometry.segments == 1 and not geometry.tiled and not lengths[0]):
            # The length of an only strip need not be told.
            lengths = np.full(1, geometry.longest(index.size - int(offsets[0])))
        unwritten = geometry.unwritten(offsets, lengths)
        offsets, lengths = np.where(unwritten, 0, (offsets, lengths))
        if (offsets > index.size - lengths).any():
            raise FormatError(
                f"{self.path}: truncated: page {page} has data beyond the file's {index.size} bytes"
            )
        return Segments(offsets, lengths)

    def _read_segments(
        self, page: int, geometry: Geometry, segments: Segments, out: np.ndarray
    ) -> None:
        """Read a page strip by strip or tile by tile, each once."""
        height, width = geometry.segment
        across = -(-geometry.columns // width)
        for k, (offset, length) in enumerate(np.column_stack(segments).tolist()):
            row, column = height * (k // across), width * (k % across)
            target = out[row : row + height, column : column + width]
            if length == 0:
                target[...] = 0
                continue
            alone = not geometry.interleaved
            if alone and target.flags.c_contiguous and target.shape == geometry.segment:
                self._fill(page, geometry, offset, length, target)
                continue
            # A tile reaches beyond the page, and some writers let the last strip do so too.
            shape = (height, width) if alone else (height, width, geometry.samples)
            check_claim(self.path, math.prod(shape) * out.itemsize, self.index.size)
            rows = height if geometry.tiled else len(target)
            whole = np.zeros(shape, dtype=out.dtype)
            self._fill(page, geometry, offset, length, whole, rows)
            values = whole if alone else whole[..., geometry.sample]
            target[...] = values[: target.shape[0], : target.shape[1]]

    def _fill(
        self,
        page: int,
        geometry: Geometry,
        offset: int,
        length: int,
        out: np.ndarray,
        rows: int | None = None,
    ) -> None:
        """Decode one strip or tile into out; `rows` of it at least must be there."""
        import imagecodecs

        need = out[:rows].nbytes
        if geometry.compression == NO_COMPRESSION:
            if length < need:
                raise FormatError(self._short(page, need, length))
            read_into(self._open_fd(), offset, out[:rows], self.path)
            byteswap(out, geometry.stored)
            return
        stored = np.empty(length, dtype=np.uint8)
        read_into(self._open_fd(), offset, stored, self.path)
        decode = getattr(imagecodecs, f"{CODECS[geometry.compression]}_decode")
        raw = out.reshape(-1).view(np.uint8)
        try:
            with phase("decode", raw.nbytes):
                done = decode(stored, out=raw)
        except Exception as error:
            raise FormatError(f"{self.path}: page {page} is damaged: {error}") from None
        if len(done) < need:
            raise FormatError(self._short(page, need, len(done)))
        if geometry.predictor == 3:
            values = out[:rows]
            values[...] = imagecodecs.floatpred_decode(values.copy(), axis=-1)
            return
        byteswap(out, geometry.stored)
        if geometry.predictor == 2:
            imagecodecs.delta_decode(out, axis=1, out=out)

    def _short(self, page: int, need: int, found: int) -> str:
        return f"{self.path}: page {page} is damaged: a strip or tile of {need} bytes has {found}"

    def _read_by_tifffile(self, page: int, geometry: Geometry, out: np.ndarray) -> None:
        import tifffile

        segments = self._find_segments(page, geometry, all_samples=True)

        try:
            if self._tifffile is None:
                # The same open file again, for a handle holds one.
                fd = os.dup(self._open_fd())
                self._again = open(self.path, "rb", opener=lambda *_: fd)  # noqa: SIM115
                self._tifffile = tifffile.TiffFile(self._again)
            with phase("decode", out.nbytes):
                decoded = self._page_at(self._tifffile, page)
                # As they were understood here: there are tags that the library reads otherwise.
                decoded.dataoffsets = tuple(segments.offsets.tolist())
                decoded.databytecounts = tuple(segments.lengths.tolist())
                decoded.predictor, decoded.nodata = geometry.predictor, 0
                found = decoded.asarray(maxworkers=1)
        except Exception as error:
            # A MemoryError too: the page's size was checked, so the coded data claim too much.
            raise FormatError(f"{self.path}: page {page} cannot be decoded: {error}") from None
        if geometry.samples > 1 and found.ndim == 3:
            found = found[geometry.sample] if geometry.planar else found[..., geometry.sample]
        if found.shape == (*out.shape, 1):  # as of RGB with one sample
            found = found[..., 0]
        if found.shape != out.shape or found.dtype.itemsize > out.dtype.itemsize:
            raise FormatError(
                f"{self.path}: page {page} is decoded to shape {found.shape} and dtype "
                f"{found.dtype}, not {out.shape} and {out.dtype}"
            )
        out[...] = found

    def _page_at(self, file: tifffile.TiffFile, page: int) -> tifffile.TiffPage:
        """The page by its place, for tifffile's numbers count thumbnails too."""
        import tifffile

        file.filehandle.seek(int(self.index.ifds[page]))
        return tifffile.TiffPage(file, index=page)


def _is_decoded_here(geometry: Geometry) -> bool:
    known = geometry.compression in CODECS or geometry.compression == NO_COMPRESSION
    predictor = geometry.predictor in (1, 2) or (
        geometry.predictor == 3 and geometry.dtype.kind == "f" and not geometry.interleaved
    )
    return known and predictor and geometry.whole_bytes
