"""The layout of a conversion in rounds within a budget, and its costs: arithmetic. Local."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..core.sizes import size_text
from ..spmd import memory_limit

__all__ = ["HELD_BYTES", "HELD_PART", "ROUND_BYTES", "Layout", "Plan", "lay_out"]

# Bytes that a rank sends, and that it receives, in two turns of an exchange: they stay in the cache
# between packing and unpacking.
EXCHANGE_BYTES = 8 << 20
# Maximum bytes of a round, so that it is short and a job can be stopped and resumed.
ROUND_BYTES = 1 << 30
# Bytes of a block if bands are views of images in memory. Rounds then cost almost nothing: a block
# is filled while the one before is written, and their memory is reused.
BLOCK_BYTES = 16 << 20
# Minimum bytes of each image in a band, so that two bands are held: one is read while another is
# exchanged.
RUN_BYTES = 64 << 10
# Maximum fraction of the budget for a share that is held; a larger one is read band by band.
HELD_PART = 0.75
# Reading a share is one step, which is lost if the job is killed: larger shares are read in bands.
HELD_BYTES = 8 << 30


@dataclass(frozen=True)
class Layout:
    """The layout of a conversion in rounds. The same on all ranks.

    Attributes
    ----------
    way : {'memory', 'share', 'bands', 'frames'}
    width : int
        Pixels in a round, over all ranks.
    grain : int
        Bands begin and end, and are divided among the ranks, at multiples of it.
    rounds : int
        The number of rounds for all pixels.
    blocks : int
        The number of blocks of a rank, and of bands: 1; or 2, to exchange one while others are
        read and written.
    exchange : int
        Bytes that a rank has on their way to others.
    memory : int
        Maximum bytes that a rank takes.
    scratch : int
        Bytes of the scratch file.
    """

    way: str
    width: int
    grain: int
    rounds: int
    blocks: int
    exchange: int
    memory: int
    scratch: int


def lay_out(
    way: str,
    counts: tuple[int, ...],
    pixels: int,
    itemsize: int,
    record: int,
    grain: int,
    memory: int,
    action: str,
) -> Layout:
    """Cut a conversion into rounds that keep within `memory` bytes a rank. Local arithmetic.

    Parameters
    ----------
    way : {'memory', 'share', 'bands', 'frames'}
    counts : tuple of int
        The number of images of each rank.
    pixels, itemsize : int
        The pixels of an image, and the bytes of a pixel.
    record : int
        Bytes of one series with all times, and of the steps' results for it.
    grain : int
        See `Layout`.

    Raises
    ------
    MemoryError
        If not even the narrowest band fits.
    """
    size, most = len(counts), max(counts)
    held = most * pixels * itemsize if way == "share" else 0
    exchange = _exchange_bytes(pixels, size, record, grain, memory)
    in_memory = way in ("memory", "share")
    buffered = 0 if in_memory else most * itemsize
    free = memory - held - 2 * exchange
    if in_memory:
        blocks = 2 if free >= 3 * grain * record else 1
    else:
        least = max(grain, -(-RUN_BYTES // itemsize))
        blocks = 2 if free >= 2 * (least * (buffered + record / size) + grain * record) else 1

    def need(width: int) -> int:
        part = -(-width // (grain * size)) * grain
        return held + 2 * exchange + blocks * (width * buffered + part * record)

    if in_memory and blocks > 1:
        free = min(free, blocks * max(BLOCK_BYTES, 2 * grain * record))
    free = min(free, size * ROUND_BYTES)
    unit = blocks * (buffered + record / size)
    spare = free - blocks * grain * record  # a rank's part is rounded up to the grain
    width = min(pixels, max(grain, int(spare / unit) // grain * grain))
    if need(width) > memory:
        memory_limit.check_fits(
            need(width),
            memory,
            action,
            _instead(
                lambda ranks: _narrowest(
                    way, -(-sum(counts) // ranks), ranks, pixels, itemsize, record, grain, memory
                ),
                size,
                max(sum(counts), pixels),
                memory,
            ),
        )
    scratch = sum(counts) * pixels * itemsize if way == "frames" else 0
    rounds = -(-pixels // width)
    return Layout(way, width, grain, rounds, blocks, exchange, need(width), scratch)


def _exchange_bytes(pixels: int, size: int, record: int, grain: int, memory: int) -> int:
    """Return the bytes that a rank sends at once: not more than the busiest rank may receive."""
    received = max(-(-pixels * record // size), min(pixels, grain) * record)
    return min(EXCHANGE_BYTES, max(1, memory // 8), received) if size > 1 else 0


def _narrowest(
    way: str, most: int, size: int, pixels: int, itemsize: int, record: int, grain: int, memory: int
) -> int:
    """Return the bytes that the narrowest band takes on a rank, of `size` ranks.

    Each rank has at most `most` images.
    """
    held = most * pixels * itemsize if way == "share" else 0
    exchange = _exchange_bytes(pixels, size, record, grain, memory)
    buffered = 0 if way in ("memory", "share") else most * itemsize
    return held + 2 * exchange + min(pixels, grain) * buffered + grain * record


def _instead(need: Callable[[int], int], size: int, most: int, memory: int) -> str:
    """Return the advice if need(size) bytes are too many.

    More ranks do not always help: a rank holds at least one series, and two ranks exchange data
    that one rank already has.
    """
    ranks = 2 * size
    while ranks <= 2 * most and need(ranks) > memory:
        ranks *= 2
    if ranks > 2 * most:
        return "give more with memory=, or take fewer images"
    return f"give more with memory=, or use {ranks} ranks or more that each have as much"


@dataclass(frozen=True)
class Plan:
    """The costs of a conversion; ``print`` shows them as a text.

    Attributes
    ----------
    way : {'memory', 'share', 'bands', 'frames'}
        The source of the pixels: images in memory; the files, each read once and held; the
        files, a band of pixels at a time; a scratch file of decoded images.
    ranks, rounds : int
    memory, budget : int
        Maximum bytes that each rank takes, and that it may take. After a fit they are those of
        the conversion with all shifts; the fit itself keeps within the budget.
    bytesRead, bytesWritten : int
        By all ranks, of the input and of the output.
    bytesScratch : int
        Written and read again beside the output, and removed at the end; 0 for most.
    passes : int
        How many times all images are read.
    bytesFit : int
        Read of the input before, at least, by the fit of a registration; 0 where nothing is
        fitted.
    """

    way: str
    ranks: int
    rounds: int
    memory: int
    budget: int
    bytesRead: int
    bytesWritten: int
    bytesScratch: int
    passes: int = 1
    bytesFit: int = 0

    def after_fit(self, images: int, count: int, held: int) -> Plan:
        """Return the plan with a fit before. Local.

        It reads `images` times one of `count`; each rank then holds so many bytes of shifts.
        """
        read = self.bytesRead * images // count
        return replace(self, passes=self.passes + 1, bytesFit=read, memory=self.memory + held)

    def __str__(self) -> str:
        how = {
            "memory": "the images are in memory",
            "share": "each rank reads its images once and holds them",
            "bands": "each round reads a band of pixels from every file",
            "frames": "images are decoded once, into a scratch file beside the output",
        }[self.way]
        scratch = f"\nscratch file: {size_text(self.bytesScratch)}" if self.bytesScratch else ""
        fit = ""
        if self.bytesFit:
            fit = (
                f"\nbefore: the fit of a registration reads at least {size_text(self.bytesFit)}, "
                f"so that all images are read {self.passes} times"
            )
        return (
            f"{self.ranks} rank{'s' * (self.ranks > 1)}, {self.rounds} "
            f"round{'s' * (self.rounds > 1)}: {how}\n"
            f"memory per rank: {size_text(self.memory)} of {size_text(self.budget)}\n"
            f"read: {size_text(self.bytesRead)}; write: {size_text(self.bytesWritten)}"
            f"{scratch}{fit}"
        )
