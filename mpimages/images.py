"""A distributed collection of images or volumes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from .collection import Collection
from .core.arguments import (
    check_choice,
    check_dtype,
    check_int,
    check_ints,
    check_number,
    check_pattern,
    check_seed,
)
from .core.json_types import JsonObject
from .core.public import entry, public
from .core.text import quote
from .dims import Dims
from .engine.bins import BinSource, recorded
from .engine.chain import Chain, Positions, Renumber, Shape, counted_anew
from .engine.image_steps import Apply, Pixels, Projection
from .engine.repairs import CorrectDetector, Subtract
from .engine.runner import Records
from .engine.selection import Settled
from .errors import GatherWarning
from .registration.line_phase import ORDERS, CorrectLinePhase, LinePhase, check_phase
from .spmd.actions import action, stoppable
from .spmd.agreement import allgather_rows

if TYPE_CHECKING:
    from .conversion.planning import Plan
    from .engine.runner import Action
    from .engine.selection import Selection
    from .registration.model import RegistrationModel
    from .registration.steps import Registered
    from .series import Series, TimeSeries

    PixelStep = Projection | Pixels | Subtract | CorrectDetector | CorrectLinePhase | Registered

__all__ = ["Images"]

LOOP_WARNING = (
    "a loop over Images brings each image to every rank; apply, meanByRegions and the statistics "
    "leave the images where they are"
)

SeriesKind = TypeVar("SeriesKind", bound="Series")


@public
class Images(Collection):
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

    def _key(self, key: int) -> int:
        return int(key)

    # -- properties: local -----------------------------------------------------------------

    @property
    def dims(self) -> Dims | None:
        """The images' extent, (row, column[, page]); None while only an action can tell. Local."""
        self.records.inspected = True
        dims = self.records.dims
        return None if dims is None else Dims(dims)

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

    # -- steps: lazy -----------------------------------------------------------------------

    def _then(self, step: PixelStep) -> Self:
        """One more step; a wrong one is refused now where the dims are known."""
        chain = self.records.chain.then(step)
        _ = chain.dims, chain.dtype
        derived = self._derived(chain)
        size = derived.metadata.get("pixelSize")
        if size is not None:
            derived.metadata["pixelSize"] = step.pixel_size(tuple(size))
        return derived

    def maxProjection(self, axis: int = 2) -> Self:
        """Maximum along an axis, in the images' dtype. Collective; lazy.

        Parameters
        ----------
        axis : int
            0 (rows), 1 (columns) or 2 (pages); negative ones count from the last.

        Raises
        ------
        ValueError
            Where the images have no such axis.
        """
        return self._project("max", axis)

    def minProjection(self, axis: int = 2) -> Self:
        """Minimum along an axis, in the images' dtype. As `maxProjection`."""
        return self._project("min", axis)

    def meanProjection(self, axis: int = 2) -> Self:
        """Mean along an axis, float64. As `maxProjection`."""
        return self._project("mean", axis)

    def sumProjection(self, axis: int = 2) -> Self:
        """Sum along an axis: int64 or uint64 for integers, float64 for floats.

        As `maxProjection`; the action raises OverflowError where 64 bits cannot hold a sum.
        """
        return self._project("sum", axis)

    def stdevProjection(self, axis: int = 2) -> Self:
        """Population standard deviation along an axis, float64. As `maxProjection`."""
        return self._project("stdev", axis)

    def maxminProjection(self, axis: int = 2) -> Self:
        """Maximum plus minimum along an axis, in a dtype in which it cannot wrap.

        Integers of 8 to 32 bits are widened to the next size; the action raises OverflowError
        where 64 bits cannot hold the sum. As `maxProjection`.
        """
        return self._project("maxmin", axis)

    def _project(self, kind: str, axis: int) -> Self:
        return self._then(Projection(kind, check_int(axis, "axis")))

    def planes(self, bottom: int | Sequence[int], top: int | None = None) -> Self:
        """Some planes of each volume; a single plane gives 2-D images. Collective; lazy.

        Parameters
        ----------
        bottom, top : int
            The first and the last plane, both included.
        bottom : sequence of int
            Alone: the planes themselves, in this order.

        Raises
        ------
        ValueError
            For 2-D images, ``bottom > top``, or planes that are not there.
        """
        index: slice | list[int] | int
        if top is None and isinstance(bottom, (list, tuple, range, np.ndarray)):
            wanted = list(check_ints(bottom, "planes"))
            index = wanted[0] if len(wanted) == 1 else wanted
        else:
            first = check_int(bottom, "planes")
            last = first if top is None else check_int(top, "planes")
            if first > last:
                raise ValueError(f"planes: bottom {first} is above top {last}")
            wanted = [first, last]
            index = first if first == last else slice(first, last + 1)
        dims = self.records.dims
        if dims is not None and len(dims) != 3:
            raise ValueError(f"planes needs volumes, but the images have dims {dims}")
        if not wanted or min(wanted) < 0 or (dims is not None and max(wanted) >= dims[2]):
            there = "" if dims is None else f": there are planes 0…{dims[2] - 1}"
            raise ValueError(f"planes: cannot take {quote(bottom)} to {quote(top)}{there}")
        return self._then(
            Pixels("planes", (slice(None), slice(None), index), (1, 1, max(wanted) + 1))
        )

    def subsample(self, factor: int | Sequence[int]) -> Self:
        """Every factor-th pixel along each axis, from 0. Collective; lazy.

        Parameters
        ----------
        factor : int, or one per axis
            An axis of n pixels keeps ceil(n / factor).
        """
        dims = self.records.dims
        each = isinstance(factor, (list, tuple, np.ndarray))
        factors = check_ints(factor if each else (factor,), "subsample: factor", 1)
        if each and dims is not None and len(factors) != len(dims):
            raise ValueError(f"subsample: {len(factors)} factors for images of dims {dims}")
        steps = tuple(slice(None, None, f) for f in factors)
        return self._then(Pixels("subsample", steps if each else steps[0]))

    def crop(self, minbound: Sequence[int], maxbound: Sequence[int]) -> Self:
        """The pixels of a box, minbound <= pixel < maxbound on each axis. Collective; lazy."""
        low = check_ints(minbound, "crop: minbound")
        high = check_ints(maxbound, "crop: maxbound")
        dims = self.records.dims
        if len(low) != len(high) or (dims is not None and len(low) != len(dims)):
            raise ValueError(f"crop: bounds {low} and {high} for images of dims {dims}")
        for axis, (a, b) in enumerate(zip(low, high, strict=True)):
            if not 0 <= a < b or (dims is not None and b > dims[axis]):
                raise ValueError(f"crop: [{a}, {b}) does not lie in axis {axis} of dims {dims}")
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        return self._then(Pixels("crop", box, tuple(high)))

    def subtract(self, val: float | np.ndarray) -> Self:
        """Subtract `val` from each image; no difference wraps around. Collective; lazy.

        Parameters
        ----------
        val : number or ndarray
            A finite number, or an array of the images' dims: one number for each pixel. For
            volumes it may be 2-D: the same for all planes.

        Returns
        -------
        Images
            Integers minus integers are signed integers of twice as many bits, at most 64. All
            others are float32 where the images are integers of at most 16 bits, float16 or
            float32, else float64.

        Raises
        ------
        ValueError
            Where `val` is not finite, has other dims, or is so large that the result's dtype
            would not hold each difference.
        OverflowError
            By the action, where int64 cannot hold a difference of integers of 64 bits.
        """
        return self._then(Subtract(_subtrahend(val)))

    def correctDetector(
        self,
        dark: np.ndarray | None = None,
        flat: np.ndarray | None = None,
        bad: np.ndarray | None = None,
    ) -> Self:
        """Correct each image for the detector's offset, its gain and bad pixels. Collective; lazy.

        The result is (image - dark) / gain, where the gain is (flat - dark) divided by its mean
        over all good pixels. Each bad pixel then becomes the mean of the good ones among its eight
        neighbours in the plane. Where none of them is good, the pixel follows once neighbours have
        been filled in.

        Parameters
        ----------
        dark : ndarray, optional
            What the detector gives without light, such as ``tsc.loadImages('dark/').mean()``.
        flat : ndarray, optional
            What it gives under even light, in the same way: with its dark in it, if `dark` is
            given.
        bad : bool ndarray, optional
            True for pixels whose values mean nothing; those of `dark` and `flat` are not used
            either.

            Each has the images' dims; for volumes it may be 2-D: the same for all planes.

        Returns
        -------
        Images
            float32 where the images are integers of at most 16 bits, float16 or float32, else
            float64. With `bad` alone the dtype stays, and the mean of integers is the nearest
            integer.

        Raises
        ------
        TypeError
            Where nothing is given, or `bad` is not boolean.
        ValueError
            For other dims, a plane without a good pixel, and where at good pixels `dark` or
            `flat` is not finite, or `flat` (minus `dark`) is not above 0.
        """
        if dark is None and flat is None and bad is None:
            raise TypeError("correctDetector: give dark, flat or bad")
        values = {
            name: None if part is None else check_pattern(part, f"correctDetector: {name}")
            for name, part in (("dark", dark), ("flat", flat), ("bad", bad))
        }
        for name, part in values.items():
            if part is not None and (part.dtype == np.bool_) != (name == "bad"):
                raise TypeError(
                    f"correctDetector: {name} must be "
                    + ("a boolean mask, such as values != 0" if name == "bad" else "numbers")
                    + f", got an array of {part.dtype}"
                )
        return self._then(CorrectDetector(**values))

    @action
    def fitLinePhase(self, nimages: int = 100) -> LinePhase:
        """Find by how much odd rows lie beside even ones, in bidirectional scans.

        Collective; an action.

        Parameters
        ----------
        nimages : int
            How many images it is found from, evenly spaced among all; at most those there are.

        Returns
        -------
        LinePhase
            Its `shift` is a part of a pixel, too. All planes of volumes have the same.

        Raises
        ------
        ValueError
            Where none is found: where images are blank, flat or too faint, or the phase is beyond
            16 pixels. Where images have fewer than 8 rows or 64 columns.

        Notes
        -----
        The images are read twice. Each odd row is compared with the mean of the rows above and
        below it, within what is lit. Stripes that all rows have in common do not count. Frequencies
        are weighted by the square of their coherence.
        """
        from .registration.line_phase_fit import fit_line_phase

        number = check_int(nimages, "fitLinePhase: nimages", 1)
        begun, images = self.records.begin("fitLinePhase", least=1)
        return fit_line_phase(begun, images, number)

    def correctLinePhase(self, phase: LinePhase | float, order: str = "cubic") -> Self:
        """Move odd rows back to where even ones lie, in bidirectional scans. Collective; lazy.

        Parameters
        ----------
        phase : LinePhase or number
            Of `fitLinePhase`, or in pixels: by how much the rows 1, 3, 5, ... lie to the right of
            the rows 0, 2, 4, ...
        order : {'cubic', 'linear'}
            How values between pixels are found. Of whole pixels both are exact copies.

        Returns
        -------
        Images
            Of the same dims and dtype. Even rows keep their bits. Beyond the end of an odd row its
            last pixel is repeated. Integers are rounded to the nearest; of 64 bits and between
            pixels they are float64 on the way.

        Raises
        ------
        ValueError
            For a phase of as many pixels as there are columns or more, and for images of one row.
        """
        check_choice(order, "correctLinePhase: order", tuple(ORDERS))
        return self._then(CorrectLinePhase(check_phase(phase), ORDERS[order]))

    def apply(
        self,
        func: Callable[[np.ndarray], np.ndarray],
        dims: Sequence[int] | None = None,
        dtype: object = None,
    ) -> Self:
        """func(value) for each image. Collective; lazy.

        Parameters
        ----------
        func : callable
            Gets an array of its own and returns an array of integers or floats (bool counts as
            uint8).
        dims, dtype : optional
            Of what it returns. Undeclared, they stay None until an action has run, and a
            record that differs from the first is then a ValueError that names its key.
        """
        if not callable(func):
            raise TypeError(f"apply: func must be a function, got {quote(func)}")
        declared: Shape | None = None if dims is None else check_ints(dims, "dims", 1)
        if declared is not None and not 1 <= len(declared) <= 4:
            raise ValueError(f"dims must have 1 to 4 axes, got {declared}")
        kind = None if dtype is None else check_dtype(dtype, "dtype")
        return self._derived(self.records.chain.then(Apply(func, declared, kind)))

    def timeBin(self, n: int, how: str = "mean", remainder: str | None = None) -> Self:
        """Make one image of n successive ones. Collective; lazy.

        The results' keys count from 0, and ``metadata['frameInterval']`` is n times as long. The
        images of a bin are summed in their order, integers exactly.

        Parameters
        ----------
        n : int
            From 1 on.
        how : {'mean', 'sum'}
            What the result is of the n images, pixel by pixel.
        remainder : {'drop'}, optional
            Leave out images at the end that do not fill a bin. By default they are an error.

        Returns
        -------
        Images
            A mean is float32 where the images are integers of at most 16 bits, float16 or float32,
            else float64. A sum is int64 or uint64 for integers, float64 for floats.

        Raises
        ------
        ValueError
            Where the images are fewer than n, or do not fill the last bin. After a `filter`, or an
            `apply` whose result is not declared, an action raises it: the number of bins is then
            not known before.
        OverflowError
            By the action, where 64 bits cannot hold a sum.

        Notes
        -----
        Of images in files or in an example each rank has whole bins. Of images in memory (`cache`,
        ``loadImagesFromArray``) a bin may begin on another rank than it ends: one image, the sum so
        far, is then handed on in each pass.
        """
        number = check_int(n, "timeBin: n", 1)
        check_choice(how, "timeBin: how", ("mean", "sum"))
        if remainder is not None:
            check_choice(remainder, "timeBin: remainder", ("drop",))
        before = self.records
        images = Records(self.session, before.kind, before.chain, before.inputs)
        source = BinSource(images, number, how, remainder is not None)
        if before.count is not None:
            source.check_count(before.count)
        derived = self._derived(Chain.whole(source))
        interval = derived.metadata.get("frameInterval")
        if isinstance(interval, int | float):
            derived.metadata["frameInterval"] = interval * number
        return derived

    def renumber(self) -> Self:
        """Count the keys from 0 again, after a filter. Collective; lazy."""
        chain = self.records.chain
        if chain.count is not None:
            keys = range(chain.count)
            old = keys if chain.keys is None else chain.keys
            steps = counted_anew(chain.steps, old, keys)
            return self._derived(replace(chain, keys=keys, steps=steps))
        return self._derived(chain.then(Renumber()))

    # -- registration ----------------------------------------------------------------------

    @action
    @stoppable
    def referenceImage(
        self,
        nimages: int = 400,
        seed: int = 0,
        maxShift: float | Sequence[float] | None = None,
        method: str = "rigid",
    ) -> np.ndarray:
        """A sharp mean of evenly spaced images, to register all to. Collective; an action.

        The chosen images are two halves. It begins with the mean of the images of one half that
        are most alike. The other half is aligned to that, then the first to the mean of the other,
        and so on in turn: no image is compared with a mean that contains it. The result is the
        mean of all that could be placed, and lies where their median shift is 0.

        Parameters
        ----------
        nimages : int
            How many images are chosen at most: one in each of as many equal parts of the recording.
        seed : int
            Which one of each part.
        maxShift : float, or one for each axis, optional
            As in `fitRegistration`.
        method : {'rigid', 'planar', 'piecewise'}
            As in `fitRegistration`: but for 'rigid', planes of volumes are placed one by one.

        Returns
        -------
        ndarray of the images' dims, float64

        Raises
        ------
        ValueError
            Where the images are no images or volumes of at least 16 rows and columns, or where
            none of the chosen ones can be placed.
        """
        from .registration.finders import Options
        from .registration.fitting import build_reference, check_dims

        number, chosen = check_int(nimages, "nimages", 2), check_seed(seed)
        begun, images = self.records.begin("referenceImage", least=1)
        known = begun.known(images)
        check_dims("referenceImage", known.dims)
        options = Options.checked(known.dims, method, maxShift, None, None)
        begun.together((number, chosen, options)).agree()
        return build_reference(begun, known, number, chosen, options)

    @action
    @stoppable
    def fitRegistration(
        self,
        reference: np.ndarray | None = None,
        method: str = "rigid",
        maxShift: float | Sequence[float] | None = None,
        blockSize: Sequence[int] | None = None,
        smoothing: float | None = None,
        mask: np.ndarray | None = None,
    ) -> RegistrationModel:
        """Find by how much each image has moved against a reference. Collective; an action.

        A fit reads each image once where all take a quarter of the budget, else some of them
        several times (`plan` of the command line tells). What it finds for an image depends on
        that image, the reference and the mean power of 64 evenly spaced images, and is the same
        for every number of ranks.

        Parameters
        ----------
        reference : ndarray of the images' dims, optional
            By default that of `referenceImage`, with the same `maxShift`.
        method : {'rigid', 'planar', 'piecewise'}
            One shift for each image or volume; one for each plane of a volume; or a smooth field
            of shifts in each plane.
        maxShift : float, or one for each axis, optional
            Pixels that an image may have moved; one number is for rows and columns. By default a
            tenth of the shorter side, and along the pages of a volume a quarter.
        blockSize : (int, int), optional
            Rows and columns of the overlapping blocks of method 'piecewise'; by default 128 each.
        smoothing : float, optional
            How stiff the field of method 'piecewise' is; by default 1.
        mask : bool ndarray, (row, column), optional
            True where the reference may be used.

        Returns
        -------
        RegistrationModel
            Its `lost` names the images that could not be placed.

        Raises
        ------
        TypeError, ValueError
            For arguments that are not as above, or have no effect with this method.
        MemoryError
            Where the shifts of all images, which each rank holds, do not fit into its budget.

        Notes
        -----
        Each image is correlated with the reference. Both are weighted by the power of the images,
        so that photon noise, flashing cells and lines of the detector count little (the log
        likelihood of a shift; Knapp and Carter, IEEE Trans. ASSP 24, 1976). The peak is found
        between pixels by Newton's method. An image is lost where the peak stands out by less than
        nine standard deviations, or lies farther away than `maxShift`. Of volumes whose planes are
        placed one by one, a plane that cannot be placed goes with the others.
        """
        from .registration.finders import Options
        from .registration.fitting import (
            SPREAD,
            build_reference,
            check_dims,
            check_shifts_fit,
            fit,
            held,
        )

        begun, images = self.records.begin("fitRegistration", least=1)
        known = begun.known(images)
        check_dims("fitRegistration", known.dims)
        options = Options.checked(known.dims, method, maxShift, blockSize, smoothing)
        check_shifts_fit(known.count, known.dims, options, begun.memory)
        part = _mask_of(mask, known.dims)
        known = held(begun, known)
        if reference is None:
            against = build_reference(begun, known, SPREAD, 0, options)
        else:
            against = _reference_of(reference, known.dims)
        given = (_checksum(against), None if part is None else _checksum(part), options)
        begun.together(given).agree()
        model = fit(begun, known, against, options, part)
        return replace(model, numbers=recorded(images.source, images.positions)[0])

    def applyRegistration(
        self,
        model: RegistrationModel,
        fill: float | str = "edge",
        order: str = "linear",
        dtype: object = None,
        scale: float | Sequence[float] = 1.0,
    ) -> Self:
        """Move what is seen in each image back to where the reference has it. Collective; lazy.

        An image that is lost stays as it is. The images may be another channel than the one that
        was fitted, or the same recording with more pixels (`scale`): their keys tell which shift
        is theirs. A model of bins (`timeBin`) moves the images that the bins are made of, too.

        Parameters
        ----------
        model : RegistrationModel
        fill : {'edge', 'nan'} or float
            What is written where nothing was recorded: the nearest pixel, NaN, or a value.
        order : {'linear', 'cubic'}
            The interpolation between pixels. Linear smooths; cubic (Keys, IEEE Trans. ASSP 29,
            1981) keeps more detail and may overshoot. Whole-pixel shifts copy exactly.
        dtype : optional
            Of the result: the images' own, float32 or float64. By default the images' own, and
            with ``fill='nan'`` one that has NaN.
        scale : float, or one for each axis
            Pixels of these images for each pixel of those that were fitted.

        Returns
        -------
        Images

        Raises
        ------
        ValueError
            Where dims and `scale` do not fit the model, or its keys do not include the images'.
            Where a key means another image of the recording than in the model, as after
            `renumber`, `timeBin` or another `startIdx`. Where only an action can tell that.
        """
        from .registration.model import RegistrationModel
        from .registration.steps import registered

        if not isinstance(model, RegistrationModel):
            raise TypeError(f"applyRegistration takes a RegistrationModel, got {quote(model)}")
        return self._then(registered(model, self.records.chain, fill, order, dtype, scale))

    def register(
        self,
        reference: np.ndarray | None = None,
        method: str = "rigid",
        maxShift: float | Sequence[float] | None = None,
        blockSize: Sequence[int] | None = None,
        smoothing: float | None = None,
        mask: np.ndarray | None = None,
        fill: float | str = "edge",
        order: str = "linear",
        dtype: object = None,
    ) -> Self:
        """`fitRegistration`, and `applyRegistration` of what it finds. Collective; an action.

        The fit reads all images once, and what is then done with the result reads them again. The
        model is not kept: where it matters which images are lost, call the two methods, and see
        its `lost`.
        """
        model = self.fitRegistration(reference, method, maxShift, blockSize, smoothing, mask)
        return self.applyRegistration(model, fill, order, dtype)

    # -- regions ---------------------------------------------------------------------------

    @action
    def meanByRegions(self, mask: np.ndarray | Sequence[Sequence[Sequence[int]]]) -> np.ndarray:
        """Mean over each of several regions of each image: ROI traces. Collective; an action.

        Parameters
        ----------
        mask : ndarray of the images' dims, or sequence of regions
            A boolean mask is one region; an integer mask has a region for each value but 0,
            in ascending order. A region in a sequence is a list of pixel coordinates.

        Returns
        -------
        (n, regions) float64 ndarray
        """
        from .statistics.regions import region_means, regions_of

        begun, images = self.records.begin("meanByRegions", least=1)
        start, stop = images.partition.bounds(begun.comm.rank)
        means: np.ndarray | None = None
        pixels = regions_of(mask, images.dims) if isinstance(images, Settled) else None

        def measure(first: int, batch: np.ndarray) -> None:
            nonlocal means, pixels
            if pixels is None:
                pixels = regions_of(mask, batch.shape[1:])
            if means is None:
                means = np.empty((stop - start, len(pixels)))
            means[first - start : first - start + len(batch)] = region_means(batch, pixels)

        known = begun.stream(images, measure, _checksum(mask))
        own = np.empty((0, 0))
        with begun.together():
            own = np.empty((0, len(regions_of(mask, known.dims)))) if means is None else means
        return allgather_rows(begun.comm, own, known.partition)

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
        from .exchange.source import ExchangeSource

        chain = Chain.whole(ExchangeSource(self.records))
        return kind(self.session, chain, self.metadata, self.records.inputs, images=self.records)


def _check_registration(action: Action, images: Selection, model: object) -> None:
    """Raise unless a model is one of these images, and the same on all ranks. Collective."""
    from .registration.model import RegistrationModel
    from .registration.steps import registered

    if not isinstance(model, RegistrationModel):
        raise TypeError(f"report: registration must be a RegistrationModel, got {quote(model)}")
    known = action.known(images)
    given = (model.method, _checksum(model.shifts), _checksum(model.reference))
    with action.together(given):
        try:
            step = registered(model, known.chain(), "edge", "linear", None, 1.0)
            if not np.array_equal(model.keys[step.at], step.keys):
                raise ValueError("it is one of their bins; report on the bins, or fit the images")
        except ValueError as error:
            raise ValueError(f"report: registration is not one of these images: {error}") from None


def _subtrahend(val: object) -> np.ndarray:
    """Return what is subtracted: one number, (1,), or one for each pixel. Local."""
    array = hasattr(type(val), "__array__") and not isinstance(val, np.generic)
    if array or isinstance(val, list | tuple):
        found = check_pattern(val, "subtract: val")
    else:
        number = check_number(val, "subtract: val")
        if isinstance(val, int | np.integer) and -(2**63) <= val < 2**64:
            number = int(val)
        found = np.array([number])
    if found.dtype == np.bool_:
        raise TypeError("subtract: val must be numbers, got a boolean mask")
    wrong = np.count_nonzero(~np.isfinite(found))
    if wrong:
        raise ValueError(f"subtract: val must be finite, got {wrong} values that are not")
    return found


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


def _mask_of(mask: object, dims: Shape) -> np.ndarray | None:
    """A mask of rows and columns, checked. Local."""
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"mask must be a boolean array, got {quote(mask)}")
    if mask.shape != dims[:2]:
        raise ValueError(
            f"mask has shape {mask.shape}, the images' rows and columns are {dims[:2]}"
        )
    if not mask.any():
        raise ValueError("mask leaves nothing of the reference: True is where it may be used")
    return mask


def _reference_of(reference: object, dims: Shape) -> np.ndarray:
    """A reference, checked, as float64. Local."""
    if not isinstance(reference, np.ndarray) or reference.dtype.kind not in "iuf":
        raise TypeError(f"reference must be an array of numbers, got {quote(reference)}")
    if reference.shape != dims:
        raise ValueError(f"reference has shape {reference.shape}, the images have dims {dims}")
    return np.ascontiguousarray(reference, dtype=np.float64)


def _checksum(mask: object) -> int:
    """For comparing a mask, or lists of pixels, between ranks."""
    import zlib

    if isinstance(mask, np.ndarray):
        return zlib.crc32(np.ascontiguousarray(mask).data)
    return zlib.crc32(repr(mask).encode())
