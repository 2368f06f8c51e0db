"""What the writers of HDF5 have in common: blocks and images become boxes of one dataset."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI

from ...dims import pixel_grain
from ...errors import FormatError
from ...spmd.agreement import Together
from ..calibration import Calibration
from ..output.array import ArrayWriter
from ..output.piece_sums import PieceSums
from ..output.plain import plain_index, plain_metadata
from ..output.stripes import stripe_grain
from .chunk_shape import chunk_shape
from .enclosure import Enclosure, seal
from .file import (
    DatasetPlan,
    check_same,
    create_dataset,
    dataset_attributes,
    dataset_name,
    fill_checksums,
)
from .file_object import new_file, open_file
from .filters import parse_compression
from .scales import Axis, describe_axes, plain_figures

if TYPE_CHECKING:
    import h5py
    from numpy.typing import DTypeLike

_log = logging.getLogger("mpimages")


class DatasetWriter(ArrayWriter):
    """Writes a Series or images as one HDF5 dataset. Collective constructor.

    `write` and `write_images` are local, and may be called from one thread at a time.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    path : str
        What `staging.staged` yields; must not exist, unless `resume`.
    dataset : str
        The dataset's name; ``'a/b'`` is inside the group ``a``.
    shape : sequence of int
        dims + (T,), whatever the layout; no axis of length 0.
    dtype : dtype
        Stored little-endian whatever its byte order.
    layout : {'series', 'images'}
        The dataset is dims + (T,), or frame-major (T,) + dims.
    chunks : None, True or tuple of int
        None: contiguous. See `chunk_shape.chunk_shape`.
    index : (T,) or (T, levels) ints
        The Series' index; None: 0…T−1.
    metadata : mapping or None
        Plain values; stored as JSON, NaN and infinities as null.
    attributes : mapping or None
        Further attributes of the dataset: numbers and text.
    resume : bool
        Take up the file of an earlier job where there is one that can be; else it is made anew.
        Its values stay, and `holds` tells whether they are what the job wrote; those that it has
        not written are undefined. To be told what it did: `restore`.
    compression
        See `filters.parse_compression`.
    threads : int
        How many threads may compress.
    stripe : int
        Bytes of a stripe of the file system, at one of which contiguous values begin; 0: none
        are known.
    enclosure : Enclosure, optional
        What else the file holds. It then says what the pixels and the times mean, and the dataset
        has neither scales nor the attributes of these.
    besides : callable
        Local work to do once this rank's part of the file is prepared. The agreement of the
        constructor holds for it as well.

    Raises
    ------
    ValueError
        For an empty dataset, an index of another length, a name that HDF5 cannot take, or
        chunks that do not fit; when what is taken up was begun with other arguments.
    TypeError
        For a dtype that is not a number, or metadata that JSON cannot hold.
    FileExistsError
        When `path` exists.
    FormatError
        When what is taken up is damaged.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        path: str,
        dataset: str,
        shape: Sequence[int],
        dtype: DTypeLike,
        layout: str = "series",
        chunks: object = None,
        index: Iterable[object] | None = None,
        metadata: Mapping[str, object] | None = None,
        attributes: Mapping[str, object] | None = None,
        *,
        resume: bool = False,
        compression: object = None,
        threads: int = 1,
        stripe: int = 0,
        enclosure: Enclosure | None = None,
        besides: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(comm, path, resume, threads)
        self._stripe = stripe
        together = Together(comm, self._action)
        with together.attempt():
            filters = parse_compression(compression)
            self._take_shape(shape, dtype, layout)
            self._take_chunks(chunks, filters is not None)
            self._sums = PieceSums(math.prod(self.shape) * self.dtype.itemsize)
            labels = plain_index(np.arange(self.times) if index is None else index, self.times)
            said = plain_metadata(dict(metadata or {}))
            calibration = Calibration.of(said)
            figures = plain_figures(calibration, len(self.dims))
            axes = describe_axes(layout, self.dims, labels, calibration)
            if enclosure is not None:
                figures = {}
                axes = tuple(Axis(label, None, "") for label in enclosure.axes)
                attributes = {**(attributes or {}), **enclosure.attributes}
            described = dataset_attributes(
                layout, labels, said, figures, self._sums.attributes(), attributes
            )
            self._plan = DatasetPlan(
                dataset_name(dataset), self.shape, self.dtype, self._chunk, filters, described,
                axes, enclosure,
            )  # fmt: skip
            self._prepare()
            besides()
        self._begin(together.agree(*self._found))

    def _take_chunks(self, chunks: object, compressed: bool) -> None:
        """Work out the shape of a chunk, and in which units records are written. Local."""
        if compressed:
            chunks = compressed_chunks(chunks)
        series, size = self.layout == "series", self.dtype.itemsize
        chunk = self._chunk = chunk_shape(chunks, self.shape, size, self.layout)
        if chunk is None:
            pixels = math.prod(self.dims)
            if series:
                self.grain = stripe_grain(self._stripe, self.times * size, pixels)
            else:
                self.image_grain = stripe_grain(self._stripe, pixels * size, self.times)
        elif compressed:
            self.grain = pixel_grain(self.dims, chunk[:-1] if series else chunk[1:])
            self.image_grain = 1 if series else chunk[0]

    # -- what each writer does its own way ---------------------------------------------------

    # What `_prepare` finds on rank 0 and the others need: some numbers, as many on each rank.
    _found: tuple[int, ...] = ()

    def _prepare(self) -> None:
        """Local work on the way to a file that can be written: rank 0 creates it."""
        raise NotImplementedError

    def _begin(self, found: Sequence[int]) -> None:
        """What else the constructor does; `found` is that of rank 0. Collective."""

    def _create_or_take_up(self) -> None:
        """Leave at `path` a file with its dataset allocated. Local, on one rank."""
        if not (self.resume and self._take_up()):
            with self._new_file() as file:
                self._allocated(create_dataset(file, self._plan))

    def _new_file(self) -> AbstractContextManager[h5py.File]:
        """A file that appears at `path` when the block has ended well. Local, on one rank."""
        enclosure = self._plan.enclosure
        return new_file(self.path, self._stripe, b"" if enclosure is None else enclosure.block)

    def _fill_in(self, checksums: np.ndarray) -> None:
        """Write the checksums into the file on rank 0: it is whole then. Local."""
        if self.comm.rank != 0:
            return
        with open_file(self.path, "r+") as file:
            fill_checksums(file[self._plan.name].id, checksums)
        self._seal()

    def _seal(self) -> None:
        """End a complete file that holds more than its dataset. Local, on one rank."""
        enclosure = self._plan.enclosure
        if enclosure is not None and enclosure.items:
            seal(self.path, self._plan.name)

    def _take_up(self) -> bool:
        """Whether an earlier job's file is there; one that is damaged is removed. Local."""
        if not os.path.lexists(self.path):
            return False
        try:
            with open_file(self.path, "r") as file:
                self._allocated(check_same(self.path, file, self._plan))
        except (FormatError, KeyError, RuntimeError) as error:
            _log.warning("%s is made anew: %s", self.path, error)
            os.unlink(self.path)
            return False
        return True

    def _allocated(self, raw: h5py.h5d.DatasetID) -> None:
        """Take note of what the dataset in the open file is like. Local, on one rank."""


def compressed_chunks(chunks: object) -> Any:
    """The chunks that are asked for where a dataset is compressed: it must have some. Local."""
    if chunks is False:
        raise ValueError("a dataset with chunks=False cannot be compressed: omit chunks")
    return True if chunks is None else chunks
