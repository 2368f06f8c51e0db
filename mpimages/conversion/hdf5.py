"""Images, or series, to one HDF5 file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..core.json_types import JsonObject
from ..core.text import WHOLE, quote
from ..engine.runner import Action
from ..engine.selection import Settled
from ..writers.output.staging import Stage
from ..writers.output.stripes import stripe_bytes
from .complete import check_form
from .saving import Content, Make, Saving, Stripes, Target, save_output, write_images

if TYPE_CHECKING:
    from ..writers.hdf5.base import DatasetWriter
    from ..writers.hdf5.enclosure import Enclosure

__all__ = ["Standard", "save_frames", "save_series_hdf5"]


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
    save_output(*_hdf5(action, series, content, target, form))


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
    save_output(*_hdf5(action, known, content, target, form), write_images)


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
) -> tuple[Saving, Make[DatasetWriter]]:
    """Return the saving to HDF5 and the factory of its writer."""
    from ..writers.hdf5.writer import choose_way, hdf5_writer, stored_form
    from ..writers.output.chunk_shape import as_chunks

    dataset, layout, name, standard = form.dataset, form.layout, form.name, form.standard
    chunks, compression = form.chunks, form.compression
    # In a series' frames the pixels of all ranks lie side by side, and chunks lie where HDF5 puts
    # them.
    plain = type(name) is str and name != "images"  # the writer checks it
    plain = plain and (standard is None or standard.aligned)
    stripe, whole = stripe_bytes(), plain and _is_off(chunks) and _is_off(compression)
    stripes = Stripes(stripe, stripe if whole else 0)

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
    saving = Saving(action, records, kind, options, target, content.index, check, stripes, choose)
    return saving, make


def _plain_compression(compression: object) -> str:
    """Return the compression as a comparable text. Filters of plug-ins are mappings."""
    if isinstance(compression, Mapping):
        compression = sorted(compression.items())
    return quote(compression, WHOLE)


def _is_off(given: object) -> bool:
    return given is None or given is False
