"""Datasets that are one image, or movie, after the other: ``dataset='t{t}/s00/0/cells'``."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ...errors import FormatError
from ..base import Handle, Header, Scratch
from .links import LinkedFiles

PLACE = "{t}"


def numbered_datasets(files: LinkedFiles, pattern: str, drop: bool = False) -> list[str]:
    """The names that fit a pattern with one ``{t}``, in the order of the numbers.

    Parameters
    ----------
    files : LinkedFiles
    pattern : str
    drop : bool
        Whether what is not there at the end is left out.

    Raises
    ------
    ValueError
        If none fits, or two have the same number.
    FormatError
        If a number is missing, or a dataset where the group around it is there.
    """
    import h5py

    path = files.path
    if pattern.count(PLACE) != 1:
        raise ValueError(f"{path}: dataset={pattern!r} must have {PLACE} once")
    before, after = pattern.split(PLACE)
    parent, slash, start = before.rpartition("/")
    end, _, rest = after.partition("/")
    group = files.item(parent)
    if not isinstance(group, h5py.Group):
        raise ValueError(f"{path}: dataset={pattern!r}: it has no group {parent!r}")
    fits = re.compile(f"{re.escape(start)}([0-9]+){re.escape(end)}").fullmatch
    numbered: dict[int, str] = {}
    for name in group:
        match = fits(name)
        if match is None:
            continue
        number = int(match[1])
        if number in numbered:
            raise ValueError(
                f"{path}: dataset={pattern!r}: {numbered[number]} and {name} have the same number"
            )
        numbered[number] = name
    if not numbered:
        some = ", ".join(list(group)[:10])
        raise ValueError(
            f"{path}: dataset={pattern!r}: no name fits {start}{PLACE}{end}; "
            f"{parent or 'the file'} has {some or 'nothing'}"
        )
    tail = f"/{rest}" if rest else ""
    numbers = sorted(numbered)
    for one, following in pairwise(numbers):
        if following != one + 1:
            raise FormatError(
                f"{path}: dataset={pattern!r}: number {one + 1} is missing, between "
                f"{numbered[one]} and {numbered[following]}; put it back, or load one dataset at a "
                f"time, such as dataset={f'{parent}{slash}{numbered[one]}{tail}'!r}"
            )
    names = [f"{parent}{slash}{numbered[number]}{tail}" for number in numbers]
    while names and not _is_there(files, names[-1], drop):
        if not drop:
            raise FormatError(f"{path}: dataset={pattern!r}: it has no {names[-1]}")
        names.pop()
    files.release()
    if not names:
        raise ValueError(
            f"{path}: dataset={pattern!r}: no {rest or 'dataset'} is in {parent or 'the file'}"
        )
    return names


def _is_there(files: LinkedFiles, name: str, drop: bool) -> bool:
    """Whether a name stands for anything; with `drop`, also where its file is not there."""
    try:
        return files.item(name) is not None
    except FormatError:
        if not drop:
            raise
        return False


class SequenceHandle(Handle):
    """Datasets of as many images each, but for the last.

    Parameters
    ----------
    path, header, count, scratch
        As `Handle`.
    each : int
        How many images a dataset has.
    open_part : callable
        Makes the handle of one dataset, by its number.
    files : LinkedFiles
        Closed with the handle.
    """

    def __init__(
        self,
        path: str,
        header: Header,
        count: int,
        each: int,
        open_part: Callable[[int], Handle],
        files: LinkedFiles,
        scratch: Scratch | None,
    ) -> None:
        super().__init__(path, header, count, scratch)
        self._each = each
        self._open_part = open_part
        self._files = files

    def close(self) -> None:
        self._files.close()

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        self.read_images(np.arange(start, stop), out)

    def read_images(self, images: np.ndarray, out: np.ndarray) -> None:
        if len(images) == 0:
            return
        self._check_range(int(images[0]), int(images[-1]) + 1)
        parts, within = np.divmod(images, self._each)
        cuts = np.flatnonzero(np.diff(parts, prepend=-1)).tolist()
        for a, b in zip(cuts, [*cuts[1:], len(images)], strict=True):
            with self._open_part(int(parts[a])) as part:
                part.read_images(within[a:b], out[a:b])
            self._files.release()
