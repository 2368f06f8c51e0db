"""Images, or series, to a directory of Zarr."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.json_types import JsonObject
from ..core.text import WHOLE, quote
from ..engine.runner import Action
from ..engine.selection import Settled
from ..spmd.memory_limit import check_fits
from ..writers.output.staging import Stage
from ..writers.output.stripes import stripe_bytes
from .complete import check_arrays
from .saving import Content, Make, Saving, Stripes, Target, save_output, write_images

if TYPE_CHECKING:
    from ..writers.zarr.base import ZarrWriter
    from ..writers.zarr.layout import ZarrForm

__all__ = ["ZarrOptions", "save_zarr_images", "save_zarr_series"]


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
    save_output(*_zarr(action, series, content, target, options))


def save_zarr_images(
    action: Action, known: Settled, content: Content, target: Target, options: ZarrOptions
) -> None:
    """See `Images.saveAsZarr`: no pixel leaves its rank. Collective."""
    save_output(*_zarr(action, known, content, target, options), write_images)


def _zarr(
    action: Action, records: Settled, content: Content, target: Target, options: ZarrOptions
) -> tuple[Saving, Make[ZarrWriter]]:
    """Return the saving to Zarr and the factory of its writer."""
    zarr = _Zarr(action, records, content, options)
    described = {**options.plain(), **content.options(records.dtype)}
    stripes = Stripes(stripe_bytes(), 0)
    saving = Saving(
        action, records, "zarr", described, target, content.index, zarr.check, stripes,
        look=zarr.lay_out,
    )  # fmt: skip
    return saving, zarr.make


class _Zarr:
    """A Zarr that is saved. `form` is there once it is laid out."""

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
