"""The names and marks by which mpimages knows its outputs, and the unfinished ones."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable

from ..errors import FormatError

__all__ = [
    "CHUNK_FILE",
    "CONF",
    "MANIFEST",
    "PARTIAL_MARK",
    "PARTIAL_SUFFIX",
    "PARTIAL_TEXT",
    "PICTURES_FORMAT",
    "PNG_SIGNATURE",
    "REPORT_END",
    "REPORT_START",
    "SEALED",
    "SERIES_FILE",
    "SERIES_FORMAT",
    "STATS",
    "STATS_FORMAT",
    "STATS_PICTURES",
    "SUCCESS",
    "VIEW_TEXT",
    "is_view",
    "partial_path",
    "refuse_unfinished",
    "with_own_checksum",
]

CONF = "conf.json"
SUCCESS = "SUCCESS"
SERIES_FORMAT = "mpimages-series"
SERIES_FILE = re.compile(r"series-[0-9]{5}\.bin")
# A rank's compressed chunks until the HDF5 file is whole; generation and rank.
CHUNK_FILE = re.compile(r"chunks-([0-9]{2,})-([0-9]{5,})")
MANIFEST = ".mpimages.json"
PICTURES_FORMAT = "mpimages-images"
STATS = "stats.json"
STATS_FORMAT = "mpimages-stats"
STATS_PICTURES = tuple(f"{name}.{kind}" for name in ("mean", "stdev", "max", "min")
                       for kind in ("tif", "png"))
# How a report begins: by this it is known as one.
REPORT_START = b"<!DOCTYPE html>\n<!-- mpimages-report 1 -->\n"
# How it ends: the CRC-32 of all the bytes before.
REPORT_END = re.compile(rb"<!-- crc32 ([0-9a-f]{8}) -->\n\Z")
# What a picture of ``mpimages view`` says in a chunk of text.
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
VIEW_TEXT = b"Software\0mpimages view"
PARTIAL_MARK = ".mpimages-partial.json"
PARTIAL_TEXT = b'{"format": "mpimages-partial", "version": 1}\n'
PARTIAL_SUFFIX = ".mpimages-partial"
SEALED = ".mpimages-complete"  # a file output inside its partial directory, once it is whole


def partial_path(path: str) -> str:
    """The directory beside `path` in which it is prepared."""
    parent, name = os.path.split(path)
    return os.path.join(parent, f".{name}{PARTIAL_SUFFIX}")


def is_view(path: str) -> bool:
    """Whether a file is a picture that ``mpimages view`` wrote."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        head = file.read(256)
    return head.startswith(PNG_SIGNATURE) and b"tEXt" + VIEW_TEXT in head


def refuse_unfinished(directories: Iterable[str]) -> None:
    """Raise FormatError where one of `directories` is, or lies in, that of an unfinished output.

    Some file systems answer slowly: each directory on the way up is asked for once.
    """
    seen: set[str] = set()
    for directory in directories:
        current = os.path.abspath(directory)
        while current not in seen:
            seen.add(current)
            if os.path.lexists(os.path.join(current, PARTIAL_MARK)):
                raise FormatError(
                    f"{current}: is the unfinished output of a job; run it again with "
                    "resume=True to complete it"
                )
            current = os.path.dirname(current)


def with_own_checksum(text: bytes) -> bytes:
    """A JSON object with a last field ``"crc32"``: of all the bytes before that line.

    `text` ends as `plain.to_json` ends it, with the closing brace on a line of its own.
    """
    head = text.removesuffix(b"\n}\n")
    if len(head) == len(text):
        raise ValueError("the text of the object does not end in a line with its brace")
    head += b",\n"
    return head + b'  "crc32": %d\n}\n' % zlib.crc32(head)
