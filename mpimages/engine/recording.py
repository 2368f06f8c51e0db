"""The images in files as one process finds them: which files, what they hold, how many. Local.

`loading` lets one rank find them and shares the counting among all; `local_array` does all of it
by itself.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .. import readers
from ..core.arguments import check_int
from .sources import FileSource, PathTable

__all__ = [
    "Bounds",
    "Found",
    "count_each",
    "find_images",
    "find_left_out",
    "open_images",
    "select_images",
    "select_pages",
]

logger = logging.getLogger("mpimages")

# startIdx and stopIdx.
Bounds = tuple[int | None, int | None]
# Of a file, by its number: what is left out of it.
Rests = list[tuple[int, readers.Rest]]


class Found(NamedTuple):
    """What one process has found.

    Attributes
    ----------
    name : str
        The format's.
    paths : PathTable
    options : Options
        By which each file is read.
    header : Header
    rest : Rest, optional
        What is left out of the first file.
    counted : bool
        Whether each file must be asked for its number of images.
    is_set : bool
        Whether the images are made of pages of several files.
    """

    name: str
    paths: PathTable
    options: readers.Options
    header: readers.Header
    rest: readers.Rest | None
    counted: bool
    is_set: bool


def find_images(
    data_path: object,
    options: readers.Options,
    input_format: str | None,
    ext: str | None,
    recursive: bool,
    stop: int | None,
) -> tuple[Found, readers.FileSet | None]:
    """List the files and read the header of the first; no pixels are read.

    See `ThunderContext.loadImages` for the arguments and the errors.
    """
    name, file_set, paths = _find_files(data_path, options, input_format, ext, recursive)
    reader, rest = readers.get(name), None
    if file_set is not None:
        own, counted = file_set.options, file_set.counted
        page = reader.inspect(paths[0], own)
        if options.pattern is None:  # else checked, without what the names have said
            reader.check(replace(options, dims=None, shape=None), page)
        header = file_set.describe(page)
    else:
        own = options
        lenient = options.incomplete is not None or stop is not None
        header, rest = readers.inspect_first(reader, paths[0], options, lenient)
        reader.check(options, header)
        counted = rest is not None or reader.multiple(options, header)
    found = Found(name, PathTable(paths), own, header, rest, counted, file_set is not None)
    return found, file_set


def _find_files(
    data_path: object,
    options: readers.Options,
    input_format: str | None,
    ext: str | None,
    recursive: bool,
) -> tuple[str, readers.FileSet | None, list[str]]:
    """Return the format's name, the set that the files are if they are one, and the files."""
    if options.pattern is not None:
        name, named = readers.find_named(data_path, options.pattern, input_format, ext, recursive)
        return name, readers.named_set(readers.get(name), named, options), named.paths
    name, paths = readers.find_input(data_path, input_format, ext, recursive, options.confFilename)
    reader = readers.get(name)
    complete = all(map(os.path.isdir, readers.path_list(data_path)))
    found = readers.find_set(reader, paths, options, complete)
    return name, found, paths if found is None else found.paths


def count_each(
    reader: readers.Reader, found: Found, files: range, stop: int | None, sizes: bool = False
) -> tuple[np.ndarray, Rests]:
    """Return the number of images of some files, and which have images that are not whole.

    Returns
    -------
    (len(files), 2) int64 ndarray
        The images, and with `sizes` the bytes, of each file.
    list of (int, Rest)
    """
    counts = np.zeros((len(files), 2), dtype=np.int64)
    rests: Rests = []
    lenient = found.options.incomplete is not None or stop is not None
    for place, number in enumerate(files):
        path = found.paths[number]
        counts[place, 0], rest = (
            (found.header.count, found.rest)
            if number == 0
            else readers.count_images(reader, path, found.options, found.header, lenient)
        )
        if sizes:
            counts[place, 1] = os.stat(path).st_size
        if rest is not None:
            rests.append((number, rest))
    return counts, rests


def find_left_out(
    rests: Rests, ends: np.ndarray, options: readers.Options, stop: int | None
) -> str | None:
    """Say which images are left out, if that was asked for; raise ValueError where it was not."""
    number, first = rests[0]
    if ends[-1] == 0:
        raise first.error("; there is no whole image")
    if options.incomplete is None:
        # A stop that counts from the end says nothing of the images that are missing there.
        if not isinstance(stop, (int, np.integer)) or not 0 <= stop <= ends[number]:
            raise first.error(
                f"; a stopIdx= of at most {ends[number]}, or incomplete='drop', leaves it out"
            )
        return None
    more = f" (and so in {len(rests) - 1} more files)" if len(rests) > 1 else ""
    return f"left out, as it is incomplete: {first.why}{more}"


def select_pages(
    file_set: readers.FileSet, counts: np.ndarray | None, options: readers.Options, stop: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which files of a set are read, and the pages of each image, counted over these."""
    number = np.ones(len(file_set.paths), dtype=np.int64) if counts is None else counts
    return readers.used_files(file_set.arrange(number, options, stop), number)


def select_images(count: int, bounds: Bounds) -> range:
    """Return the numbers of the images [startIdx, stopIdx) of a sequence of `count`."""
    given = []
    for name, bound in zip(("startIdx", "stopIdx"), bounds, strict=True):
        if bound is not None:
            check_int(bound, name)
            given.append(f"{name}={bound}")
    start, stop, _ = slice(*bounds).indices(count)
    if start >= stop:
        raise ValueError(f"{' and '.join(given)}: this selects none of the {count} images")
    return range(start, stop)


def open_images(
    data_path: object,
    options: readers.Options,
    input_format: str | None,
    ext: str | None,
    recursive: bool,
    bounds: Bounds,
) -> tuple[FileSource, range]:
    """Return the source of the images, and which of its records [startIdx, stopIdx) are.

    What `loading.load_images` does on all ranks, by one process.
    """
    found, file_set = find_images(data_path, options, input_format, ext, recursive, bounds[1])
    reader, own = readers.get(found.name), found.options
    paths = found.paths
    counts: np.ndarray | None = None
    if found.counted:
        stop = None if found.is_set else bounds[1]
        told, rests = count_each(reader, found, range(len(paths)), stop)
        counts = told[:, 0]
        if rests and not found.is_set:
            said = find_left_out(rests, np.cumsum(counts), own, bounds[1])
            if said is not None:
                logger.warning("%s", said)
            own = replace(own, incomplete="drop")
    pages = None
    if file_set is not None:
        used, pages = select_pages(file_set, counts, options, bounds[1])
        paths = PathTable([paths[int(i)] for i in used])
        counts = None if counts is None else counts[used]
    ends = None if counts is None else np.cumsum(counts)
    source = FileSource(reader, own, found.header, paths, ends, None, pages)
    if found.is_set and "dims" not in reader.takes:
        options.require_dims(found.header.path, source.dims)
    return source, select_images(source.count, bounds)
