"""Images that are moved back by what a model has found. Local."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.arguments import check_choice, check_dtype, check_number
from ..core.text import quote
from ..engine.chain import Positions, Shape, WritingStep
from ..engine.image_steps import PixelSize
from ..engine.repairs import real_dtype
from .model import RegistrationModel

__all__ = ["Registered", "registered"]

ORDERS = {"linear": 1, "cubic": 3}


def registered(
    model: RegistrationModel,
    dims: Shape | None,
    dtype: np.dtype | None,
    keys: Positions | None,
    fill: object,
    order: object,
    kind: object,
    scale: Any,
) -> Registered:
    """The step that a user asks for, checked as far as dims, dtype and keys are known."""
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
    step.dims(dims)
    step.dtype(dtype)
    if keys is not None:
        step.places(keys)
    return step


class Registered(WritingStep):
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
        self.keys = model.keys
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

    def places(self, keys: Positions | Sequence[object] | np.ndarray) -> np.ndarray:
        """The model's places of some keys; ValueError where it has none."""
        wanted = np.asarray(keys, dtype=np.int64)
        places = np.searchsorted(self.keys, wanted)
        there = np.append(self.keys, -1)[places] == wanted
        if not there.all():
            raise ValueError(
                f"applyRegistration: the model has no image with key {int(wanted[~there][0])}; it "
                "is one of other images"
            )
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
        lost = np.isnan(shifts).any(axis=(1, 2), keepdims=True)
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
