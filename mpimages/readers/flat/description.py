"""What is known of a flat binary file: by arguments, its conf.json, or what a program wrote."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from importlib import import_module

import numpy as np

from ...core.arguments import check_dims, check_dtype, check_int, check_text
from ...core.json_types import JsonObject
from ...errors import FormatError, not_found
from ...formats.output_names import CONF
from ..byte_ranges import read_conf
from ..options import Options, check_array_shape, check_axes
from ..page_order import PageOrder
from .beside import find_description


@dataclass(frozen=True)
class Description:
    """What a flat binary file holds.

    Attributes
    ----------
    dims : tuple of int
        The extent of what is described: a page, all pages of the file, or with `axes` an array.
    stored : numpy.dtype
        The dtype as stored, byte order included.
    column_major : bool
        Whether the first axis is the fastest.
    offset : int
        How many bytes come before the values.
    axes : str, optional
        The meaning of the axes of an array, slowest first.
    order : PageOrder, optional
        How the pages take turns, where a program says it; `dims` are those of a page.
    frames : int
        How many pages of each channel the program meant to write; 0 where it does not say.
    stoppable : bool
        Whether there may be fewer pages than `frames`, as a recording was stopped early.
    planeInterval : float
        The time from one plane to the next, in s; 0 where unknown.
    metadata, found : dict
        As in `Header`; the pixel size is that of volumes.
    """

    dims: tuple[int, ...]
    stored: np.dtype
    column_major: bool = False
    offset: int = 0
    axes: str | None = None
    order: PageOrder | None = None
    frames: int = 0
    stoppable: bool = False
    planeInterval: float = 0.0
    metadata: JsonObject = field(default_factory=dict)
    found: JsonObject = field(default_factory=dict)

    @property
    def page_bytes(self) -> int:
        """The bytes of a page, or of all that `dims` says."""
        return math.prod(self.dims) * self.stored.itemsize


def describe(path: str, options: Options) -> Description:
    """What a file holds. Arguments win over conf.json, and that over what a program wrote.

    Raises
    ------
    FormatError
        If a description is damaged or contradicts itself.
    ValueError
        If nothing says what the file holds.
    """
    conf_path = os.path.join(os.path.dirname(path), options.confFilename)
    conf = read_conf(conf_path)
    if conf is None and options.confFilename != CONF:
        raise not_found(conf_path, f"{conf_path}: confFilename= names it, and it is not there")
    if conf is None:
        beside = find_description(path)
        if beside is not None:
            program, description = beside
            module = import_module(program.module, __package__)
            try:
                return _override(module.describe(path, description, options), options)
            except FormatError:
                if options.dtype is None or not (options.dims or options.shape):
                    raise
                # The arguments say all that is needed.
    return _from_conf(path, conf_path, conf, options)


def _override(said: Description, options: Options) -> Description:
    """What a program wrote, but for what the arguments say."""
    dims, axes = options.dims or options.shape or said.dims, options.axes
    order = said.order if len(dims) == 2 and axes is None else None
    stored = said.stored if options.dtype is None else options.dtype
    return replace(
        said,
        dims=dims,
        stored=stored,
        column_major=options.dims is not None,
        axes=axes,
        order=order,
    )


def _from_conf(path: str, conf_path: str, conf: JsonObject | None, options: Options) -> Description:
    found = {} if conf is None else conf
    if "nkeys" in found or found.get("format") == "mpimages-series":
        raise ValueError(
            f"{conf_path}: describes a Series, not images: loadSeries loads it, and "
            "`mpimages info`, `view` and `verify` take its directory"
        )
    key = "dims" if "dims" in found else "shape"
    given = options.dims or options.shape
    if "dims" in found and "shape" in found and found["shape"] != found["dims"]:
        raise FormatError(
            f"{conf_path}: its dims {found['dims']} and shape {found['shape']} "
            "contradict each other"
        )
    try:
        axes = options.axes
        if axes is None and given is None and "axes" in found:
            axes = check_axes(check_text(found["axes"], "axes"))
        check = check_dims if axes is None else check_array_shape
        dims = given or (check(found[key], key) if key in found else None)
        dtype = options.dtype or (
            check_dtype(found["dtype"], "dtype") if "dtype" in found else None
        )
        offset = check_int(found.get("offset", 0), "offset", 0)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{conf_path}: {error}") from None
    if dims is None or dtype is None:
        missing = " and ".join(
            f"{name}=" for name, value in (("dims", dims), ("dtype", dtype)) if value is None
        )
        where = f"{conf_path} does not exist" if conf is None else f"{conf_path} does not say"
        raise ValueError(
            f"{path}: flat binary files need {missing}, and {where}"
            f"{'' if dims else ': give dims= where the first axis is the fastest, else shape='}"
        )
    column_major = options.dims is not None if given else key == "dims"
    if axes is not None and column_major:
        raise ValueError(
            f"{path}: axes={axes!r} names the axes of shape=, slowest first: give shape="
        )
    return Description(dims, dtype, column_major, offset, axes)
