"""Every name, mark and version number by which files on the disk are known: one table.

What mpimages writes bears its marks, so that it can be read again, verified, resumed and
replaced, and nothing else ever is removed.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable

from ..core.json_types import JsonObject
from ..errors import FormatError

# -- outputs -------------------------------------------------------------------------------

# A binary series: a directory.
CONF = "conf.json"
SUCCESS = "SUCCESS"
SERIES_FORMAT, SERIES_VERSION = "mpimages-series", 1
SERIES_PREFIX = "series-"
SERIES_FILE = re.compile(r"series-[0-9]{5}\.bin")

# A movie in another program's headerless files: a directory. suite2p's has one for each plane.
MOVIE_FORMAT, MOVIE_VERSION = "mpimages-movie", 1
PLANE_FILE = re.compile(r"plane[0-9]+/(data\.bin|ops\.npy)?")
MMAP_FILE = re.compile(r"[^/]+_d1_\d+_d2_\d+_d3_\d+_order_[CF]_frames_\d+\.mmap")

# A directory of pictures, PNG or TIFF.
MANIFEST = ".mpimages.json"
PICTURES_FORMAT, PICTURES_VERSION = "mpimages-images", 1

# A directory of statistics, of `mpimages stats`.
STATS = "stats.json"
STATS_FORMAT = "mpimages-stats"
STATS_PICTURES = tuple(
    f"{name}.{kind}" for name in ("mean", "stdev", "max", "min") for kind in ("tif", "png")
)

# A Zarr: a directory with directories in it. What of an attribute of its root is ours, the files
# that describe nodes (of version 3, and of version 2), which arrays there are, and their chunks.
ZARR_MARK = "mpimages"
ZARR_FORMAT, ZARR_VERSION = "mpimages-zarr", 1
ZARR_NODE, ZARR_ATTRIBUTES = ZARR_ROOTS = "zarr.json", ".zattrs"
ZARR_DOCUMENTS = (ZARR_NODE, ".zgroup", ".zarray", ZARR_ATTRIBUTES)
ZARR_ARRAY = re.compile(r"series|0|[1-9][0-9]*")
# Below an array; a directory on the way to chunks ends in a slash.
ZARR_CHUNK = re.compile(r"(?:c/)?(?:(?:0|[1-9][0-9]*)/)*(?:0|[1-9][0-9]*)?")
# Its root's description while it is removed, so that nobody opens what is left.
ZARR_REMOVED = ".mpimages-removed.json"

# A dataset in an HDF5 file: the attribute that says its version.
HDF5_MARK, HDF5_VERSION = "mpimages_format", 1
# How the end of an HDF5 file of another standard begins, 16 bytes with the version. See
# `hdf5_trailer`.
HDF5_TRAILER = b"mpimages-hdf5-1\0"
# How a MATLAB file of version 7.3 begins, before its HDF5: a text of 116 bytes, which MATLAB shows,
# 8 zeros, the version 0x0200, and letters that tell the byte order.
MATLAB_BLOCK = (
    b"MATLAB 7.3 MAT-file, Platform: mpimages, HDF5 schema 1.00 .".ljust(116) + bytes(8) + b"\0\2IM"
).ljust(512, b"\0")
# Of which the identifiers of NWB's objects are made: a UUID that nothing else is made of.
NWB_UUID = "5f0c1f0e-8f3b-5e0b-9d8e-6d70696d6167"

# A multi-page TIFF: how its mark begins, 16 bytes with the version. See `tif_checksums`.
TIF_MARK = b"mpimages-tif-1\0\0"

# A report: how it begins, and how it ends: the CRC-32 of all the bytes before.
REPORT_START = b"<!DOCTYPE html>\n<!-- mpimages-report 1 -->\n"
REPORT_END = re.compile(rb"<!-- crc32 ([0-9a-f]{8}) -->\n\Z")

# A registration: how its JSON begins, and its NPZ, whose first member is an array of that text;
# and how both end: the CRC-32 of all bytes before, in JSON the last field, of an NPZ a comment.
REGISTRATION_FORMAT, REGISTRATION_VERSION = "mpimages registration", 1
REGISTRATION_END = re.compile(rb'"crc32": "([0-9a-f]{8})"\}\Z')
# At least as long as any such end.
END_BYTES = 64

# A picture of `mpimages view`: what a chunk of text in it says.
VIEW_TEXT = b"Software\0mpimages view"

# A line phase: a JSON file.
LINE_PHASE_FORMAT, LINE_PHASE_VERSION = "mpimages-line-phase", 1

# -- an output while it is written; hidden, beside or inside its final name -----------------

# The directory in which it is prepared, what it replaces, and the lock: .NAME.mpimages-…
PARTIAL_SUFFIX, OLD_SUFFIX, LOCK_SUFFIX = ".mpimages-partial", ".mpimages-old", ".mpimages-lock"
# In the partial directory: its mark, and a file output once it is whole.
PARTIAL_MARK = ".mpimages-partial.json"
PARTIAL_TEXT = b'{"format": "mpimages-partial", "version": 1}\n'
SEALED = ".mpimages-complete"
# A file of a random size in it, until all hosts have seen that it is the same directory there.
SEEN = ".mpimages-seen"
# A small file until it is whole.
TEMPORARY = ".mpimages-tmp"

# For resuming: what is made and of what, and each node's journal of each attempt.
JOB = "job.json"
JOB_FORMAT, JOB_VERSION = "mpimages-job", 4
JOURNAL_FILE = re.compile(r"journal-([0-9]{2,})-[0-9]{5,}")
# Images on their way through the disk, decoded, frame after frame.
FRAMES = "frames"
# A rank's compressed chunks until the output is whole: generation, rank, and for Zarr the number of
# the file that they go into.
CHUNK_FILE = re.compile(r"chunks-([0-9]{2,})-([0-9]{5,})(?:-([0-9]{6,}))?")

# -- how files of others begin, too ----------------------------------------------------------

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF


def series_file(number: int) -> str:
    """The name of a data file of a binary series."""
    return f"{SERIES_PREFIX}{number:05d}.bin"


def plane_file(plane: int, name: str) -> str:
    """The name of a file in one of suite2p's planes."""
    return f"plane{plane}/{name}"


def mmap_file(base: str, dims: tuple[int, ...], order: str, count: int) -> str:
    """The name of CaImAn's file of so many images."""
    rows, columns, pages = (*dims, 1)[:3]
    return f"{base}_d1_{rows}_d2_{columns}_d3_{pages}_order_{order}_frames_{count}.mmap"


def is_movie_file(name: str) -> bool:
    """Whether a file of such a movie may have this name, or with its slash a directory."""
    return bool(PLANE_FILE.fullmatch(name) or MMAP_FILE.fullmatch(name))


def journal_file(attempt: int, node: int) -> str:
    """The name of a node's journal of one attempt."""
    return f"journal-{attempt:02d}-{node:05d}"


def chunk_file(generation: int, rank: int, part: int | None = None) -> str:
    """The name of the file of a rank's compressed chunks."""
    return f"chunks-{generation:02d}-{rank:05d}" + ("" if part is None else f"-{part:06d}")


def is_job_file(name: str) -> bool:
    """Whether a file of this name in a partial output is only there for resuming."""
    return name.removesuffix(TEMPORARY) in (JOB, FRAMES) or any(
        pattern.fullmatch(name) for pattern in (JOURNAL_FILE, CHUNK_FILE)
    )


def zarr_mark(document: JsonObject) -> JsonObject:
    """What mpimages says of a Zarr in the document of its root; empty where that is another's.

    `document` is a zarr.json, or of version 2 the .zattrs.
    """
    attributes = document.get("attributes", document)
    mark = attributes.get(ZARR_MARK) if isinstance(attributes, dict) else None
    return mark if isinstance(mark, dict) and mark.get("format") == ZARR_FORMAT else {}


def hidden_path(path: str, suffix: str) -> str:
    """The hidden name beside `path`."""
    parent, name = os.path.split(path)
    return os.path.join(parent, f".{name}{suffix}")


def is_view(path: str) -> bool:
    """Whether a file is a picture that ``mpimages view`` wrote."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        head = file.read(256)
    return head.startswith(PNG_SIGNATURE) and b"tEXt" + VIEW_TEXT in head


def is_registration(path: str) -> bool:
    """Whether a regular file is a registration that mpimages wrote."""
    said = f'{{"format": "{REGISTRATION_FORMAT}"'
    with open(path, "rb") as file:
        head = file.read(512)
    return head.startswith(said.encode()) or (
        head.startswith(b"PK\3\4") and said.encode("utf-32-le") in head
    )


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


def with_registration_end(head: bytes) -> bytes:
    """A registration's bytes, of which the last belong to a JSON object, with their CRC-32."""
    return head + b'"crc32": "%08x"}' % zlib.crc32(head)


def with_own_checksum(text: bytes) -> bytes:
    """A JSON object with a last field ``"crc32"``: of all the bytes before that line.

    `text` ends as `plain.to_json` ends it, with the closing brace on a line of its own.
    """
    head = text.removesuffix(b"\n}\n")
    if len(head) == len(text):
        raise ValueError("the text of the object does not end in a line with its brace")
    head += b",\n"
    return head + b'  "crc32": %d\n}\n' % zlib.crc32(head)
