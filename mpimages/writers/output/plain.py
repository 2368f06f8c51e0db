"""Small files of plain values: JSON that is valid, deterministic, and complete or absent."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from ...core.arguments import check_flag
from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...core.text import expand_user, quote
from ...errors import FormatError
from ...formats.output_names import TEMPORARY, hidden_path


def to_json(fields: Mapping[str, object]) -> bytes:
    """An object as JSON, one field a line, in the order given; ASCII, nested keys sorted."""
    lines = (
        f"  {json.dumps(key)}: {json.dumps(value, sort_keys=True, allow_nan=False)}"
        for key, value in fields.items()
    )
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def plain_metadata(value: object) -> Any:
    """Metadata as values that JSON has: NaN and infinities become None, arrays lists.

    Raises
    ------
    TypeError
        For anything else than None, bool, int, float, str, and lists and mappings of these.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return plain_metadata(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_text_key(key): plain_metadata(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_metadata(item) for item in value]
    raise TypeError(f"metadata can hold numbers, text, lists and dicts, not {type(value).__name__}")


def _text_key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"metadata keys must be text, got {key!r}")
    return key


def plain_index(index: Iterable[object], count: int) -> np.ndarray:
    """The index of a Series as (count,) int64, or float64 where it has fractions.

    With several levels it is (count, levels).

    Raises
    ------
    ValueError
        When it has not one finite number for each of the `count` values of a record, or as many for
        each.
    """
    array = np.asarray(index)
    if array.shape[:1] != (count,) or array.ndim > 2:
        raise ValueError(f"the index must have {count} values, it has shape {array.shape}")
    if array.dtype.kind in "iu":
        if array.dtype.kind == "u" and count and int(array.max()) > np.iinfo(np.int64).max:
            raise ValueError("the index must fit into 64-bit signed integers")
        return array.astype(np.int64)
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError("the index must be finite numbers")
    return array.astype(np.float64)


def read_object(directory: str, name: str) -> JsonObject:
    """A small JSON file as a dict; empty where it is none, and so has no mark of mpimages. Local.

    A link is none.
    """
    path = os.path.join(directory, name)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return {}
        with open(path, "rb") as file:
            value = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write_small(path: str, content: bytes, temporary: str | None = None) -> None:
    """Write a small file so that, after a crash too, it is there whole or not at all."""
    temporary = path + TEMPORARY if temporary is None else temporary
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        error.filename, error.filename2 = path, None
        raise


def save_value(
    path: str, content: bytes, overwrite: object, load: Callable[[str], object], what: str
) -> None:
    """Write a value that all ranks have. Local; several ranks may write the same at a time.

    A file with just this content stays. `load` raises FormatError where a file has no such value,
    and `what` is what messages call it.

    Raises
    ------
    FileExistsError
        Where there is another file; with `overwrite`, where it is none that `load` reads.
    """
    if check_flag(overwrite, "overwrite"):
        try:
            load(path)
        except FileNotFoundError:
            pass
        except FormatError as error:
            raise FileExistsError(f"{error}; it is not replaced") from None
    elif os.path.lexists(path):
        if os.path.isfile(path) and _has(path, content):
            return
        raise FileExistsError(f"{path} exists; overwrite=True replaces a {what}")
    write_small(path, content, hidden_path(path, f"-{os.urandom(8).hex()}{TEMPORARY}"))


def _has(path: str, content: bytes) -> bool:
    if os.path.getsize(path) != len(content):
        return False
    with open(path, "rb") as file:
        return file.read() == content


def check_path(path: object) -> str:
    """Return the path of a small file, with ~ expanded. Local.

    Raises
    ------
    TypeError, ValueError
        Unless a file can have it.
    """
    text: object = None
    with suppress(Exception):  # of a path-like object of any kind
        text = os.fspath(path)  # type: ignore[call-overload]
    if not isinstance(text, str):
        raise TypeError(f"path must be a string or path-like, got {quote(path)}")
    if not text or "\0" in text:
        raise ValueError(f"path must be one that a file can have, got {quote(path)}")
    return expand_user(text)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable, where the file system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return  # one may write into a directory that one may not read
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems know no fsync of directories.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF):
            raise
    finally:
        quietly(os.close, descriptor)
