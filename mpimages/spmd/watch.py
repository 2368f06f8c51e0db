"""A handshake at the entry of each action, which detects ranks that are out of step.

The ranks of a communicator count their actions. At the entry of each they post a nonblocking
Allreduce of (number, action), and continue as soon as it is complete, which takes some
microseconds if all ranks arrive. A rank that ends posts one for its end, too, so that waiting
ranks learn of it. A rank that waits for a while, here or within an action, asks rank 0 for the
roll (`roll`): so two ranks in different actions need not wait for a third, and it can say for whom
it waits. Silence alone is no error: a rank may be slow. Where a limit was set, it is one after
that time.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NoReturn

import numpy as np
from mpi4py import MPI

from ..core.timers import phase
from ..errors import CollectiveMismatchError
from .agreement import mark_agreed, mark_of_user
from .nodes import Nodes
from .progress_messages import Reports
from .roll import FRESH, WITHIN, Place, Roll
from .waiting import PAUSE, poll, spin

__all__ = ["Watch", "between_calls", "calling"]

# Seconds until a waiting rank asks for the roll; between its warnings; to collect the places of
# the others if all have posted, or if only some have; that an agreement may take to arrive; to
# look for messages that have come while this rank was elsewhere; between two looks of one that
# works.
ASK = 2.0
WARN = 30.0
COLLECT = 2.0
GATHER = 0.5
ARRIVE = 3.0
BEHIND = 5e-3
GLANCE = 0.1
SHOWN = 8
# Before the text of a place of this kind.
WHERE = {"in": "is in ", "waits": "waits in ", "works": "works in ", "tired": "no longer waits in "}
# Maximum pieces of work in an action.
PIECES = 1 << 24

_log = logging.getLogger("mpimages")


class _Here(threading.local):
    """State of this thread."""

    calling = False
    glance: Callable[[], None] | None = None


_here = _Here()


@contextmanager
def calling(glance: Callable[[], None]) -> Iterator[None]:
    """Mark a block that calls the user's functions for records of this rank. Local.

    Other ranks call them for other records, another number of times: they must not contain
    collective calls. `glance` answers ranks that wait for this one; see `between_calls`.
    """
    before, _here.calling = _here.calling, True
    _here.glance = glance
    try:
        yield
    except BaseException as error:
        mark_of_user(error)
        raise
    finally:
        _here.calling = before
        if not before:
            _here.glance = None


def between_calls() -> None:
    """Answer ranks that wait for this one, between two calls of a user's function. Local."""
    if _here.glance is not None:
        _here.glance()


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
    roll : Roll
    nodes : Nodes or None
        The hosts of the ranks, once they are known.
    limit : float or None
        Seconds of silence that are an error, in the present action.
    meanwhile : callable or None
        Called regularly by a rank that waits within an action.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self.comm = comm
        self.alone = comm.size == 1
        self.nodes: Nodes | None = None
        self.broken = False
        self.left = False
        self.depth = 0  # nesting of actions, the same on all ranks
        self.limit: float | None = None
        self.reports = Reports(self.comm)
        self.roll = Roll(self.comm)
        self.meanwhile: Callable[[], None] | None = None
        self._pieces = 0
        self._parted = False  # True if the last handshake has not completed
        self._gone_since: float | None = None
        self._sequence = 0
        self._last = "ThunderContext"
        self._mine = Place(0, 0, "in", self._last)
        self._asked = self._warned = self._waited = self._glanced = self._leaving = 0.0
        self._posted: MPI.Request | None = None
        self._words = np.zeros(2, dtype=np.int64)
        self._ending: MPI.Request | None = None

    # -- actions ---------------------------------------------------------------------------

    def enter(self, action: str, limit: float | None = None) -> None:
        """Wait until all ranks have entered the same action. Collective.

        Parameters
        ----------
        action : str
        limit : float, optional
            Seconds after which silence counts as an error, here and within the action.

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
        self.limit = limit
        posted = self._post(action, "in", action)
        with phase("wait (ranks)"):
            if not spin(posted):
                self._wait(posted)
        self._posted = None
        if self._words[0] != -self._words[1]:
            self._collect(COLLECT)
            self._raise_mismatch()
        self._last = action
        self._mine = replace(self._mine, kind="works")
        self._gone_since = None

    def next_piece(self) -> int:
        """Return the number of the next piece of work; the same on all ranks. Local."""
        self._pieces += 1
        return self._sequence * PIECES + self._pieces

    def _post(self, meaning: str, kind: str, text: str) -> MPI.Request:
        self._sequence += 1
        token = zlib.crc32(f"{self._sequence} {meaning}".encode())
        self._mine = Place(self._sequence, token, kind, text)
        self._words[:] = token, -token
        self._posted = posted = self.comm.Iallreduce(MPI.IN_PLACE, self._words, op=MPI.MAX)
        return posted

    def _wait(self, posted: MPI.Request) -> None:
        """Wait until the handshake is complete, and look for messages meanwhile."""

        def look(waited: float) -> None:
            if self._attend(waited, "in") and any(map(self._differs, self._others())):
                self._collect(GATHER)
                self._raise_mismatch()

        try:
            poll(posted, look)
        except BaseException:
            self._give_up()  # for a limit or a signal, of this rank alone
            raise

    def _differs(self, place: Place) -> bool:
        return place.sequence == self._sequence and place.token != self._mine.token

    def _others(self) -> list[Place]:
        """Return the known places of the other ranks. Local."""
        return [place for rank, place in self.roll.places.items() if rank != self.comm.rank]

    def _give_up(self) -> None:
        """Say that this rank waits no more, and break the watch. Local."""
        if not self._parted:
            if self._mine.kind != "silence":
                self._mine = replace(self._mine, kind="tired")
            self.roll.tell(self._mine)
            self.roll.tell_all()
        self.broken = self._parted = True  # what it has waited for stays open

    # -- a rank that waits, and one that works -----------------------------------------------

    def _attend(self, waited: float, kind: str) -> bool:
        """Do what a rank does that has waited so many seconds; return True if it has news. Local.

        Parameters
        ----------
        kind : {'in', 'waits'}
            Whether it waits at the entry of the action or within it.
        """
        news, now = self.roll.listen(self._mine), time.monotonic()
        if waited < self._waited:  # another wait than the last time
            self._asked = self._warned = 0.0
        self._waited, limit = waited, self.limit
        hasty = 1.0 if limit is None else min(1.0, limit / (4 * ASK))
        if waited > ASK * hasty and now - self._asked > self.roll.period * hasty:
            self._asked = now
            self._mine = replace(self._mine, kind=kind)
            self.roll.ask(self._mine)
        if self.roll.given_up is not None:
            rank, place = self.roll.given_up
            if place.sequence == self._sequence:
                self._raise_silence(place.text, rank)
        if limit is not None and waited > limit and not self._gone():
            silent = self.roll.quiet(limit, now - waited)
            # Rank 0 knows best, and tells all.
            if silent and (self.comm.rank == 0 or 0 in silent or waited > limit + ARRIVE):
                self._raise_silence(self._told_silence(waited, silent), self.comm.rank)
        if waited > self._warned + WARN:
            self._warned = waited
            if self._speaks():
                _log.warning("waiting for %.0f s: %s", waited, self._told())
        return news

    def look_about(self, waited: float) -> None:
        """Raise if the wait of this rank within an action is useless. Local.

        A rank passes an agreement only after all have reached it. So if a rank has said that it
        left this action, or is in a later one, and this rank still waits, then that rank has left
        with an exception of its own. Or the result of the agreement has not arrived here, because
        a link is cut: that a rank is in a later action counts only if all others were heard
        meanwhile. A rank that has been silent for the limit is given up.
        """
        if self.meanwhile is not None:
            self.meanwhile()
        try:
            self._attend(waited, "waits")
        except BaseException:
            self._give_up()
            raise
        gone = self._gone()
        if not gone:
            return
        now = time.monotonic()
        left = any(self.roll.places[rank].sequence == self._sequence for rank in gone)
        heard = self.roll.heard_since(now - waited) | {*gone, self.comm.rank}
        if not left and len(heard) < self.comm.size:
            return
        self._gone_since = self._gone_since or now
        if now - self._gone_since > ARRIVE:
            # Ranks that only detected the mismatch are not its cause.
            found = {rank for rank in gone if self.roll.places[rank].kind == "out"}
            first = min(set(gone) - found or found)
            error = CollectiveMismatchError(self._told_gone(first))
            if any(place.kind == "tired" for place in self._others()):
                self.broken = self._parted = True  # all know, and that rank posts nothing more
            else:
                self._part(f"has found that rank {first} had left {self._mine.text}")
            self.roll.tell_all()
            raise mark_agreed(error, self.comm, min({self.comm.rank, *found}))

    def glance(self) -> None:
        """Answer who asks for this rank, which works. Local; for every batch."""
        now = time.monotonic()
        if not self.alone and now - self._glanced > GLANCE:
            self._glanced = now
            self._mine = replace(self._mine, kind="works")
            self.roll.listen(self._mine)

    def look_behind(self) -> None:
        """Learn whether others have given up an action that this rank has not entered. Local."""
        if self.alone:
            return
        end = time.monotonic() + BEHIND  # MPI finds messages that have come after some looks only
        while not self.broken and time.monotonic() < end:
            self.roll.listen(self._mine)
            self.broken = any(
                place.kind in ("tired", "silence") and place.sequence > self._sequence
                for place in self._others()
            )  # but not parted: at its end this rank completes their handshake

    def _collect(self, seconds: float) -> None:
        """Collect the places of the others after a mismatch, for so many seconds. Local.

        Rank 0 then tells all of them; the others wait for it a little longer.
        """
        self.roll.tell(self._mine)
        end = time.monotonic() + seconds + (GATHER if self.comm.rank else 0)
        while time.monotonic() < end:
            self.roll.listen(self._mine)
            here = sum(place.sequence == self._sequence for place in self._others())
            if here == self.comm.size - 1:
                break
            time.sleep(PAUSE)
        self.roll.tell_all()

    def _host(self, ranks: Iterable[int]) -> str:
        """Return the hosts of ranks for a message: " on h2"; nothing where there is only one."""
        if self.nodes is None or len(set(self.nodes.hosts)) < 2:
            return ""
        hosts = list(dict.fromkeys(map(self.nodes.host, ranks)))
        return " on " + ", ".join(hosts[:SHOWN]) + (" …" if len(hosts) > SHOWN else "")

    def _speaks(self) -> bool:
        """Return True if no lower rank of this node waits, too, as far as is known. Local."""
        if self.nodes is None:
            return True
        known = self.roll.places
        return not any(
            rank < self.comm.rank
            and rank in known
            and known[rank].sequence == self._sequence
            and known[rank].kind in ("in", "waits")
            and known[rank].token == self._mine.token
            for rank in self.nodes.near
        )

    def _told(self, seconds: float | None = None) -> str:
        """Return a text with the known place of each rank. Local.

        Ranks that were not heard from for so many seconds count as unknown.
        """
        known = {**self.roll.places, self.comm.rank: self._mine}
        now = time.monotonic()
        quiet = self.roll.quiet(seconds or FRESH * self.roll.period, now)
        heard = self.roll.heard_since(now - self._waited)  # some may be in another action
        here = {
            rank: known[rank]
            for rank in sorted(known)
            if (known[rank].sequence == self._sequence and rank not in quiet) or rank in heard
        }
        within: dict[Place, list[int]] = {}  # all ranks of an action are in the same one
        texts = []
        for rank, place in here.items():
            if place.kind in ("waits", "works"):
                within.setdefault(place, []).append(rank)
            else:
                texts.append(f"rank {self._named([rank])} {WHERE.get(place.kind, '')}{place.text}")
        if len(texts) > SHOWN:
            texts[SHOWN:] = [f"{len(texts) - SHOWN} more are known"]
        texts += [
            f"rank {self._named(ranks)} {WHERE[place.kind]}{place.text}"
            for place, ranks in within.items()
        ]
        silent = [rank for rank in range(self.comm.size) if rank not in here]
        if silent:
            texts.append(f"rank {self._named(silent)} not heard from since {self._last}")
        return "; ".join(texts)

    def _named(self, ranks: Iterable[int]) -> str:
        """Return the numbers of ranks and their hosts, for a message. Local."""
        listed = sorted(ranks)
        named = ", ".join(map(str, listed[:SHOWN])) + (" …" if len(listed) > SHOWN else "")
        return named + self._host(listed)

    def _raise_mismatch(self) -> NoReturn:
        self.broken = self._parted = True
        known = self.roll.places
        here = {rank: known[rank] for rank in known if self._differs(known[rank])}
        first = [rank for rank, place in here.items() if place.kind in ("failed", "out")]
        self.left = any(place.kind in ("ended", "failed") for place in here.values())
        waiting = [
            rank
            for rank, place in known.items()
            if place.sequence == self._sequence and place.kind == "in"
        ]
        error = CollectiveMismatchError(
            f"the ranks called different methods, or one has left: {self._told()}. A collective "
            "method is to be called by all ranks; the context is closed now"
        )
        raise mark_agreed(error, self.comm, min(first or [self.comm.rank, *waiting]))

    def _told_silence(self, waited: float, silent: dict[int, float]) -> str:
        """Return a text that names the ranks from which nothing was heard. Local."""
        who = self._named([0] if 0 in silent else silent)
        others = ", which tells of the others," if 0 in silent and len(silent) > 1 else ""
        return (
            f"waited {waited:.0f} s for the others in {self._mine.text}: nothing was heard from "
            f"rank {who}{others} for {min(silent.values()):.0f} s: it is busy with something else, "
            f"its host is off, or the network between is cut. (The others: "
            f"{self._told(self.limit)}.) ThunderContext(timeout=) or MPIMAGES_TIMEOUT is the "
            "limit; the context is closed now"
        )

    def _raise_silence(self, told: str, teller: int) -> NoReturn:
        """Raise the error of a rank that has waited too long, on it or on another. Local."""
        if not self._parted:
            self._mine = replace(self._mine, kind="silence", text=told)
        raise mark_agreed(CollectiveMismatchError(told), self.comm, teller)

    def _gone(self) -> list[int]:
        """Return the ranks that are known to have left the action of this one. Local."""
        known = self.roll.places
        if self.roll.furthest <= (self._sequence, WITHIN):  # nobody: the usual case, at each look
            return []
        return [rank for rank in known if rank != self.comm.rank and self._is_gone(known[rank])]

    def _is_gone(self, place: Place) -> bool:
        if place.kind in ("left", "tired"):  # this rank may have left it, too
            return place.sequence == self._sequence and self.depth > 0
        return place.sequence > self._sequence

    def _told_gone(self, rank: int) -> str:
        place = self.roll.places[rank]
        if place.kind == "tired":
            return (
                f"rank {rank} has not waited for rank {self.comm.rank} in {place.text}. It has met "
                "its timeout, or was interrupted; the context is closed now"
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
        self.roll.tell(self._mine)

    def leave(self) -> None:
        """Notify the next rank that this rank left the action with an exception. Local.

        Ranks that left it too ignore the notice. One that is still in the action notifies all.
        """
        if self.alone or self.broken:
            return
        place = Place(self._sequence, self._mine.token, "left", f"has left {self._last}")
        self.roll.tell(place, to_next=True)

    # -- stopping --------------------------------------------------------------------------

    def ask_to_stop(self, why: str) -> None:
        """Notify the other ranks that this action must stop early. Local."""
        if not self.alone:
            self.roll.tell(Place(self._sequence, 0, "stop", why))
            self.roll.tell_all()

    def asked_to_stop(self) -> str | None:
        """Return why another rank asked to stop this action, or None. Local."""
        if self.alone:
            return None
        self.roll.listen(self._mine)
        stop = self.roll.stop
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
        kind = "ended" if failure is None else "failed"
        text = "has ended" if failure is None else f"has ended of {failure}"
        if not self._parted:
            self._post("the end", kind, text)
            if urgent:
                self._tell_place()
        elif (
            failure is not None and self._mine.kind == "silence"
        ):  # others need not print what this one has
            self._mine = Place(self._sequence + 1, 0, kind, text)
            self._tell_place()

    def has_failed(self, rank: int) -> bool:
        """Return True if a rank is known to end of an exception. Local."""
        place = self.roll.places.get(rank)
        return place is not None and place.kind == "failed"

    def _tell_place(self) -> None:
        """Tell this rank's place, once; rank 0 tells all. Local."""
        if self.roll.places.get(self.comm.rank) != self._mine:
            self.roll.tell(self._mine)
            self.roll.tell_all()

    def has_left(self) -> bool:
        """Return True if the other ranks end, too, and no message is pending. Local."""
        if self.alone:
            return True
        self.roll.listen(self._mine)
        self.reports.take()
        if self._posted is not None:
            if not self._posted.Test():
                if time.monotonic() - self._leaving > ASK:
                    self._tell_place()
                return False
            self._posted = None
            if self._words[0] != -self._words[1]:
                self._tell_place()
        if self._ending is None:
            self.roll.close()
            if not (self.roll.is_delivered() and self.reports.delivered()):
                return False
            self._ending = self.comm.Ibarrier()
        return bool(self._ending.Test())

    def close(self) -> None:
        """Free the communicator, after an action in which all ranks are in step. Collective."""
        while not self.has_left():
            time.sleep(0)
        self.comm.Free()
