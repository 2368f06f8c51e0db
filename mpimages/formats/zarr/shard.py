"""A shard: the chunks of a file one after the other, and an index that says where each lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import FormatError
from .codecs import CRC_BYTES, crc32c

__all__ = ["MISSING", "ShardIndex"]

# The offset and the length of a chunk that was never written.
MISSING = (1 << 64) - 1


@dataclass(frozen=True)
class ShardIndex:
    """The index of shards: an offset and a length for each chunk, in C order.

    Attributes
    ----------
    count : int
        Chunks of a shard, those behind the end of the array included.
    at_end : bool
        Whether the index lies at the end of the file; otherwise at its beginning.
    checked : bool
        Whether it ends with its CRC-32C.
    big : bool
        Whether its numbers are big-endian.
    """

    count: int
    at_end: bool = True
    checked: bool = True
    big: bool = False

    @property
    def nbytes(self) -> int:
        """The bytes of the index in the file."""
        return 16 * self.count + CRC_BYTES * self.checked

    def encode(self, places: np.ndarray) -> bytes:
        """Return the bytes of an index.

        Parameters
        ----------
        places : (count, 2) uint64 ndarray
            Offset and length; both `MISSING` for a chunk that is not there.
        """
        if places.shape != (self.count, 2):
            raise ValueError(f"an index of shape {places.shape} for {self.count} chunks")
        content = np.ascontiguousarray(places, ">u8" if self.big else "<u8").tobytes()
        if not self.checked:
            return content
        return content + crc32c(content).to_bytes(CRC_BYTES, "little")

    def decode(self, data: bytes | np.ndarray) -> np.ndarray:
        """Return (count, 2) uint64: the offset and the length of each chunk, or `MISSING`.

        Raises
        ------
        FormatError
            If it is damaged; the message does not name the file.
        """
        stored = bytes(data)
        if len(stored) != self.nbytes:
            raise FormatError(f"its index has {len(stored)} bytes where {self.nbytes} are due")
        content = stored[: 16 * self.count]
        if self.checked and crc32c(content) != int.from_bytes(stored[-CRC_BYTES:], "little"):
            raise FormatError("its index does not have its CRC-32C")
        places = np.frombuffer(content, ">u8" if self.big else "<u8")
        return places.astype(np.uint64).reshape(-1, 2)
