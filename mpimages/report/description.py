"""What the files say of a recording: the table of its page, and gaps in its files' numbers. Local.

Rank 0 alone asks for it: names and sizes are those of its file system.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..core.json_types import JsonMapping, JsonObject
from ..core.sizes import size_text
from ..engine.array_source import ArraySource
from ..engine.bin_source import every_step, origin
from ..engine.selection import Selection, Settled
from ..engine.sources import ExampleSource, FileSource
from ..readers import called, whole_path
from ..writers.output.plain import plain_metadata
from .words import number_text, time_text

__all__ = ["Description", "describe", "gaps_in"]

_NUMBER = re.compile("[0-9]+")
# Gaps between files that are no more than so large a part of them; else the numbers mean
# something else.
RARE = 0.1


@dataclass(frozen=True)
class Description:
    """Plain values.

    Attributes
    ----------
    title : str
    rows : list of (name, text)
    fields : dict
        The same for programs.
    gaps : list of dict
        ``after``, ``before`` (names) and how many are ``missing``.
    interval : float or None
        Seconds from image to image.
    options : str
        How the files were read, as far as one was asked.
    images : Settled
        The recording itself.
    """

    title: str
    rows: list[tuple[str, str]]
    fields: JsonObject
    gaps: list[JsonObject]
    interval: float | None
    options: str
    images: Settled

    def where(self, place: int) -> JsonObject:
        """The file of an image, and its number in it where there are several. Plain values.

        Of a bin it is that of its first image. Empty where the images are from no files.
        """
        images = origin(self.images.take(np.array([place])))
        source = images.source
        if not isinstance(source, FileSource):
            return {}
        file, image = source.locate(int(images.positions[0]))
        found: JsonObject = {"file": _text(called(source.paths[file]))}
        if source.ends is not None:
            found[_number_word(source)] = image
        return found


def _number_word(source: FileSource) -> str:
    """What the images of a file are: its pages, as far as that is sure."""
    plain = source.reader.name == "tif" and len(source.dims) == 2
    options = source.options
    plain = plain and options.channel is None and options.nchannels is None
    return "page" if plain and source.header.layout.get("kind") != "ome" else "image"


def describe(images: Settled, metadata: JsonMapping, interval: float | None = None) -> Description:
    """Say what the files say; `interval` wins over theirs. Local."""
    dims, dtype, count = images.dims, images.dtype, images.count
    size = count * images.record_bytes
    known = dict(plain_metadata(metadata))
    if interval is not None:
        known["frameInterval"] = interval
    interval = _positive(known.get("frameInterval"))
    title, names, gaps = _files(images)
    steps = [step.name for step in every_step(images)]
    described = {
        **names,
        "images": count,
        "dims": list(dims),
        "dtype": str(dtype),
        "bytes": size,
        "steps": steps,
        "metadata": {_snake(name): value for name, value in known.items()},
    }
    rows = [
        (name.replace("_", " "), str(text))
        for name, text in names.items()
        if name != "bytes_in_files"
    ]
    rows += [
        ("images", f"{count:,}"),
        (
            "dims",
            " × ".join(map(str, dims))
            + (" (row, column, plane)" if len(dims) == 3 else " (row, column)"),
        ),
        ("dtype", str(dtype)),
        (
            "size",
            size_text(size)
            + (
                f", {size_text(names['bytes_in_files'])} in files"
                if "bytes_in_files" in names
                else ""
            ),
        ),
    ]
    if steps:
        rows.append(("steps", ", ".join(steps)))
    rows += _scales(known, interval, count)
    return Description(title, rows, described, gaps, interval, _options(images), images)


def _snake(name: str) -> str:
    """``'frameInterval'`` as ``'frame_interval'``."""
    return re.sub("(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[0].lower(), name)


def _options(images: Selection) -> str:
    """The options of reading that are not the usual ones, and the steps: ``'nplanes=1'``."""
    steps = [step.name for step in every_step(images)]
    images = origin(images)
    source = images.source
    given = []
    if isinstance(source, FileSource):
        usual = type(source.options)()
        given = [
            f"{field.name}={getattr(source.options, field.name)}"
            for field in fields(source.options)
            if getattr(source.options, field.name) != getattr(usual, field.name)
        ]
        first, last = (int(images.positions[i]) for i in (0, -1))
        if (first, last) != (0, source.count - 1):
            given.append(f"images {first} to {last} of {source.count:,}")
    return ", ".join(given + ([f"steps: {' → '.join(steps)}"] if steps else []))


def _files(images: Selection) -> tuple[str, JsonObject, list[JsonObject]]:
    """The recording's name, what is known of its files, and the gaps between them."""
    images = origin(images)
    source = images.source
    if not isinstance(source, FileSource):
        if isinstance(source, ArraySource):
            return f"Recording in an array ({source.kind})", {}, []
        if not isinstance(source, ExampleSource):
            return "Recording in memory", {}, []
        return source.example.name, {"description": source.example.description}, []
    files = np.unique(source.files_of(images.positions))
    names = [_text(called(source.paths[int(i)])) for i in files]
    first = _text(os.path.abspath(whole_path(source.paths[int(files[0])])))
    directory = os.path.dirname(first)
    found: JsonObject = {
        "path": directory if len(files) > 1 else first,
        "format": source.reader.name,
        "files": len(files),
        "first": names[0],
        "last": names[-1],
        "bytes_in_files": sum(source.reader.stored_bytes(source.paths[int(i)]) for i in files),
    }
    if len(files) == 1:
        del found["first"], found["last"]
    whole = np.array_equal(files, np.arange(files[0], files[0] + len(files)))
    title = os.path.basename(directory) if len(files) > 1 else names[0]
    return title or names[0], found, gaps_in(names) if whole else []


def _text(path: str) -> str:
    """A path whose bytes need not be UTF-8, as something that can be printed."""
    return path.encode("utf-8", "backslashreplace").decode()


def gaps_in(names: list[str]) -> list[JsonObject]:
    """Where the numbers in file names leave some out, as a dropped image would.

    The names must be alike but for one number, whose step is the same nearly everywhere.
    """
    if len(names) < 3 or len({_NUMBER.sub("#", name) for name in names}) != 1:
        return []
    runs = [[int(run) for run in _NUMBER.findall(name)] for name in names]
    changing = [column for column in zip(*runs, strict=True) if len(set(column)) > 1]
    if len(changing) != 1:
        return []
    steps = [b - a for a, b in zip(changing[0], changing[0][1:], strict=False)]
    usual = (
        min(steps, key=lambda step: (-steps.count(step), step))
        if len(steps) < 1000
        else int(np.median(steps))
    )
    large = [i for i, step in enumerate(steps) if step != usual]
    if (
        usual < 1
        or len(large) > max(1, RARE * len(steps))
        or any(steps[i] < usual or steps[i] % usual for i in large)
    ):
        return []
    return [
        {"after": names[i], "before": names[i + 1], "missing": steps[i] // usual - 1} for i in large
    ]


def _scales(known: JsonObject, interval: float | None, count: int) -> list[tuple[str, str]]:
    rows = []
    size = known.get("pixelSize")
    if isinstance(size, list) and any(_positive(part) for part in size):
        lengths = [number_text(part) if _positive(part) else "?" for part in size]
        rows.append(("pixel size", f"{' × '.join(lengths)} {known.get('unit') or ''}".strip()))
    if interval is not None:
        rows.append(("interval", f"{time_text(interval)} ({number_text(1 / interval, 3)} Hz)"))
        rows.append(("duration", time_text(interval * count)))
    for name, value in known.items():
        if name not in ("pixelSize", "unit", "frameInterval") and value is not None:
            rows.append((name, str(value)[:200]))
    return rows


def _positive(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and value > 0 and math.isfinite(value) else None
