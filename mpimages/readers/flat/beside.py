"""Programs that put a description of their own beside a flat binary file.

The names alone are looked at here, as each listing of a directory does so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from ...core.json_types import JsonObject
from ...core.text import quote
from ...errors import FormatError
from ...formats.output_names import CONF, MOVIE_FORMAT
from ..byte_ranges import read_conf


class Beside(NamedTuple):
    """How to know a program's recordings.

    Attributes
    ----------
    program : str
    descriptions : tuple of str
        The names of its descriptions, of which the first that is there counts.
    files : re.Pattern
        What its flat binary files are called.
    module : str
        Where ``describe(path, description)`` is.
    """

    program: str
    descriptions: tuple[str, ...]
    files: re.Pattern[str]
    module: str


PROGRAMS = (
    Beside(
        "suite2p",
        ("ops.npy", "db.npy"),
        re.compile(r"data(_raw)?(_chan2)?(_raw)?\.bin"),
        ".suite2p",
    ),
    Beside("ThorImage", ("Experiment.xml",), re.compile(r"Image_\d+(_\d+)+\.raw"), ".thorimage"),
)
# The folders in which suite2p has the planes of a recording.
PLANES = "plane{z}/data.bin"
_PLANE = re.compile(r"plane[0-9]+")
_DESCRIPTIONS = tuple(os.sep + name for program in PROGRAMS for name in program.descriptions)


def find_description(path: str) -> tuple[Beside, str] | None:
    """The program that wrote a flat binary file, and the description beside it."""
    directory, name = os.path.split(path)
    for program in PROGRAMS:
        if program.files.fullmatch(name):
            for description in program.descriptions:
                found = os.path.join(directory, description)
                if os.path.exists(found):
                    return program, found
    return None


def plane_files(directory: str) -> list[str]:
    """The movies of the planes in one of suite2p's folders, in order; empty where it is none."""
    if not os.path.exists(os.path.join(directory, "plane0", "data.bin")):
        return []
    named = sorted(filter(_PLANE.fullmatch, os.listdir(directory)), key=lambda n: (len(n), n))
    paths = [os.path.join(directory, name, "data.bin") for name in named]
    return [path for path in paths if find_description(path) is not None and os.path.exists(path)]


def movie_metadata(directory: str, axes: int) -> JsonObject:
    """What the ``conf.json`` of a movie that mpimages wrote says of pixels and times.

    Parameters
    ----------
    directory : str
    axes : int
        How many axes the images have.
    """
    try:
        conf = read_conf(os.path.join(directory, CONF)) or {}
    except FormatError:  # of another program, as the movie does not need it
        conf = {}
    told = conf.get("metadata")
    if conf.get("format") != MOVIE_FORMAT or not isinstance(told, dict):
        return {}
    metadata: JsonObject = {}
    size, unit, interval = (told.get(name) for name in ("pixelSize", "unit", "frameInterval"))
    if isinstance(size, list) and len(size) >= axes and all(map(_is_size, size)):
        metadata["pixelSize"] = tuple(size[:axes])
    if isinstance(unit, str):
        metadata["unit"] = unit
    if interval is not None and _is_size(interval):
        metadata["frameInterval"] = interval
    return metadata


def _is_size(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and 0 < value < float("inf"))  # type: ignore[operator]


def described_files(paths: Sequence[str], conf_filename: str) -> list[str]:
    """The flat binary files among the files of directories in which a program described them.

    Empty where no directory has such a file, or a ``conf.json`` describes them.

    Raises
    ------
    ValueError
        If a directory has several: of which channel or kind they are, the names alone say.
    """
    directories = [
        os.path.dirname(path) for path in paths if (os.sep + path).endswith(_DESCRIPTIONS)
    ]
    if not directories or os.path.exists(os.path.join(directories[0], conf_filename)):
        return []
    chosen: dict[str, str] = {}
    for path in paths:
        directory = os.path.dirname(path)
        if directory not in directories or find_description(path) is None:
            continue
        if directory in chosen:
            raise ValueError(
                f"{directory or '.'}: has several recordings, such as "
                f"{os.path.basename(chosen[directory])} and {os.path.basename(path)}: give one of "
                f"them, as in loadImages({quote(chosen[directory])})"
            )
        chosen[directory] = path
    return list(chosen.values())
