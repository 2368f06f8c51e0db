"""The axes of an HDF5 dataset, described in the file as HDF5's dimension scales.

A scale is a 1-D dataset with the coordinates along an axis. Programs that know netCDF, such as
xarray, show the names and coordinates that they find there. A scale has mpimages' mark and
checksum like any dataset of mpimages, so that it is verified and replaced like one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.json_types import JsonObject
from ...formats.output_names import HDF5_MARK, HDF5_VERSION
from ..calibration import Calibration
from ..output.piece_sums import piece_bytes

if TYPE_CHECKING:
    import h5py

# Axes of pixels that are longer have a label alone: their coordinates would take memory.
LONGEST = 1 << 20
PIXEL_AXES = ("row", "column", "page")
# The attributes by which HDF5 itself connects a dataset with its scales.
LINKS = ("DIMENSION_LABELS", "DIMENSION_LIST")


@dataclass(frozen=True)
class Axis:
    """One axis of a dataset.

    Attributes
    ----------
    label : str
        ``'row'``, ``'column'``, ``'page'`` or ``'time'``.
    values : 1-D ndarray or None
        The coordinates, int64 or float64; None: there is no scale.
    units : str
        Of the coordinates; empty where they count from 0.
    """

    label: str
    values: np.ndarray | None
    units: str


def describe_axes(
    layout: str, dims: Sequence[int], index: np.ndarray, calibration: Calibration
) -> tuple[Axis, ...]:
    """The axes of a dataset in its own order. Local.

    A coordinate is the number of the pixel times its size, or the image's label times the
    interval; where these are unknown, the number or the label itself. Where images have several
    labels there is no scale of time.
    """
    sizes = calibration.sizes if len(calibration.sizes) == len(dims) else (None,) * len(dims)
    pixels = [
        _axis(name, np.arange(n) if n <= LONGEST else None, size, calibration.unit)
        for name, n, size in zip(PIXEL_AXES[: len(dims)], dims, sizes, strict=True)
    ]
    time = _axis("time", index if index.ndim == 1 else None, calibration.interval, "s")
    return (*pixels, time) if layout == "series" else (time, *pixels)


def _axis(label: str, numbers: np.ndarray | None, step: float | None, units: str) -> Axis:
    if numbers is None or step is None:
        return Axis(label, numbers, "")
    return Axis(label, numbers * step, units)


def plain_figures(calibration: Calibration, axes: int) -> JsonObject:
    """The attributes that say pixel size, its unit, and frame interval, where these are known."""
    figures: JsonObject = {}
    sizes = calibration.sizes
    if len(sizes) == axes and None not in sizes:
        figures["pixel_size"] = np.array(sizes, dtype="<f8")
        if calibration.unit:
            figures["pixel_unit"] = calibration.unit
    if calibration.interval is not None:
        figures["frame_interval"] = np.float64(calibration.interval)
    return figures


def scale_name(dataset: str, label: str) -> str:
    """The name of a scale, in the group of its dataset, of which it never takes the name."""
    group, _, own = dataset.rpartition("/")
    name = f"{label}_axis" if label == own else label
    return f"{group}/{name}" if group else name


def create_scales(file: h5py.File, dataset: str, axes: Sequence[Axis]) -> None:
    """Create the scales of a dataset that is not there yet, in a new file."""
    for axis in axes:
        if axis.values is None:
            continue
        name = scale_name(dataset, axis.label)
        scale = file.create_dataset(name, data=_stored(axis.values), track_times=False)
        for key, value in _attributes(axis).items():
            scale.attrs[key] = value
        scale.make_scale(name.rpartition("/")[2])


def attach_scales(dataset: h5py.Dataset, axes: Sequence[Axis]) -> None:
    """Label the axes of a dataset, and attach their scales."""
    name = dataset.name.lstrip("/")
    for dimension, axis in zip(dataset.dims, axes, strict=True):
        dimension.label = axis.label
        if axis.values is not None:
            dimension.attach_scale(dataset.file[scale_name(name, axis.label)])


def has_axes(dataset: h5py.Dataset, axes: Sequence[Axis]) -> bool:
    """Whether a dataset has these axes, with the coordinates as they are here."""
    return all(
        dimension.label == axis.label and _has_scale(dimension, axis)
        for dimension, axis in zip(dataset.dims, axes, strict=True)
    )


def _has_scale(dimension: Any, axis: Axis) -> bool:
    if axis.values is None or len(dimension) != 1:
        return axis.values is None and len(dimension) == 0
    scale = dimension[0]
    return np.array_equal(scale[()], axis.values) and all(
        np.array_equal(scale.attrs.get(key), value) for key, value in _attributes(axis).items()
    )


def _attributes(axis: Axis) -> JsonObject:
    assert axis.values is not None
    content = _stored(axis.values).tobytes()
    piece = piece_bytes(len(content))
    sums = [zlib.crc32(content[at : at + piece]) for at in range(0, len(content), piece)]
    return {
        HDF5_MARK: np.int64(HDF5_VERSION),
        **({"units": axis.units} if axis.units else {}),
        "checksum": np.array(sums, dtype="<u4"),
        "checksum_piece": np.int64(piece),
    }


def _stored(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("<"))
