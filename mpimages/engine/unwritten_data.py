"""Counts of the parts of files that were never written; they are read as zeros, or as a value that
the file says."""

from __future__ import annotations

import numpy as np

from ..core.ranges import consecutive
from ..spmd.collectives import allreduce
from .bin_source import origin
from .runner import Action
from .selection import Selection
from .sources import FileSource

__all__ = ["never_written"]

PARTS = ("pages", "strips", "tiles", "chunks")


def never_written(action: Action, images: Selection) -> dict[str, int]:
    """Count the parts of the images' files that were never written. Collective.

    Returns
    -------
    dict
        The number of ``pages``, and of ``strips`` and ``tiles`` of other pages, and of ``chunks``.
        Empty if all was written, or if no file is read.

    Notes
    -----
    The ranks divide the files among them, and read only headers and tables. A damaged file is not
    counted: reading it raises the error.
    """
    counts = np.zeros(len(PARTS), dtype=np.int64)
    with action.together():
        images = origin(images)
        source = images.source
        if isinstance(source, FileSource) and source.reader.sparse:
            own = images.own(action.comm.rank)
            for file, pages, _ in source.visits(own):
                counts += _count(source, file, pages)
    total = allreduce(action.comm, counts).tolist()
    return {name: number for name, number in zip(PARTS, total, strict=True) if number}


def _count(source: FileSource, file: int, pages: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(PARTS), dtype=np.int64)
    try:
        with source.open(file) as handle:
            for a, b in consecutive(pages):
                found = handle.unwritten(int(pages[a]), int(pages[b - 1]) + 1)
                counts += [found.get(name, 0) for name in PARTS]
    except (ValueError, OSError):
        return np.zeros_like(counts)
    return counts
