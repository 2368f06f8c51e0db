"""Whether an output is still what was written: every byte against its checksum.

Independent of the write path: nothing of ``writers/`` is imported, files are read by POSIX
and h5py, and the checksums are those of Python's own zlib.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO
from zlib import crc32

from ..core.public import public
from ..core.text import escape_controls
from ..errors import FormatError, not_found
from ..formats.matlab import HEAD_BYTES, starts_as_hdf5
from ..formats.output_names import (
    CONF,
    END_BYTES,
    MANIFEST,
    MOVIE_FORMAT,
    PARTIAL_SUFFIX,
    REGISTRATION_END,
    REPORT_END,
    REPORT_START,
    SERIES_FORMAT,
    STATS,
    STATS_FORMAT,
    TIFF_SIGNATURES,
    ZARR_FORMAT,
    ZARR_ROOTS,
    hidden_path,
    is_registration,
    is_view,
    refuse_unfinished,
)
from ..formats.zarr.names import NODES
from .findings import Findings, read_description

__all__ = ["Verified", "verify"]

READ_BYTES = 1 << 20

_KINDS = {
    "binaryseries": "binary series",
    "hdf5": "HDF5",
    "mmap": "CaImAn's memory-mapped file",
    "png": "directory of PNGs",
    "registration": "registration",
    "report": "report",
    "stats": "statistics",
    "suite2p": "suite2p's folder",
    "tif": "directory of TIFFs",
    "bin": "directory of flat binary images",
    "tifstack": "multi-page TIFF",
    "zarr": "Zarr",
}


def _mark_of(form: str) -> re.Pattern[bytes]:
    return re.compile(rb'"format"\s*:\s*"%s"' % form.encode())


_MOVIE_MARK = _mark_of(MOVIE_FORMAT)
# Either says that a conf.json is of mpimages: damage to one does not make it another program's.
_SERIES_MARKS = (
    _mark_of(SERIES_FORMAT),
    re.compile(rb'"checksum"\s*:\s*\{\s*"kind"\s*:\s*"crc32"'),
)
# Either says that the document of a Zarr's root is of mpimages.
_ZARR_MARKS = (
    _mark_of(ZARR_FORMAT),
    re.compile(rb'"documents"\s*:.*"crc32": "[0-9a-f]{8}"[\s}]*\Z', re.DOTALL),
)


@dataclass(frozen=True)
class Verified:
    """What `verify` found.

    Parameters
    ----------
    path : str
        What was looked at.
    kind : str
        'bin', 'binaryseries', 'hdf5', 'mmap', 'png', 'registration', 'report', 'stats',
        'suite2p', 'tif', 'tifstack' or 'zarr'.
    files, bytes : int
        How many files there are to check, and how many bytes were read and compared.
    problems : tuple of str
        What is wrong: which file or dataset, which bytes, what they hold. Empty: sound.
    """

    path: str
    kind: str
    files: int
    bytes: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all was checked and is sound."""
        return not self.problems

    def __str__(self) -> str:
        count = len(self.problems)
        verdict = "sound" if self.ok else f"{count} problem{'s' if count > 1 else ''}"
        files = f"{self.files} file{'' if self.files == 1 else 's'}"
        head = f"{self.path}: {_KINDS[self.kind]}, {files}, {self.bytes:,} bytes checked: {verdict}"
        return escape_controls("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


@public
def verify(path: str | os.PathLike[str], tick: Callable[[int], None] | None = None) -> Verified:
    """Read an output of mpimages again and compare it with its checksums. Local.

    Parameters
    ----------
    path : path
        A binary series, a Zarr, a directory of pictures, of statistics, of suite2p or of CaImAn as
        a whole, an HDF5 or MATLAB file, a multi-page TIFF, a report, or a stored registration.
    tick : callable, optional
        Is told now and then how many more bytes of the files were read.

    Returns
    -------
    Verified
        Its `problems` name what is damaged, missing, unreadable or foreign. An output without
        checksums, as earlier versions wrote them, is a problem too: it cannot be verified.

    Raises
    ------
    FileNotFoundError
        When there is nothing at `path`.
    FormatError
        When mpimages did not write it, or it is the unfinished output of a job.
    OSError
        When the directory cannot be listed, or the file not opened.

    Notes
    -----
    One process reads, with a thread for each core that it may use, in memory that does not
    depend on the output's size: 64 MiB for compressed HDF5 and for Zarr (a chunk, where that is
    larger).
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"the path must be text, got {type(text).__name__}")
    text = os.path.expanduser(text)
    _refuse_missing(text)
    is_directory = os.path.isdir(text)
    refuse_unfinished([text if is_directory else os.path.dirname(text)])
    findings = Findings(tick)
    kind = (_verify_directory if is_directory else _verify_file)(text, findings)
    return Verified(text, kind, findings.files, findings.bytes, findings.problems())


def _refuse_missing(path: str) -> None:
    if path and os.path.exists(path):
        return
    message = f"{path!r}: no such file or directory"
    partial = hidden_path(os.path.abspath(path), PARTIAL_SUFFIX)
    if path and os.path.isdir(partial):
        message += f"; {partial} is the unfinished output of a job: run it again with resume=True"
    raise not_found(path, message)


def _verify_directory(path: str, findings: Findings) -> str:
    names = set(os.listdir(path))
    if CONF in names and _is_our_conf(os.path.join(path, CONF), _MOVIE_MARK):
        from .movies import verify_movie

        return verify_movie(path, findings)
    if CONF in names and _is_our_conf(os.path.join(path, CONF), *_SERIES_MARKS):
        from .series import verify_series

        verify_series(path, findings)
        return "binaryseries"
    if MANIFEST in names:
        from .pictures import verify_pictures

        return verify_pictures(path, findings)
    if STATS in names and _is_our_stats(os.path.join(path, STATS)):
        from .stats import verify_stats

        verify_stats(path, findings)
        return "stats"
    if any(_is_our_zarr(os.path.join(path, name)) for name in ZARR_ROOTS if name in names):
        from .zarr import verify_zarr

        verify_zarr(path, findings)
        return "zarr"
    what = f"its {CONF} is of another program" if CONF in names else f"it has no {CONF}"
    for name in NODES:
        if name in names:
            what = f"its {name} is of another program, or damaged"
    raise FormatError(
        f"{path}: this directory is not an output of mpimages: {what}, and there is no {MANIFEST}"
    )


def _is_our_conf(path: str, *marks: re.Pattern[bytes]) -> bool:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return False
    content = read_description(path)
    return any(mark.search(content) for mark in marks)


def _is_our_stats(path: str) -> bool:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return False
    return (
        re.search(rb'"format"\s*:\s*"%s"' % STATS_FORMAT.encode(), read_description(path))
        is not None
    )


def _is_our_zarr(path: str) -> bool:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return False
    content = read_description(path)
    return any(mark.search(content) for mark in _ZARR_MARKS)


def _verify_file(path: str, findings: Findings) -> str:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise FormatError(f"{path}: is neither a file nor a directory")
    with open(path, "rb") as file:
        start = file.read(HEAD_BYTES)
    if start.startswith(REPORT_START):
        _verify_end(path, REPORT_END, findings)
        return "report"
    if is_registration(path):
        _verify_end(path, REGISTRATION_END, findings)
        return "registration"
    if start[:4] in TIFF_SIGNATURES:
        from .tifstack import verify_tifstack

        if verify_tifstack(path, findings):
            return "tifstack"
        raise FormatError(
            f"{path}: is a TIFF without the mark of mpimages, which therefore did not write it as "
            "a whole; of a directory of TIFFs give the directory"
        )
    if is_view(path):
        raise FormatError(f"{path}: is a picture of `mpimages view`, which has no checksums")
    if not starts_as_hdf5(start):
        raise FormatError(
            f"{path}: is neither an HDF5 file, a TIFF, a report nor a registration of mpimages, or "
            "its first bytes are damaged; of a binary series or of pictures give the directory"
        )
    from .hdf5 import verify_hdf5

    verify_hdf5(path, findings)
    return "hdf5"


def _verify_end(path: str, ending: re.Pattern[bytes], findings: Findings) -> None:
    """Compare a file with the CRC-32 of its bytes at its end."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        tail = os.pread(file.fileno(), END_BYTES, max(0, size - END_BYTES))
        end = ending.search(tail)
        stop = size if end is None else size - len(end[0])
        crc = _crc(file, stop, findings.tick)
    findings.files, findings.bytes = 1, size
    if end is None:
        findings.problem(
            "does not end with its checksum: it is cut off, or an earlier version "
            "wrote it, so that it cannot be verified"
        )
    elif int(end[1], 16) != crc:
        findings.problem(f"bytes [0, {stop}) do not have the checksum at its end")


def _crc(file: BinaryIO, stop: int, tick: Callable[[int], None]) -> int:
    """The CRC-32 of a file's bytes up to `stop`."""
    crc = 0
    while stop > 0 and (piece := file.read(min(READ_BYTES, stop))):
        stop -= len(piece)
        crc = crc32(piece, crc)
        tick(len(piece))
    return crc
