"""Where the lines of text files are, and which keys they have.

Loading reads all files once, in pieces that ranks share: `scan_lines` finds where each line begins,
and `place_lines` makes of that the place of each pixel.
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
from ..byte_ranges import open_file, read_into
from .header import SeriesHeader

BAND_BYTES = 1 << 22
# What is read at a time to find the beginning of a line.
PIECE_BYTES = 1 << 15
# A longer line is none: the file is not text.
LONGEST_LINE = 1 << 28
# In which the keys of a line must end.
LONGEST_KEYS = 256
NEWLINE = ord("\n")
BLANKS = b" \t\r\n"


def no_text(path: str) -> FormatError:
    """The error of a file whose lines have no end."""
    return FormatError(f"{path}: has a line of more than {size_text(LONGEST_LINE)}: it is no text")


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
            band, ends = _whole_lines(path, fd, place, size)
            starts = np.concatenate([[0], ends[:-1] + 1])
            inside = place + starts < high
            yield _rows(path, band, place, starts[inside], ends[inside], nkeys)
            if not inside.all():
                return
            place += int(ends[-1]) + 1
    finally:
        quietly(os.close, fd)


def _whole_lines(path: str, fd: int, place: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Bytes from `place` on that have at least one whole line, and where lines end in them."""
    want = min(BAND_BYTES, size - place)
    while True:
        band = np.empty(want, dtype=np.uint8)
        read_into(fd, place, band, path)
        ends = np.flatnonzero(band == NEWLINE)
        if place + want == size and (not len(ends) or ends[-1] != want - 1):
            ends = np.append(ends, want)  # the last line, without a newline
        if len(ends):
            return band, ends
        if want >= LONGEST_LINE:
            raise no_text(path)
        want = min(2 * want, size - place)


def _after_newline(path: str, fd: int, place: int, size: int) -> int:
    """The byte behind the first newline from `place` on; `size` where there is none."""
    begin = place
    while place < size:
        band = np.empty(min(PIECE_BYTES, size - place), dtype=np.uint8)
        read_into(fd, place, band, path)
        found = np.flatnonzero(band == NEWLINE)
        if len(found):
            return place + int(found[0]) + 1
        place += len(band)
        if place - begin > LONGEST_LINE:
            raise no_text(path)
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
            number = line_number(path, place + start)
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


def line_number(path: str, place: int) -> int:
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
        path, place = file_of(header, int(rows[twice, 0]))
        raise FormatError(
            f"{path}, line {line_number(path, place)}: the keys "
            f"{tuple(rows[twice, 2:].tolist())} were there before"
        )
    lengths = np.empty(len(rows), dtype=np.int32)
    lengths[pixels] = rows[:, 1]
    layout = header.layout | {"starts": starts, "lengths": lengths, "low": low}
    return replace(header, dims=dims, layout=layout)


def file_of(header: SeriesHeader, place: int) -> tuple[str, int]:
    """The file that has a byte of all files, and which of its own that is."""
    ends = np.cumsum(header.layout["sizes"])
    file = int(np.searchsorted(ends, place, side="right"))
    begin = int(ends[file - 1]) if file else 0
    return os.path.join(header.layout["directory"], header.layout["names"][file]), place - begin
