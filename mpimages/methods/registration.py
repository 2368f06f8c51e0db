"""Methods of Images that find their motion, and undo it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np

from ..core.arguments import check_int, check_seed, checksum_of
from ..core.public import public
from ..core.text import quote
from ..engine.bin_source import recorded
from ..engine.chain import Shape
from ..spmd.actions import action, stoppable
from .base import ImageMethods

if TYPE_CHECKING:
    from ..registration.model import RegistrationModel

__all__ = ["Registration"]


@public
class Registration(ImageMethods):
    """Methods that find the motion of images, and undo it."""

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
        from ..registration.finders import Options
        from ..registration.fitting import build_reference, check_dims

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
        from ..registration.finders import Options
        from ..registration.fitting import (
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
        given = (checksum_of(against), None if part is None else checksum_of(part), options)
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
        from ..registration.model import RegistrationModel
        from ..registration.steps import registered

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
