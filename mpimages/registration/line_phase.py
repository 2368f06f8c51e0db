"""The line phase: in bidirectional scans odd rows lie beside even ones. Local.

The scanner writes every other row backwards. Where the time at which it turns is not known exactly,
the rows of one direction lie beside those of the other, all by the same number of pixels.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from ..core.arguments import check_int, check_number
from ..core.public import public
from ..core.text import quote
from ..engine.chain import Shape, WritingStep
from ..errors import FormatError
from ..formats.output_names import LINE_PHASE_FORMAT, LINE_PHASE_VERSION

__all__ = ["ORDERS", "CorrectLinePhase", "LinePhase", "check_phase"]

# Interpolations by the order of their polynomials, as the kernel knows them.
ORDERS = {"linear": 1, "cubic": 3}
# A file of a line phase is shorter.
LONGEST = 10_000


@public
@dataclass(frozen=True)
class LinePhase:
    """By how much odd rows lie beside even ones, as `Images.fitLinePhase` finds it. Local.

    Attributes
    ----------
    shift : float
        Pixels by which the rows 1, 3, 5, ... lie to the right of the rows 0, 2, 4, ...; to the
        left where it is negative.
    quality : float
        Standard deviations by which the peak of the correlation exceeds what is around it.
    nimages : int
        The images that it was found from.
    """

    shift: float
    quality: float
    nimages: int

    def __post_init__(self) -> None:
        for name in ("shift", "quality"):
            object.__setattr__(self, name, _check_finite(getattr(self, name), name))
        object.__setattr__(self, "nimages", check_int(self.nimages, "nimages", 1))

    def __repr__(self) -> str:
        return (
            f"LinePhase: odd rows lie {abs(self.shift):g} pixels to the "
            f"{'left' if self.shift < 0 else 'right'} (quality {self.quality:g}, found from "
            f"{self.nimages} image{'s' if self.nimages > 1 else ''})"
        )

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the line phase as JSON. Local; several ranks may write the same.

        Parameters
        ----------
        path : path
            Of the file: whole or absent. One that says the same already stays as it is.
        overwrite : bool
            Replace a line phase that says something else.

        Raises
        ------
        FileExistsError
            Where there is another file; with `overwrite`, where it is no line phase.
        """
        from ..writers.output.plain import check_path, save_value, to_json

        where = check_path(path)
        kind = {"format": LINE_PHASE_FORMAT, "version": LINE_PHASE_VERSION}
        content = to_json({**kind, **asdict(self)})
        save_value(where, content, overwrite, LinePhase.load, "line phase")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a line phase that `save` has written. Local.

        Raises
        ------
        FormatError
            Where the file is none.
        """
        from ..writers.output.plain import check_path

        where = check_path(path)
        try:
            found = json.loads(_read(where))
            if not isinstance(found, dict) or found.pop("format", None) != LINE_PHASE_FORMAT:
                raise ValueError("it is not marked as one")
            version = found.pop("version", None)
            if version != LINE_PHASE_VERSION:
                raise ValueError(
                    f"its version is {quote(version)}, and this mpimages reads version "
                    f"{LINE_PHASE_VERSION}"
                )
            return cls(**found)
        except (ValueError, TypeError, RecursionError) as error:
            raise FormatError(f"{where}: is no line phase of mpimages: {error}") from None


def _read(where: str) -> bytes:
    with open(where, "rb") as file:
        return file.read(LONGEST)


def _check_finite(value: object, name: str) -> float:
    number = check_number(value, name)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {quote(value)}")
    return number


def check_phase(phase: object) -> float:
    """Return the pixels of a line phase, or of a number of them."""
    if isinstance(phase, LinePhase):
        return phase.shift
    try:
        return _check_finite(phase, "phase")
    except TypeError:
        raise TypeError(
            f"phase must be a LinePhase or a number of pixels, got {quote(phase)}"
        ) from None


class CorrectLinePhase(WritingStep):
    """Move odd rows back by so many pixels. `order` is 1 or 3, of the interpolation."""

    name = "correctLinePhase"

    def __init__(self, shift: float, order: int) -> None:
        self.shift = shift
        self.order = order

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is None:
            return None
        if len(dims) not in (2, 3) or dims[0] < 2:
            raise ValueError(
                "correctLinePhase needs images or volumes of two rows or more, these have dims "
                f"{dims}"
            )
        if abs(self.shift) >= dims[1]:
            raise ValueError(
                f"correctLinePhase: a phase of {self.shift:g} pixels leaves nothing of rows of "
                f"{dims[1]}"
            )
        return dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def pixel_size(self, size: tuple[float | None, ...]) -> tuple[float | None, ...]:
        """Return the result's pixel size: it stays."""
        return size

    def run_into(
        self, keys: Sequence[object] | np.ndarray, batch: np.ndarray, out: np.ndarray
    ) -> None:
        for image, result in zip(batch, out, strict=True):
            rows = _as_frames(np.ascontiguousarray(image))
            moved = _as_frames(result)
            moved[::2] = rows[::2]
            self._move(rows[1::2], moved[1::2])

    def _move(self, rows: np.ndarray, out: np.ndarray) -> None:
        from ..kernels import warp

        if rows.dtype == np.float16:  # which the kernel does not have
            wide = np.empty(rows.shape, np.float32)
            self._move(rows.astype(np.float32), wide)
            with np.errstate(over="ignore"):
                out[:] = wide
            return
        shifts = np.zeros((len(rows), rows.ndim - 1))
        shifts[:, 1] = self.shift
        warp.shift(rows, shifts, out, self.order, None)


def _as_frames(image: np.ndarray) -> np.ndarray:
    """Each row of a contiguous image as a frame of one row. A view."""
    return image.reshape(len(image), 1, *image.shape[1:])
