"""A collection to one output that can be resumed: what the modules of all formats share."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..core.arguments import check_int
from ..core.json_types import JsonObject
from ..core.sizes import parse_size, size_text
from ..core.text import as_comparable, quote
from ..core.timers import phase
from ..engine.chain import Positions, Shape
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..engine.sources import runs
from ..exchange.to_series import ExchangeSource
from ..writers.output.plain import plain_metadata
from ..writers.output.staging import Stage, resumable
from ..writers.output.stripes import STRIPE, stripe_bytes, stripe_grain
from .chunk_alignment import Slabs
from .complete import Open, check_shape, check_values, stored_series
from .fingerprint import Fingerprint
from .planning import Plan
from .resume import Progress, Writer
from .rounds import convert, plan_conversion

if TYPE_CHECKING:
    from ..writers.binaryseries import BinarySeriesWriter
    from ..writers.output.array import ArrayWriter

__all__ = [
    "Content",
    "Make",
    "Saving",
    "Stripes",
    "Target",
    "check_planar",
    "plan_series",
    "save_binary_series",
    "save_output",
    "stream_into",
    "write_images",
    "write_series",
]

Path = str | os.PathLike[str]

logger = logging.getLogger("mpimages")

WriterType = TypeVar("WriterType", bound=Writer)
# Makes a writer, given the stage, what `choose` has returned, and local work that its agreement is
# to hold for as well. Collective.
Make = Callable[[Stage, Any, Callable[[], None]], WriterType]

# A plan holds a number per rank: the limit keeps its memory and time small.
MOST_RANKS = 10_000_000


@dataclass(frozen=True)
class Content:
    """The contents of an output other than the values.

    Attributes
    ----------
    shape : tuple of int
        dims + (T,).
    index : (T,) or (T, levels) int64 ndarray
    metadata, inputs : dict
        Plain values: the files' metadata of their records; the files and their read options.
    """

    shape: Shape
    index: np.ndarray
    metadata: JsonObject
    inputs: JsonObject

    @classmethod
    def of_images(cls, images: Settled, metadata: JsonObject, inputs: JsonObject) -> Content:
        """Return the content of an output of images. Local."""
        keys = np.array(images.keys, dtype=np.int64)
        return cls((*images.dims, images.count), keys, metadata, inputs)

    def options(self, dtype: np.dtype) -> JsonObject:
        """Return the options that determine the output's bytes."""
        said = repr((self.index.tolist(), plain_metadata(self.metadata)))
        return {"shape": list(self.shape), "dtype": str(dtype), "labels": zlib.crc32(said.encode())}

    def attributes(self) -> dict[str, str]:
        """Return the attributes of the origin: names and read options of the input, as JSON."""
        return {name: json.dumps(value, sort_keys=True) for name, value in self.inputs.items()}


@dataclass(frozen=True)
class Target:
    """The path of an output, the treatment of an existing one, and the budget of each rank."""

    path: Path
    overwrite: bool
    resume: bool
    memory: int | None

    @classmethod
    def checked(cls, path: Path, overwrite: bool, resume: bool, memory: int | str | None) -> Target:
        """Return a Target with the memory in bytes. Local; staging checks the other fields."""
        return cls(path, overwrite, resume, None if memory is None else parse_size(memory))


def save_binary_series(
    action: Action, series: Settled, content: Content, target: Target, block_size: int | str
) -> None:
    """See `Series.saveAsBinarySeries`. Collective."""
    from ..writers.binaryseries import BinarySeriesWriter, pixels_per_file

    block_bytes, stripe = parse_size(block_size), stripe_bytes()

    def make(stage: Stage, way: str, besides: Callable[[], None]) -> BinarySeriesWriter:
        with action.together():
            writer = BinarySeriesWriter(
                action.comm,
                stage.output,
                content.shape,
                series.dtype,
                content.index,
                content.metadata,
                block_bytes,
                stage.resumed,
                stripe,
            )
            besides()
        return writer

    options = {"blockSize": block_bytes, **content.options(series.dtype)}
    per_file = pixels_per_file(series.record_bytes, block_bytes)
    stripes = Stripes(stripe, stripe, per_file)
    save_output(
        Saving(action, series, "binaryseries", options, target, content.index, stripes=stripes),
        make,
    )


def check_planar(action: Action, dims: Shape) -> None:
    """Raise ValueError unless records of these dims are images or volumes. Local."""
    if len(dims) not in (2, 3):
        raise ValueError(f"{action.name}: it writes images or volumes, not records of dims {dims}")


def write_images(saving: Saving, writer: ArrayWriter, progress: Progress) -> None:
    """Write whole images that are not on the disk yet. Collective."""
    stream_into(saving, writer, (writer.write_images, writer.image_grain), progress)


def plan_series(
    action: Action, images: Selection, ranks: int | None, chunks: object, compression: object
) -> Plan:
    """See `Images.plan`. Collective."""
    from ..writers.hdf5.writer import hdf5_grain

    if images.count == 0:
        raise ValueError("toSeries: the collection has no images")
    if not isinstance(images, Settled):
        raise ValueError("plan: declare dims and dtype of what apply's function returns")
    number = action.comm.size if ranks is None else check_int(ranks, "ranks")
    if not 1 <= number <= MOST_RANKS:
        raise ValueError(f"plan: ranks lie in 1 … {MOST_RANKS}, got {quote(ranks)}")
    grain = hdf5_grain((*images.dims, images.count), images.dtype, chunks, compression)
    plan = plan_conversion(action, images, number, grain)
    if action.comm.rank == 0:
        print(plan, flush=True)
    return plan


@dataclass(frozen=True)
class Stripes:
    """The stripe that the environment gives, and that of the output; 0: none.

    `per_file` is the number of records in a file, or None if there is one file.
    """

    given: int
    kept: int
    per_file: int | None = None


def _take_as_it_is(path: str) -> bool:
    """A binary series has one form, and its values are exact."""
    return True


def _one_way(path: str) -> str:
    """A binary series is written in one way."""
    return ""


def _nothing() -> None:
    """There is nothing to look at before."""


@dataclass(frozen=True)
class Saving:
    """One call of a `saveAs…` method that keeps a journal.

    `check` looks at the form of a complete output on rank 0, and returns whether its values are
    those of the records to the last bit. `choose` returns the way to write one, and what else only
    the output can tell, on rank 0. `opened` shows the values of a complete one. `look` is local
    work before anything is created.
    """

    action: Action
    records: Settled
    kind: str
    options: JsonObject
    target: Target
    index: np.ndarray
    check: Callable[[str], bool] = _take_as_it_is
    stripes: Stripes = Stripes(0, 0)
    choose: Callable[[str], object] = _one_way
    opened: Open = stored_series
    look: Callable[[], None] = _nothing


def save_output(
    saving: Saving,
    make: Make[WriterType],
    write: Callable[[Saving, WriterType, Progress], None] | None = None,
) -> None:
    """Stage an output, write its missing parts, and move it into place. Collective."""
    action, target = saving.action, saving.target
    fingerprint = Fingerprint(action, saving.records)
    given = (
        as_comparable(target.path),
        saving.kind,
        target.overwrite,
        target.resume,
        target.memory,
        saving.stripes,
        saving.options,
    )
    with action.together(given):  # before anything is created that would have to be removed
        fingerprint.ask()
        saving.look()
        _look_at_stripes(saving)
    stripe = saving.stripes.kept
    options = {**saving.options, **({"stripe": stripe} if stripe else {})}
    described = {"output": saving.kind, "options": options, "input": fingerprint.describe()}
    progress = Progress(action.session.nodes, described, action.name)

    def take_up(stage: Stage) -> object:
        if stage.complete:
            stored = saving.opened(stage.output, saving.options)
            check_shape(stage.output, saving.options, saving.index, stored)
            return saving.check(stage.output)  # whether its values are to be compared, too
        return saving.choose(stage.output), progress.take_up(stage)

    with resumable(
        action.comm,
        target.path,
        saving.kind,
        target.overwrite,
        target.resume,
        action.name,
        take_up,
        saving.records.source.inputs,
        action.session.nodes,
    ) as stage:
        if stage.complete:
            if stage.found:
                check_values(action, saving.records, stage.output, saving.options, saving.opened)
            if action.comm.rank == 0:
                logger.warning("%s is complete already: nothing is written", target.path)
            return
        writer: WriterType | None = None
        try:
            way, earlier = stage.found
            writer = make(stage, way, lambda: progress.begin(stage, *earlier))
            progress.restore(writer)
            (write or write_series)(saving, writer, progress)
            with phase("write"):
                writer.finish()
        finally:
            progress.close()
            if writer is not None:
                writer.close()


def _look_at_stripes(saving: Saving) -> None:
    """Tell on rank 0 if stripes cannot be kept, or leave ranks without work. Local.

    Raises
    ------
    MemoryError
        If blocks of whole stripes do not fit into the budget.
    """
    action, records, stripes = saving.action, saving.records, saving.stripes
    if not stripes.given:
        return
    told, path = f"{STRIPE}={os.environ[STRIPE]}", saving.target.path
    rank, size = action.comm.rank, action.comm.size
    if not stripes.kept:
        if rank == 0:
            logger.warning("%s: %s has no effect on an output of this layout", path, told)
        return
    grain = stripe_grain(stripes.kept, records.record_bytes, records.count, stripes.per_file)
    block = grain * records.record_bytes
    if 2 * block > action.memory:
        raise MemoryError(
            f"{action.name}: with {told} the smallest block that begins and ends at stripes has "
            f"{size_text(block)}, and a rank needs two of them, but the budget is "
            f"{size_text(action.memory)}; give more with memory=, or unset {STRIPE}"
        )
    blocks = -(-records.count // grain)
    if rank == 0 and blocks < size:
        logger.warning(
            "%s: with %s it has %d block%s, of %s, that begin and end at stripes: %d of the %d "
            "ranks write nothing",
            path,
            told,
            blocks,
            "s" * (blocks > 1),
            size_text(block),
            size - blocks,
            size,
        )


def write_series(saving: Saving, writer: Writer, progress: Progress) -> None:
    """Write the series that are not on the disk yet. Collective."""
    if isinstance(saving.records.source, ExchangeSource):
        convert(saving.action, saving.records, saving.records.source, writer, progress)
    else:
        stream_into(saving, writer, (writer.write, writer.grain), progress)


def stream_into(
    saving: Saving,
    writer: Writer,
    into: tuple[Callable[[int, np.ndarray], None], int],
    progress: Progress,
) -> None:
    """Stream the records that are not on the disk yet into a writer. Collective.

    `into` is the function that writes records, and the number of records in a slab.
    """
    action, records = saving.action, saving.records
    count = records.count
    missing = progress.done.missing(count)
    if missing.count == 0:
        return
    recorder = progress.recorder("done", writer.flush)
    places: Positions = range(count)
    if missing.count < count:
        places = np.concatenate([np.arange(a, b) for a, b in missing])
        records = records.take(places)
    write, grain = into

    def record(place: int, values: np.ndarray) -> None:
        with recorder.writing(place, place + len(values)), phase("write", values.nbytes):
            write(place, np.ascontiguousarray(values))

    slabs = Slabs(grain, count, places, records.partition, record)

    def keep(first: int, batch: np.ndarray) -> None:
        own = places[first : first + len(batch)]
        for a, b in runs(own):
            slabs.add(int(own[a]), batch[a:b])

    try:
        action.stream(records, keep)
        slabs.finish(action.comm, action.name)
        with action.together():
            recorder.flush()
    finally:
        recorder.salvage()
