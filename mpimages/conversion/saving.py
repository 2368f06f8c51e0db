"""A collection to one output that can be resumed: a binary series, HDF5 or Zarr."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from ..core.arguments import check_int
from ..core.json_types import JsonObject
from ..core.sizes import parse_size, size_text
from ..core.text import WHOLE, as_comparable, quote
from ..core.timers import phase
from ..engine.chain import Positions, Shape
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..engine.sources import runs
from ..exchange.to_series import ExchangeSource
from ..spmd.memory_limit import check_fits
from ..writers.output.plain import plain_metadata
from ..writers.output.staging import Stage, resumable
from ..writers.output.stripes import STRIPE, stripe_bytes, stripe_grain
from .chunk_alignment import Slabs
from .complete import Open, check_arrays, check_form, check_shape, check_values, stored_series
from .fingerprint import Fingerprint
from .planning import Plan
from .resume import Progress, Writer
from .rounds import convert, plan_conversion

if TYPE_CHECKING:
    from ..writers.binaryseries import BinarySeriesWriter
    from ..writers.hdf5.base import DatasetWriter
    from ..writers.hdf5.enclosure import Enclosure
    from ..writers.output.array import ArrayWriter
    from ..writers.zarr.layout import ZarrForm
    from ..writers.zarr.writer import ZarrWriter

__all__ = [
    "Content",
    "Standard",
    "Target",
    "ZarrOptions",
    "plan_series",
    "save_binary_series",
    "save_frames",
    "save_series_hdf5",
    "save_zarr_images",
    "save_zarr_series",
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


class Standard(Protocol):
    """A standard that says what an HDF5 file holds beside its dataset."""

    @property
    def kind(self) -> str:
        """The kind of the output; see `staging.KINDS`."""

    @property
    def aligned(self) -> bool:
        """Whether HDF5 can align values in the file: behind a block of another's it does not."""

    @property
    def options(self) -> JsonObject:
        """The options that determine what the file says."""

    def find(self, path: str) -> object:
        """Return what only the output can tell. Local: rank 0, before a writer is made."""

    def enclose(self, found: object) -> Enclosure:
        """Return what the file holds, with what `find` has returned on rank 0. Local."""

    def check(self, path: str) -> None:
        """Raise FileExistsError unless a complete output says the same. Local: rank 0."""


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
    stripes = _Stripes(stripe, stripe, per_file)
    _save(
        _Saving(action, series, "binaryseries", options, target, content.index, stripes=stripes),
        make,
    )


def save_series_hdf5(
    action: Action,
    series: Settled,
    content: Content,
    target: Target,
    dataset: str,
    layout: str,
    chunks: object,
    compression: object,
    standard: Standard | None = None,
) -> None:
    """See `Series.saveAsHDF5`. Collective."""
    form = _Form(dataset, layout, layout, chunks, compression, standard)
    _save(*_hdf5(action, series, content, target, form))


def save_frames(
    action: Action,
    known: Settled,
    content: Content,
    target: Target,
    dataset: str,
    chunks: object,
    compression: object,
    standard: Standard | None = None,
) -> None:
    """Save Images as HDF5 with layout 'images': no pixel leaves its rank. Collective."""

    form = _Form(dataset, "images", "frames", chunks, compression, standard)
    _save(*_hdf5(action, known, content, target, form), _write_images)


def _write_images(saving: _Saving, writer: ArrayWriter, progress: Progress) -> None:
    """Write whole images that are not on the disk yet. Collective."""
    _stream_into(saving, writer, (writer.write_images, writer.image_grain), progress)


@dataclass(frozen=True)
class _Form:
    """The arguments that say how a dataset is stored; `name` identifies the layout."""

    dataset: str
    layout: str
    name: str
    chunks: object
    compression: object
    standard: Standard | None


def _hdf5(
    action: Action, records: Settled, content: Content, target: Target, form: _Form
) -> tuple[_Saving, Make[DatasetWriter]]:
    """Return the saving to HDF5 and the factory of its writer."""
    from ..writers.hdf5.chunk_shape import as_chunks
    from ..writers.hdf5.writer import choose_way, hdf5_writer, stored_form

    dataset, layout, name, standard = form.dataset, form.layout, form.name, form.standard
    chunks, compression = form.chunks, form.compression
    # In a series' frames the pixels of all ranks lie side by side, and chunks lie where HDF5 puts
    # them.
    plain = type(name) is str and name != "images"  # the writer checks it
    plain = plain and (standard is None or standard.aligned)
    stripe, whole = stripe_bytes(), plain and _is_off(chunks) and _is_off(compression)
    stripes = _Stripes(stripe, stripe if whole else 0)

    def make(stage: Stage, found: Any, besides: Callable[[], None]) -> DatasetWriter:
        way, told = found
        return hdf5_writer(
            action.comm,
            stage.output,
            dataset,
            content.shape,
            records.dtype,
            layout,
            chunks,
            content.index,
            content.metadata,
            content.attributes(),
            compression=compression,
            resume=stage.resumed,
            threads=action.session.workspace.threads,
            stripe=stripes.kept,
            way=way,
            enclosure=None if standard is None else standard.enclose(told),
            besides=besides,
        )

    def choose(path: str) -> object:
        told = None if standard is None else standard.find(path)
        return choose_way(path, compression), told

    options = {
        "dataset": dataset,
        "layout": name,
        "chunks": quote(as_chunks(chunks), WHOLE),
        "compression": _plain_compression(compression),
        **content.options(records.dtype),
        **({} if standard is None else standard.options),
    }

    def check(path: str) -> bool:
        chunk, filters = stored_form(content.shape, records.dtype, layout, chunks, compression)
        check_form(path, dataset, layout, chunk, [] if filters is None else filters.numbers())
        if standard is not None:
            standard.check(path)
        return filters is None or filters.exact

    kind = "hdf5" if standard is None else standard.kind
    saving = _Saving(action, records, kind, options, target, content.index, check, stripes, choose)
    return saving, make


@dataclass(frozen=True)
class ZarrOptions:
    """The form of a Zarr, as it is asked for. See `Images.saveAsZarr`."""

    layout: str
    chunks: object
    shards: object
    compression: object
    levels: object
    version: object

    def form(self, content: Content, dtype: np.dtype) -> ZarrForm:
        """Return the form of what is written. Local."""
        from ..writers.zarr.layout import ZarrForm

        return ZarrForm.of(
            content.shape,
            dtype,
            self.layout,
            self.chunks,
            self.shards,
            self.compression,
            self.levels,
            self.version,
        )

    def plain(self) -> JsonObject:
        """Return them as values that can be compared."""
        return {name: quote(value, WHOLE) for name, value in vars(self).items()}


def save_zarr_series(
    action: Action, series: Settled, content: Content, target: Target, options: ZarrOptions
) -> None:
    """See `Series.saveAsZarr`. Collective."""
    _save(*_zarr(action, series, content, target, options))


def save_zarr_images(
    action: Action,
    images: Selection,
    metadata: JsonObject,
    inputs: JsonObject,
    target: Target,
    options: ZarrOptions,
) -> None:
    """See `Images.saveAsZarr`. Collective."""
    known = action.known(images)
    content = Content(
        (*known.dims, known.count), np.array(known.keys, dtype=np.int64), metadata, inputs
    )
    _save(*_zarr(action, known, content, target, options), _write_images)


def _zarr(
    action: Action, records: Settled, content: Content, target: Target, options: ZarrOptions
) -> tuple[_Saving, Make[ZarrWriter]]:
    """Return the saving to Zarr and the factory of its writer."""
    zarr = _Zarr(action, records, content, options)
    described = {**options.plain(), **content.options(records.dtype)}
    stripes = _Stripes(stripe_bytes(), 0)
    saving = _Saving(
        action,
        records,
        "zarr",
        described,
        target,
        content.index,
        zarr.check,
        stripes,
        look=zarr.lay_out,
    )
    return saving, zarr.make


class _Zarr:
    """A Zarr that is saved, once it is laid out."""

    form: ZarrForm

    def __init__(
        self, action: Action, records: Settled, content: Content, options: ZarrOptions
    ) -> None:
        self._action = action
        self._records = records
        self._content = content
        self._options = options

    def lay_out(self) -> None:
        """Work out its form. Local.

        Raises
        ------
        MemoryError
            If the images that share a chunk do not fit into the budget.
        """
        form = self._options.form(self._content, self._records.dtype)
        slab = form.slab_bytes
        if form.compressed and form.layout == "images" and slab > self._records.record_bytes:
            check_fits(  # it is put together of parts of batches
                3 * slab,
                self._action.memory,
                f"{self._action.name}: to encode images together that share a chunk",
                "give more with memory=, or fewer images in a chunk with chunks=",
            )
        self.form = form

    def make(self, stage: Stage, way: str, besides: Callable[[], None]) -> ZarrWriter:
        """Make its writer. Collective."""
        from ..writers.zarr.writer import zarr_writer

        content, threads = self._content, self._action.session.workspace.threads
        chunk = self.form.arrays[0].array.codecs.nbytes
        return zarr_writer(
            self._action.comm,
            stage.output,
            self.form,
            content.shape,
            self._records.dtype,
            content.index,
            content.metadata,
            content.inputs,
            resume=stage.resumed,
            threads=threads,
            ahead=max(1, min(2 * threads + 1, self._action.memory // (8 * chunk))),
            besides=besides,
        )

    def check(self, path: str) -> bool:
        """Look at the form of a complete output: its values are those of the records. Local."""
        check_arrays(path, self.form)
        return True


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


def _plain_compression(compression: object) -> str:
    """Return the compression as a comparable text. Filters of plug-ins are mappings."""
    if isinstance(compression, Mapping):
        compression = sorted(compression.items())
    return quote(compression, WHOLE)


def _is_off(given: object) -> bool:
    return given is None or given is False


@dataclass(frozen=True)
class _Stripes:
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
class _Saving:
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
    stripes: _Stripes = _Stripes(0, 0)
    choose: Callable[[str], object] = _one_way
    opened: Open = stored_series
    look: Callable[[], None] = _nothing


def _save(
    saving: _Saving,
    make: Make[WriterType],
    write: Callable[[_Saving, WriterType, Progress], None] | None = None,
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
            (write or _write_series)(saving, writer, progress)
            with phase("write"):
                writer.finish()
        finally:
            progress.close()
            if writer is not None:
                writer.close()


def _look_at_stripes(saving: _Saving) -> None:
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


def _write_series(saving: _Saving, writer: Writer, progress: Progress) -> None:
    """Write the series that are not on the disk yet. Collective."""
    if isinstance(saving.records.source, ExchangeSource):
        convert(saving.action, saving.records, saving.records.source, writer, progress)
    else:
        _stream_into(saving, writer, (writer.write, writer.grain), progress)


def _stream_into(
    saving: _Saving,
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
