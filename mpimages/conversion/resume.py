"""The record of finished work, from which an interrupted job is resumed."""

from __future__ import annotations

import logging
import sys
import time
from bisect import bisect, insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import numpy as np

from ..core.json_types import JsonMapping, JsonObject
from ..core.ranges import Range, Ranges
from ..core.timers import phase
from ..formats.output_names import JOB
from ..spmd.agreement import Together, from_rank
from ..spmd.collectives import gather, scatter
from ..spmd.nodes import Nodes
from ..writers.output.journal import Journal, begin_job, read_job
from ..writers.output.staging import Stage

__all__ = ["Progress", "Recorder", "Writer"]

Entry = JsonObject

_log = logging.getLogger("mpimages")

# Approximate maximum fraction of a rank's writing time for flushing.
FLUSH_SHARE = 0.1
# Maximum seconds of work that a killed job loses.
FLUSH_SECONDS = 5.0
# Minimum seconds between two flushes: losing less work does not matter.
FLUSH_LEAST = 0.25


class Writer(Protocol):
    """The interface of the writer of an output to a conversion."""

    grain: int

    @property
    def threaded(self) -> bool:
        """True if `write` may run in another thread than MPI calls."""

    def write(self, first: int, block: np.ndarray) -> None:
        """Write the records from number `first` on. Local."""

    def finish(self) -> None:
        """Complete the output. Collective."""

    def close(self) -> None:
        """Close the files."""

    def flush(self) -> JsonObject:
        """Flush what was written since the last call; return the fields of its journal entry."""

    def holds(self, entry: JsonObject) -> bool:
        """Return True if the work of an earlier job's entry is on the disk; it is read again."""

    def restore(self, entry: JsonObject) -> None:
        """Take over the work of an earlier job's entry."""


class Progress:
    """The finished records of a job, and this node's journal of them. Local constructor.

    Parameters
    ----------
    nodes : Nodes
    described : mapping
        The output and its input: plain values, the same on all ranks.
    action : str

    Attributes
    ----------
    stage : Stage
        The stage of the output, once it has begun.
    done, frames : Ranges
        The records that were written, and those that were decoded into the scratch file, before
        this job began. They are those of the journals until `restore` and `confirm` check them.
    """

    def __init__(self, nodes: Nodes, described: JsonMapping, action: str) -> None:
        self._nodes = nodes
        self._comm = nodes.comm
        self._described = described
        self._action = action
        self._entries: list[Entry] = []  # on rank 0
        self.done = self.frames = Ranges()
        self._journal: Journal | None = None

    def take_up(self, stage: Stage) -> tuple[Ranges, Ranges, int]:
        """Read the journals of an earlier job. Local: rank 0.

        Raises
        ------
        FileExistsError
            If the earlier job made another output, or made it from another input.
        """
        job = read_job(stage.partial) if stage.resumed else None
        if job is None:
            return Ranges(), Ranges(), 0
        earlier, self._entries, attempt = job
        changed = [name for name, value in self._described.items() if earlier.get(name) != value]
        if changed:
            raise FileExistsError(
                f"{stage.partial} is what an interrupted job left, but {_listed(changed)} "
                f"since: it cannot be resumed. Give the job what it was given then, or remove "
                f"that directory to begin anew ({JOB} in it says what was given)"
            )
        return _said(self._entries, "done"), _said(self._entries, "frames"), attempt

    def begin(self, stage: Stage, done: Ranges, frames: Ranges, attempt: int) -> None:
        """Begin this node's journal: the job can then be resumed. Local.

        On rank 0, which writes `job.json`, the files of the output are there. The stage is followed
        by what `take_up` has returned on rank 0.
        """
        self.stage = stage
        self.done, self.frames = done, frames
        if self._comm.rank == 0 and not stage.resumed:
            begin_job(stage.partial, self._described)
        node = self._nodes.of[self._comm.rank]
        self._journal = Journal(stage.partial, attempt, node, self._nodes.leads)

    def restore(self, writer: Writer) -> None:
        """Hand the confirmed work of an earlier job to the writer. Collective."""
        if not self.done.count:
            return
        self.done, entries = self.confirm("done", writer.holds)
        with Together(self._comm, self._action):
            for entry in entries:
                writer.restore(entry)

    def confirm(self, kind: str, holds: Callable[[JsonObject], bool]) -> tuple[Ranges, list[Entry]]:
        """Check the journal entries of one kind of work; drop those that do not hold.

        Collective: the ranks divide the entries among them.

        Returns
        -------
        Ranges, list
            The confirmed records, and on rank 0 their entries, each record once.
        """
        comm = self._comm
        if not (self.done if kind == "done" else self.frames).count:
            return Ranges(), []  # the ranks know it without a call
        said = [entry for entry in self._entries if kind in entry]
        own = scatter(comm, [said[rank :: comm.size] for rank in range(comm.size)])
        there: list[Entry] = []
        with Together(comm, self._action):
            there = [entry for entry in own if _is_there(entry, holds)]
        gathered = [entry for part in gather(comm, there) or () for entry in part]
        kept: list[Entry] = []

        def keep() -> Ranges:
            kept.extend(_apart(gathered, kind))
            return _said(kept, kind)

        ranges = from_rank(comm, 0, self._action, keep)
        missing = _said(said, kind).count - ranges.count
        if missing > 0:
            _log.warning(
                "%s: %d records that its journal speaks of are not on the disk, and are done again",
                self.stage.partial,
                missing,
            )
        return ranges, kept

    def recorder(self, kind: str, flush: Callable[[], JsonMapping]) -> Recorder:
        """Return a recorder of one kind of work of this rank. Local."""
        if self._journal is None:
            raise RuntimeError("internal error: a recorder before the journal")
        return Recorder(self._journal, kind, flush)

    def close(self) -> None:
        """Close the journal. Local; may be called twice."""
        if self._journal is not None:
            self._journal.close()


class Recorder:
    """Records ranges in a journal once they are on the disk. Local; one thread at a time.

    Parameters
    ----------
    journal : Journal
    kind : {'done', 'frames'}
    flush : callable
        Flushes what was written; returns further fields of the entry.
    """

    def __init__(self, journal: Journal, kind: str, flush: Callable[[], JsonMapping]) -> None:
        self._journal = journal
        self._kind = kind
        self._flush = flush
        self._waiting: list[Range] = []
        self._failed = False
        self._flushed, self._took = time.monotonic(), 0.0

    @contextmanager
    def writing(self, start: int, stop: int) -> Iterator[None]:
        """Note that the block writes the records [start, stop); flush regularly.

        After a failure nothing more is recorded: it is unknown what else is on the disk.
        """
        try:
            yield
            if self._waiting and self._waiting[-1][1] == start:
                start = self._waiting.pop()[0]
            self._waiting.append((start, stop))
            since = time.monotonic() - self._flushed
            if since > min(FLUSH_SECONDS, max(FLUSH_LEAST, self._took / FLUSH_SHARE)):
                self.flush()
        except BaseException:
            self._failed = True
            raise

    def flush(self) -> None:
        """Flush what was written, and record it."""
        if not self._waiting or self._failed:
            return
        began = time.monotonic()
        spans, self._waiting = self._waiting, []
        self._failed = True  # until it is recorded
        with phase("write"):
            said = self._flush()
        self._journal.record({self._kind: list(Ranges(spans)), **said})
        self._failed = False
        self._flushed = time.monotonic()
        self._took = self._flushed - began

    def salvage(self) -> None:
        """Flush the journal after an error. Errors raised here are not raised. Local.

        It is called while the error is handled. After an OSError on any rank nothing is flushed:
        this rank may not have been told of failed writes to the same disk.
        """
        if not isinstance(sys.exc_info()[1], OSError):
            with suppress(Exception):
                self.flush()


def _said(entries: list[Entry], kind: str) -> Ranges:
    return Ranges(span for entry in entries for span in entry.get(kind, ()))


def _is_there(entry: Entry, holds: Callable[[JsonObject], bool]) -> bool:
    try:
        return holds(entry)
    except OSError:  # unreadable records are written again
        return False


def _apart(entries: list[Entry], kind: str) -> list[Entry]:
    """Remove entries for records that an earlier entry covers. Local.

    An entry that was void for one job may be valid for the next: its records are then
    recorded twice.
    """
    kept: list[Entry] = []
    taken: list[Range] = []
    for entry in entries:
        spans = [(int(a), int(b)) for a, b in entry[kind]]
        if all(_is_free(span, taken) for span in spans):
            kept.append(entry)
            for span in spans:
                insort(taken, span)
    return kept


def _is_free(span: Range, taken: list[Range]) -> bool:
    place = bisect(taken, span)
    return (place == 0 or taken[place - 1][1] <= span[0]) and (
        place == len(taken) or span[1] <= taken[place][0]
    )


def _listed(names: list[str]) -> str:
    return f"its {' and '.join(names)} {'have' if len(names) > 1 else 'has'} changed"
