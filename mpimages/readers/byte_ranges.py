"""Reading exact byte ranges of files, with messages that name the file."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Sequence

import numpy as np

from ..core.cleanup import quietly
from ..core.json_types import JsonObject
from ..core.timers import count_phase
from ..errors import FormatError

# Linux reads at most 2**31 - 4096 bytes by one call.
PIECE_BYTES = 1 << 30

# The checksums of sixty terabytes take no more than this.
LARGEST_CONF = 1 << 28


def open_file(path: str) -> tuple[int, int]:
    """Open a regular file for reading: the descriptor and the file's size."""
    fd, status = open_status(path)
    return fd, status.st_size


def open_status(path: str) -> tuple[int, os.stat_result]:
    """As `open_file`: the descriptor, and what the system says of the file."""
    # Without O_NONBLOCK a named pipe would wait for its writer.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return fd, status
    quietly(os.close, fd)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise ValueError(f"{path}: not a regular file")


def read_into(fd: int, offset: int, out: np.ndarray, path: str) -> None:
    """Fill the C-contiguous array `out` with the file's bytes from `offset` on.

    Raises
    ------
    FormatError
        If the file ends before.
    """
    memory = memoryview(out.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    done, total = 0, len(memory)
    while done < total:
        try:
            got = os.preadv(fd, [memory[done : done + PIECE_BYTES]], offset + done)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
        if got == 0:
            raise FormatError(
                f"{path}: truncated: {total} bytes are wanted from byte {offset} on, but it "
                f"ends at byte {offset + done}"
            )
        done += got
    count_phase("read", total)


def byteswap(array: np.ndarray, stored: np.dtype) -> None:
    """Bring C-contiguous values that were read as they are stored into native byte order."""
    if stored.itemsize > 1 and not stored.isnative:
        from ..kernels.runs import swap_bytes

        swap_bytes(array)  # NumPy takes five times as long for 16 bits, and holds the lock


def copy_axes(src: np.ndarray, order: Sequence[int], out: np.ndarray) -> None:
    """``out[...] = src.transpose(order)``, by the transposition kernel where that fits.

    Parameters
    ----------
    src : ndarray
        C-contiguous.
    order : sequence of int
        The axes of `src` in the order of `out`'s.
    out : ndarray
        C-contiguous, of the same itemsize.
    """
    order = tuple(order)
    lead = 0
    while lead < len(order) and order[lead] == lead:
        lead += 1
    if lead == len(order):
        out[...] = src
        return
    tail = order[lead:]
    turn = tail.index(lead)
    rotated = tail[turn:] + tail[:turn] == tuple(range(lead, len(order)))
    if not rotated:
        out[...] = src.transpose(order)
        return
    # tail = (B..., A...) of src's (A..., B...): a plain matrix transposition.
    columns = math.prod(src.shape[axis] for axis in tail[:turn])
    rows = math.prod(src.shape[axis] for axis in tail[turn:])
    count = math.prod(src.shape[:lead])
    matrices = src.reshape(count, rows, columns)
    turned = out.reshape(count, columns, rows)
    for k in range(count):
        transpose_matrix(matrices[k], turned[k])


def place_axes(src: np.ndarray, order: Sequence[int], out: np.ndarray) -> None:
    """As `copy_axes`, where out may be a part of a larger array."""
    if out.flags.c_contiguous:
        copy_axes(src, order, out)
        return
    if tuple(order) == (len(order) - 1, *range(len(order) - 1)):
        flat = out.reshape(len(out), -1)
        # It may be a copy, or a column.
        if np.may_share_memory(flat, out) and flat.strides[-1] == flat.itemsize:
            transpose_matrix(src.reshape(-1, src.shape[-1]), flat)
            return
    out[...] = src.transpose(tuple(order))


def transpose_matrix(src: np.ndarray, dst: np.ndarray) -> None:
    """``dst[...] = src.T``, rows of both contiguous."""
    if src.dtype.itemsize not in (1, 2, 4, 8) or src.size == 0:
        dst[...] = src.T
        return
    from ..kernels.transpose import transpose

    transpose(src, dst)


def read_conf(path: str) -> JsonObject | None:
    """The description beside flat binary files; None where there is none.

    Raises
    ------
    FormatError
        If it is not a JSON object.
    """
    try:
        fd, size = open_file(path)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        if size > LARGEST_CONF:
            raise FormatError(f"{path}: {size} bytes are too many for a description")
        content = file.read(size)
    try:
        conf = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(conf, dict):
        raise FormatError(f"{path}: must be a JSON object, got {type(conf).__name__}")
    return conf
