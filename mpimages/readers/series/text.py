"""Text series: a line for each record, its keys and then its values, separated by blanks.

Lines differ in length, and a record may have any place in the files: text_lines.py finds them.
Values are parsed when they are read, in double precision.
"""

from __future__ import annotations

import os

import numpy as np

from ...core.cleanup import quietly
from ...errors import FormatError
from ..base import Scratch
from ..byte_ranges import open_file, read_into
from . import text_lines
from .files import data_files
from .header import SeriesHandle, SeriesHeader, SeriesOptions
from .text_lines import BLANKS, NEWLINE, file_of, line_number, no_text

# What is read and parsed at a time: its values take up to four times as much.
BAND_BYTES = 1 << 22
# Lines so near to each other are read at once.
GAP_BYTES = 1 << 15


def inspect_text(path: str, options: SeriesOptions) -> SeriesHeader:
    """What a text file, or a directory of them, is; without dims: see `text_lines.place_lines`."""
    if options.nkeys is None:
        raise ValueError(
            f"{path}: nkeys= must say how many numbers at the beginning of each line are the "
            "coordinates of a pixel: 2 for images, 3 for volumes, 0 where there are none"
        )
    if options.keyType is not None or options.valueType is not None:
        raise ValueError(
            f"{path}: keyType and valueType are of binary files; text is read as float64, which "
            "astype changes"
        )
    if options.nkeys > 3:
        raise ValueError(f"nkeys={options.nkeys}: pixels have up to three coordinates")
    names = [os.path.basename(path)]
    directory = os.path.dirname(path)
    if os.path.isdir(path):
        directory, names = path, data_files(path, options.confFilename, ending=".txt")
    files = [(name, os.path.getsize(os.path.join(directory, name))) for name in names]
    files = [(name, size) for name, size in files if size]
    length = None
    for name, _ in files:
        first = _first_line(os.path.join(directory, name))
        if first is not None:
            length = len(first.split()) - options.nkeys
            break
    if length is None:
        raise FormatError(f"{path}: has no lines")
    if length < 1:
        raise FormatError(
            f"{os.path.join(directory, name)}: its first line has {length + options.nkeys} "
            f"numbers, of which nkeys={options.nkeys} are keys: no values are left"
        )
    if options.nvalues not in (None, length):
        raise ValueError(
            f"{path}: nvalues={options.nvalues} was given, but its lines have {length}"
        )
    layout = {
        "names": [name for name, _ in files],
        "sizes": [size for _, size in files],
        "nkeys": options.nkeys,
        "directory": directory,
    }
    return SeriesHeader(path, "text", (), length, np.dtype(np.float64), None, {}, layout)


def _first_line(path: str) -> bytes | None:
    """The first line that is not empty; None where there is none."""
    with os.fdopen(open_file(path)[0], "rb") as file:
        while line := file.readline(text_lines.LONGEST_LINE):
            if len(line) == text_lines.LONGEST_LINE:
                raise no_text(path)
            if line.strip(BLANKS):
                return line
    return None


# -- reading -------------------------------------------------------------------------------


class TextHandle(SeriesHandle):
    """A Series in text files."""

    def __init__(self, header: SeriesHeader, scratch: Scratch | None) -> None:
        super().__init__(header, scratch)
        self._ends = np.cumsum(header.layout["sizes"])
        self._fd, self._open = -1, -1

    def close(self) -> None:
        descriptor, self._fd, self._open = self._fd, -1, -1
        if descriptor >= 0:
            quietly(os.close, descriptor)

    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        starts = self.header.layout["starts"][first:stop]
        lengths = self.header.layout["lengths"][first:stop].astype(np.int64)
        order = np.argsort(starts)
        starts, lengths = starts[order], lengths[order]
        files = np.searchsorted(self._ends, starts, side="right")
        place = 0
        while place < len(order):
            end = self._together(place, starts, lengths, files)
            chosen = slice(place, end)
            lines = self._lines(int(files[place]), starts[chosen], lengths[chosen])
            out[order[chosen]] = self._values(lines, starts[chosen], first + order[chosen])
            place = end

    def _together(
        self, place: int, starts: np.ndarray, lengths: np.ndarray, files: np.ndarray
    ) -> int:
        """The lines [place, end) that are read at once: near to each other, in one file."""
        ends = starts[place:] + lengths[place:]
        near = starts[place + 1 :] - ends[:-1] <= GAP_BYTES
        near &= files[place + 1 :] == files[place]
        near &= ends[1:] - starts[place] <= BAND_BYTES
        apart = np.flatnonzero(~near)
        return place + 1 + (int(apart[0]) if len(apart) else len(near))

    def _lines(self, file: int, starts: np.ndarray, lengths: np.ndarray) -> list[memoryview]:
        """Read lines of one file."""
        path, low = file_of(self.header, int(starts[0]))
        if file != self._open:
            self.close()
            self._fd, size = open_file(path)
            self._open = file
            if size != self.header.layout["sizes"][file]:
                raise FormatError(
                    f"{path}: has {size} bytes, not {self.header.layout['sizes'][file]} as when it "
                    "was loaded; load the series again"
                )
        begins, size = starts - starts[0], int(starts[-1] + lengths[-1] - starts[0])
        raw = self.scratch.take((size,), np.dtype(np.uint8))
        read_into(self._fd, low, raw, path)
        memory = raw.data
        return [memory[a : a + n] for a, n in zip(begins.tolist(), lengths.tolist(), strict=True)]

    def _values(
        self, lines: list[memoryview], starts: np.ndarray, pixels: np.ndarray
    ) -> np.ndarray:
        """Parse lines: (lines, length) float64. They must have the keys of these pixels."""
        nkeys, count = self.header.layout["nkeys"], self.header.length
        text = b"\n".join([*lines, b"0"])  # so that nothing is left over behind the last number
        try:
            numbers = np.fromstring(text, dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            numbers = np.empty(0)
        if len(numbers) != len(lines) * (nkeys + count) + 1 or not self._even(text, nkeys + count):
            raise self._explained(lines, starts)
        values: np.ndarray = numbers[:-1].reshape(len(lines), nkeys + count)
        places = np.stack(np.unravel_index(pixels, self.header.dims), axis=1)
        if nkeys and (values[:, :nkeys] != places + self.header.layout["low"]).any():
            wrong = (values[:, :nkeys] != places + self.header.layout["low"]).any(axis=1)
            raise self._error(int(starts[np.flatnonzero(wrong)[0]]), "has changed since loading")
        return values[:, nkeys:]

    @staticmethod
    def _even(text: bytes, count: int) -> bool:
        """Whether each line, but for the last one, has so many words."""
        data = np.frombuffer(text, dtype=np.uint8)
        inside = data > ord(" ")  # other control characters are no numbers either
        begins = np.flatnonzero(inside[1:] > inside[:-1]) + 1
        if inside[0]:
            begins = np.insert(begins, 0, 0)
        words = np.searchsorted(begins, np.flatnonzero(data == NEWLINE))
        return bool((np.diff(words, prepend=0) == count).all())

    def _explained(self, lines: list[memoryview], starts: np.ndarray) -> FormatError:
        """What is wrong with the first line that cannot be parsed."""
        nkeys, count = self.header.layout["nkeys"], self.header.length
        for line, start in zip(lines, starts.tolist(), strict=True):
            words = bytes(line).split()
            if len(words) != nkeys + count:
                told = f"has {len(words) - nkeys} values, but the first line has {count}"
                return self._error(start, told)
            for word in words:
                try:
                    number = np.fromstring(word + b" 0", sep=" ")
                except (ValueError, DeprecationWarning):
                    number = np.empty(0)
                if len(number) != 2:
                    return self._error(
                        start, f"{word[:40].decode('ascii', 'replace')!r} is no number"
                    )
        return self._error(int(starts[0]), "cannot be parsed")

    def _error(self, start: int, told: str) -> FormatError:
        path, place = file_of(self.header, start)
        return FormatError(f"{path}, line {line_number(path, place)}: {told}")
