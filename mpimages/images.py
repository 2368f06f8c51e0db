"""A distributed collection of images or volumes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from .core.arguments import check_int, check_number, checksum_of
from .core.json_types import JsonObject
from .core.public import entry, public
from .core.text import quote
from .dims import Dims
from .engine.chain import Chain, Positions, Renumber, Shape, counted_anew
from .errors import GatherWarning
from .methods.arithmetic import ImageArithmetic
from .methods.averages import Averages
from .methods.axes import Axes
from .methods.base import ImageMethods
from .methods.filters import Filters
from .methods.geometry import Geometry
from .methods.local_correlation import LocalCorrelation
from .methods.lookup import ImageLookup
from .methods.mapping import ImageMapping
from .methods.registration import Registration
from .methods.repairs import Repairs
from .spmd.actions import action, stoppable

if TYPE_CHECKING:
    from .blocks import Blocks
    from .conversion.planning import Plan
    from .engine.runner import Action
    from .engine.selection import Selection
    from .registration.model import RegistrationModel
    from .series import Series, TimeSeries

__all__ = ["Images"]

LOOP_WARNING = (
    "a loop over Images brings each image to every rank; apply, meanByRegions and the statistics "
    "leave the images where they are"
)

SeriesKind = TypeVar("SeriesKind", bound="Series")


@public
class Images(
    ImageMapping,
    ImageLookup,
    ImageArithmetic,
    Averages,
    Geometry,
    Axes,
    Filters,
    LocalCorrelation,
    Repairs,
    Registration,
    ImageMethods,
):
    """Images or volumes, one a record: the key an int, the value an ndarray of `dims`.

    Made by the ``load*`` methods of `ThunderContext`. Properties are local; every other
    method is to be called by all ranks and gives all ranks the same. Methods that return
    Images or Series are lazy, unless they say "action".

    Attributes
    ----------
    metadata : dict
        Pixel size and unit, frame interval, where the files say so.

    Examples
    --------
    >>> from mpimages import ThunderContext
    >>> tsc = ThunderContext()
    >>> data = tsc.loadExample('fish-images')
    >>> data.maxProjection(axis=2).dims.count
    (76, 87)
    """

    # -- properties: local -----------------------------------------------------------------

    @property
    def shape(self) -> Shape | None:
        """(n, row, column[, page]), as `toArray` gives it; None while only an action can tell.

        Local.
        """
        dims, count = self.dims, self.records.count
        return None if dims is None or count is None else (count, *dims)

    def __len__(self) -> int:
        """The number of images. Local; TypeError while only an action can tell."""
        if self.records.count is None:
            raise TypeError("len() of Images after a filter is not known yet: count() finds it")
        return self.records.count

    def __repr__(self) -> str:
        unknown = "None (inspect to compute)"
        records = self.records
        dims, dtype = (records.dims, records.dtype) if records.inspected else (None, None)
        return "\n".join(
            [
                type(self).__name__,
                f"nrecords: {unknown if records.count is None else records.count}",
                f"dtype: {unknown if dtype is None else dtype}",
                f"dims: {unknown if dims is None else Dims(dims)}",
            ]
        )

    # -- records ---------------------------------------------------------------------------

    @action
    def __getitem__(self, key: int | slice) -> np.ndarray:
        """The image with this key, or a stack of those with keys in a half-open slice.

        Collective; an action. Where the keys are 0…n-1, negative ones count from the end.

        Raises
        ------
        KeyError
            Where there is no such key; the message names the range of keys.
        """
        if isinstance(key, slice):
            return self._slice(key)
        number = check_int(key, "the key of an image")
        keys = self.records.begin("__getitem__")[1].keys
        value = self._find(_from_end(number, keys), "__getitem__")
        if value is None:
            raise KeyError(self._no_such(key))
        return value

    @action
    def get(self, key: int) -> np.ndarray | None:
        """The image with just this key, or None where there is none. Collective; an action."""
        return self._find(check_int(key, "the key of an image"), "get")

    def __iter__(self) -> Iterator[np.ndarray]:
        """Every image in the order of the keys, each an array of its own. Collective; lazy.

        All ranks run the loop, and each gets every image. The ranks read some images at a time,
        within the budget, when the loop comes to them. Methods such as `apply`, `meanByRegions` and
        the statistics leave the images where they are: on several ranks a loop warns of this
        once with a `GatherWarning`.
        """
        place = 0
        while len(batch := self._some(place)):
            place += len(batch)
            for image in batch:
                yield image.copy()

    @entry
    def _some(self, place: int) -> np.ndarray:
        """Some images from a place on, on every rank; none at the end. Collective."""
        if self.session.in_action:  # in its arguments, or in a function for records
            raise TypeError("a loop over Images is for all ranks, and not within another method")
        with self.session.action(f"{type(self).__name__}.__iter__"):
            begun, images = self.records.begin("__iter__")
            with begun.together(place):
                if place == begun.comm.rank == 0 and begun.comm.size > 1:
                    warnings.warn(LOOP_WARNING, GatherWarning, stacklevel=4)
            return begun.gather_some(images, place) if place < images.count else np.empty(0)

    def _slice(self, wanted: slice) -> np.ndarray:
        begun, selection = self.records.begin("__getitem__")
        for bound in (wanted.start, wanted.stop, wanted.step):
            if bound is not None:
                check_int(bound, "the key of an image")
        low, high = (
            None if bound is None else max(0, _from_end(bound, selection.keys))
            for bound in (wanted.start, wanted.stop)
        )
        if wanted.step is not None and wanted.step < 1:
            raise ValueError(f"a slice of keys runs upward, got step {wanted.step}")
        keys = np.asarray(selection.keys, dtype=np.int64)
        start = low if low is not None else (keys[0] if len(keys) else 0)
        inside = keys >= start
        if high is not None:
            inside &= keys < high
        if wanted.step is not None:
            inside &= (keys - start) % min(wanted.step, np.iinfo(np.int64).max) == 0
        kept = np.flatnonzero(inside)
        if len(kept) == 0:
            raise KeyError(self._no_such(f"{wanted.start}:{wanted.stop}"))
        return begun.gather(selection.take(kept))

    def _no_such(self, key: object) -> str:
        keys = self.records.keys
        if keys is None or len(keys) == 0:
            return f"no image with key {key}: the collection has no records"
        return (
            f"no image with key {key}: the {len(keys)} keys lie in {int(keys[0])}…{int(keys[-1])}"
        )

    @action
    def toArray(self) -> np.ndarray:
        """All images in one array, (n,) + dims, on every rank. Collective; an action.

        Raises
        ------
        MemoryError
            Where that exceeds the budget.
        """
        begun, selection = self.records.begin("toArray")
        return begun.gather(selection)

    def renumber(self) -> Self:
        """Count the keys from 0 again, after a filter. Collective; lazy."""
        chain = self.records.chain
        if chain.count is not None:
            keys = range(chain.count)
            old = keys if chain.keys is None else chain.keys
            steps = counted_anew(chain.steps, old, keys)
            return self._derived(replace(chain, keys=keys, steps=steps))
        return self._derived(chain.then(Renumber()))

    # -- conversion ------------------------------------------------------------------------

    def toSeries(self) -> Series:
        """The same pixels as a Series: a record per pixel, its value over time. Collective; lazy.

        An action on the result reads the images and moves their pixels between the ranks;
        ``cache()`` keeps what it got.
        """
        from .series import Series

        return self._as_series(Series)

    def toTimeSeries(self) -> TimeSeries:
        """`toSeries`, as a `TimeSeries`. Collective; lazy."""
        from .series import TimeSeries

        return self._as_series(TimeSeries)

    def toBlocks(
        self,
        size: int | str | Sequence[int] = "150M",
        units: str = "pixels",
        padding: int | Sequence[int] = 0,
    ) -> Blocks:
        """Parts of the images with all times, with a halo around them. Collective; lazy.

        An action on the result moves the pixels between the ranks, so that each block is on one
        rank: a block, or a few small ones, on each rank at a time. Use at least a few blocks for
        each rank. Where the images exceed the budget, each round reads its pixels anew, alone if
        the files can be read in part.

        Parameters
        ----------
        size : int or str, or sequence of int
            About how many bytes a block has, with all times and without its halo: the first axis
            is split, then the next, into the most blocks that have as much on average. Or a number
            for each axis.
        units : {'pixels', 'splits'}
            Such numbers are pixels of a block, the last one being smaller; or into how many blocks
            to split each axis, the first ones being larger by a pixel where it does not come out
            even. The beginning of the word will do.
        padding : int, or one per axis
            Pixels of the halo on each side; it ends at the borders of the images.

        Returns
        -------
        Blocks

        Raises
        ------
        ValueError
            Where the numbers do not fit the images' axes.
        MemoryError
            By an action, where a block does not fit into the budget four times.

        Notes
        -----
        The blocks do not depend on the ranks or their memory. In Thunder the last axis was split
        first; here pixels lie in C order, and blocks of few long runs are read and moved faster.
        """
        from .blocks import Blocks
        from .core.grid import Cut
        from .exchange.to_blocks import BlockSource

        source = BlockSource(self.records, Cut.checked(size, units, padding))
        chain = Chain.whole(source)
        return Blocks(self.session, chain, self.metadata, self.records.inputs, source=source)

    def mapAsSeries(
        self, func: Callable[[np.ndarray], Any], dtype: object = None, length: int | None = None
    ) -> Images:
        """Put each pixel's values over time through a function. Collective; lazy.

        The same as ``toSeries().apply(func).toImages()``.

        Parameters
        ----------
        func : callable
            Gets a 1-D array of its own, and returns a 1-D array or a number.
        dtype, length : optional
            Of what it returns; undeclared, they stay None until an action has run.

        Returns
        -------
        Images
            As many as func returns values. They keep their keys, or count from 0 where the number
            is another.
        """
        if not callable(func):
            raise TypeError(f"mapAsSeries: func must be a function, got {quote(func)}")
        labels: Positions | None = None
        if length is not None:
            labels, keys = range(check_int(length, "length", 1)), self.records.keys
            labels = keys if keys is not None and len(keys) == len(labels) else labels
        return self.toSeries().apply(func, index=labels, dtype=dtype).toImages()

    @action
    def plan(
        self,
        ranks: int | None = None,
        memory: int | str | None = None,
        chunks: object = None,
        compression: object = None,
    ) -> Plan:
        """What saving these images as a Series will take; rank 0 prints it. Collective.

        No pixels are read.

        Parameters
        ----------
        ranks : int, optional
            By default those there are.
        memory : int or str, optional
            As in `saveAsBinarySeries`.
        chunks, compression
            As in `saveAsHDF5`, where it is to be compressed.

        Returns
        -------
        Plan

        Raises
        ------
        MemoryError
            Where the conversion would be refused.
        """
        from .conversion.saving import plan_series
        from .core.sizes import parse_size

        budget = None if memory is None else parse_size(memory)
        begun, images = self.records.begin("plan", memory=budget)
        return plan_series(begun, images, ranks, chunks, compression)

    @action
    @stoppable
    def saveAsBinarySeries(
        self,
        path: str | os.PathLike[str],
        blockSize: int | str = "150MB",
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """``toSeries().saveAsBinarySeries(...)``. Collective; an action."""
        self.toSeries().saveAsBinarySeries(path, blockSize, overwrite, resume, memory)

    @action
    @stoppable
    def saveAsHDF5(
        self,
        path: str | os.PathLike[str],
        dataset: str = "series",
        layout: str = "series",
        chunks: object = None,
        compression: object = None,
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write one HDF5 file, from all ranks. Collective; an action.

        Parameters
        ----------
        layout : {'series', 'images'}
            The dataset is dims + (T,), or frame-major, (T,) + dims.
        path, dataset, chunks, compression, overwrite, resume, memory
            As in `Series.saveAsHDF5`.
        """
        from .conversion.saving import Target, save_frames

        if not isinstance(layout, str) or layout != "images":
            self.toSeries().saveAsHDF5(
                path, dataset, layout, chunks, compression, overwrite, resume, memory
            )
            return
        target = Target.checked(path, overwrite, resume, memory)
        begun, images = self.records.begin("saveAsHDF5", 1, target.memory)
        save_frames(
            begun, images, self.metadata, self.records.inputs, target, dataset, chunks, compression
        )

    @action
    @stoppable
    def saveAsPngs(
        self,
        path: str | os.PathLike[str],
        *,
        cmap: object = "gray",
        vmin: float | None = None,
        vmax: float | None = None,
        norm: object = None,
        alpha: float | None = None,
        origin: str = "upper",
        filePrefix: str = "export",
        overwrite: bool = False,
        **imshow: object,
    ) -> None:
        """Write each 2-D image as a PNG, a pixel of the file for each of the image.

        Collective; an action (two without `vmin` and `vmax`: the first finds them). The files
        are ``export-00000.png`` and so on, numbered by key.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        cmap, vmin, vmax, norm, alpha, origin
            As in matplotlib's imshow. Without `vmin` or `vmax` all images share one scale, the
            range of their finite values, so that a movie does not flicker.
        filePrefix : str
            With which the files' names begin.
        overwrite : bool
            Replace what mpimages wrote there before.

        Raises
        ------
        ValueError
            Where the images are not 2-D.
        TypeError
            For other options of imshow; it says why.
        FileExistsError
            Where there is something already, or what mpimages did not write.
        """
        from .conversion.pictures import save_pngs
        from .writers.png import check_imshow_options

        check_imshow_options(imshow)
        options = {
            "cmap": cmap,
            "vmin": vmin,
            "vmax": vmax,
            "norm": norm,
            "alpha": alpha,
            "origin": origin,
        }
        begun, images = self.records.begin("saveAsPngs", least=1)
        save_pngs(begun, images, path, filePrefix, overwrite, options)

    @action
    @stoppable
    def saveAsTifs(
        self, path: str | os.PathLike[str], *, filePrefix: str = "export", overwrite: bool = False
    ) -> None:
        """Write each image or volume as a TIFF in its own dtype, a page for each plane.

        Collective; an action. The files are ``export-00000.tif`` and so on, numbered by key.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        filePrefix : str
            With which the files' names begin.
        overwrite : bool
            Replace what mpimages wrote there before.
        """
        from .conversion.pictures import save_tifs

        begun, images = self.records.begin("saveAsTifs", least=1)
        save_tifs(begun, images, self.metadata, path, filePrefix, overwrite)

    @action
    @stoppable
    def saveAsBinaryImages(
        self, path: str | os.PathLike[str], prefix: str = "image", overwrite: bool = False
    ) -> None:
        """Write each image or volume as a flat binary file. Collective; an action.

        The files are ``image-00000.bin`` and so on, numbered by key: the values alone, in their
        own dtype, little-endian, column-major (the first axis the fastest). ``conf.json`` has
        ``dims`` and ``dtype``, and an empty ``SUCCESS`` is written at the end, as by Thunder 0.x,
        which reads them; Thunder 1.x does with ``order='F'``. `ThunderContext.loadImages` takes
        the directory.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        prefix : str
            With which the files' names begin.
        overwrite : bool
            Replace what mpimages wrote there before.

        Raises
        ------
        ValueError
            Where the images are neither 2-D nor 3-D.
        FileExistsError
            Where there is something already, or what mpimages did not write.
        """
        from .conversion.pictures import save_binary

        begun, images = self.records.begin("saveAsBinaryImages", least=1)
        save_binary(begun, images, path, prefix, overwrite)

    @action
    @stoppable
    def saveAsTif(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write all images or volumes as one multi-page TIFF in their own dtype.

        Collective; an action. All ranks write their pages into the file, whose bytes do not
        depend on how many ranks there are. A page is a plane of an image; the first page's
        description is that of an ImageJ hyperstack. From about 4 GiB on it is a BigTIFF, which
        ImageJ opens by Bio-Formats, as it does TIFFs of other dtypes than uint8, uint16, int16
        and float32.

        Parameters
        ----------
        path : path
            A new file; its parent must exist.
        overwrite : bool
            Replace what mpimages wrote there before.

        Raises
        ------
        ValueError
            Where the images are neither 2-D nor 3-D, or a page has 4 GiB or more.
        TypeError
            For a dtype that TIFF does not have.
        FileExistsError
            Where there is something already, or what mpimages did not write.
        """
        from .conversion.pictures import save_tif

        begun, images = self.records.begin("saveAsTif", least=1)
        save_tif(begun, images, self.metadata, path, overwrite)

    @action
    @stoppable
    def report(
        self,
        path: str | os.PathLike[str],
        overwrite: bool = False,
        interval: float | None = None,
        registration: RegistrationModel | None = None,
    ) -> JsonObject:
        """Write one HTML page that tells whether the recording is good. Collective; an action.

        The page needs nothing else. It has findings in plain words, and the frames that they
        speak of; mean, maximum, stdev, local correlation, noise and signal to noise; the
        histogram; over time the mean with its slope, the difference to the frame before and the
        shift; dF/F of the most active pixels. With a registration it tells what that does to these
        images, which are not moved yet: sharpness, and correlation with the reference, before and
        after; what is left of the motion; what is lost; and whether the depth drifts.

        Two passes read the images, three where some are blank. With a registration it is one more,
        two where images are lost that are not blank, and a hundred images are read again. Where
        the sums exceed half of the budget, it is more. The page is the same for every number of
        ranks.

        Parameters
        ----------
        path : path
            A new file; its parent must exist.
        overwrite : bool
            Replace what mpimages wrote there before.
        interval : float, optional
            Seconds from image to image, in place of what the files say.
        registration : RegistrationModel, optional
            Of these images, as `fitRegistration` finds it.

        Returns
        -------
        dict
            ``recording``, ``findings``, ``frames`` and ``figures``: what the page says, as
            plain values.

        Raises
        ------
        TypeError
            Where `registration` is no model.
        ValueError
            Where the records are neither images nor volumes, `interval` is not positive, or
            `registration` is one of other images.
        FileExistsError
            Where there is something already, or what mpimages did not write.
        """
        from .report import write_report

        if interval is not None:
            interval = check_number(interval, "interval")
            if not 0 < interval < float("inf"):
                raise ValueError(f"interval must be seconds, more than 0, got {interval:g}")
        begun, images = self.records.begin("report", least=1)
        if registration is not None:
            _check_registration(begun, images, registration)
        return write_report(begun, images, self.metadata, path, overwrite, interval, registration)

    def _as_series(self, kind: type[SeriesKind]) -> SeriesKind:
        from .exchange.to_series import ExchangeSource

        chain = Chain.whole(ExchangeSource(self.records))
        return kind(self.session, chain, self.metadata, self.records.inputs, images=self.records)


def _check_registration(action: Action, images: Selection, model: object) -> None:
    """Raise unless a model is one of these images, and the same on all ranks. Collective."""
    from .registration.model import RegistrationModel
    from .registration.steps import registered

    if not isinstance(model, RegistrationModel):
        raise TypeError(f"report: registration must be a RegistrationModel, got {quote(model)}")
    known = action.known(images)
    given = (model.method, checksum_of(model.shifts), checksum_of(model.reference))
    with action.together(given):
        try:
            step = registered(model, known.chain(), "edge", "linear", None, 1.0)
            if not np.array_equal(model.keys[step.at], step.keys):
                raise ValueError("it is one of their bins; report on the bins, or fit the images")
        except ValueError as error:
            raise ValueError(f"report: registration is not one of these images: {error}") from None


def _from_end(key: int, keys: Positions) -> int:
    """A key, where a negative one counts from the end; KeyError where keys are no places. Local."""
    if key >= 0:
        return key
    if len(keys) and (keys[0], keys[-1]) != (0, len(keys) - 1):
        raise KeyError(
            f"no image with key {key}: it would count from the end only where the keys are 0…n-1, "
            f"and these lie in {int(keys[0])}…{int(keys[-1])}; call renumber() first, or give a key"
        )
    return key + len(keys)
