"""Collective calls that do not block: whoever waits polls, and a look-out ends useless waiting.

A blocking call of MPI cannot tell for whom it waits, and does not end where a link is cut. So
each call here posts the nonblocking one and waits in `waiting.complete`. Only what makes or frees
a communicator blocks. Values travel pickled: small ones in slots of a fixed size, so that one
call is enough; larger ones need a second.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from mpi4py import MPI

from ..core.partition import Partition
from ..core.timers import phase
from .waiting import abandon, complete

__all__ = [
    "PIECE_BYTES",
    "Transfer",
    "allgather",
    "allgather_in_place",
    "allreduce",
    "barrier",
    "broadcast",
    "broadcast_array",
    "gather",
    "scatter",
]

Value = TypeVar("Value")

# The counts of one MPI call stay below this, so that an MPI without large counts suffices.
PIECE_BYTES = 1 << 30
# Bytes of a slot: of what one rank sends to all, and of what each rank sends.
WIDE_SLOT = 1 << 10
SLOT = 1 << 8
# Bytes at the beginning of a slot, which tell the length of the pickle.
LENGTH = 8
# The tag of a transfer between two ranks.
TRANSFER = 2

SIGN_BIT = np.uint64(1 << 63)
NOTHING = np.empty(0)


# -- values --------------------------------------------------------------------------------


def broadcast(comm: MPI.Intracomm, value: Value, root: int = 0) -> Value:
    """Return root's value on all ranks. Collective; the others' are ignored."""
    if comm.size == 1:
        return value
    packed = _packed(value) if comm.rank == root else b""
    slot = _slot(packed, WIDE_SLOT)
    complete(comm, comm.Ibcast([slot, MPI.BYTE], root), slot)
    length = _lengths(slot, WIDE_SLOT)[0]
    if length > WIDE_SLOT - LENGTH:
        slot = np.frombuffer(bytearray(packed or length), np.uint8)
        broadcast_array(comm, slot, root)
    else:
        slot = slot[LENGTH : LENGTH + length]
    found: Value = value if comm.rank == root else pickle.loads(slot.tobytes())
    return found


def allgather(comm: MPI.Intracomm, value: Value) -> list[Value]:
    """Return every rank's value, in rank order, on all ranks. Collective."""
    if comm.size == 1:
        return [value]
    packed = _packed(value)
    own, slots = _slot(packed, SLOT), np.empty(comm.size * SLOT, np.uint8)
    complete(comm, comm.Iallgather([own, MPI.BYTE], [slots, MPI.BYTE]), (own, slots))
    lengths = _lengths(slots, SLOT)
    if max(lengths) <= SLOT - LENGTH:
        return [pickle.loads(part) for part in _parts(slots, SLOT, lengths)]
    received = np.empty(sum(lengths), np.uint8)
    sent = np.frombuffer(packed, np.uint8)
    complete(
        comm,
        comm.Iallgatherv([sent, MPI.BYTE], [received, lengths, None, MPI.BYTE]),
        (sent, received),
    )
    return [pickle.loads(part) for part in _cut(received, lengths)]


def gather(comm: MPI.Intracomm, value: Value, root: int = 0) -> list[Value] | None:
    """Return every rank's value, in rank order, on root; None on the others. Collective."""
    if comm.size == 1:
        return [value]
    packed = _packed(value)
    length = np.array([len(packed)])
    lengths = np.empty(comm.size, np.int64)
    complete(comm, comm.Igather(length, lengths, root), (length, lengths))
    chosen = lengths.tolist() if comm.rank == root else [0] * comm.size
    received, sent = np.empty(sum(chosen), np.uint8), np.frombuffer(packed, np.uint8)
    complete(
        comm,
        comm.Igatherv([sent, MPI.BYTE], [received, chosen, None, MPI.BYTE], root),
        (sent, received),
    )
    return None if comm.rank != root else [pickle.loads(part) for part in _cut(received, chosen)]


def scatter(comm: MPI.Intracomm, values: Sequence[Value] | None, root: int = 0) -> Value:
    """Return the own one of root's values, of which there is one for each rank. Collective."""
    packed = [_packed(value) for value in values or ()] if comm.rank == root else []
    if comm.size > 1:
        lengths = np.array([len(part) for part in packed] or [0] * comm.size)
        length = np.empty(1, np.int64)
        complete(comm, comm.Iscatter(lengths, length, root), (lengths, length))
        sent = np.frombuffer(b"".join(packed), np.uint8)
        own = np.empty(length[0], np.uint8)
        complete(
            comm,
            comm.Iscatterv([sent, lengths.tolist(), None, MPI.BYTE], [own, MPI.BYTE], root),
            (sent, own),
        )
        packed = [own.tobytes()]
    found: Value = pickle.loads(packed[0])
    return found


def barrier(comm: MPI.Intracomm) -> None:
    """Wait until all ranks have come here. Collective."""
    if comm.size > 1:
        complete(comm, comm.Ibarrier(), NOTHING)


def _packed(value: object) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _slot(packed: bytes, size: int) -> np.ndarray:
    """Return a slot with the length of a pickle, and with the pickle if it fits."""
    slot = np.zeros(size, np.uint8)
    slot[:LENGTH] = np.array([len(packed)]).view(np.uint8)
    if LENGTH + len(packed) <= size:
        slot[LENGTH : LENGTH + len(packed)] = np.frombuffer(packed, np.uint8)
    return slot


def _lengths(slots: np.ndarray, size: int) -> list[int]:
    lengths: list[int] = slots.reshape(-1, size)[:, :LENGTH].copy().view(np.int64)[:, 0].tolist()
    return lengths


def _parts(slots: np.ndarray, size: int, lengths: list[int]) -> Iterator[bytes]:
    for slot, length in zip(slots.reshape(-1, size), lengths, strict=True):
        yield slot[LENGTH : LENGTH + length].tobytes()


def _cut(received: np.ndarray, lengths: list[int]) -> Iterator[bytes]:
    end = 0
    for length in lengths:
        begin, end = end, end + length
        yield received[begin:end].tobytes()


# -- arrays --------------------------------------------------------------------------------


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield flat views of at most PIECE_BYTES each of a C-contiguous array."""
    flat = array.reshape(-1)
    step = max(1, PIECE_BYTES // max(1, array.itemsize))
    for start in range(0, flat.size, step):
        yield flat[start : start + step]


def allreduce(comm: MPI.Intracomm, array: np.ndarray, op: MPI.Op = MPI.SUM) -> np.ndarray:
    """Reduce a C-contiguous array over the ranks in place, and return it. Collective."""
    if comm.size == 1:
        return array
    # Open MPI 4.1 compares uint64 as if it were signed: flip the sign bit to keep the order.
    shifted = array.dtype == np.uint64 and op in (MPI.MAX, MPI.MIN)
    if shifted:
        array ^= SIGN_BIT
    with phase("exchange", array.nbytes):
        for piece in _pieces(array.view(np.int64) if shifted else array):
            complete(comm, comm.Iallreduce(MPI.IN_PLACE, piece, op=op), piece)
    if shifted:
        array ^= SIGN_BIT
    return array


def broadcast_array(comm: MPI.Intracomm, array: np.ndarray, root: int) -> np.ndarray:
    """Broadcast root's C-contiguous array in place, and return it. Collective."""
    if comm.size > 1:
        with phase("exchange", array.nbytes):
            for piece in _pieces(array.view(np.uint8).reshape(-1) if array.size else array):
                complete(comm, comm.Ibcast([piece, MPI.BYTE], root), piece)
    return array


def allgather_in_place(comm: MPI.Intracomm, out: np.ndarray, partition: Partition) -> np.ndarray:
    """Fill the other ranks' rows of a C-contiguous array, and return it. Collective.

    Parameters
    ----------
    out : (partition.count, ...) ndarray
        Has this rank's rows in their place already.
    """
    if out.nbytes == 0 or comm.size == 1:
        return out
    width = out.nbytes // partition.count
    if out.nbytes <= PIECE_BYTES:
        counts = [n * width for n in partition.counts]
        offsets = [n * width for n in partition.offsets[:-1]]
        flat = out.reshape(-1).view(np.uint8)
        with phase("exchange", out.nbytes):
            posted = comm.Iallgatherv(MPI.IN_PLACE, [flat, counts, offsets, MPI.BYTE])
            complete(comm, posted, flat)
    else:
        for rank in range(comm.size):
            start, stop = partition.bounds(rank)
            broadcast_array(comm, out[start:stop], rank)
    return out


class Transfer:
    """Arrays on their way between pairs of ranks, while this rank may do something else.

    Only ranks that have something for each other exchange messages. Each pair of ranks begins its
    transfers in the same order. Until a transfer is finished its arrays must stay.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    sent, received : iterable of (int, ndarray)
        The other rank, and a C-contiguous array: as many bytes on both sides.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        sent: Iterable[tuple[int, np.ndarray]],
        received: Iterable[tuple[int, np.ndarray]],
    ) -> None:
        self._comm = comm
        self._requests: list[MPI.Request] = []
        self._pieces: list[np.ndarray] = []
        for post, ends in ((comm.Irecv, received), (comm.Isend, sent)):
            for rank, array in ends:
                for piece in _pieces(array.reshape(-1).view(np.uint8)):
                    self._requests.append(post([piece, MPI.BYTE], rank, TRANSFER))
                    self._pieces.append(piece)

    def Test(self) -> bool:
        """Let MPI move what it can now; return True once all has arrived and is sent. Local."""
        if self._requests and MPI.Request.Testall(self._requests):
            self._requests, self._pieces = [], []
        return not self._requests

    def finish(self) -> None:
        """Wait until all has arrived and is sent."""
        if not self.Test():
            complete(self._comm, self, tuple(self._pieces), bulk=True)

    def give_up(self) -> None:
        """Keep the arrays for ever, unless all is done: MPI may still write to them. Local."""
        if self._requests:
            abandon(self, tuple(self._pieces))
