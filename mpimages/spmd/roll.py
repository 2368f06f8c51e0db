"""The roll: where each rank is, and when it was last heard from. Rank 0 keeps it.

A rank that waits for others tells rank 0 its place, and tells it again every few seconds. Rank 0
answers with the roll. Meanwhile it asks the ranks that it has not heard from; a rank that works
answers between two batches. So however many ranks wait for one, a period has at most four small
messages for each of them, and none at all goes between two ranks of which neither is rank 0, but
for that of a rank that leaves an action alone (`Roll.tell`).

Every message is a synchronous send: it is complete once it is received. So when the sends of all
ranks are complete, nothing is on its way any more (T. Hoefler, C. Siebert, A. Lumsdaine, "Scalable
communication protocols for dynamic sparse data exchange", 2010).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mpi4py import MPI

from ..core.ranges import Ranges

__all__ = ["FRESH", "WITHIN", "Place", "Roll"]

# Seconds between two messages of a rank that waits, and seconds for each rank, so that rank 0
# receives at most a few hundred a second.
PERIOD = 2.0
FOR_EACH = 5e-3
# The periods after which a rank has not been heard from.
FRESH = 3
# The tag of the messages.
TAG = 0
# Kinds of places in the order in which a rank comes to them within an action.
KINDS = ("in", "waits", "works", "left", "tired", "silence", "out", "ended", "failed")
# The last of those among which a rank may go back and forth.
WITHIN = KINDS.index("works")
# Of these all ranks are told at once.
URGENT = ("tired", "silence", "out", "failed")


@dataclass(frozen=True)
class Place:
    """The place of a rank: its current action, or how it has left.

    Attributes
    ----------
    sequence : int
        The number of the action.
    token : int
        A checksum of number and action, to compare.
    kind : str
        'in': waits for others to enter the action; 'waits' for others within it, or 'works' there;
        'left' it with an exception; 'tired' of waiting for others,
        or has met 'silence' for too long (the text is the error's); 'out' because another rank had
        left; 'ended' or 'failed' as a process. 'stop' asks all to stop the action.
    text : str
    """

    sequence: int
    token: int
    kind: str
    text: str

    @property
    def order(self) -> tuple[int, int]:
        """The order of a rank's places, but that it may wait and work by turns."""
        return self.sequence, max(WITHIN, KINDS.index(self.kind))


class Roll:
    """What this rank knows of the places of all ranks. Every method is local.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The communicator of the watch.

    Attributes
    ----------
    places : dict
        The last known place of each rank.
    furthest : (int, int)
        The greatest `Place.order` of another rank.
    stop : Place or None
        The last request to stop an action.
    given_up : (int, Place) or None
        The last rank that has met silence for too long.
    period : float
        Seconds between two messages of a rank that waits.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self._comm = comm
        self.places: dict[int, Place] = {}
        self.furthest = (0, 0)
        self.stop: Place | None = None
        self.given_up: tuple[int, Place] | None = None
        self.period = max(PERIOD, FOR_EACH * comm.size)
        self._heard: dict[int, float] = {}
        self._sending: list[MPI.Request] = []
        self._asked: set[int] = set()
        self._needed_until = self._next = 0.0
        self._spread: tuple[int, str] | None = None
        self._closing = False

    # -- sending ---------------------------------------------------------------------------

    def tell(self, place: Place, to_next: bool = False) -> None:
        """Tell rank 0 the place of this rank; with `to_next` the next rank instead."""
        rank = self._comm.rank
        if to_next:
            self._send(place, [(rank + 1) % self._comm.size])
        elif rank > 0:
            self._send(place, [0])
        if place.kind != "left":
            self._note(rank, place)

    def tell_all(self) -> None:
        """On rank 0, send the roll to all others; they may not hear from it again."""
        if self._comm.rank == 0:
            self._send(self._told(), range(1, self._comm.size))

    def ask(self, place: Place) -> None:
        """Say that this rank waits at a place, and wants the roll."""
        self.tell(place)
        self._needed_until = time.monotonic() + FRESH * self.period

    def _send(self, message: Any, ranks: Iterable[int]) -> None:
        self._sending += [self._comm.issend(message, rank, TAG) for rank in ranks]

    def is_delivered(self) -> bool:
        """Return True if all messages of this rank have been received."""
        self._sending = [request for request in self._sending if not request.Test()]
        return not self._sending

    def close(self) -> None:
        """Send nothing any more."""
        self._closing = True

    # -- receiving -------------------------------------------------------------------------

    def listen(self, own: Place) -> bool:
        """Receive what has come, and answer it; return True if there was anything.

        Parameters
        ----------
        own : Place
            The place of this rank, for those who ask.
        """
        status, news = MPI.Status(), False
        while (message := self._comm.improbe(tag=TAG, status=status)) is not None:
            value, source, news = message.recv(), status.Get_source(), True
            if isinstance(value, Place):
                self._take(source, value)
            elif value is None:  # rank 0 asks
                if not self._closing:
                    self.tell(own)
            else:
                self._learn(*value)
        if self._comm.rank == 0 and not self._closing:
            self._ask_quiet()
        return news

    def _take(self, source: int, place: Place) -> None:
        self._asked.discard(source)
        self._note(source, place)
        if self._comm.rank > 0 or self._closing:
            return
        if place.kind in ("in", "waits"):
            self._needed_until = time.monotonic() + FRESH * self.period
            self._send(self._told(), [source])
        elif place.kind in (*URGENT, "stop") and self._spread != (place.sequence, place.kind):
            self._spread = place.sequence, place.kind
            self.tell_all()

    def _note(self, rank: int, place: Place) -> None:
        self._heard[rank] = time.monotonic()
        if place.kind == "silence" and rank != self._comm.rank:
            self.given_up = rank, place
        if place.kind == "stop":
            self.stop = place
        elif rank not in self.places or place.order >= self.places[rank].order:
            self.places[rank] = place
            if rank != self._comm.rank:
                self.furthest = max(self.furthest, place.order)

    def _ask_quiet(self) -> None:
        """Ask the ranks that have been quiet for a period, if anybody waits for them."""
        now = time.monotonic()
        if now > self._needed_until or now < self._next:
            return
        self._next = now + self.period
        quiet = set(self.quiet(self.period, 0.0)) - self._asked
        self._asked |= quiet
        self._send(None, quiet)

    # -- what is known ---------------------------------------------------------------------

    def _told(self) -> tuple[list[tuple[Place, Ranges]], dict[int, float], Place | None]:
        """Return what rank 0 knows, in few words: ranks of one place are told together."""
        groups: dict[Place, list[tuple[int, int]]] = {}
        for rank, place in self.places.items():
            groups.setdefault(place, []).append((rank, rank + 1))
        quiet = self.quiet(FRESH * self.period, 0.0)
        known = {rank: seconds for rank, seconds in quiet.items() if rank in self.places}
        return [(place, Ranges(ranks)) for place, ranks in groups.items()], known, self.stop

    def _learn(
        self, groups: list[tuple[Place, Ranges]], quiet: dict[int, float], stop: Place | None
    ) -> None:
        """Take over the roll of rank 0."""
        now = time.monotonic()
        for place, ranks in groups:
            for start, end in ranks:
                for rank in range(start, end):
                    if rank != self._comm.rank:
                        self._note(rank, place)
                        self._heard[rank] = now - quiet.get(rank, 0.0)
        self._heard[0] = now
        self.stop = stop if stop is not None else self.stop

    def heard_since(self, moment: float) -> set[int]:
        """Return the other ranks that were heard from since a moment."""
        return {rank for rank, when in self._heard.items() if when >= moment} - {self._comm.rank}

    def quiet(self, seconds: float, since: float) -> dict[int, float]:
        """Return the ranks not heard from for so many seconds, and for how long.

        `since` is when this rank began to wait for those that have never been heard from.
        """
        now, own = time.monotonic(), self._comm.rank
        waited = {
            rank: now - max(since, self._heard.get(rank, since))
            for rank in range(self._comm.size)
            if rank != own
        }
        return {rank: time for rank, time in waited.items() if time > seconds}
