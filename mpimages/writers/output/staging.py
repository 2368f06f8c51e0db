"""An output appears whole or not at all.

It is prepared in a hidden directory beside its final name, which carries a mark of its own:
``.NAME.mpimages-partial``. When every rank has finished, it is sealed (a directory output has
all the marks of its kind; a file output gets the name ``.mpimages-complete``) and renamed. What it
replaces is moved aside first, to ``.NAME.mpimages-old``, and removed last. So after a job was
killed

====================  ========================  =========================================
``.NAME.…-partial``   ``.NAME.…-old``, NAME      and the next run
====================  ========================  =========================================
not sealed            no old                    removes the partial output, or goes on with it
sealed                no NAME                   renames it: it was whole; removes the old
sealed                NAME, no old              removes it when it overwrites, else refuses
none                  old and NAME              removes the old
none                  old, no NAME              puts the old one back
====================  ========================  =========================================

All of this, from the first look to the last removal, is done by who holds the lock of an empty
file beside them, ``.NAME.mpimages-lock``. It goes with the job; after one that was killed it
remains, unlocked, until the next. Nothing under the hidden names is taken up or removed that
belongs to another user.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from mpi4py import MPI

from ...core.arguments import check_choice, check_flag
from ...core.cleanup import quietly
from ...core.text import as_comparable, expand_user, quote
from ...errors import Interrupted
from ...formats.output_names import (
    LOCK_SUFFIX,
    OLD_SUFFIX,
    PARTIAL_MARK,
    PARTIAL_SUFFIX,
    PARTIAL_TEXT,
    SEALED,
    SEEN,
    hidden_path,
)
from ...spmd.agreement import Together, is_agreed
from ...spmd.collectives import barrier, broadcast
from ...spmd.nodes import Nodes
from ...spmd.shared_paths import Seen, agree_that_all_see
from .files import create_file, naming_file, write_all
from .journal import read_job, remove_job
from .lock import Lock
from .ownership import check_ours, check_owner, has_all_marks, holds_files, remove_ours
from .plain import sync_directory

# Whether an output of each kind is one file, or else a directory.
KINDS = {
    "binaryseries": False,
    "png": False,
    "tif": False,
    "bin": False,
    "suite2p": False,
    "mmap": False,
    "stats": False,
    "hdf5": True,
    "nwb": True,
    "matlab": True,
    "report": True,
    "tifstack": True,
    "registration": True,
    "zarr": False,
}

_log = logging.getLogger("mpimages")


@dataclass(frozen=True)
class Stage:
    """An output while it is prepared.

    Attributes
    ----------
    output : str
        Where to write: a directory that exists, or for the kinds that are one file a file that
        may not exist yet.
    partial : str
        The hidden directory: of the output, or around it.
    resumed : bool
        Whether an earlier job's partial output is to be taken up.
    complete : bool
        Whether the output is there already, so that nothing is to be done.
    found : object
        What `take_up` has found on rank 0; on all ranks.
    seen : tuple of Seen
        What the hosts look for, to know that they have the directory that rank 0 made.
    """

    output: str
    partial: str
    resumed: bool = False
    complete: bool = False
    found: Any = None
    seen: tuple[Seen, ...] = ()


@contextmanager
def staged(
    comm: MPI.Intracomm,
    path: str | os.PathLike[str],
    kind: str,
    overwrite: bool = False,
    action: str = "save",
    given: object = None,
    inputs: Sequence[str] = (),
    nodes: Nodes | None = None,
) -> Iterator[str]:
    """Yield where to write an output, and put it at `path` when all ranks are done. Collective.

    See `resumable`. The ranks compare the arguments; `given` is what else decides what is written.
    """
    # Before there is anything that would have to be removed again.
    Together(comm, action, (as_comparable(path), kind, overwrite, given)).agree()
    with resumable(comm, path, kind, overwrite, False, action, None, inputs, nodes) as stage:
        yield stage.output


@contextmanager
def resumable(
    comm: MPI.Intracomm,
    path: str | os.PathLike[str],
    kind: str,
    overwrite: bool,
    resume: bool,
    action: str,
    take_up: Callable[[Stage], object] | None = None,
    inputs: Sequence[str] = (),
    nodes: Nodes | None = None,
) -> Iterator[Stage]:
    """Prepare an output beside `path`, and put it there when all ranks are done. Collective.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    path : str or path-like
        Its parent must exist; ~ is expanded.
    kind : str
        One of `KINDS`.
    overwrite : bool
        Replace an output of mpimages, of any kind, or an empty directory.
    resume : bool
        Take up what an earlier job left, and leave what this one has done if it fails. With
        `overwrite` a ValueError. Of a job that is stopped by a signal what is done is left in
        any case, unless it overwrites.
    action : str
        For messages: ``'Images.saveAsPngs'``.
    take_up : callable, optional
        Looks at what is there already, on rank 0; what it raises leaves that as it is. What it
        returns is told to all ranks.
    inputs : sequence of str
        The files that are read: what holds one of them is not replaced.
    nodes : Nodes, optional
        The hosts that write the output, and must see its directory; by default rank 0's alone.

    Yields
    ------
    Stage
        Where it is `complete`, the block is to do nothing; else it ends with the writer's
        ``finish``.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        When the parent directory is missing, or a host does not see the output's.
    FileExistsError
        When `path` exists and is not to be replaced, or holds what mpimages did not write, or
        when another running job writes it.

    Notes
    -----
    What any rank raises in the block is raised on all, and `path` is as before. That the ranks
    were given the same arguments has been agreed on before: nothing would have to be removed then.
    """
    output: _Output | None = None
    begun: Stage | None = None
    together = Together(comm, action)
    try:
        with together.attempt():
            overwrite, resume = check_flag(overwrite, "overwrite"), check_flag(resume, "resume")
            if resume and overwrite:
                raise ValueError(
                    "resume=True goes on with an output, overwrite=True begins it anew: give one"
                )
            if comm.rank == 0:
                output = _Output(path, kind, inputs)
                begun = output.begin(overwrite, resume, take_up)
                if nodes is not None and nodes.several:
                    begun = output.show(begun)
        stage = cast(Stage, broadcast(comm, begun))  # None if rank 0 has failed
        agree_that_all_see(together, nodes, stage.seen if stage is not None else ())
        if output is not None and stage.seen:
            output.hide()
        with Together(comm, action):
            yield stage
        with Together(comm, action):
            if output is not None and not stage.complete:
                output.commit(overwrite)
    except BaseException as error:
        if output is not None and begun is not None and not begun.complete:
            # What is to be overwritten is still there: resuming would find it, and stop.
            stopped = isinstance(error, (Interrupted, KeyboardInterrupt)) and not overwrite
            if begun.seen:
                output.hide()
            quietly(output.leave, resume or stopped)
            if stopped and os.path.lexists(begun.partial):
                _log.warning("%s; what is done is kept, and resume=True goes on", error)
        if is_agreed(error, comm):  # else the ranks need not be in step, and nobody may wait
            barrier(comm)  # no rank may find the partial output still there
        raise


def check_target(
    path: str | os.PathLike[str], kind: str, overwrite: bool, inputs: Sequence[str] = ()
) -> None:
    """Raise where an output cannot have this path now, before long work. Local: rank 0.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, FileExistsError
        As `resumable` would.
    """
    _Output(path, kind, inputs).check(overwrite)


class _Output:
    """Rank 0's side of `resumable`: the names, the checks, the swap. Local."""

    def __init__(
        self, given: str | os.PathLike[str], kind: str, inputs: Sequence[str] = ()
    ) -> None:
        self.inputs = inputs
        path = os.fspath(given) if isinstance(given, os.PathLike) else given
        if not isinstance(path, str):
            raise TypeError(f"path must be a string or path-like, got {quote(path)}")
        self.is_file = KINDS[check_choice(kind, "kind", KINDS)]
        self.path = os.path.abspath(expand_user(path))
        self.parent, name = os.path.split(self.path)
        if not path or not name or name.startswith(".mpimages") or "\0" in path:
            raise ValueError(f"path must be one that an output can have, got {quote(path)}")
        self.partial = hidden_path(self.path, PARTIAL_SUFFIX)
        self.old = hidden_path(self.path, OLD_SUFFIX)
        self.output = os.path.join(self.partial, name) if self.is_file else self.partial
        self.lock = Lock(hidden_path(self.path, LOCK_SUFFIX))

    def begin(
        self, overwrite: bool, resume: bool, take_up: Callable[[Stage], object] | None
    ) -> Stage:
        """Check that `path` may be written, repair what a killed job left, make the directory."""
        self._check_parent()
        if not self.lock.take():
            raise self._is_taken()
        stage: Stage | None = None
        try:
            stage = self._begin(overwrite, resume)
            if take_up is not None:
                stage = replace(stage, found=take_up(stage))
        except BaseException:
            if stage is not None and not (stage.resumed or stage.complete):
                quietly(remove_ours, self.partial)
            self.lock.release()
            raise
        if stage.complete:
            self.lock.release()
        return stage

    def _begin(self, overwrite: bool, resume: bool) -> Stage:
        self._repair()
        if resume and os.path.lexists(self.path):
            check_ours(self.path)
            if os.path.isdir(self.path) and not has_all_marks(self.path):
                raise FileExistsError(f"{self.path} exists, but is not whole; remove it")
            remove_ours(self.partial)  # of a job that was to replace it
            return Stage(self.path, self.partial, complete=True)
        self._check_target(overwrite)
        resumed = resume and read_job(self.partial) is not None
        if resumed:
            self.hide()  # of a job that was killed meanwhile
        else:
            remove_ours(self.partial)
            self._make_partial()
        return Stage(self.output, self.partial, resumed)

    def _make_partial(self) -> None:
        try:
            os.mkdir(self.partial)
        except FileExistsError:  # where locks do not work, this is what only one of two can do
            raise self._is_taken() from None
        mark = os.path.join(self.partial, PARTIAL_MARK)
        try:
            descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                with naming_file(mark):
                    write_all(descriptor, PARTIAL_TEXT)
                    os.fsync(descriptor)  # without it, after a crash, what is in here were nobody's
            finally:
                quietly(os.close, descriptor)
            sync_directory(self.parent)
        except BaseException:  # where not even the mark may be whole
            with suppress(OSError):
                os.unlink(mark)
            with suppress(OSError):
                os.rmdir(self.partial)
            raise

    def show(self, stage: Stage) -> Stage:
        """Make what tells this partial directory from any other of its name."""
        if stage.complete:
            return stage
        path, size = os.path.join(self.partial, SEEN), 1 + int.from_bytes(os.urandom(2))
        create_file(path, size)
        called = f"the directory that rank 0 made for {self.path}"
        return replace(stage, seen=(Seen(path, size, called, made=True),))

    def hide(self) -> None:
        """Remove what `show` has made; never raises."""
        with suppress(OSError):
            os.unlink(os.path.join(self.partial, SEEN))

    def commit(self, overwrite: bool) -> None:
        """Seal the output and put it in its place."""
        if not (os.path.isfile(self.output) or has_all_marks(self.output)):
            raise RuntimeError(f"internal error: {self.path} was not finished by its writer")
        self._check_target(overwrite)
        sealed = self.partial
        if self.is_file:
            sealed = os.path.join(self.partial, SEALED)
            os.rename(self.output, sealed)
        sync_directory(self.partial)
        self._swap(sealed)
        self.lock.release()

    def leave(self, resume: bool) -> None:
        """After a failure: remove the partial output, unless it is to be resumed and can be."""
        try:
            if not (resume and self._can_be_taken_up()):
                remove_ours(self.partial)
        except Exception as error:  # what made the job fail is what the user must see
            _log.warning("could not remove the partial output %s: %s", self.partial, error)
        finally:
            self.lock.release()

    def check(self, overwrite: bool) -> None:
        """Raise what `begin` would raise because of what is there now."""
        self._check_parent()
        self._check_target(overwrite)

    def _check_parent(self) -> None:
        if not os.path.isdir(self.parent):
            missing = not os.path.lexists(self.parent)
            raise (FileNotFoundError if missing else NotADirectoryError)(
                f"{self.path}: its parent {self.parent} is not a directory; create it first"
            )

    def _check_target(self, overwrite: bool) -> None:
        if not os.path.lexists(self.path):
            return
        if not overwrite:
            raise FileExistsError(f"{self.path} exists; {self._advice()}")
        check_ours(self.path)
        if holds_files(self.path, self.inputs):
            raise FileExistsError(
                f"{self.path} is read by this very job, and so is not replaced; choose another path"
            )

    def _advice(self) -> str:
        """What can be done about what exists there."""
        try:
            check_ours(self.path)
            if holds_files(self.path, self.inputs):
                return "this very job reads it: choose another path"
        except FileExistsError:
            return (
                "mpimages did not write it, or not all that it holds: choose another path, or "
                "remove it yourself"
            )
        except OSError:  # of what cannot be looked into nothing is known
            pass
        return "overwrite=True replaces it"

    def _is_taken(self) -> FileExistsError:
        return FileExistsError(f"{self.path} is being written by another running job")

    def _can_be_taken_up(self) -> bool:
        return read_job(self.partial) is not None or self._sealed() is not None

    def _sealed(self) -> str | None:
        """What in the partial directory is whole and only lacks its name."""
        if not self.is_file:
            return self.partial if has_all_marks(self.partial) else None
        sealed = os.path.join(self.partial, SEALED)
        return sealed if os.path.isfile(sealed) else None

    def _strip(self, sealed: str) -> None:
        """Leave nothing in a directory that is whole but the output itself."""
        if not self.is_file:
            remove_job(sealed)
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(sealed, PARTIAL_MARK))
            sync_directory(sealed)

    def _swap(self, sealed: str) -> None:
        """From sealed to in its place; `_repair` takes up an interruption at any point."""
        self._strip(sealed)
        # A file replaces a file in one step; with a directory on either side it takes two.
        if os.path.lexists(self.path) and not (self.is_file and os.path.isfile(self.path)):
            os.rename(self.path, self.old)
        try:
            os.rename(sealed, self.path)
        except OSError:
            if not os.path.lexists(self.path) and os.path.lexists(self.old):
                os.rename(self.old, self.path)
            raise
        # The output is there: what is left over must not fail the job. The next run takes it up.
        for finish, where in (
            (sync_directory, self.parent),
            (remove_ours, self.partial),
            (remove_ours, self.old),
        ):
            try:
                finish(where)
            except OSError as error:
                _log.warning(
                    "%s is complete, but what it replaced may remain: %s", self.path, error
                )

    def _repair(self) -> None:
        """Bring a swap that was interrupted to its end, or back."""
        for hidden in (self.partial, self.old):
            if os.path.lexists(hidden):
                check_owner(hidden)
                check_ours(hidden)
        if not os.path.lexists(self.path):
            sealed = self._sealed()
            if sealed is not None:
                self._strip(sealed)
                os.rename(sealed, self.path)
            elif os.path.lexists(self.old):
                os.rename(self.old, self.path)
            sync_directory(self.parent)
        remove_ours(self.old)
        if not self._can_be_taken_up():
            remove_ours(self.partial)  # nothing in it can be taken up
