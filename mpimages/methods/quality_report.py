"""The page that tells whether a recording is good."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ..core.arguments import check_positive, checksum_of
from ..core.json_types import JsonObject
from ..core.public import public
from ..core.text import quote
from ..engine.runner import Action
from ..engine.selection import Selection
from ..spmd.actions import action, stoppable
from .base import ImageMethods

if TYPE_CHECKING:
    from ..registration.model import RegistrationModel

__all__ = ["QualityReport"]


@public
class QualityReport(ImageMethods):
    """The page that tells whether a recording is good."""

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
        from ..report import write_report

        if interval is not None:
            interval = check_positive(interval, "interval")
        begun, images = self.records.begin("report", least=1)
        if registration is not None:
            _check_registration(begun, images, registration)
        return write_report(begun, images, self.metadata, path, overwrite, interval, registration)


def _check_registration(action: Action, images: Selection, model: object) -> None:
    """Raise unless a model is one of these images, and the same on all ranks. Collective."""
    from ..registration.model import RegistrationModel
    from ..registration.steps import registered

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
