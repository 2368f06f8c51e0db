"""What the pages of a TIFF are: which image and which plane each belongs to.

ImageJ and OME write it into the first page's ImageDescription. Without such a header all
pages are the planes of one image.
"""

from __future__ import annotations

import json
import math

import numpy as np

from ..errors import FormatError
from .base import cut_planes
from .options import Options
from .tifimagej import is_imagej, plan_imagej
from .tifome import is_ome, plan_ome
from .tifplan import Plan

__all__ = ["make_plan"]


def make_plan(
    path: str, description: str, count: int, pixels_per_unit: tuple[float, float], options: Options
) -> Plan:
    """The plan of a file of `count` pages.

    Parameters
    ----------
    path : str
    description : str
        The first page's.
    count : int
    pixels_per_unit : (float, float)
        The resolution tags' (y, x), 0 where there is none.
    options : Options
        Its channel and nplanes are heeded.

    Raises
    ------
    FormatError
        If the header contradicts the pages.
    ValueError
        If a channel must be chosen, or nplanes does not divide the pages.
    """
    if is_imagej(description):
        plan = plan_imagej(path, description, count, pixels_per_unit, options)
    elif is_ome(description):
        plan = plan_ome(path, description, count, options)
    else:
        _refuse_left_out(path, description, count)
        plan = None
    if plan is None:
        _only_channel(path, options)
        plan = Plan("plain", np.arange(count)[np.newaxis])
    if options.nplanes is None:
        return plan
    images, planes = cut_planes(path, plan.pages.size, options)
    return Plan(plan.kind, plan.pages.reshape(images, planes), plan.metadata)


def _refuse_left_out(path: str, description: str, count: int) -> None:
    """Raise FormatError where tifffile's header says that there are pages without directory."""
    if not description.startswith("{"):
        return
    try:
        said = json.loads(description)
        pages = math.prod(said["shape"][:-2]) if said.get("truncated") else count
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return  # another program's
    if pages > count:
        raise FormatError(
            f"{path}: its header says shape {tuple(said['shape'])}, but it tells where only "
            f"{count} of the pages {'is' if count == 1 else 'are'} (tifffile's truncate); save it "
            f"again without truncate, or as an ImageJ file"
        )


def _only_channel(path: str, options: Options) -> None:
    if options.channel:
        raise ValueError(f"{path}: there is no channel {options.channel}: it has one channel")
