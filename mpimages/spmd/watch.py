"""A handshake at the entry of each action, which detects ranks that are out of step.

The ranks of a communicator count their actions. At the entry of each they post a nonblocking
Allreduce of (number, action), and continue as soon as it is complete, which takes some
microseconds if all ranks arrive. A rank that ends posts one for its end, too, so that waiting
ranks learn of it. A rank that has waited for a while sends its place to all others and looks for
theirs, so that two ranks in different actions need not wait for a third. Silence alone is not an
error: that rank may be slow.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from ..core.timers import phase
from ..errors import CollectiveMismatchError
from .agreement import mark_agreed, mark_of_user
from .progress_messages import Reports
from .waiting import PAUSE, spin

__all__ = ["Watch", "calling"]

# Seconds until a waiting rank sends its place; between its warnings; to collect the places of the
# others if all have posted, or if only some have; that an agreement may take to arrive; to look
# for messages that have come while this rank was elsewhere.
ANNOUNCE = 2.0
WARN = 30.0
ASK = 2.0
GATHER = 0.5
ARRIVE = 3.0
BEHIND = 5e-3
SHOWN = 8
# Before the text of a place of this kind.
WHERE = {"in": "is in ", "tired": "no longer waits in "}
# Maximum pieces of work in an action. The tag of messages with places.
PIECES = 1 << 24
PLACE = 0

_log = logging.getLogger("mpimages")


class _Here(threading.local):
    """State of this thread."""

    calling = False


_here = _Here()


@contextmanager
def calling() -> Iterator[None]:
    """Mark a block that calls the user's functions for records of this rank. Local.

    Other ranks call them for other records, another number of times: they must not contain
    collective calls.
    """
    before, _here.calling = _here.calling, True
    try:
        yield
    except BaseException as error:
        mark_of_user(error)
        raise
    finally:
        _here.calling = before


@dataclass(frozen=True)
class _Place:
    """The place of a rank: its current action, or how it has left."""

    sequence: int
    token: int
    # 'in' an action; 'left' it with an exception; 'tired' of waiting for others to enter it; 'out'
    # because another rank had left; 'ended' or 'failed' as a process; 'stop' asks the others to
    # stop this action.
    kind: str
    text: str


class Watch:
    """The ranks of a communicator, compared at the entry of each action. Local constructor.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Of the watch alone, so that nobody else receives its messages; `close` frees it.

    Attributes
    ----------
    broken : bool
        True if the ranks were found out of step: no further action is possible.
    left : bool
        True if one of the ranks has ended.
    reports : Reports
        Progress messages of the ranks.
    meanwhile : callable or None
        Called regularly by a rank that waits within an action.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self.comm = comm
        self.alone = comm.size == 1
        self.broken = False
        self.left = False
        self.depth = 0  # nesting of actions, the same on all ranks
        self.reports = Reports(self.comm)
        self.meanwhile: Callable[[], None] | None = None
        self._pieces = 0
        self._parted = False  # True if the last handshake has not completed
        self._gone_since: float | None = None
        self._sequence = 0
        self._last = "ThunderContext"
        self._mine = _Place(0, 0, "in", self._last)
        self._announced = 0
        self._leaving = 0.0
        self._places: dict[int, _Place] = {}
        self._stop: _Place | None = None
        self._sending: list[MPI.Request] = []
        self._sent = 0  # to all others; the next: to the next rank only
        self._told_next = 0
        self._received = np.zeros(comm.size, dtype=np.int64)
        self._posted: MPI.Request | None = None
        self._words = np.zeros(2, dtype=np.int64)
        self._counts = np.zeros((comm.size, 3), dtype=np.int64)
        self._counting: MPI.Request | None = None

    # -- actions ---------------------------------------------------------------------------

    def enter(self, action: str, limit: float | None = None) -> None:
        """Wait until all ranks have entered the same action. Collective.

        Parameters
        ----------
        action : str
        limit : float, optional
            Seconds after which silence counts as an error.

        Raises
        ------
        CollectiveMismatchError
            If others are in other actions or have left; the watch is broken then.
        RuntimeError
            Within `calling`.
        """
        if self.alone:
            return
        if _here.calling:
            raise RuntimeError(
                f"{action} is called by all ranks together, and not by a function that runs on one "
                "record of another action: call it before, and let the function use its result"
            )
        if self.depth:
            return
        self._pieces = 0
        posted = self._post(action, "in", action)
        with phase("wait (ranks)"):
            if not spin(posted):
                self._wait(posted, limit)
        self._posted = None
        if self._words[0] != -self._words[1]:
            self._learn_places(ASK)
            self._raise_mismatch()
        self._last = action
        self._gone_since = None

    def next_piece(self) -> int:
        """Return the number of the next piece of work; the same on all ranks. Local."""
        self._pieces += 1
        return self._sequence * PIECES + self._pieces

    def _post(self, meaning: str, kind: str, text: str) -> MPI.Request:
        self._sequence += 1
        token = zlib.crc32(f"{self._sequence} {meaning}".encode())
        self._mine = _Place(self._sequence, token, kind, text)
        self._words[:] = token, -token
        self._posted = posted = self.comm.Iallreduce(MPI.IN_PLACE, self._words, op=MPI.MAX)
        return posted

    def _wait(self, posted: MPI.Request, limit: float | None) -> None:
        """Wait until the handshake is complete, and look for messages meanwhile."""
        began, warned = time.monotonic(), 0.0
        try:
            while not posted.Test():
                waited = time.monotonic() - began
                time.sleep(min(PAUSE, waited / 4))
                if waited > ANNOUNCE:
                    self._announce()
                self._listen()
                if any(self._differs(place) for place in self._places.values()):
                    self._learn_places(GATHER)
                    self._raise_mismatch()
                if limit is not None and waited > limit:
                    self._raise_silence(waited)
                if waited > warned + WARN:
                    warned = waited
                    _log.warning("waiting for %.0f s: %s", waited, self._told())
        except BaseException:
            if not self._parted:  # a limit or a signal, of this rank alone
                self._send(_Place(self._sequence, self._mine.token, "tired", self._mine.text))
            self.broken = self._parted = True  # the handshake stays open
            raise

    def _differs(self, place: _Place) -> bool:
        return place.sequence == self._sequence and place.token != self._mine.token

    def look_behind(self) -> None:
        """Learn whether others have given up an action that this rank has not entered. Local."""
        if self.alone:
            return
        end = time.monotonic() + BEHIND  # MPI finds messages that have come after some looks only
        while not self.broken and time.monotonic() < end:
            self._listen()
            self.broken = any(
                place.kind == "tired" and place.sequence > self._sequence
                for place in self._places.values()
            )  # but not parted: at its end this rank completes their handshake

    # -- messages between ranks ------------------------------------------------------------

    def _announce(self) -> None:
        """Send this rank's place to all others, once. Local."""
        if self._announced < self._sequence:
            self._announced = self._sequence
            self._send(self._mine)

    def _send(self, place: _Place, ranks: Iterable[int] | None = None) -> None:
        self._sending = [request for request in self._sending if not request.Test()]
        others = range(self.comm.size) if ranks is None else ranks
        self._sending += [
            self.comm.isend(place, rank, PLACE) for rank in others if rank != self.comm.rank
        ]
        if ranks is None:
            self._sent += 1

    def _listen(self) -> None:
        """Receive the pending messages. Local."""
        status = MPI.Status()
        while (message := self.comm.improbe(tag=PLACE, status=status)) is not None:
            place = message.recv()
            rank = status.Get_source()
            self._received[rank] += 1
            if place.kind == "stop":
                self._stop = place
            else:
                self._places[rank] = place

    def _learn_places(self, seconds: float) -> None:
        """Send this rank's place after a mismatch, and collect the others' for `seconds`. Local."""
        self._announce()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._listen()
            if (
                sum(p.sequence == self._sequence for p in self._places.values())
                == self.comm.size - 1
            ):
                break
            time.sleep(PAUSE)

    def _told(self) -> str:
        """Return a text with the known place of each rank. Local."""
        known = {self.comm.rank: self._mine, **self._places}
        here = {rank: place for rank, place in known.items() if place.sequence == self._sequence}
        texts = [
            f"rank {rank} {WHERE.get(here[rank].kind, '')}{here[rank].text}"
            for rank in sorted(here)[:SHOWN]
        ]
        if len(here) > SHOWN:
            texts.append(f"{len(here) - SHOWN} more are known")
        silent = [rank for rank in range(self.comm.size) if rank not in here]
        if silent:
            named = ", ".join(map(str, silent[:SHOWN])) + (" …" if len(silent) > SHOWN else "")
            texts.append(f"rank {named} not heard from since {self._last}")
        return "; ".join(texts)

    def _raise_mismatch(self) -> None:
        self.broken = self._parted = True
        here = {rank: place for rank, place in self._places.items() if self._differs(place)}
        first = [rank for rank, place in here.items() if place.kind in ("failed", "out")]
        self.left = any(place.kind in ("ended", "failed") for place in here.values())
        waiting = [
            rank
            for rank, place in self._places.items()
            if place.sequence == self._sequence and place.kind == "in"
        ]
        error = CollectiveMismatchError(
            f"the ranks called different methods, or one has left: {self._told()}. A collective "
            "method is to be called by all ranks; the context is closed now"
        )
        raise mark_agreed(error, self.comm, min(first or [self.comm.rank, *waiting]))

    def _raise_silence(self, waited: float) -> None:
        raise CollectiveMismatchError(
            f"waited {waited:.0f} s for the others: {self._told()}. ThunderContext(timeout=) or "
            "MPIMAGES_TIMEOUT is the limit; the context is closed now"
        )

    def look_about(self) -> None:
        """Raise if another rank has left the action in which this rank waits. Local.

        A rank passes an agreement only after all have reached it. So if a rank is in a later
        action, or has sent that it left this one, and this rank still waits, then that rank has
        left with an exception of its own.
        """
        if self.meanwhile is not None:
            self.meanwhile()
        self._listen()
        gone = [rank for rank, place in self._places.items() if self._is_gone(place)]
        if not gone:
            return
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now - self._gone_since > ARRIVE:
            # Ranks that only detected the mismatch are not its cause.
            found = {rank for rank in gone if self._places[rank].kind == "out"}
            first = min(set(gone) - found or found)
            error = CollectiveMismatchError(self._told_gone(first))
            if any(place.kind == "tired" for place in self._places.values()):
                self.broken = self._parted = True  # all know, and that rank posts nothing more
            else:
                self._part(f"has found that rank {first} had left {self._mine.text}")
            raise mark_agreed(error, self.comm, min({self.comm.rank, *found}))

    def _is_gone(self, place: _Place) -> bool:
        if place.kind in ("left", "tired"):  # this rank may have left it, too
            return place.sequence == self._sequence and self.depth > 0
        return place.sequence > self._sequence

    def _told_gone(self, rank: int) -> str:
        place = self._places[rank]
        if place.kind == "tired":
            return (
                f"rank {rank} has not waited for rank {self.comm.rank} in {place.text}: it has met "
                "its timeout, or was interrupted. The context is closed now"
            )
        now = "" if place.kind == "left" else f", and {WHERE.get(place.kind, '')}{place.text}"
        return (
            f"rank {rank} has left {self._mine.text}, in which rank {self.comm.rank} waits for "
            f"it{now}: it has met an error alone, or may have been given other arguments. The "
            "context is closed now"
        )

    def _part(self, text: str) -> None:
        """Mark this rank as broken and notify all ranks. Local."""
        if self.broken:
            return
        self.broken = self._parted = True
        self._post("out of step", "out", text)
        self._announce()

    def leave(self) -> None:
        """Notify the next rank that this rank left the action with an exception. Local.

        Ranks that left it too ignore the notice. One that is still in the action notifies all.
        """
        if self.alone or self.broken:
            return
        place = _Place(self._sequence, self._mine.token, "left", f"has left {self._last}")
        self._send(place, [(self.comm.rank + 1) % self.comm.size])
        self._told_next += 1

    # -- stopping --------------------------------------------------------------------------

    def ask_to_stop(self, why: str) -> None:
        """Notify the other ranks that this action must stop early. Local."""
        if not self.alone:
            self._send(_Place(self._sequence, 0, "stop", why))

    def asked_to_stop(self) -> str | None:
        """Return why another rank asked to stop this action, or None. Local."""
        if self.alone:
            return None
        self._listen()
        stop = self._stop
        return stop.text if stop is not None and stop.sequence == self._sequence else None

    # -- the end ---------------------------------------------------------------------------

    def begin_to_leave(self, failure: str | None, urgent: bool = False) -> None:
        """Begin the end of this rank; call `has_left` until it returns True. Local.

        Parameters
        ----------
        failure : str or None
        urgent : bool
            True to notify the others at once.
        """
        if self.alone:
            return
        self._leaving = time.monotonic()
        if not self._parted:
            text = "has ended" if failure is None else f"has ended of {failure}"
            self._post("the end", "ended" if failure is None else "failed", text)
        if urgent and self._posted is not None:
            self._announce()

    def has_left(self) -> bool:
        """Return True if the other ranks end, too, and no message is pending. Local."""
        if self.alone:
            return True
        self._listen()
        if self._posted is not None:
            if not self._posted.Test():
                if time.monotonic() - self._leaving > ANNOUNCE:
                    self._announce()
                return False
            self._posted = None
            if self._words[0] != -self._words[1]:
                self._announce()
        if self._counting is None:
            sent = np.array([self._sent, self._told_next, self.reports.sent], dtype=np.int64)
            self._counting = self.comm.Iallgather(sent, self._counts)
        if not self._counting.Test():
            return False
        before = (self.comm.rank - 1) % self.comm.size
        expected = self._counts[:, 0].copy()
        expected[before] += self._counts[before, 1]
        expected[self.comm.rank] = 0
        self.reports.take()
        told = self.comm.rank > 0 or (self.reports.received[1:] >= self._counts[1:, 2]).all()
        return (
            bool(told and (self._received >= expected).all())
            and self.reports.delivered()
            and all(request.Test() for request in self._sending)
        )

    def close(self) -> None:
        """Free the communicator, after an action in which all ranks are in step. Collective."""
        while not self.has_left():
            time.sleep(0)
        self.comm.Free()
