"""A collection to one output that can be resumed: a binary series, or HDF5."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI

from ..collection import Collection
from ..core.arguments import check_int
from ..core.sizes import parse_size
from ..core.text import WHOLE, shown
from ..core.timers import phase
from ..engine.chain import Chain, Positions, Shape
from ..engine.sources import runs
from ..exchange.source import ExchangeSource
from ..readers.series.base import SeriesOptions, inspect_series
from ..spmd.agreement import Together, allreduce, from_rank
from ..writers.binaryseries import BinarySeriesWriter
from ..writers.hdf5.chunk_shape import as_chunks
from ..writers.hdf5.writer import DatasetWriter, hdf5_grain, hdf5_writer
from ..writers.output.plain import plain_metadata
from ..writers.output.staging import Stage, resumable
from .chunk_alignment import Slabs
from .fingerprint import describe_input
from .planning import Plan
from .resume import Progress
from .rounds import convert, plan_conversion

__all__ = [
    "Target",
    "plan_series",
    "save_binary_series",
    "save_frames",
    "save_series_hdf5",
]

Path = str | os.PathLike

logger = logging.getLogger("mpimages")

# A plan holds a number for each: for more than any machine has it would not end.
MOST_RANKS = 10_000_000


def memory_of(collection: Collection, memory: int | str | None, action: str) -> int:
    """The budget of one action: what it was given, or else the context's. Collective."""
    session = collection._session
    own = np.array([session.memory], dtype=np.int64)
    with Together(session.comm, collection._name(action), memory):
        if memory is not None:
            own[0] = parse_size(memory)
    return int(allreduce(session.comm, own, MPI.MIN)[0])


# -- series --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """Where an output goes and what becomes of one that is there: as users say it."""

    path: Path
    overwrite: bool
    resume: bool
    memory: int | str | None


def save_binary_series(
    series: Collection, chain: Chain, described: tuple[Shape, np.ndarray], target: Target,
    block_size: int | str,
) -> None:
    """See `Series.saveAsBinarySeries`. Collective."""
    comm, action = series._session.comm, "saveAsBinarySeries"
    shape, index = described
    block_bytes = 0
    with Together(comm, series._name(action), block_size):
        block_bytes = parse_size(block_size)

    def make(stage: Stage) -> BinarySeriesWriter:
        return BinarySeriesWriter(
            comm, stage.output, shape, chain.dtype, index, series.metadata, block_bytes,
            stage.resumed,
        )

    options = {"blockSize": block_bytes, **_layout_options(shape, chain, index, series)}
    _save(_Saving(series, chain, action, "binaryseries", options, target), make)


def save_series_hdf5(
    series: Collection, chain: Chain, described: tuple[Shape, np.ndarray], target: Target,
    dataset: str, layout: str, chunks: Any, compression: Any,
) -> None:
    """See `Series.saveAsHDF5`. Collective."""
    comm, action = series._session.comm, "saveAsHDF5"
    shape, index = described

    def make(stage: Stage) -> DatasetWriter:
        return hdf5_writer(
            comm, stage.output, dataset, shape, chain.dtype, layout, chunks, index,
            series.metadata, _attributes(series), compression=compression,
            resume=stage.resumed, threads=series._session.workspace.threads,
        )

    options = {"dataset": dataset, "layout": layout, "chunks": shown(as_chunks(chunks), WHOLE),
               "compression": _plain_compression(compression),
               **_layout_options(shape, chain, index, series)}
    _save(_Saving(series, chain, action, "hdf5", options, target), make)


def plan_series(
    series: Collection, ranks: int | None, memory: int | str | None, chunks: Any,
    compression: Any,
) -> Plan:
    """See `Images.plan`. Collective."""
    session = series._session
    source = series._chain.source
    assert isinstance(source, ExchangeSource)
    images = source.images.collection
    known = images._settle("plan")
    if known.dims is None or known.dtype is None:
        raise ValueError("plan: declare dims and dtype of what apply's function returns")
    budget = memory_of(series, memory, "plan")
    chain = series._settle("plan")
    number = session.comm.size if ranks is None else check_int(ranks, "ranks")
    if not 1 <= number <= MOST_RANKS:
        raise ValueError(f"plan: ranks lie in 1 … {MOST_RANKS}, got {shown(ranks)}")
    grain = hdf5_grain((*known.dims, known.count or 0), known.dtype, chunks, compression)
    plan = plan_conversion(images, chain, number, budget, grain)
    if session.comm.rank == 0:
        print(plan, flush=True)
    return plan


def _plain_compression(compression: Any) -> str:
    """How the output is compressed, for comparing. Filters of plug-ins are mappings."""
    is_mapping = isinstance(compression, Mapping)
    return shown(sorted(compression.items()) if is_mapping else compression, WHOLE)


def _attributes(collection: Collection) -> dict[str, str]:
    """What the file says of its origin: the input's names and how they were read, as JSON."""
    return {name: json.dumps(value, sort_keys=True) for name, value in collection._inputs.items()}


def _layout_options(
    shape: Shape, chain: Chain, index: np.ndarray, series: Collection
) -> dict[str, Any]:
    """What of a Series decides its output's bytes, but for the values."""
    said = repr((index.tolist(), plain_metadata(series.metadata)))
    return {"shape": list(shape), "dtype": str(chain.dtype), "labels": zlib.crc32(said.encode())}


@dataclass(frozen=True)
class _Saving:
    """One call of a `saveAs…` method that keeps a journal."""

    collection: Collection
    chain: Chain
    action: str
    kind: str
    options: dict[str, Any]
    target: Target

    @property
    def name(self) -> str:
        return self.collection._name(self.action)


def _save(
    saving: _Saving, make: Callable[[Stage], Any],
    write: Callable[[_Saving, Any, Progress, int], None] | None = None,
) -> None:
    """Stage an output, write what is missing of it, and put it in place. Collective."""
    collection, target = saving.collection, saving.target
    comm = collection._session.comm
    memory = memory_of(collection, target.memory, saving.action)
    with resumable(
        comm, target.path, saving.kind, target.overwrite, target.resume, saving.name,
        saving.options,
    ) as stage:
        if stage.complete:
            _accept(saving, stage)
            return
        described = {
            "output": saving.kind, "options": saving.options,
            "input": describe_input(comm, saving.chain, saving.name),
        }
        progress = Progress(comm, stage, described, saving.name)
        writer = make(stage)
        try:
            progress.begin(writer)
            (write or _write_series)(saving, writer, progress, memory)
            with phase("write"):
                writer.finish()
        finally:
            progress.close()
            writer.close()


def _inspect(path: str, saving: _Saving) -> tuple[list[int], str]:
    """Shape, dims + (T,), and dtype of a Series on disk. Local."""
    options = SeriesOptions(dataset=saving.options.get("dataset", "series"))
    header = inspect_series(path, options)
    return [*header.dims, header.length], str(header.dtype)


def _accept(saving: _Saving, stage: Stage) -> None:
    """An output that is complete already must be the one that was asked for. Collective."""

    def compare() -> None:
        found = _inspect(stage.output, saving)
        wanted = (saving.options["shape"], saving.options["dtype"])
        if found != wanted:
            raise FileExistsError(
                f"{stage.output} is complete, but holds {found[0]} {found[1]} and not "
                f"{wanted[0]} {wanted[1]}; choose another path"
            )
        logger.info("%s is complete already", stage.output)

    from_rank(saving.collection._session.comm, 0, saving.name, compare)


def _write_series(saving: _Saving, writer: Any, progress: Progress, memory: int) -> None:
    """Write the series that are not on the disk yet. Collective."""
    source = saving.chain.source
    if isinstance(source, ExchangeSource):
        images = source.images.collection
        convert(images, saving.chain, writer, progress, memory, saving.action)
    else:
        _stream_into(saving, writer, (writer.write, writer.grain), progress, memory)


def _stream_into(
    saving: _Saving, writer: Any, into: tuple[Callable[[int, np.ndarray], None], int],
    progress: Progress, memory: int,
) -> None:
    """Stream the records that are not on the disk yet into a writer. Collective.

    `into` is what writes records, and how many of them it wants together.
    """
    collection, chain = saving.collection, saving.chain
    comm = collection._session.comm
    assert chain.count is not None
    count = chain.count
    missing = progress.done.missing(count)
    if missing.count == 0:
        return
    recorder = progress.recorder("done", writer.flush)
    places: Positions = range(count)
    if missing.count < count:
        places = np.concatenate([np.arange(a, b) for a, b in missing])
        chain = chain.select(places)
    write, grain = into

    def record(place: int, records: np.ndarray) -> None:
        with recorder.writing(place, place + len(records)), phase("write", records.nbytes):
            write(place, np.ascontiguousarray(records))

    slabs = Slabs(grain, count, places, chain.partition(comm.size), record)

    def keep(first: int, batch: np.ndarray) -> None:
        own = places[first : first + len(batch)]
        for a, b in runs(own):
            slabs.add(int(own[a]), batch[a:b])

    try:
        collection._stream(chain, saving.action, keep, memory=memory)
        slabs.finish(comm, saving.name)
        with Together(comm, saving.name):
            recorder.flush()
    finally:
        recorder.give_up()


def save_frames(
    images: Collection, chain: Chain, target: Target, dataset: str, chunks: Any, compression: Any
) -> None:
    """``saveAsHDF5`` of Images with layout 'images': no pixel leaves its rank. Collective."""
    comm, action = images._session.comm, "saveAsHDF5"
    chain = images._known(chain, action)
    assert chain.dims is not None
    assert chain.count is not None
    shape = (*chain.dims, chain.count)
    index = np.array(chain.keys, dtype=np.int64)

    def make(stage: Stage) -> DatasetWriter:
        return hdf5_writer(
            comm, stage.output, dataset, shape, chain.dtype, "images", chunks, index,
            images.metadata, _attributes(images), compression=compression,
            resume=stage.resumed, threads=images._session.workspace.threads,
        )

    def write(saving: _Saving, writer: Any, progress: Progress, memory: int) -> None:
        _stream_into(saving, writer, (writer.write_images, writer.image_grain), progress, memory)

    options = {"dataset": dataset, "layout": "frames", "chunks": shown(as_chunks(chunks), WHOLE),
               "compression": _plain_compression(compression),
               **_layout_options(shape, chain, index, images)}
    _save(_Saving(images, chain, action, "hdf5", options, target), make, write)
