"""What the attributes of OME-Zarr say: axes, levels, sizes of pixels, channels.

As in the specification of OME-NGFF, versions 0.1 to 0.5 (https://ngff.openmicroscopy.org).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.json_types import JsonObject
from ...core.text import quote
from ...errors import FormatError

# The axes of versions that do not name them.
OLDEST_AXES = ("t", "c", "z", "y", "x")
# Names of UDUNITS as other readers give them.
UNITS = {
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "micron": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
}
SECONDS = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}


@dataclass(frozen=True)
class Level:
    """What is said of one array of a pyramid.

    Attributes
    ----------
    path : str
        Of the array, in the group.
    names, units : tuple of (str or None)
        Of its axes.
    scale : tuple of (float or None)
        How far one value lies from the next along each axis.
    """

    path: str
    names: tuple[str | None, ...]
    units: tuple[str | None, ...]
    scale: tuple[float | None, ...]


def ome_attributes(attributes: JsonObject) -> JsonObject:
    """The attributes about images: version 0.5 has them in one of their own."""
    found = attributes.get("ome")
    return found if isinstance(found, dict) else attributes


def pyramids(where: str, attributes: JsonObject) -> list[list[Level]]:
    """The levels of each image of a group, the full resolution first; empty where it has none.

    Parameters
    ----------
    where : str
        The group, for messages.
    attributes : dict

    Raises
    ------
    FormatError
        If what they say of images is of no known form.
    """
    listed = ome_attributes(attributes).get("multiscales")
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise FormatError(f"{where}: has the multiscales {quote(listed)}, which is no list")
    return [_pyramid(where, one) for one in listed]


def _pyramid(where: str, one: object) -> list[Level]:
    datasets = one.get("datasets") if isinstance(one, Mapping) else None
    if not isinstance(one, Mapping) or not isinstance(datasets, list) or not datasets:
        raise FormatError(f"{where}: its multiscales name no datasets: {quote(one)}")
    names, units = _axes(one.get("axes"))
    above = _scale(one.get("coordinateTransformations"), len(names))
    levels = []
    for dataset in datasets:
        path = dataset.get("path") if isinstance(dataset, Mapping) else None
        if not isinstance(dataset, Mapping) or not isinstance(path, str):
            raise FormatError(f"{where}: its multiscales have a dataset without a path")
        own = _scale(dataset.get("coordinateTransformations"), len(names))
        scale = tuple(
            None if a is None and b is None else (a or 1.0) * (b or 1.0)
            for a, b in zip(above, own, strict=True)
        )
        levels.append(Level(path.strip("/"), names, units, scale))
    return levels


def _axes(given: object) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """The names of the axes, and their units."""
    if not isinstance(given, list):
        return OLDEST_AXES, (None,) * len(OLDEST_AXES)
    names: list[str | None] = []
    units: list[str | None] = []
    for axis in given:
        told = axis if isinstance(axis, Mapping) else {"name": axis}
        name, unit = told.get("name"), told.get("unit")
        # A name may be any, but of some types there is one axis at most.
        known = {"time": "t", "channel": "c"}.get(str(told.get("type")))
        names.append(known or (name if isinstance(name, str) else None))
        units.append(unit if isinstance(unit, str) else None)
    return tuple(names), tuple(units)


def _scale(given: object, count: int) -> tuple[float | None, ...]:
    """The scale among transformations; None where there is none that fits."""
    for one in given if isinstance(given, list) else ():
        scale = one.get("scale") if isinstance(one, Mapping) else None
        if isinstance(scale, list) and len(scale) == count:
            return tuple(_positive(value) for value in scale)
    return (None,) * count


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def calibration(level: Level, letters: str, axes: str) -> JsonObject:
    """``pixelSize``, ``unit`` and ``frameInterval`` of images, where they are known.

    `letters` are those of the array's axes, `axes` those of an image.
    """
    known = {
        letter: (size, unit)
        for letter, size, unit in zip(letters, level.scale, level.units, strict=True)
        if size is not None
    }
    found: JsonObject = {}
    interval, unit = known.get("T", (None, None))
    if interval is not None and unit in SECONDS:
        found["frameInterval"] = interval * SECONDS[unit]
    sizes = [known.get(axis, (None, None)) for axis in axes]
    units = {unit for size, unit in sizes[:2]}
    # 1 without a unit is what programs write that know no size.
    told = all(size is not None and (unit is not None or size != 1) for size, unit in sizes[:2])
    if told and len(units) == 1:
        unit = units.pop()
        found["pixelSize"] = tuple(size if other == unit else None for size, other in sizes)
        if unit is not None:
            found["unit"] = UNITS.get(unit, unit)
    return found


def description(attributes: JsonObject) -> JsonObject:
    """The names of the channels and the program, as in `Header.found`."""
    ome = ome_attributes(attributes)
    found: JsonObject = {}
    omero = ome.get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if isinstance(channels, list):
        labels = [one.get("label") if isinstance(one, Mapping) else None for one in channels]
        if labels and all(isinstance(label, str) for label in labels):
            found["channels"] = labels
    creator = ome.get("_creator", attributes.get("_creator"))
    if isinstance(creator, Mapping) and isinstance(creator.get("name"), str):
        found["program"] = f"{creator['name']} {creator.get('version') or ''}".strip()
    return found
