"""TIFF: single images, stacks and movies, ImageJ hyperstacks, OME-TIFF, BigTIFF.

A page is (row, column); a volume's pages lie one after the other and are handed out as
(row, column, page). The header decides what the pages are (`axes`), `index` where they are, and
`pages` reads them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.json_types import JsonObject
from ...errors import FormatError
from ...formats.output_names import TIFF_SIGNATURES
from ..array_axes import require_kind
from ..base import Handle, Header, Reader, Scratch
from ..byte_ranges import copy_axes
from ..options import Options
from ..page_order import choose_channel
from ..places import Places
from .axes import header_channels, make_plan
from .index import TifIndex
from .pages import TifPages
from .plan import REGARDLESS, Plan
from .whole import drop_damaged, index_whole, pages_beyond

if TYPE_CHECKING:
    from ..file_sets import FileSet

logger = logging.getLogger("mpimages")

# Above so many pages a file without a header that names its axes is likely a movie.
LIKELY_MOVIE = 200


INCOMPLETE = "; incomplete='drop' leaves out the last images, as they are damaged"


class TifReader(Reader):
    """The reader of TIFF files."""

    name = "tif"
    signatures = TIFF_SIGNATURES
    takes = frozenset({"nplanes", "nchannels", "order", "flyback", "channel", "incomplete"})
    single_planes = True
    sparse = True

    def __init__(self) -> None:
        # A long movie is opened for every batch but indexed once, and of many files that
        # differ in their pixels alone only the first is parsed.
        self._last: _Understood | None = None

    def inspect(self, path: str, options: Options) -> Header:
        pages, found = self._open(path, options)
        pages.close()
        plan, dims, dtype = found.plan, found.dims, found.dtype
        if plan.kind == "plain" and options.nplanes is None and plan.pages.size > LIKELY_MOVIE:
            logger.warning(
                "%s: is read as one volume of %d pages; nplanes=1 reads it as a movie, "
                "nplanes='all' as the volume without this warning",
                path,
                plan.pages.size,
            )
        if plan.note:
            logger.warning("%s: %s", path, plan.note)
        if pages.index.masks:
            logger.warning(
                "%s: pages that are marked as masks are left out: %d", path, pages.index.masks
            )
        require_kind(path, dims, dtype, options)
        metadata = dict(plan.metadata)
        if "pixelSize" in metadata:
            metadata["pixelSize"] = metadata["pixelSize"][: len(dims)]
        layout: JsonObject = {"kind": plan.kind, "said": plan.said}
        if plan.order is not None:
            layout["order"] = asdict(plan.order)
        return Header(path, dims, dtype, len(plan.pages), metadata, layout, plan.found)

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        pages, found = self._open(path, options)
        try:
            if len(found.plan.pages):  # of none, there is nothing to compare
                header.require(path, found.dims, found.dtype)
            if not self.multiple(options, header):
                header.require_count(path, len(found.plan.pages))
        except BaseException:
            pages.close()
            raise
        return TifHandle(path, header, pages, found.plan, scratch)

    def find_set(self, paths: Sequence[str], options: Options, complete: bool) -> FileSet | None:
        from .sets import find_set

        return find_set(paths, options, complete)

    def by_name(self, path: str, options: Options) -> Options:
        if (options.nplanes, options.channel) != (None, None):
            return options
        with TifPages(path) as pages:
            pages.find_index()
            one = pages.index.is_ome and pages.index.count == 1
        return replace(options, single_pages=True) if one else options

    def _open(self, path: str, options: Options) -> tuple[TifPages, _Understood]:
        """The pages of a file and what they are."""
        pages = TifPages(path)
        try:
            last = self._last
            if last is not None and last.serves(pages, options):
                pages.index = last.index
                return pages, last
            plan = _plan(pages, options)
            dims, dtype = _describe(pages, plan)
        except BaseException:
            pages.close()
            raise
        self._last = _Understood(pages.identity, pages.index, options, plan, dims, dtype)
        return pages, self._last

    def scratch_bytes(self, header: Header) -> int:
        return header.image_bytes if len(header.dims) == 3 else 0


@dataclass(frozen=True, eq=False)
class _Understood:
    """All that the header of one file said under some options."""

    identity: tuple[object, ...]
    index: TifIndex
    options: Options
    plan: Plan
    dims: tuple[int, ...]
    dtype: np.dtype

    def serves(self, pages: TifPages, options: Options) -> bool:
        """Whether it holds for an open file too."""
        if options != self.options:
            return False
        if pages.identity == self.identity:
            return True
        # What an OME header says depends on the file's name, and what is whole on its data.
        alike = self.plan.kind not in ("ome", "ndtiff") and options.incomplete is None
        return alike and pages.is_like(self.index)


class TifHandle(Handle):
    """An open TIFF and the plan of its pages."""

    def __init__(
        self, path: str, header: Header, pages: TifPages, plan: Plan, scratch: Scratch | None
    ) -> None:
        super().__init__(path, header, len(plan.pages), scratch)
        self._pages = pages
        self._plan = plan.pages

    def close(self) -> None:
        self._pages.close()

    def unwritten(self, start: int, stop: int) -> dict[str, int]:
        self._check_range(start, stop)
        return self._pages.unwritten(self._plan[start:stop])

    def _find_places(self, start: int, stop: int) -> Places | None:
        begins = self._pages.find_runs(self._plan[start:stop])
        if begins is None:
            return None
        steps = np.diff(begins, axis=1)
        if steps.size == 0:
            steps = np.zeros((len(begins), 1), dtype=np.int64)
        elif (steps != steps[:, :1]).any():
            return None
        *_, size, modified = self._pages.identity
        stored = self.header.dtype.newbyteorder(self._pages.index.layout.order)
        return Places(begins[:, 0], steps[:, 0], begins.shape[1], stored, size, modified)

    def read_part(self, images: np.ndarray, low: Sequence[int], out: np.ndarray) -> bool:
        if len(self.header.dims) == 2 or out.shape[3] == self.header.dims[2]:
            return False
        # The pages alone that are asked for.
        some = slice(low[2], low[2] + out.shape[3])
        box = tuple(slice(a, a + n) for a, n in zip(low[:2], out.shape[1:3], strict=True))
        for image, volume in zip(images.tolist(), out, strict=True):
            stored = self.scratch.take((out.shape[3], *self.header.dims[:2]), out.dtype)
            try:
                self._pages.read(self._plan[image, some], stored)
            except FormatError as error:
                raise FormatError(f"{error}{self._advice()}") from None
            volume[...] = np.moveaxis(stored[:, *box], 0, -1)
        return True

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        try:
            self._read_images(start, stop, out)
        except FormatError as error:
            raise FormatError(f"{error}{self._advice()}") from None

    def _advice(self) -> str:
        """What helps where pages turn out to be damaged, if it does."""
        if len(self._plan) < 2 and self.path == self.header.path:
            return ""  # it may be the only image that there is
        with TifPages(self.path) as pages:
            pages.index = self._pages.index
            return INCOMPLETE if drop_damaged(pages) and pages.index.count else ""

    def _read_images(self, start: int, stop: int, out: np.ndarray) -> None:
        if len(self.header.dims) == 2:
            self._pages.read(self._plan[start:stop, 0], out)
            return
        rows, columns, planes = self.header.dims
        for image in range(start, stop):
            stored = self.scratch.take((planes, rows, columns), out.dtype)
            self._pages.read(self._plan[image], stored)
            copy_axes(stored, (1, 2, 0), out[image - start])


def _choose_sample(pages: TifPages, options: Options) -> tuple[Options, int]:
    """Take one value of each pixel where there are several, as channel= says.

    Grey images have a coloured palette too where a microscope's program or ImageJ wrote them: it
    says how to show them. The indices are the intensities.

    Returns
    -------
    (Options, int)
        What is left of the options, and how many values a pixel has.

    Raises
    ------
    ValueError
        If a page is colour and none is chosen, or it cannot be.
    """
    index = pages.index
    scientific = index.is_imagej or index.is_ome or index.is_fluoview or options.single_pages
    found = [index.geometries[kind] for kind in _numbers_in(index.kinds)]
    coloured = [g for g in found if g.colour and not (g.palette and scientific)]
    if not coloured:
        return options, 1
    samples = coloured[0].samples
    if samples < 2 or any(g.samples != samples for g in found):
        raise ValueError(
            f"{pages.path}: colour images are not read (it has {coloured[0].colour}); convert it "
            f"to greyscale or split its channels"
        )
    if options.channel is None:
        raise ValueError(
            f"{pages.path}: colour images are not read (it has {coloured[0].colour}); "
            f"channel=0 to channel={samples - 1} reads one of the values, or convert it to "
            f"greyscale"
        )
    if (options.nchannels or 1) > 1 or header_channels(pages.path, index) > 1:
        raise ValueError(
            f"{pages.path}: its pages are of several channels in turn, and have {samples} values "
            f"per pixel: which is meant by channel= is open; save the channels apart"
        )
    if index.is_ome and options.nplanes is None:
        raise ValueError(
            f"{pages.path}: what its OME header says of pages with {samples} values per pixel is "
            f"not followed; nplanes= beside channel= says how many of its pages are an image"
        )
    choose_channel(pages.path, samples, options.channel)
    pages.index = index.of_sample(options.channel)
    return replace(options, channel=None), samples


def _numbers_in(kinds: np.ndarray) -> np.ndarray:
    """The different ones, ascending. np.unique would sort them, and import np.ma."""
    return np.flatnonzero(np.bincount(kinds))


def _plan(pages: TifPages, options: Options) -> Plan:
    """Index a file, and say what its pages are."""
    if options.incomplete is None:
        pages.find_index(texts=not options.single_pages)
        rest, samples = _choose_sample(pages, options)
        _extend(pages, rest)
        if len(pages_beyond(pages.index)):
            pages.find_runs(pages_beyond(pages.index)[:1])  # says so
        return _with_samples(make_plan(pages.path, pages.index, rest), samples)
    damaged = index_whole(pages)
    rest, samples = _choose_sample(pages, options)
    damaged = _extend(pages, rest) or damaged
    damaged = drop_damaged(pages) or damaged
    return _with_samples(make_plan(pages.path, pages.index, rest, damaged), samples)


def _with_samples(plan: Plan, samples: int) -> Plan:
    if samples == 1:
        return plan
    axes = {"C": samples, **plan.found.get("axes", {})}
    return replace(plan, found={**plan.found, "axes": axes})


def _extend(pages: TifPages, options: Options) -> bool:
    """Take a file of one directory for all the pages that ImageJ's or MetaMorph's header says.

    Returns
    -------
    bool
        Whether there are fewer, and the others are to be dropped.
    """
    index = pages.index
    stacked = max(index.geometries[kind].planes for kind in _numbers_in(index.kinds))
    if stacked > 1 and index.count > 1:
        raise ValueError(
            f"{pages.path}: has {index.count} pages of up to {stacked} planes each (MetaMorph "
            f"STK), which are not read; save it by ImageJ as TIFF"
        )
    if stacked > 1 and not index.geometry(0).plain:
        raise FormatError(
            f"{pages.path}: has {stacked} planes behind one page (MetaMorph STK), which is "
            f"compressed or in tiles: this is not read; save it by ImageJ as TIFF"
        )
    if index.count != 1 or not (index.is_imagej or stacked > 1):
        return False
    from .imagej import imagej_pages

    fitting = 1
    try:
        said = stacked if stacked > 1 else imagej_pages(pages.path, index.description)
        if said > 1 and index.geometry(0).samples > 1:
            raise FormatError(
                f"{pages.path}: its header says {said} pages, but it has one, of colour"
            )
        fitting = _count_fitting(pages) if said > 1 else 1
        if fitting < said and options.incomplete:
            if fitting > 1:
                pages.extend(fitting)
            return True
        if said > 1:
            pages.extend(said)
    except FormatError as error:
        if fitting > 1:
            raise  # the file lacks its end
        if options.nplanes is None and options.nchannels is None:
            raise FormatError(f"{error}{REGARDLESS}") from None
    return False


def _count_fitting(pages: TifPages) -> int:
    """How many pages there may be one after the other where the only one is, 1 at least."""
    try:
        begins = pages.find_runs(np.zeros(1, dtype=np.int64))
    except FormatError:
        return 1
    if begins is None:
        return 1
    begin, directory = int(begins[0]), int(pages.index.ifds[0])
    end = directory if directory > begin else pages.size
    return max(1, (end - begin) // pages.index.geometry(0).nbytes)


def _describe(pages: TifPages, plan: Plan) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and dtype of an image; all of its pages must have them."""
    index = pages.index
    kinds = _numbers_in(index.kinds[plan.pages.reshape(-1)])
    if len(kinds) == 0:  # no image is whole: what one would be like
        kinds = np.zeros(1, dtype=np.int64)
    found = (index.geometries[kind] for kind in kinds)
    shapes = {(g.rows, g.columns, g.dtype.str, g.bits) for g in found}
    if len(shapes) > 1:
        listed = ", ".join(
            f"{rows} × {columns} {dtype} of {bits} bits"
            for rows, columns, dtype, bits in sorted(shapes)
        )
        raise FormatError(f"{pages.path}: its pages differ: {listed}")
    geometry = index.geometries[int(kinds[0])]
    planes = plan.pages.shape[1]
    dims = (geometry.rows, geometry.columns) + ((planes,) if planes > 1 else ())
    return dims, geometry.dtype
