"""How far a TIFF is whole: one that is still being written, or has lost its end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .index import TifIndex
from .pages import TifPages


def index_whole(pages: TifPages) -> bool:
    """Index the pages before the first whose directory is damaged; whether there is such a one.

    Raises
    ------
    FormatError
        If it is the first.
    """
    try:
        pages.find_index()
    except ValueError:
        good, bad = 0, 1
        while _fits(pages, bad):
            good, bad = bad, 2 * bad
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if _fits(pages, middle) else (good, middle)
        pages.find_index(max(1, good))  # where none is good, this says why
        return True
    return False


def _fits(pages: TifPages, limit: int) -> bool:
    try:
        pages.find_index(limit)
    except ValueError:
        return False
    return True


def drop_damaged(pages: TifPages) -> bool:
    """Leave out the last pages of which the data are not whole; whether there are any.

    Only the end is looked at: each page from the last on, until one can be read.
    """
    index = pages.index
    beyond = pages_beyond(index)
    count = int(beyond[0]) if len(beyond) else index.count
    while count and not _is_whole(pages, count - 1):
        count -= 1
    if count == index.count:
        return False
    pages.index = replace(
        index, ifds=index.ifds[:count], data=index.data[:count], kinds=index.kinds[:count], marks=()
    )
    return True


def pages_beyond(index: TifIndex) -> np.ndarray:
    """The pages stored as one plain run that would end beyond the end of the file."""
    nbytes = np.array([geometry.nbytes for geometry in index.geometries], dtype=np.int64)
    return np.flatnonzero((index.data >= 0) & (index.data > index.size - nbytes[index.kinds]))


def _is_whole(pages: TifPages, page: int) -> bool:
    geometry = pages.index.geometry(page)
    try:
        pages.read(np.array([page]), np.empty((1, geometry.rows, geometry.columns), geometry.dtype))
    except ValueError:
        return False
    return True
