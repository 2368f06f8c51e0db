"""Registration as Thunder 0.6 spells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from ..core.arguments import check_choice, check_int
from ..core.text import quote

if TYPE_CHECKING:
    from ..images import Images
    from .model import RegistrationModel

__all__ = ["Registration"]

METHODS = {"crosscorr": "rigid", "planarcrosscorr": "planar"}


class Registration:
    """Thunder's way to `Images.fitRegistration` and `Images.applyRegistration`.

    Thunder found whole pixels; here shifts lie between pixels, and images that cannot be placed
    are named in the model's `lost`.

    Parameters
    ----------
    method : {'crosscorr', 'planarcrosscorr'}
        One shift for each image or volume, or one for each plane of a volume.

    Attributes
    ----------
    reference : ndarray or None
        What images are compared with; set by `prepare`.

    Examples
    --------
    >>> registered = Registration('crosscorr').prepare(images).run(images)  # doctest: +SKIP
    """

    def __init__(self, method: str) -> None:
        self.method = check_choice(method, "method", METHODS)
        self.reference: np.ndarray | None = None

    def prepare(
        self,
        images: Images | np.ndarray,
        startIdx: int | None = None,
        stopIdx: int | None = None,
        defaultNImages: int = 20,
    ) -> Self:
        """Set the reference: an array, or the mean of some images. Collective; an action.

        Parameters
        ----------
        images : Images or ndarray of the images' dims
        startIdx, stopIdx : int, optional
            Of images: the first key, and the one behind the last. Both are given, or neither.
        defaultNImages : int
            Of images, without `startIdx`: so many in the middle.

        Returns
        -------
        Registration
            This one.
        """
        from ..images import Images

        number = check_int(defaultNImages, "defaultNImages", 1)
        if (startIdx is None) != (stopIdx is None):
            raise TypeError("prepare: give both startIdx and stopIdx, or neither")
        if isinstance(images, np.ndarray):
            if startIdx is not None:
                raise TypeError("prepare: startIdx and stopIdx are for Images, not for an array")
            self.reference = images.copy()
            return self
        if not isinstance(images, Images):
            raise TypeError(f"prepare takes Images or an array, got {quote(images)}")
        keys = images.keys().collect()
        if startIdx is None or stopIdx is None:
            first = max(0, (len(keys) - number) // 2)
            chosen = set(keys[first : first + number])
        else:
            low, high = check_int(startIdx, "startIdx", 0), check_int(stopIdx, "stopIdx", 0)
            chosen = {key for key in keys if low <= key < high}
            if not chosen:
                raise ValueError(f"prepare: there are no images with keys from {low} to {high - 1}")
        self.reference = images.filterOnKeys(chosen.__contains__).mean()
        return self

    def fit(self, images: Images) -> RegistrationModel:
        """``images.fitRegistration`` against the reference. Collective; an action."""
        if self.reference is None:
            raise ValueError("Registration has no reference yet: call prepare first")
        return images.fitRegistration(self.reference, method=METHODS[self.method])

    def run(self, images: Images) -> Images:
        """Fit, and move the images back. Collective; an action."""
        return self.fit(images).transform(images)
