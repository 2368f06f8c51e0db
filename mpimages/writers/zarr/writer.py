"""Zarr, written by all ranks at once.

Values that are not compressed have their places from the beginning: every rank writes them there.
Compressed chunks wait in files of the rank that made them, one for each file of the output. At the
end each file is put together by one rank: what lies at the beginning of such a file in the right
order stays where it is, the rest is appended. The bytes follow from the values and the arguments
alone. The metadata come last, so that nobody opens an output that is not whole.
"""

from __future__ import annotations

from typing import Any

from mpi4py import MPI

from .base import ZarrWriter
from .compressed import CompressedZarrWriter
from .layout import ZarrForm
from .plain import PlainZarrWriter

__all__ = ["zarr_writer"]


def zarr_writer(
    comm: MPI.Intracomm, directory: str, form: ZarrForm, *args: Any, **options: Any
) -> ZarrWriter:
    """The writer of a form. Collective. See `ZarrWriter`."""
    kind = CompressedZarrWriter if form.compressed else PlainZarrWriter
    return kind(comm, directory, form, *args, **options)
