"""Methods of Images that repair what an instrument does to them."""

from __future__ import annotations

from typing import Self

import numpy as np

from ..core.arguments import check_choice, check_int, check_pattern
from ..core.public import public
from ..engine.repairs import CorrectDetector
from ..registration.line_phase import ORDERS, CorrectLinePhase, LinePhase, check_phase
from ..spmd.actions import action
from .base import ImageMethods

__all__ = ["Repairs"]


@public
class Repairs(ImageMethods):
    """Methods that repair what an instrument does to images."""

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
        from ..registration.line_phase_fit import fit_line_phase

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
