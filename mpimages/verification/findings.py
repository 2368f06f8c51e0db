"""What a check has found so far, and what all checks of directories share."""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Callable, Collection

from ..core.json_types import JsonObject
from ..errors import FormatError

# What lists the checksums of 50 TB; more is no description but damage.
LARGEST_JSON = 1 << 28
MOST_PROBLEMS = 100


class Findings:
    """Problems, and how much was checked.

    Parameters
    ----------
    tick : callable, optional
        Is told how many more bytes of files were looked at, now and then, by the thread that
        has called `verify`.
    """

    def __init__(self, tick: Callable[[int], None] | None = None) -> None:
        self.files = 0
        self.bytes = 0
        self.tick = tick or (lambda nbytes: None)
        self._problems: list[str] = []
        self._further = 0

    def problem(self, text: str) -> None:
        """Take note of one; after a hundred they are only counted."""
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(text)
        else:
            self._further += 1

    def problems(self) -> tuple[str, ...]:
        """All of them, in the order in which they were found."""
        more = [f"and {self._further} further problems"] if self._further else []
        return (*self._problems, *more)


def read_description(path: str) -> bytes:
    """A file's bytes, or so many that it is seen to be no description."""
    with open(path, "rb") as file:
        # What is asked for is allocated, whatever the file has.
        return file.read(min(os.fstat(file.fileno()).st_size, LARGEST_JSON) + 1)


def read_json(directory: str, name: str, findings: Findings) -> tuple[JsonObject, bytes] | None:
    """A description as an object and as its bytes; None, and a problem, where it is none."""
    path = os.path.join(directory, name)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            findings.problem(f"{name}: is a link, a directory or a device, not a file")
            return None
        content = read_description(path)
    except OSError as error:
        findings.problem(f"{name}: cannot be read: {error.strerror}")
        return None
    if len(content) > LARGEST_JSON:
        findings.problem(f"{name}: has more than {LARGEST_JSON} bytes: it is no description")
        return None
    findings.bytes += len(content)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        findings.problem(f"{name}: is not valid JSON: {error}")
        return None
    if not isinstance(value, dict):
        findings.problem(f"{name}: is not a JSON object")
        return None
    return value, content


def own_json(directory: str, name: str, findings: Findings) -> JsonObject | None:
    """A description that mpimages wrote, checked against its own checksum; None without it."""
    described = read_json(directory, name, findings)
    if described is None:
        return None
    value, content = described
    head, found, _ = content.rpartition(b'  "crc32": ')
    if not found or "crc32" not in value:
        findings.problem(f"{name}: has no checksum of its own, so that it cannot be verified")
    elif content != head + b'  "crc32": %d\n}\n' % zlib.crc32(head):
        findings.problem(
            f"{name}: bytes [0, {len(content)}) do not have their checksum: it was changed, and "
            "what it says of the data may be wrong"
        )
    return value


def check_whole(value: object, what: str, least: int, most: int) -> int:
    """`value`, if it is an int from `least` to `most`; else FormatError."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise FormatError(f"{what} is {value!r:.80}, which is no number from {least} to {most}")
    return value


def check_names(directory: str, expected: Collection[str], findings: Findings) -> None:
    """Find what lies in a directory and does not belong there; names may have slashes."""
    _check_below(directory, "", set(expected), findings)


def _check_below(directory: str, above: str, expected: set[str], findings: Findings) -> None:
    for name in sorted(os.listdir(os.path.join(directory, above))):
        path = above + name
        if path in expected:
            continue
        inside = any(one.startswith(path + "/") for one in expected)
        if inside and stat.S_ISDIR(os.lstat(os.path.join(directory, path)).st_mode):
            _check_below(directory, path + "/", expected, findings)
        else:
            findings.problem(f"{path}: is not part of this output")


def size_of(directory: str, name: str, size: int, findings: Findings) -> int:
    """How many bytes a file has that should have `size`; -1 without a regular file."""
    findings.files += 1
    try:
        status = os.lstat(os.path.join(directory, name))
    except FileNotFoundError:
        findings.problem(f"{name}: is missing")
        return -1
    except OSError as error:
        findings.problem(f"{name}: cannot be read: {error.strerror}")
        return -1
    if not stat.S_ISREG(status.st_mode):
        findings.problem(f"{name}: is a link, a directory or a device, not a file")
        return -1
    if status.st_size != size:
        findings.problem(f"{name}: has {status.st_size} bytes, not {size}")
    return status.st_size
