"""Runs of bytes in files against the CRC-32 of their pieces, on several threads."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..core.timers import carry_timings, phase
from .findings import Findings

READ_BYTES = 1 << 20
MOST_THREADS = 8
LOOK = 0.2  # seconds until the caller is told how much was read
WRONG = "do not have their checksum"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that lie in a file in one run, cut into pieces.

    Parameters
    ----------
    path : str
    offset, size : int
        Where they begin, and how many there should be.
    piece : int
        The length of a piece; the last one may be shorter.
    crcs : sequence of int
        One for each piece.
    present : int
        How many of the bytes there are; pieces that are not wholly there are not read.
    """

    path: str
    offset: int
    size: int
    piece: int
    crcs: Sequence[int]
    present: int

    @property
    def count(self) -> int:
        """How many pieces can be read."""
        return len(self.crcs) if self.present >= self.size else self.present // self.piece


def find_damaged(runs: Sequence[Stored], findings: Findings) -> list[tuple[int, int, int, str]]:
    """What is wrong in `runs`: number of the run, bytes [first, stop) of it, and why.

    In ascending order; damaged pieces that follow each other are one.
    """
    wrong: list[tuple[int, int, str]] = []
    items = ((r, piece) for r, run in enumerate(runs) for piece in range(run.count))
    on_threads(items, lambda feed: _check(runs, feed, wrong), thread_count(), findings)
    by_run: dict[int, dict[int, str]] = {}
    for number, piece, why in sorted(wrong):
        by_run.setdefault(number, {})[piece] = why
    return [
        (number, *part)
        for number, pieces in by_run.items()
        for part in merge_neighbours(pieces, runs[number].piece, runs[number].size)
    ]


def merge_neighbours(wrong: dict[int, str], piece: int, size: int) -> list[tuple[int, int, str]]:
    """Numbers of pieces as bytes [first, stop) and why; neighbours with the same are one."""
    found: list[tuple[int, int, str]] = []
    for number, why in sorted(wrong.items()):
        first, stop = number * piece, min((number + 1) * piece, size)
        if found and found[-1][1:] == (first, why):
            first = found.pop()[0]
        found.append((first, stop, why))
    return found


def thread_count() -> int:
    """How many threads read at a time."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


def on_threads(
    items: Iterable[T], work: Callable[[Feed[T]], int], count: int, findings: Findings
) -> None:
    """Let `count` threads share `items`: `work` takes them from a feed and checks them.

    It returns how many bytes it has checked, and tells the feed how many of the files it has read.
    """
    feed = Feed(items)
    with ThreadPoolExecutor(count) as pool:
        try:
            jobs = [pool.submit(carry_timings(work), feed) for _ in range(count)]
            with phase("wait (files)"):
                while wait(jobs, LOOK).not_done:
                    findings.tick(feed.read_since())
            findings.tick(feed.read_since())
            for job in jobs:
                findings.bytes += job.result()
        finally:
            feed.stop()  # an interruption does not wait for terabytes


class Feed(Generic[T]):
    """Hands items to the threads, one at a time."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()
        self._stopped = False
        self._read = 0

    def stop(self) -> None:
        self._stopped = True

    def add(self, nbytes: int) -> None:
        """A thread has read so much."""
        with self._lock:
            self._read += nbytes

    def read_since(self) -> int:
        """How much the threads have read since this was asked."""
        with self._lock:
            nbytes, self._read = self._read, 0
        return nbytes

    def __iter__(self) -> Iterator[T]:
        while not self._stopped:
            with self._lock:
                item = next(self._items, None)
            if item is None:
                return
            yield item


def _check(
    runs: Sequence[Stored], feed: Feed[tuple[int, int]], wrong: list[tuple[int, int, str]]
) -> int:
    """Check pieces until there are no more: how many bytes were read."""
    buffer = memoryview(bytearray(READ_BYTES))
    total = 0
    for number, piece in feed:
        run = runs[number]
        first = piece * run.piece
        length = min(run.piece, run.size - first)
        try:
            crc = _crc(run.path, run.offset + first, length, buffer)
        except OSError as error:
            wrong.append((number, piece, f"cannot be read: {error.strerror}"))
            continue
        total += length
        feed.add(length)
        if crc != run.crcs[piece]:
            wrong.append((number, piece, WRONG))
    return total


def _crc(path: str, offset: int, length: int, buffer: memoryview) -> int:
    """The CRC-32 of bytes of a file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        crc = 0
        while length:
            with phase("read", min(length, len(buffer))):
                got = os.preadv(descriptor, [buffer[:length]], offset)
            if got == 0:
                raise OSError(0, "the file ends before")
            with phase("compute", got):
                crc = zlib.crc32(buffer[:got], crc)
            offset += got
            length -= got
        return crc
    finally:
        os.close(descriptor)
