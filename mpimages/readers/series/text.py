"""Text series: a line for each record, its keys and then its values, separated by blanks.

Lines differ in length, and a record may have any place in the files. Loading therefore reads all
of them once, in pieces that ranks share: `scan_lines` finds where each line begins and which keys
it has, and `place_lines` makes of that the place of each pixel. Values are parsed when they are
read, in double precision.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...core.cleanup import quietly
from ...core.sizes import size_text
from ...errors import FormatError
from ..base import Scratch
from ..byte_ranges import open_file, read_into
from .files import data_files
from .header import SeriesHandle, SeriesHeader, SeriesOptions

# What is read and parsed at a time: its values take up to four times as much.
BAND_BYTES = 1 << 22
# Lines so near to each other are read at once.
GAP_BYTES = 1 << 15
# A longer line is none: the file is not text.
LONGEST_LINE = 1 << 28
# In which the keys of a line must end.
LONGEST_KEYS = 256
NEWLINE = ord("\n")
BLANKS = b" \t\r\n"


def inspect_text(path: str, options: SeriesOptions) -> SeriesHeader:
    """What a text file, or a directory of them, is; without dims: see `place_lines`."""
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
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise _no_text(path)
            if line.strip(BLANKS):
                return line
    return None


def _no_text(path: str) -> FormatError:
    return FormatError(f"{path}: has a line of more than {size_text(LONGEST_LINE)}: it is no text")


# -- finding the lines ---------------------------------------------------------------------


def scan_lines(header: SeriesHeader, start: int, stop: int, budget: int) -> np.ndarray:
    """Find the lines that begin in the bytes [start, stop) of all files, put end to end.

    Returns
    -------
    (n, nkeys + 2) int64 ndarray
        Of each line: where it begins, how many bytes it has, its keys.
    """
    found, held = [], 0
    begin = 0
    for name, size in zip(header.layout["names"], header.layout["sizes"], strict=True):
        low, high = max(start - begin, 0), min(stop - begin, size)
        if low < high:
            path = os.path.join(header.layout["directory"], name)
            for rows in _scan_file(path, size, low, high, header.layout["nkeys"]):
                rows[:, 0] += begin
                found.append(rows)
                held += rows.nbytes
                if 2 * held > budget:
                    raise MemoryError(
                        f"{path}: the places of its lines exceed the budget of "
                        f"{size_text(budget)} on each rank; use more ranks, or memory="
                    )
        begin += size
    return np.concatenate([np.empty((0, header.layout["nkeys"] + 2), dtype=np.int64), *found])


def _scan_file(path: str, size: int, low: int, high: int, nkeys: int) -> Iterator[np.ndarray]:
    """Yield the rows of the lines that begin in the bytes [low, high) of a file."""
    fd, _ = open_file(path)
    try:
        place = low
        if low:  # a line begins behind a newline
            place = _after_newline(path, fd, low - 1, size)
        while place < high:
            want = min(BAND_BYTES, size - place)
            while True:
                band = np.empty(want, dtype=np.uint8)
                read_into(fd, place, band, path)
                ends = np.flatnonzero(band == NEWLINE)
                if place + want == size and (not len(ends) or ends[-1] != want - 1):
                    ends = np.append(ends, want)  # the last line, without a newline
                if len(ends):
                    break
                if want >= LONGEST_LINE:
                    raise _no_text(path)
                want = min(2 * want, size - place)
            starts = np.concatenate([[0], ends[:-1] + 1])
            inside = place + starts < high
            yield _rows(path, band, place, starts[inside], ends[inside], nkeys)
            if not inside.all():
                return
            place += int(ends[-1]) + 1
    finally:
        quietly(os.close, fd)


def _after_newline(path: str, fd: int, place: int, size: int) -> int:
    """The byte behind the first newline from `place` on; `size` where there is none."""
    begin = place
    while place < size:
        band = np.empty(min(GAP_BYTES, size - place), dtype=np.uint8)
        read_into(fd, place, band, path)
        found = np.flatnonzero(band == NEWLINE)
        if len(found):
            return place + int(found[0]) + 1
        place += len(band)
        if place - begin > LONGEST_LINE:
            raise _no_text(path)
    return size


def _rows(
    path: str, band: np.ndarray, place: int, starts: np.ndarray, ends: np.ndarray, nkeys: int
) -> np.ndarray:
    """The rows of the lines [starts, ends) of a band, without the empty ones."""
    text = band.tobytes()
    rows = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        head = text[start : min(end, start + LONGEST_KEYS)]
        words = head.split(None, nkeys)
        if not words and not text[start:end].strip(BLANKS):
            continue
        try:
            if len(words) <= nkeys:
                raise ValueError(f"it has no {nkeys} keys and values")
            keys = [_key(word) for word in words[:nkeys]]
        except ValueError as error:
            number = _line_number(path, place + start)
            raise FormatError(f"{path}, line {number}: {error}") from None
        rows.append((place + start, end - start, *keys))
    return np.array(rows, dtype=np.int64).reshape(len(rows), nkeys + 2)


def _key(word: bytes) -> int:
    """A key, which some wrote as a float."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (abs(value) < 2**31 and value == math.floor(value)):
        raise ValueError(f"its key {word[:40].decode('ascii', 'replace')!r} is no integer")
    return int(value)


def _line_number(path: str, place: int) -> int:
    """The number, from 1, of the line that begins at a byte."""
    number = 1
    with open(path, "rb") as file:
        while place > 0 and (piece := file.read(min(place, BAND_BYTES))):
            number += piece.count(b"\n")
            place -= len(piece)
    return number


def place_lines(header: SeriesHeader, rows: np.ndarray) -> SeriesHeader:
    """The header completed by the rows of all lines, in the order of the files.

    Raises
    ------
    FormatError
        If the records are not all the pixels of a box, each once; they may have any order.
    """
    dims: tuple[int, ...] = (len(rows),)
    if header.layout["nkeys"] == 0:
        pixels = np.arange(len(rows))
        low = np.zeros(0, dtype=np.int64)
    else:
        keys = rows[:, 2:]
        low, high = keys.min(axis=0), keys.max(axis=0)
        dims = tuple(int(n) for n in high - low + 1)
        if math.prod(dims) != len(rows):
            raise FormatError(
                f"{header.path}: its {len(rows)} records, with keys from {tuple(low.tolist())} to "
                f"{tuple(high.tolist())}, are not all the pixels of a box; a wrong nkeys looks "
                "like this too"
            )
        pixels = np.ravel_multi_index(tuple((keys - low).T), dims)
    starts = np.full(len(rows), -1, dtype=np.int64)
    starts[pixels] = rows[:, 0]
    if (starts < 0).any():
        order = np.argsort(pixels, kind="stable")
        twice = order[1:][np.diff(pixels[order]) == 0].min()
        path, place = _file_of(header, int(rows[twice, 0]))
        raise FormatError(
            f"{path}, line {_line_number(path, place)}: the keys "
            f"{tuple(rows[twice, 2:].tolist())} were there before"
        )
    lengths = np.empty(len(rows), dtype=np.int32)
    lengths[pixels] = rows[:, 1]
    layout = header.layout | {"starts": starts, "lengths": lengths, "low": low}
    return replace(header, dims=dims, layout=layout)


def _file_of(header: SeriesHeader, place: int) -> tuple[str, int]:
    """The file that has a byte of all files, and which of its own that is."""
    ends = np.cumsum(header.layout["sizes"])
    file = int(np.searchsorted(ends, place, side="right"))
    begin = int(ends[file - 1]) if file else 0
    return os.path.join(header.layout["directory"], header.layout["names"][file]), place - begin


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
        path, low = _file_of(self.header, int(starts[0]))
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
        blank = np.zeros(256, dtype=np.bool_)
        blank[list(BLANKS)] = True
        inside = ~blank[data]
        begins = np.flatnonzero(inside & ~np.concatenate([[False], inside[:-1]]))
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
        path, place = _file_of(self.header, start)
        return FormatError(f"{path}, line {_line_number(path, place)}: {told}")
