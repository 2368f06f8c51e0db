"""How the loaders of `ThunderContext` make their collections: listing, headers, agreement."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from mpi4py import MPI

from . import readers
from .collection import Collection
from .core.arguments import check_index, check_record_dtype, check_seed
from .core.json_types import JsonObject
from .core.partition import Partition
from .core.text import as_comparable, quote
from .engine.array_source import ArraySource, array_like, load_array
from .engine.chain import Chain, Shape
from .engine.recording import (
    Found,
    count_each,
    find_images,
    find_left_out,
    select_images,
    select_pages,
)
from .engine.session import Session
from .engine.sources import (
    ExampleSeriesSource,
    ExampleSource,
    FileSource,
    LocalSource,
    MemorySource,
    PathTable,
    SeriesSource,
)
from .images import Images
from .spmd.agreement import Together, allgather_rows, from_rank, mark_agreed
from .spmd.collectives import allgather
from .spmd.memory_limit import check_fits
from .spmd.shared_paths import Seen, agree_that_all_see, see

if TYPE_CHECKING:
    from .local_array import LocalArray
    from .readers.series.header import SeriesHeader
    from .series import Series
    from .simulated.datasets import Made
    from .simulated.example import Example

__all__ = [
    "images_from_array",
    "load_example",
    "load_images",
    "load_series",
    "make_example",
    "series_from_array",
]


logger = logging.getLogger("mpimages")

LoadedSource = TypeVar("LoadedSource", bound=LocalSource | MemorySource)

# Checks an array, and makes of it what is read on demand if the flag says so.
Check = Callable[[object, bool], "np.ndarray | ArraySource"]
# This rank's records of an array in memory, dims and dtype of a record, and who has which.
Taken = tuple[np.ndarray, Shape, np.dtype, Partition]

# Bytes up to which the arrays of all ranks are compared in whole.
COMPARED_WHOLE = 1 << 20
# At most twice as many files are looked for by each host, before any is read.
FILES_SEEN = 8
# Of more names than these, what is written keeps the first ones and the last.
NAMES_KEPT = 100


# -- files ---------------------------------------------------------------------------------


def load_images(
    session: Session,
    data_path: object,
    asked: JsonObject,
    input_format: str | None,
    ext: str | None,
    recursive: bool,
    bounds: tuple[int | None, int | None],
) -> Images:
    """See `ThunderContext.loadImages`. Collective."""
    comm, action = session.comm, "ThunderContext.loadImages"
    file_set: readers.FileSet | None = None  # rank 0 alone knows it

    def find() -> tuple[Found, list[Seen]]:
        nonlocal file_set
        found, file_set = find_images(
            data_path, readers.Options(**asked), input_format, ext, recursive, bounds[1]
        )
        if not session.nodes.several:
            return found, []
        paths = [found.paths[number] for number in range(len(found.paths))]
        return found, see(_some_of(paths))

    # One rank lists and reads: a thousand that do it bring a file system to its knees.
    given = (as_comparable(data_path), sorted(asked.items()), input_format, ext, recursive, bounds)
    found, seen = from_rank(comm, 0, action, find, given=given)
    together = Together(comm, action)
    with together.attempt():  # the import of the reader may fail on one rank alone
        reader = readers.get(found.name)
    agree_that_all_see(together, session.nodes, seen)
    options, paths, header = found.options, found.paths, found.header
    counts: np.ndarray | None = None
    sizes: np.ndarray | None = None
    pages: np.ndarray | None = None
    if found.counted:
        stop = None if found.is_set else bounds[1]
        told, rests = _count_images(session, reader, found, action, stop)
        counts, sizes = told[:, 0], told[:, 1].copy() if session.nodes.several else None
        if rests and not found.is_set:
            _leave_out(comm, rests, np.cumsum(counts), options, bounds[1])
            options = replace(options, incomplete="drop")
    if found.is_set:

        def arrange() -> tuple[np.ndarray, np.ndarray]:
            if file_set is None:
                raise AssertionError("rank 0 has found the set")
            return select_pages(file_set, counts, readers.Options(**asked), bounds[1])

        used, pages = from_rank(comm, 0, action, arrange)
        if len(used) < len(paths):
            paths = PathTable([paths[int(i)] for i in used])
            counts = None if counts is None else counts[used]
            sizes = None if sizes is None else sizes[used]
    ends = None if counts is None else np.cumsum(counts)
    source = _numbered(session, FileSource(reader, options, header, paths, ends, sizes, pages))
    if found.is_set and "dims" not in reader.takes:
        readers.Options(**asked).require_dims(header.path, source.dims)
    chosen = select_images(source.count, bounds)
    return Images(
        session,
        Chain(source, chosen, range(len(chosen))),
        header.metadata,
        _inputs(found.name, paths, asked, bounds),
    )


def _some_of(paths: Sequence[str]) -> list[str]:
    """The files that each host looks for: one of each directory, and further ones. Local."""
    first = [*{os.path.dirname(path): path for path in reversed(paths)}.values()]
    spread = [path for some in (first, paths) for path in some[:: -(-len(some) // FILES_SEEN)]]
    return [*dict.fromkeys([*spread, paths[-1]])]


def _inputs(
    name: str, paths: PathTable, asked: JsonObject, bounds: tuple[int | None, int | None]
) -> JsonObject:
    """What written files say of their origin: no directory, and few of very many names."""
    names = [readers.called(paths[i]) for i in range(min(len(paths), NAMES_KEPT))]
    if len(paths) > NAMES_KEPT:
        names[-1] = readers.called(paths[len(paths) - 1])
    options = {"inputFormat": name, "startIdx": bounds[0], "stopIdx": bounds[1], **asked}
    if options["dtype"] is not None:
        options["dtype"] = str(np.dtype(options["dtype"]))
    for name in ("dims", "shape", "flyback"):
        value = options[name]
        if value is not None and not isinstance(value, (int, np.integer)):
            options[name] = [int(n) for n in value]
    given = {
        key: value if value is None or isinstance(value, (str, list)) else int(value)
        for key, value in options.items()
    }
    return {"inputs": {"count": len(paths), "names": names}, "options": given}


def _count_images(
    session: Session, reader: readers.Reader, found: Found, action: str, stop: int | None
) -> tuple[np.ndarray, list[tuple[int, readers.Rest]]]:
    """Of each file the number of images and the bytes; and which have images that are not whole.

    The ranks share the files. Collective.
    """
    comm = session.comm
    partition = Partition.balanced(len(found.paths), comm.size)
    files = range(*partition.bounds(comm.rank))
    counts = np.zeros((len(files), 2), dtype=np.int64)
    rests: list[tuple[int, readers.Rest]] = []
    with Together(comm, action):
        counts, rests = count_each(reader, found, files, stop, session.nodes.several)
    everywhere = allgather_rows(comm, counts, partition)
    return everywhere, [item for rank in allgather(comm, rests) for item in rank]


def _leave_out(
    comm: MPI.Intracomm,
    rests: list[tuple[int, readers.Rest]],
    ends: np.ndarray,
    options: readers.Options,
    stop: int | None,
) -> None:
    """Say which images are left out; refuse it where nobody has asked for that. Local."""
    try:
        said = find_left_out(rests, ends, options, stop)
    except ValueError as error:
        raise mark_agreed(error, comm) from None
    if said is not None and comm.rank == 0:
        logger.warning("%s", said)


def load_series(session: Session, data_path: object, asked: JsonObject) -> Series:
    """See `ThunderContext.loadSeries`. Collective."""
    from .readers.series.base import inspect_series
    from .readers.series.header import SeriesOptions
    from .series import Series

    comm, action = session.comm, "ThunderContext.loadSeries"

    def find() -> tuple[SeriesHeader, list[Seen]]:
        header = inspect_series(data_path, SeriesOptions(**asked))
        whose = header.layout.get("columns_first")
        if whose is not None:
            name = header.layout["dataset"]
            raise ValueError(
                f"{header.path}: {whose} has images with the columns first; load them by "
                f"loadImages({header.path!r}, dataset={name!r}).toSeries(), which turns them"
            )
        return header, see(_some_of(header.files())) if session.nodes.several else []

    given = (as_comparable(data_path), sorted(asked.items()))
    header, seen = from_rank(comm, 0, action, find, given=given)
    if session.nodes.several:
        agree_that_all_see(Together(comm, action), session.nodes, seen)
    if header.needs_keys:
        complete = _with_lines if header.kind == "text" else _with_keys
        header = complete(session, header, action)
    source = _numbered(session, SeriesSource(header))
    return Series(
        session, Chain.whole(source), header.metadata, dims=header.dims, index=header.index
    )


def _with_keys(session: Session, header: SeriesHeader, action: str) -> SeriesHeader:
    """The header completed by the keys in the files, which the ranks share. Collective."""
    from .readers.series.base import scan_keys, with_keys

    comm = session.comm
    partition = Partition.balanced(header.file_count, comm.size)
    start, stop = partition.bounds(comm.rank)
    scans = np.empty((0, 0), dtype=np.int64)
    with Together(comm, action):
        scans = scan_keys(header, start, stop)
    scans = allgather_rows(comm, scans, partition)
    return from_rank(comm, 0, action, with_keys, header, scans)


def _with_lines(session: Session, header: SeriesHeader, action: str) -> SeriesHeader:
    """The header completed by the lines of text files, which the ranks share. Collective."""
    comm = session.comm
    rows = np.empty((0, 0), dtype=np.int64)
    with Together(comm, action):
        from .readers.series.text_lines import place_lines, scan_lines

        part = Partition.balanced(sum(header.layout["sizes"]), comm.size)
        rows = scan_lines(header, *part.bounds(comm.rank), session.memory)
    partition = Partition.fromCounts(allgather(comm, len(rows)))
    # The rows of all ranks, and what is made of them.
    check_fits(
        partition.count * (2 * rows.itemsize * rows.shape[1] + 12),
        session.memory,
        f"{action}: to know where the {partition.count} lines are",
        "give more by memory=, or store the series as a binary one or as HDF5",
    )
    rows = allgather_rows(comm, rows, partition)
    with Together(comm, action):
        header = place_lines(header, rows)
    return header  # noqa: RET504 (a Together may end without a value)


def load_example(session: Session, name: str | None) -> Any:
    """See `ThunderContext.loadExample`. Collective."""
    from .simulated import example

    if name is None:
        return list(example.names())
    loaded = example.load(name)
    return loaded if isinstance(loaded, dict) else _simulated(session, loaded)


def make_example(
    session: Session, name: str | None, seed: int | None, truth: bool, given: JsonObject
) -> Any:
    """See `ThunderContext.makeExample`. Collective."""
    from .simulated import example
    from .simulated.datasets import MAKERS

    if name is None:
        return sorted(MAKERS)
    action = "ThunderContext.makeExample"
    drawn = from_rank(session.comm, 0, action, check_seed, seed, given=(name, seed, truth))
    with Together(session.comm, action, as_comparable(sorted(given.items()))):
        made = example.make(name, drawn, given)
    data = _simulated(session, made)
    return (data, *made.truth()) if truth else data


def _simulated(session: Session, recording: Example | Made) -> Images | Series:
    """The collection of a simulated recording. Local."""
    metadata = {"description": recording.description}
    if recording.kind == "images":
        return Images(session, Chain.whole(_numbered(session, ExampleSource(recording))), metadata)
    from .series import Series

    source = _numbered(session, ExampleSeriesSource(recording, recording.count))
    return Series(session, Chain.whole(source), metadata, dims=recording.dims)


def _numbered(session: Session, source: LoadedSource) -> LoadedSource:
    """A source with the number that tells it from the others of its context. Local."""
    session.loaded += 1
    source.number = session.loaded
    return source


# -- arrays --------------------------------------------------------------------------------


def images_from_array(session: Session, array: object, local: bool) -> Images:
    """See `ThunderContext.loadImagesFromArray`. Collective."""
    action = "ThunderContext.loadImagesFromArray"
    if not local:
        found = _common_array(session, array, action, _as_images)
        if isinstance(found, ArraySource):
            ours = _local_array_of(array, "images")
            metadata = None if ours is None else ours.metadata
            return Images(session, Chain.whole(_numbered(session, found)), metadata)
    else:
        found = _local_array(session, array, action, _as_images)
    return Images(session, Chain.whole(_numbered(session, MemorySource(*found))))


def series_from_array(
    session: Session, array: object, index: Sequence[int] | np.ndarray | None, local: bool
) -> Series:
    """See `ThunderContext.loadSeriesFromArray`. Collective."""
    from .series import Series

    action = "ThunderContext.loadSeriesFromArray"
    comm = session.comm
    labels = None
    with Together(comm, action):
        labels = None if index is None else check_index(index, levels=True)
    metadata: JsonObject = {}
    source: ArraySource | MemorySource
    taken = _local_array if local else _common_array
    found = taken(session, array, action, _as_series)
    if isinstance(found, ArraySource):
        source, extent, length = found, found.lead, found.dims[0]
        ours = _local_array_of(array, "series")
        if ours is not None:
            metadata, labels = ours.metadata, ours.index if labels is None else labels
    else:
        block, dims, dtype, rows = found
        inner, length = dims[:-1], dims[-1]
        pixels = math.prod(inner)
        partition = Partition(tuple(cut * pixels for cut in rows.offsets))
        source = MemorySource(block.reshape(-1, length), (length,), dtype, partition)
        extent = (rows.count, *inner)
    _numbered(session, source)
    if labels is not None and len(labels) != length:
        raise ValueError(f"an index of {len(labels)} labels for series of {length} values")
    return Series(session, Chain.whole(source), metadata, dims=extent, index=labels)


def _local_array_of(array: object, layout: str) -> LocalArray | None:
    """An array of `mpimages.open`, which must have this layout; None of another type. Local."""
    from .local_array import LocalArray

    if not isinstance(array, LocalArray):
        return None
    if array.layout != layout:
        loader = "loadSeriesFromArray" if array.layout == "series" else "loadImagesFromArray"
        raise ValueError(
            f"array: {array} is {array.layout}, which {loader} takes; mpimages.open with "
            f"layout={layout!r} may open it as {layout}"
        )
    return array


def _lazily(given: object) -> tuple[Shape, np.dtype] | None:
    """Shape and dtype of what is read on demand; a collection, which has them, is no array."""
    return None if isinstance(given, Collection) else array_like(given)


def _checked_array(given: object) -> np.ndarray:
    found = None if isinstance(given, np.ndarray) else _lazily(given)
    try:
        array: np.ndarray = load_array(given, *found) if found and found[0] else np.asarray(given)
    except MemoryError:
        raise
    except Exception as error:  # of any type: it is the argument that is asked for its items
        raise TypeError(f"array: no array can be made of {quote(given)}: {error}") from None
    if np.ma.is_masked(given):
        raise TypeError(
            "array: it has masked values, which records cannot have: fill them first, "
            "with array.filled(value)"
        )
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    check_record_dtype(array.dtype, "array")
    return array


def _as_images(given: object, lazy: bool = False) -> np.ndarray | ArraySource:
    """Return images, or with `lazy` the source of those that are read on demand. Local."""
    found = _lazily(given) if lazy else None
    if found is not None and len(found[0]) != 2:  # one image is taken into memory
        shape, dtype = found
        _check_images(shape)
        return ArraySource(given, shape[:1], shape[1:], dtype)
    array = _checked_array(given)
    if array.ndim == 2:
        array = array[np.newaxis]
    _check_images(array.shape)
    return array


def _check_images(shape: Shape) -> None:
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        raise ValueError(
            "images are a (n, row, column[, page]) array, or one (row, column) "
            f"image; got shape {shape}"
        )


def _as_series(given: object, lazy: bool = False) -> np.ndarray | ArraySource:
    """Return series, or with `lazy` the source of those that are read on demand. Local."""
    found = _lazily(given) if lazy else None
    if found is not None:
        shape, dtype = found
        _check_series(shape)
        return ArraySource(given, shape[:-1], shape[-1:], dtype)
    array = _checked_array(given)
    _check_series(array.shape)
    return array


def _check_series(shape: Shape) -> None:
    if len(shape) not in (2, 3, 4) or 0 in shape[1:]:
        raise ValueError(f"series are a (row[, column[, page]], T) array; got shape {shape}")


def _common_array(
    session: Session, array: object, action: str, check: Check
) -> ArraySource | Taken:
    """This rank's slice of an array that all ranks have, or what reads it. Collective."""
    comm = session.comm
    block: np.ndarray | ArraySource = np.empty(0)
    described = None
    with Together(comm, action):
        if array is None:
            raise TypeError(f"{action} needs an array on every rank; local=True takes None")
        block = check(array, True)
        shape = block.shape
        if 0 in shape:
            raise ValueError(f"{action}: the array of shape {shape} has no records")
        if isinstance(block, ArraySource):
            ours = _local_array_of(array, "series" if check is _as_series else "images")
            said = None if ours is None else (sorted(ours.metadata.items()), ours.index)
            sample = repr((block.kind, said)).encode()
            described = _Described(shape, block.dtype.str, sample, b"", b"")
        else:
            described = _described(block, comm.rank, comm.size)
    _check_same(action, allgather(comm, described))
    if isinstance(block, ArraySource):
        return block
    partition = Partition.balanced(len(block), comm.size)
    start, stop = partition.bounds(comm.rank)
    own = block
    with Together(comm, action):
        # A copy: what the user does to the array later does not reach the collection.
        own = np.array(block[start:stop], dtype=block.dtype.newbyteorder("="), order="C")
    return own, block.shape[1:], own.dtype, partition


class _Described(NamedTuple):
    """What an array is compared by with those of the other ranks.

    Attributes
    ----------
    shape : tuple of int
    dtype : str
    sample : bytes
        Checksum of a small array, else of every R-th record of it, for R ranks.
    own, after : bytes
        Checksums of the slice of this rank, and of that of the next one, of a large array.
    """

    shape: Shape
    dtype: str
    sample: bytes
    own: bytes
    after: bytes


def _described(array: np.ndarray, rank: int, size: int) -> _Described:
    """Describe this rank's array by 3 / R of its records, for R ranks. Local.

    So all ranks together do not read R arrays. The collection has the r-th slice of rank r: if it
    is not that of the others' arrays, rank r - 1 finds it. Another recording differs in the sample.
    """
    partition = Partition.balanced(len(array), size)
    sampled = [array, array[:0], array[:0]]
    if size == 1:
        sampled[0] = array[:0]
    elif array.nbytes > COMPARED_WHOLE:
        slices = [slice(*partition.bounds(r % size)) for r in (rank, rank + 1)]
        sampled = [array[::size], *(array[part] for part in slices)]
    checksums = [_checksum(records) for records in sampled]
    return _Described(array.shape, array.dtype.newbyteorder("=").str, *checksums)


def _check_same(action: str, found: list[_Described]) -> None:
    """Raise ValueError where the arrays of the ranks differ. The same on all ranks. Local."""
    for rank, one in enumerate(found):
        other = 0 if one[:3] != found[0][:3] else (rank - 1) % len(found)
        if one[:3] != found[0][:3] or found[other].after != one.own:
            raise ValueError(
                f"{action}: the array on rank {rank} (shape {one.shape}, dtype {one.dtype}) is not "
                f"that of rank {other} (shape {found[other].shape}, dtype {found[other].dtype}) or "
                "has other values; local=True takes different arrays"
            )


def _checksum(records: np.ndarray) -> bytes:
    from hashlib import blake2b

    digest = blake2b(digest_size=16)
    rows = max(1, COMPARED_WHOLE * len(records) // max(1, records.nbytes))
    for i in range(0, len(records), rows):
        part = records[i : i + rows]
        digest.update(np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("=")).data)
    return digest.digest()


def _local_array(session: Session, array: object, action: str, check: Check) -> Taken:
    """This rank's own records and how many the others have. Collective."""
    comm = session.comm
    block, described = None, None
    with Together(comm, action):
        if array is not None:
            block = np.asarray(check(array, False))
            block = block.astype(block.dtype.newbyteorder("="), copy=False)
            described = (len(block), block.shape[1:], block.dtype.str)
    found = allgather(comm, described)
    given = [(rank, f) for rank, f in enumerate(found) if f is not None]
    if sum(f[0] for _, f in given) == 0:
        raise ValueError(f"{action}: no rank has any records")
    first, (_, dims, kind) = next(item for item in given if item[1][0])
    for rank, (_, other, other_kind) in given:
        if (other, other_kind) != (dims, kind):
            raise ValueError(
                f"{action}: the records on rank {rank} have shape {other} and dtype {other_kind}, "
                f"those on rank {first} {dims} and {kind}"
            )
    partition = Partition.fromCounts(0 if f is None else f[0] for f in found)
    if block is None:
        block = np.empty((0, *dims), dtype=kind)
    return block, dims, np.dtype(kind), partition
