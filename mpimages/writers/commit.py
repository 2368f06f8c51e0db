"""An output appears whole or not at all.

It is prepared in a hidden directory beside its final name, which carries a mark of its own:
``.NAME.mpimages-partial``. When every rank has finished, it is sealed (a directory output
loses that mark; a file output gets the name `ownership.SEALED`) and renamed. What it replaces
is moved aside first, to ``.NAME.mpimages-old``, and removed last. So after a job was killed

====================  ========================  =========================================
``.NAME.…-partial``   ``.NAME.…-old``, NAME      and the next run
====================  ========================  =========================================
not sealed            no old                    removes the partial output
sealed                no NAME                   renames it: it was whole; removes the old
sealed                NAME, no old              removes it when it overwrites, else refuses
none                  old and NAME              removes the old
none                  old, no NAME              puts the old one back
====================  ========================  =========================================
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mpi4py import MPI

from ..collective import Together
from .ownership import (
    PARTIAL_MARK,
    PARTIAL_TEXT,
    SEALED,
    check_ours,
    has_all_marks,
    is_complete,
    partial_path,
    remove_ours,
)
from .plain import sync_directory

__all__ = ["staged"]

# Whether an output of each kind is one file, or else a directory.
KINDS = {"binaryseries": False, "png": False, "tif": False, "hdf5": True}

_log = logging.getLogger("mpimages")


@contextmanager
def staged(
    comm: MPI.Intracomm,
    path: str | os.PathLike[str],
    kind: str,
    overwrite: bool = False,
    action: str = "save",
) -> Iterator[str]:
    """Prepare an output beside `path`, and put it there when all ranks are done. Collective.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    path : str or path-like
        Rank 0's counts. Its parent must exist.
    kind : {'binaryseries', 'hdf5', 'png', 'tif'}
    overwrite : bool
        Replace an output of mpimages, of any kind, or an empty directory.
    action : str
        For messages: ``'Images.saveAsPngs'``.

    Yields
    ------
    str
        Where to write: a directory that exists, or for ``'hdf5'`` a file that does not yet.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        When the parent directory is missing.
    FileExistsError
        When `path` exists and is not to be replaced, or holds what mpimages did not write, or
        when another running job writes it.

    Notes
    -----
    What any rank raises in the block is raised on all; the partial output is then removed, and
    `path` is as before. The block must end with the writer's ``finish``.
    """
    stage: _Stage | None = None
    with Together(comm, action):
        if comm.rank == 0:
            beginning = _Stage(os.fspath(path), kind)
            try:
                beginning.begin(bool(overwrite))
            except BaseException:
                beginning.abandon()
                raise
            stage = beginning
    where = comm.bcast(stage.output if stage is not None else None, 0)
    try:
        with Together(comm, action):
            yield where
        with Together(comm, action):
            if stage is not None:
                stage.commit(bool(overwrite))
    except BaseException:
        if stage is not None:
            stage.discard()
        comm.Barrier()  # no rank may find the partial output still there
        raise
    finally:
        if stage is not None:
            stage.unlock()


class _Stage:
    """Rank 0's side of `staged`: the names, the checks, the swap. Local."""

    def __init__(self, path: str, kind: str) -> None:
        if not isinstance(path, str):
            raise TypeError(f"the path must be text, got {type(path).__name__}")
        if kind not in KINDS:
            raise ValueError(f"unknown kind of output {kind!r}: one of {', '.join(KINDS)}")
        self.path = os.path.abspath(path)
        self.is_file = KINDS[kind]
        self.parent, name = os.path.split(self.path)
        if not path or not name or name.startswith(".mpimages"):
            raise ValueError(f"{path!r} cannot be the name of an output")
        self.partial = partial_path(self.path)
        self.old = os.path.join(self.parent, f".{name}.mpimages-old")
        self.output = os.path.join(self.partial, name) if self.is_file else self.partial
        self.lock: int | None = None
        self.begun = False

    def begin(self, overwrite: bool) -> None:
        """Check that `path` may be written, repair what a killed job left, make the directory."""
        if not os.path.isdir(self.parent):
            missing = not os.path.lexists(self.parent)
            raise (FileNotFoundError if missing else NotADirectoryError)(
                f"{self.path}: its parent {self.parent} is not a directory; create it first"
            )
        self._refuse_if_locked()
        self._repair()
        self._check_target(overwrite)
        if os.path.lexists(self.partial):
            remove_ours(self.partial)
        os.mkdir(self.partial)
        self.begun = True
        mark = os.path.join(self.partial, PARTIAL_MARK)
        descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self.lock = descriptor
        _try_lock(descriptor)
        os.write(descriptor, PARTIAL_TEXT)

    def commit(self, overwrite: bool) -> None:
        """Seal the output and put it in its place."""
        if not (os.path.isfile(self.output) or has_all_marks(self.output)):
            raise RuntimeError(f"internal error: {self.path} was not finished by its writer")
        self._check_target(overwrite)
        self.unlock()  # NFS keeps an open file, under another name, when it is removed
        if self.is_file:
            os.rename(self.output, os.path.join(self.partial, SEALED))
        else:
            os.unlink(os.path.join(self.partial, PARTIAL_MARK))
        sync_directory(self.partial)
        self._swap()

    def discard(self) -> None:
        """Remove the partial output; resuming will instead keep it."""
        self.unlock()
        try:
            if self.begun and os.path.lexists(self.partial):
                remove_ours(self.partial)
        except Exception as error:  # what made the job fail is what the user must see
            _log.warning("could not remove the partial output %s: %s", self.partial, error)

    def abandon(self) -> None:
        """Undo a beginning that failed half-way, where not even the mark may be whole."""
        self.unlock()
        if self.begun:
            with suppress(OSError):
                os.unlink(os.path.join(self.partial, PARTIAL_MARK))
            with suppress(OSError):
                os.rmdir(self.partial)

    def unlock(self) -> None:
        """Let go of the mark, and with it of the lock."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def _check_target(self, overwrite: bool) -> None:
        if not os.path.lexists(self.path):
            return
        if not overwrite:
            raise FileExistsError(f"{self.path} exists; overwrite=True replaces it")
        check_ours(self.path)

    def _refuse_if_locked(self) -> None:
        try:
            mark = os.path.join(self.partial, PARTIAL_MARK)
            descriptor = os.open(mark, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return
        try:
            if not _try_lock(descriptor):
                raise FileExistsError(f"{self.path} is being written by another running job")
        finally:
            os.close(descriptor)

    def _sealed(self) -> str | None:
        """What in the partial directory is whole and only lacks its name."""
        if not self.is_file:
            return self.partial if is_complete(self.partial) else None
        sealed = os.path.join(self.partial, SEALED)
        return sealed if os.path.isfile(sealed) else None

    def _swap(self) -> None:
        """From sealed to in its place; `_repair` takes up an interruption at any point."""
        sealed = self._sealed()
        assert sealed is not None
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
        try:
            sync_directory(self.parent)
            if os.path.lexists(self.partial):
                remove_ours(self.partial)
            if os.path.lexists(self.old):
                remove_ours(self.old)
        except OSError as error:
            _log.warning("%s is complete, but what it replaced remains: %s", self.path, error)

    def _repair(self) -> None:
        """Bring a swap that was interrupted to its end, or back."""
        if os.path.lexists(self.partial):
            check_ours(self.partial)
        if os.path.lexists(self.old):
            check_ours(self.old)
        if not os.path.lexists(self.path):
            sealed = self._sealed()
            if sealed is not None:
                os.rename(sealed, self.path)
            elif os.path.lexists(self.old):
                os.rename(self.old, self.path)
            sync_directory(self.parent)
        if os.path.lexists(self.old):
            remove_ours(self.old)


def _try_lock(descriptor: int) -> bool:
    """Whether no other running job holds the mark; True as well where locks do not work."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN)
    return True
