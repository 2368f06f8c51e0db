"""What was never written in the files of a recording: it is read as zeros, and counted here."""

from __future__ import annotations

import numpy as np

from ..spmd.agreement import allreduce
from .runner import Action
from .selection import Selection
from .sources import FileSource

__all__ = ["never_written"]

PARTS = ("pages", "strips", "tiles")


def never_written(action: Action, images: Selection) -> dict[str, int]:
    """How many parts of the images' files were never written. Collective.

    Returns
    -------
    dict
        The number of ``pages``, and of ``strips`` and ``tiles`` of other pages; empty where all
        was written, or no file is read.

    Notes
    -----
    The ranks share the files, and read their headers and tables alone. Of a file that is damaged
    nothing is counted: reading it will say so.
    """
    counts = np.zeros(len(PARTS), dtype=np.int64)
    with action.together():
        source = images.source
        if isinstance(source, FileSource) and source.reader.sparse:
            own = images.own(action.comm.rank)
            for file, image, _, number in source.visits(own):
                counts += _count(source, file, image, number)
    total = allreduce(action.comm, counts).tolist()
    return {name: number for name, number in zip(PARTS, total, strict=True) if number}


def _count(source: FileSource, file: int, image: int, number: int) -> list[int]:
    try:
        with source.open(file) as handle:
            found = handle.unwritten(image, image + number)
    except (ValueError, OSError):
        return [0] * len(PARTS)
    return [found.get(name, 0) for name in PARTS]
