"""ImageJ's header: ``key=value`` lines; pages run channel, slice, frame, the first fastest."""

from __future__ import annotations

import re

from ...core.json_types import JsonObject
from ...errors import FormatError
from ..options import Options
from ..page_order import PageOrder
from .plan import Plan, number, plan_table, sizes_found, unit_name


def _imagej_fields(description: str) -> dict[str, str]:
    lines = (line.partition("=") for line in description.splitlines())
    return {key.strip(): value.strip() for key, sign, value in lines if sign}


def _imagej_count(path: str, fields: dict[str, str], key: str) -> int:
    text = fields.get(key, "1")
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < 1:
        raise FormatError(f"{path}: the ImageJ header says {key}={text[:40]}")
    return int(text)


def imagej_pages(path: str, description: str) -> int:
    """How many pages an ImageJ header says the file has."""
    return _imagej_count(path, _imagej_fields(description), "images")


def plan_imagej(
    path: str, description: str, count: int, pixels_per_unit: tuple[float, float], options: Options
) -> Plan:
    fields = _imagej_fields(description)
    channels, slices, frames = (
        _imagej_count(path, fields, key) for key in ("channels", "slices", "frames")
    )
    if channels * slices * frames == 1:
        slices = count  # a stack whose axis has no name
    if options.incomplete and channels * slices * frames > count:
        frames = count // (channels * slices)
    elif channels * slices * frames != count:
        raise FormatError(
            f"{path}: the ImageJ header says {channels} channels, {slices} slices and {frames} "
            f"frames, but the file has {count} pages"
        )
    order = PageOrder("CZT", channels, slices)
    version = fields.get("ImageJ", "")
    found: JsonObject = {
        "program": f"ImageJ {version}".strip(),
        "axes": sizes_found("CZT", {"C": channels, "Z": slices, "T": frames}),
    }
    plan = Plan("imagej", metadata=_imagej_metadata(fields, pixels_per_unit), found=found)
    return plan_table(plan, path, count, order.table(frames * order.cycle), options, slices)


def _imagej_metadata(fields: dict[str, str], pixels_per_unit: tuple[float, float]) -> JsonObject:
    metadata: JsonObject = {}
    unit = unit_name(fields.get("unit", ""))
    y, x = pixels_per_unit
    if unit and unit not in ("pixel", "pixels") and y > 0 and x > 0:
        # ImageJ leaves spacing out where it is 1.
        metadata["pixelSize"] = (1 / y, 1 / x, abs(number(fields.get("spacing")) or 1.0))
        metadata["unit"] = unit
    interval, rate = number(fields.get("finterval")), number(fields.get("fps"))
    if interval and interval > 0:
        metadata["frameInterval"] = interval
    elif rate and rate > 0:
        metadata["frameInterval"] = 1 / rate
    return metadata
