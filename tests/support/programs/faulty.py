"""Do one thing while the machine fails, again when it does not, and say what happened.

faulty.py FAULT METHOD INPUT OUTPUT
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import h5py  # noqa: F401  (what is imported under a limit would fail in its place)
import imagecodecs  # noqa: F401
import matplotlib.colors  # noqa: F401
import numpy as np
import tifffile  # noqa: F401
from mpi4py import MPI

from mpimages import ThunderContext

COMM = MPI.COMM_WORLD
# The fault meets one rank; with one rank, that one.
FAILS = COMM.rank == COMM.size - 1


# What is shorter is a mark, or the line of a journal.
DATA_BYTES = 512


@contextlib.contextmanager
def at_write(act: Any) -> Iterator[None]:
    """Do something before the rank that fails writes data for the first time."""
    calls = [0]

    def before(write: Any) -> Any:
        def instead(descriptor: int, data: Any, *place: int) -> int:
            if FAILS and memoryview(data).nbytes >= DATA_BYTES:
                calls[0] += 1
                if calls[0] == 1:
                    act()
            return write(descriptor, data, *place)

        return instead

    with replaced(os, "pwrite", before(os.pwrite)), replaced(os, "write", before(os.write)):
        yield
    assert calls[0] or not FAILS, "nothing was written"


@contextlib.contextmanager
def replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    kept = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, kept)


@contextlib.contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    kept = resource.getrlimit(kind)
    if FAILS:
        resource.setrlimit(kind, (soft, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, kept)


@contextlib.contextmanager
def full(output: str) -> Iterator[None]:
    """The disk, a small one, is full but for some kilobytes."""
    filler = os.path.join(os.path.dirname(output), "filler")
    if COMM.rank == 0:
        space = os.statvfs(os.path.dirname(output))
        with open(filler, "wb") as file:
            file.write(bytes(space.f_bavail * space.f_frsize - 40_000))
    COMM.Barrier()
    try:
        yield
    finally:
        COMM.Barrier()
        if COMM.rank == 0:
            os.unlink(filler)
        COMM.Barrier()


@contextlib.contextmanager
def readonly(output: str) -> Iterator[None]:
    """The file system is read-only."""

    def remount(how: str) -> None:
        COMM.Barrier()
        if COMM.rank == 0:
            place = os.path.dirname(output)
            subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)
        COMM.Barrier()

    remount("ro")
    try:
        yield
    finally:
        remount("rw")


def refuse_lock(*_: Any) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def lack_lock(*_: Any) -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def vanish(directory: str) -> None:
    """Remove a directory at once: no other rank may make a file in it meanwhile."""
    gone = directory + ".gone"
    os.rename(directory, gone)
    shutil.rmtree(gone)


def fault(name: str, output: str) -> Any:
    parent = os.path.dirname(output)
    if name == "filesize":
        return limited(resource.RLIMIT_FSIZE, 3000)
    if name == "descriptors":
        lowest = os.dup(0)  # none below is free
        os.close(lowest)
        return limited(resource.RLIMIT_NOFILE, lowest)
    if name == "twenty":
        return limited(resource.RLIMIT_NOFILE, 20)
    if name == "memory":
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        return limited(resource.RLIMIT_AS, pages * resource.getpagesize() + 100_000)
    if name == "vanish":
        return at_write(lambda: vanish(parent))
    if name == "slow":
        return at_write(lambda: time.sleep(3))
    if name in ("nolock", "nosys"):
        return replaced(fcntl, "flock", refuse_lock if name == "nolock" else lack_lock)
    return {"full": full, "readonly": readonly}[name](output)


def act(tsc: Any, method: str, source: str, output: str) -> None:
    images = tsc.loadImages(source)
    if method in ("saveAsBinarySeries", "saveAsHDF5", "saveAsZarr"):
        options = {"chunks": (2, *images.dims)} if method == "saveAsZarr" else {}
        getattr(images, method)(output, resume=True, memory=6000 * images.count(), **options)
    elif method.startswith("save"):
        getattr(images, method)(output)
    else:
        getattr(images, method)()


def accepted(tsc: Any, output: str) -> list[str]:
    """What a loader takes of all that lies around; the test wants none."""
    taken = []
    parent = os.path.dirname(output)
    for place, directories, files in os.walk(parent):
        for name in directories + files:
            path = os.path.join(place, name)
            for load in (tsc.loadSeries, tsc.loadImages):
                with contextlib.suppress(OSError, ValueError):
                    load(path).toArray()
                    taken.append(path)
    return taken


def main() -> None:
    name, method, source, output = sys.argv[1:]
    said = None
    with ThunderContext(memory="100MB") as tsc:
        tsc.loadImages(source).first()
        with ThunderContext(MPI.COMM_SELF, memory="100MB") as alone:
            with fault(name, output):
                try:
                    act(tsc, method, source, output)
                except Exception as error:
                    said = [type(error).__name__, getattr(error, "errno", None), str(error)]
            said_by_all = COMM.allgather(said)
            taken = COMM.bcast(accepted(alone, output) if COMM.rank == 0 and said else None)
            if COMM.rank == 0:
                os.makedirs(os.path.dirname(output), exist_ok=True)
            COMM.Barrier()
            if said is not None:  # the cause is gone
                act(tsc, method, source, output)
            expected = np.moveaxis(tsc.loadImages(source).toArray(), 0, -1)
            good = True
            if method in ("saveAsBinarySeries", "saveAsHDF5"):
                good = np.array_equal(tsc.loadSeries(output).toArray(), expected)
            elif method in ("saveAsTifs", "saveAsZarr"):
                good = np.array_equal(
                    np.moveaxis(tsc.loadImages(output).toArray(), 0, -1), expected
                )
    if COMM.rank == 0:
        print(
            json.dumps(
                {
                    "said": said_by_all,
                    "taken": taken,
                    "good": bool(good),
                    "left": os.listdir(os.path.dirname(output)),
                }
            )
        )


if __name__ == "__main__":
    main()
