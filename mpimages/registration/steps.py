"""Images that are moved back by what a model has found. Local."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np

from ..core.arguments import check_choice, check_dtype, check_number
from ..core.text import quote
from ..engine.bin_source import recorded
from ..engine.chain import Chain, KeyedStep, Positions, Renumber, Shape
from ..engine.image_steps import PixelSize
from ..engine.repairs import real_dtype
from ..engine.selection import places_of
from .line_phase import ORDERS
from .model import RegistrationModel, is_lost

__all__ = ["Registered", "registered"]


def registered(
    model: RegistrationModel, chain: Chain, fill: object, order: object, kind: object, scale: Any
) -> Registered:
    """The step that a user asks for, checked as far as the images are known."""
    chosen = check_choice(order, "order", ORDERS)
    if isinstance(fill, str):
        value = {"edge": None, "nan": float("nan")}[check_choice(fill, "fill", ("edge", "nan"))]
    else:
        value = check_number(fill, "fill")
    wanted = None if kind is None else check_dtype(kind, "dtype")
    several = isinstance(scale, list | tuple | np.ndarray)
    factors = tuple(
        check_number(s, "scale") for s in (scale if several else [scale] * len(model.dims))
    )
    if len(factors) != len(model.dims) or not all(0 < s < 1e6 for s in factors):
        raise ValueError(
            f"scale must be one number above 0, or {len(model.dims)}, got {quote(scale)}"
        )
    step = Registered(model, chosen, value, wanted, factors)
    step.dims(chain.dims)
    step.dtype(chain.dtype)
    return step.of_images(*_which_images(model, chain))


def _which_images(model: RegistrationModel, chain: Chain) -> tuple[np.ndarray, np.ndarray]:
    """The keys of a chain's images, and the places of these images in the model. Local.

    A place is -1 where the model has none, and a filter may still leave the image out.

    Raises
    ------
    ValueError
        Where a key means another image than in the model, or only an action can tell.
    """
    if chain.positions is None or chain.keys is None or Renumber in map(type, chain.steps):
        raise ValueError(
            "applyRegistration: only an action can tell which images these are; call count() "
            "of them first, or filter them afterwards"
        )
    keys = np.asarray(chain.keys, dtype=np.int64)
    numbers, total = recorded(chain.source, chain.positions)
    if numbers.shape[1] == 1 and _are_copies(model, keys, numbers[:, 0], total):
        places = places_of(model.keys, keys)
    elif numbers.shape[1] == 1 < model.numbers.shape[1]:
        places = places_of(model.numbers.reshape(-1), numbers[:, 0])
        places = np.where(places < 0, -1, places // model.numbers.shape[1])
    else:
        places = places_of(model.keys, keys)
        _check_same(model, keys, numbers, places)
    if chain.count is not None and (places < 0).any():
        raise _missing(keys[places < 0][0])
    return keys, places


def _are_copies(
    model: RegistrationModel, keys: np.ndarray, numbers: np.ndarray, total: int
) -> bool:
    """Whether images are a recording of its own, of just as many as were fitted: another channel,
    or what another program has made of the fitted ones."""
    all_keys = np.arange(total)
    return np.array_equal(model.keys, all_keys) and np.array_equal(keys, numbers)


def _check_same(
    model: RegistrationModel, keys: np.ndarray, numbers: np.ndarray, places: np.ndarray
) -> None:
    """Raise ValueError unless keys mean the same images of the recording as in the model."""
    mine, fitted = numbers.shape[1], model.numbers.shape[1]
    if mine != fitted:
        raise ValueError(
            f"applyRegistration: an image here is made of {mine} of the recording, and one that "
            f"was fitted of {fitted}; call applyRegistration before timeBin, or fit such bins"
        )
    known = np.flatnonzero(places >= 0)
    other = known[(numbers[known] != model.numbers[places[known]]).any(axis=1)]
    if len(other):
        at = other[0]
        raise ValueError(
            f"applyRegistration: key {keys[at]} is image {numbers[at, 0]} of the recording here, "
            f"and image {model.numbers[places[at], 0]} in the model: renumber, timeBin and a "
            "start other than the first image count keys anew. Load and bin these images as "
            "those that were fitted, and leave some out with filterOnKeys, which keeps the keys"
        )


def _missing(key: int) -> ValueError:
    return ValueError(
        f"applyRegistration: the model has no image with key {key}; it is one of other images"
    )


class Registered(KeyedStep):
    """Move what is seen in each image back by its shift; an image that is lost stays as it is.

    `fill` is None where the nearest pixel of the edge is repeated. `kind` is the result's dtype, or
    None for that of the images.
    """

    name = "applyRegistration"

    def __init__(
        self,
        model: RegistrationModel,
        order: str,
        fill: float | None,
        kind: np.dtype | None,
        scale: tuple[float, ...],
    ) -> None:
        self.method = model.method
        self.model_dims = model.dims
        # The keys of the images, and the places of their shifts.
        self.keys = model.keys
        self.at = np.arange(len(model.keys))
        self.order = order
        self.fill = "edge" if fill is None else float(fill)
        self.kind = kind
        self.scale = scale
        # The model's own: fields of many images are large.
        self.shifts = model.shifts if model.shifts.ndim == 3 else model.shifts[:, None]
        # A pixel of the model covers `scale` pixels here, from edge to edge.
        self.rows = (model.rows + 0.5) * scale[0] - 0.5
        self.columns = (model.columns + 0.5) * scale[1] - 0.5

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is not None:
            fitting = len(dims) == len(self.model_dims) and all(
                abs(n - m * s) < max(1.0, s)
                for n, m, s in zip(dims, self.model_dims, self.scale, strict=True)
            )
            if not fitting:
                raise ValueError(
                    f"applyRegistration: a model of images of dims {self.model_dims} with scale "
                    f"{self.scale} is not one of images of dims {dims}; scale is the number of "
                    "pixels of these images for each pixel of those"
                )
            if self.method != "rigid" and self.scale[2:] not in ((), (1.0,)):
                raise ValueError(
                    f"applyRegistration: a model of method {self.method!r} has shifts for each "
                    f"plane: the planes are those that were fitted, and scale is "
                    f"{(*self.scale[:2], 1.0)}, not {self.scale}"
                )
        return dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if dtype is None:
            return None
        has_nan = self.fill != "edge" and np.isnan(self.fill)
        natural = real_dtype(dtype) if has_nan or dtype == np.float16 else dtype
        kind = natural if self.kind is None else self.kind
        if kind not in (dtype, np.float32, np.float64) or kind == np.float16:
            raise ValueError(
                f"applyRegistration: dtype of images of {dtype} is float32, float64 or their own, "
                f"not {kind}"
            )
        if self.fill != "edge" and kind.kind in "iu" and not self._holds(kind):
            raise ValueError(
                f"applyRegistration: {kind} has no value {self.fill:g} to fill with; give a whole "
                "number that it has, nan, or float32 as dtype of the result"
            )
        return kind

    def _holds(self, kind: np.dtype) -> bool:
        limits, fill = np.iinfo(kind), float(self.fill)
        return fill == np.rint(fill) and limits.min <= fill <= limits.max

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: it stays."""
        return size

    def of_images(self, keys: np.ndarray, places: np.ndarray) -> Self:
        """Return the step for images with these keys, whose shifts are at these places."""
        step = copy(self)
        step.keys, step.at = keys, places
        return step

    def renumbered(self, old: Positions, new: Positions) -> Self:
        """See `KeyedStep`."""
        places = places_of(self.keys, np.asarray(old, dtype=np.int64))
        return self.of_images(np.asarray(new, dtype=np.int64), np.append(self.at, -1)[places])

    def places(self, keys: Sequence[object] | np.ndarray) -> np.ndarray:
        """The places of the shifts of some keys; ValueError where there are none."""
        wanted = np.asarray(keys, dtype=np.int64)
        places: np.ndarray = np.append(self.at, -1)[places_of(self.keys, wanted)]
        if (places < 0).any():
            raise _missing(wanted[places < 0][0])
        return places

    def run_into(
        self, keys: Sequence[object] | np.ndarray, batch: np.ndarray, out: np.ndarray
    ) -> None:
        places = self.places(keys)
        if batch.dtype == np.float16:
            batch = batch.astype(np.float32)
        frames = np.ascontiguousarray(batch)
        compute = self._computed(frames.dtype, out.dtype)
        target = out if compute == out.dtype else np.empty(out.shape, compute)
        self._move(frames, self._moves(places), target)
        if target is not out:
            with np.errstate(over="ignore"):
                out[...] = target

    def _moves(self, places: np.ndarray) -> np.ndarray:
        """By how many pixels of these images what is seen has moved; 0 where an image is lost."""
        shifts = self.shifts[places]
        lost = is_lost(shifts)[:, None, None]
        moves: np.ndarray = np.where(lost, 0.0, shifts) * self.scale[: shifts.shape[2]]
        return moves

    def _computed(self, dtype: np.dtype, wanted: np.dtype) -> np.dtype:
        """The dtype that the kernels give, from which the wanted one follows by a cast."""
        if wanted in (dtype, np.float64) or wanted == real_dtype(dtype):
            return wanted
        return np.dtype(np.float64)

    def _move(self, frames: np.ndarray, shifts: np.ndarray, out: np.ndarray) -> None:
        from ..kernels import warp

        order = ORDERS[self.order]
        fill = None if self.fill == "edge" else float(self.fill)
        if self.method == "rigid":
            warp.shift(frames, np.ascontiguousarray(shifts[:, 0]), out, order, fill)
            return
        if frames.ndim == 3:
            self._move_planes(frames[..., None], shifts, out[..., None], order, fill)
        else:
            self._move_planes(frames, shifts, out, order, fill)

    def _move_planes(
        self,
        frames: np.ndarray,
        shifts: np.ndarray,
        out: np.ndarray,
        order: int,
        fill: float | None,
    ) -> None:
        from ..kernels import warp

        each = np.split(shifts, frames.shape[3], axis=1)
        for page, part in enumerate(each):
            plane = np.ascontiguousarray(frames[..., page])
            moved = np.empty(plane.shape, out.dtype)
            if self.method == "planar":
                warp.shift(plane, np.ascontiguousarray(part[:, 0]), moved, order, fill)
            else:
                grid = part.reshape(len(part), len(self.rows), len(self.columns), 2)
                warp.warp(
                    plane, np.ascontiguousarray(grid), self.rows, self.columns, moved, order, fill
                )
            out[..., page] = moved
