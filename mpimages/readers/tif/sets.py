"""Sets of TIFFs whose header says which planes lie in which file, or go on in the next one."""

from __future__ import annotations

from collections.abc import Sequence

from ..file_sets import FileSet
from ..options import Options
from .pages import TifPages


def find_set(paths: Sequence[str], options: Options, complete: bool) -> FileSet | None:
    """See `Reader.find_set`. Only the first file is opened."""
    try:
        with TifPages(paths[0]) as pages:
            pages.find_index(1)
            index = pages.index
    except (OSError, ValueError):
        return None  # what is wrong the reader says
    if index.is_ome and (len(paths) > 1 or "BinaryOnly" in index.description):
        from .ome import ome_set

        return ome_set(paths[0], index.description, paths, options, complete)
    return None
