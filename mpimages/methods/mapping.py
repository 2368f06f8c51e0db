"""Methods that call functions of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from ..core.arguments import check_dtype, check_ints
from ..core.public import public
from ..core.text import quote
from ..engine.chain import Shape
from ..engine.image_steps import Apply
from .base import ImageMethods

__all__ = ["ImageMapping"]


@public
class ImageMapping(ImageMethods):
    """Functions of users on each image. Lazy."""

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
