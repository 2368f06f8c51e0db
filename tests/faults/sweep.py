"""The job that meets the faults, one after another, on two ranks.

sweep.py HOME BEGIN COUNT: from number BEGIN on of the plan of COUNT faults, which the first makes.
Before each it adds a line to HOME/log, and what was wrong to HOME/wrong.
"""

from __future__ import annotations

import ctypes
import errno
import json
import logging
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from mpi4py import MPI

from mpimages import ThunderContext
from mpimages.conversion import resume

from ..conversion.test_saving import contents
from ..support.data import recording

COUNT, DIMS = 24, (40, 30)
MEMORY = 16_000  # some rounds
CALLS = ("open", "write", "sync", "truncate", "rename", "unlink", "mkdir", "read", "close")
FAIL, SHORT, LOST, FREEZE = range(4)
ERRORS = tuple((FAIL, getattr(errno, name)) for name in ("EIO", "ENOSPC", "EDQUOT", "ESTALE"))
# What can become of a call; `FREEZE` is a machine that goes down in it, `LOST` a disk that has
# lost what it had seemed to take.
FATES = {
    "write": (*ERRORS, (SHORT, 0), (FREEZE, errno.EIO)),
    "sync": (*ERRORS, (LOST, errno.EIO), (LOST, errno.EIO), (FREEZE, errno.EIO)),
    "read": (*ERRORS, (SHORT, 0)),
}
OTHER_FATES = (*ERRORS, (FREEZE, errno.EIO))

Save = Callable[..., None]


def hdf5(images: Any, path: str, **options: Any) -> None:
    images.saveAsHDF5(path, **options)


def series(images: Any, path: str, **options: Any) -> None:
    images.saveAsBinarySeries(path, blockSize=20_000, **options)


def zarr(images: Any, path: str, **options: Any) -> None:
    images.saveAsZarr(path, **options)


# Each: the images, how they are saved, with what; and whether it can be resumed.
KINDS: dict[str, tuple[str, Save, dict[str, Any], bool]] = {
    "series": ("plain", series, {"memory": MEMORY}, True),
    "series of compressed": ("zlib", series, {"memory": MEMORY}, True),
    "contiguous": ("plain", hdf5, {"memory": MEMORY}, True),
    "chunks": ("zlib", hdf5, {"memory": MEMORY, "chunks": (7, 6, 10)}, True),
    "gzip": (
        "zlib",
        hdf5,
        {"memory": 4 * MEMORY, "chunks": (2, 15, 24), "compression": "gzip"},
        True,
    ),
    "images": ("plain", hdf5, {"layout": "images"}, True),
    "gzip images": (
        "zlib",
        hdf5,
        {"layout": "images", "compression": "gzip", "chunks": (4, 40, 30)},
        True,
    ),
    "zarr": (
        "zlib",
        zarr,
        {"memory": 4 * MEMORY, "layout": "series", "chunks": (8, 15, 12), "shards": "20 kB"},
        True,
    ),
    "zarr images": (
        "plain",
        zarr,
        {"compression": None, "chunks": (4, 40, 16), "shards": "30 kB", "levels": 1},
        True,
    ),
    "tif": ("plain", lambda images, path, **options: images.saveAsTif(path, **options), {}, False),
    "tifs": (
        "plain",
        lambda images, path, **options: images.saveAsTifs(path, **options),
        {},
        False,
    ),
    "binary images": (
        "plain",
        lambda images, path, **options: images.saveAsBinaryImages(path, **options),
        {},
        False,
    ),
    "pngs": (
        "plain",
        lambda images, path, **options: images.saveAsPngs(path, **options),
        {},
        False,
    ),
    "report": ("plain", lambda images, path, **options: images.report(path, **options), {}, False),
}
FILES = {"contiguous", "chunks", "gzip", "images", "gzip images", "tif", "report"}


class Sweep:
    """The faults' place, and what is known of each output. Collective."""

    def __init__(self, home: Path) -> None:
        self.comm = MPI.COMM_WORLD
        self.first = self.comm.rank == 0
        self.home, self.root = home, Path(os.environ["FAULTS_ROOT"])
        self.library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self.tsc = ThunderContext(self.comm)
        self.numbers: Counter[str] = Counter()
        if self.first and not (self.root / "plain").exists():
            self._make_input()
        self.comm.Barrier()

    def _make_input(self) -> None:
        array = recording(COUNT, DIMS, "uint16")
        for name, compression in (("plain", None), ("zlib", "zlib"), ("old", None)):
            (self.root / name).mkdir()
            for i, image in enumerate(array + np.uint16(name == "old")):
                tifffile.imwrite(self.root / name / f"{i:03d}.tif", image, compression=compression)
        (self.root / "kept").mkdir()

    # -- one attempt -----------------------------------------------------------------------------

    def path(self, kind: str) -> Path:
        ending = {"tif": ".tif", "report": ".html"}.get(kind, ".h5" if kind in FILES else "")
        return self.root / "out" / f"o{ending}"

    def save(self, kind: str, source: str = "", **options: Any) -> str:
        """The name of what this rank raises, '' for nothing. Collective."""
        given, method, always, _ = KINDS[kind]
        try:
            images = self.tsc.loadImages(str(self.root / (source or given)))
            method(images, str(self.path(kind)), **always, **options)
        except Exception as error:
            return type(error).__name__
        return ""

    def clean(self, start: str = "") -> None:
        """Let the place of the outputs be as at the `start`. Collective."""
        self.comm.Barrier()
        if self.first:
            self.library.faults_thaw()
            shutil.rmtree(self.root / "out", ignore_errors=True)
            if start:
                shutil.copytree(self.root / "kept" / start, self.root / "out")
            else:
                (self.root / "out").mkdir()
            self.library.faults_forget()
        self.comm.Barrier()

    def keep(self, name: str) -> None:
        if self.first:
            self.library.faults_thaw()
            shutil.copytree(self.root / "out", self.root / "kept" / name)
        self.comm.Barrier()

    def there(self, kind: str) -> dict[str, bytes]:
        path = self.path(kind)
        return contents(path) if path.exists() else {}

    # -- the plan --------------------------------------------------------------------------------

    def make_plan(self, wanted: int) -> list[list[Any]]:
        """What is tried, the same whoever continues: [kind, start, rank, call, at, fate]."""
        groups = []
        for kind in KINDS:
            for start in self.starts(kind):
                self.clean(self.place_of(kind, start))
                self.library.faults_arm(-1, 0, FAIL, 0)
                assert self.save(kind, **self.options(start)) == "", (kind, start)
                counts = [self.library.faults_count(i) for i in range(len(CALLS))]
                for rank, made in enumerate(self.comm.allgather(counts)):
                    groups += [(kind, start, rank, call, n) for call, n in enumerate(made) if n]
        plan: list[list[Any]] = []
        # Of each group the calls that lie furthest apart come first.
        depth = 0
        while len(plan) < wanted:
            for place, (kind, start, rank, call, n) in enumerate(groups):
                many = 1 if kind == "report" else n
                if depth < many:
                    fates = FATES.get(CALLS[call], OTHER_FATES)
                    at = 1 + int(n * (0.618034 * depth % 1)) if depth else n // 2 + 1
                    plan.append([kind, start, rank, call, at, fates[(place + depth) % len(fates)]])
            depth += 1
        return plan[:wanted]

    def starts(self, kind: str) -> list[str]:
        """What may be there before: nothing, an old output, or what a killed job left."""
        if not (self.root / "kept" / kind).exists():
            self.clean()
            assert self.save(kind) == ""
            self.keep(kind)
            self.clean()
            assert self.save(kind, "old") == ""
            self.keep(f"old {kind}")
            if KINDS[kind][3]:
                self.clean()
                self.library.faults_arm(-1, 0, FAIL, 0)
                self.save(kind, resume=True)
                half = self.library.faults_count(CALLS.index("write")) * 2 // 3
                self.clean()
                if self.first:
                    self.library.faults_arm(CALLS.index("write"), half, FREEZE, errno.EIO)
                self.save(kind, resume=True)
                self.library.faults_disarm()
                self.comm.Barrier()
                self.keep(f"killed {kind}")
        return ["new", "over", *(["resume", "killed"] if KINDS[kind][3] else [])]

    @staticmethod
    def place_of(kind: str, start: str) -> str:
        return {"over": f"old {kind}", "killed": f"killed {kind}"}.get(start, "")

    @staticmethod
    def options(start: str) -> dict[str, bool]:
        return {"over": {"overwrite": True}, "new": {}}.get(start, {"resume": True})

    # -- one fault -------------------------------------------------------------------------------

    def suffer(self, case: list[Any]) -> None:
        """Meet a fault, judge what comes of it, and go on. Collective."""
        kind, start, rank, call, at, (mode, number) = case
        self.clean(self.place_of(kind, start))
        if self.comm.rank == rank:
            self.library.faults_arm(call, at, mode, number)
        said = self.comm.allgather(self.save(kind, **self.options(start)))
        fired = self.comm.allreduce(self.library.faults_disarm())
        if not fired:
            self.numbers["not met"] += 1
            return
        self.numbers["faults"] += 1
        wrong = []
        if len(set(said)) > 1:
            wrong.append(f"the ranks say {said}")
        if self.first:
            self.crash()
            allowed = [self.expected(kind)]
            if said[0]:
                allowed += [{}, *([self.expected(f"old {kind}", kind)] if start == "over" else [])]
            if self.there(kind) not in allowed:
                wrong.append(f"{said[0] or 'success'}, and another output than it should be")
        if "CollectiveMismatchError" in said:
            self.tsc.close()
            self.tsc = ThunderContext(self.comm)
        wrong += self.again(kind, start)
        self.tell(case, wrong)

    def crash(self) -> None:
        """Whatever came of it: what is not on the disk by now is lost. Local."""
        self.library.faults_thaw()
        for file in (self.root / "out").rglob("*"):
            if file.is_file():
                self.library.faults_lose(os.fsencode(file))
        self.library.faults_forget()

    def again(self, kind: str, start: str) -> list[str]:
        """The next job, on a machine that is well: it gives the output that it should."""
        resumable = KINDS[kind][3] and start != "over"
        options = {"resume": True} if resumable else self.options(start)
        said = self.save(kind, **options)
        done = said == "FileExistsError" and not options  # the one before came to its end
        if not self.first:
            return []
        wrong = [] if not said or done else [f"the next job says {said}"]
        if self.there(kind) != self.expected(kind):
            wrong.append("the next job gives another output")
        left = sorted(os.listdir(self.root / "out"))
        if left != [self.path(kind).name]:
            wrong.append(f"the next job leaves {left}")
        return wrong

    def expected(self, name: str, kind: str = "") -> dict[str, bytes]:
        return contents(self.root / "kept" / name / self.path(kind or name).name)

    def tell(self, case: object, wrong: list[str]) -> None:
        wrong = [one for part in self.comm.allgather(wrong) for one in part]
        if wrong and self.first:
            with open(self.home / "wrong", "a") as file:
                file.write(json.dumps([case, wrong]) + "\n")

    # -- jobs that start together ----------------------------------------------------------------

    def meet(self, kind: str, start: str) -> None:
        """Each rank is a job of its own; both want the same output. Collective."""
        given, method, always, _ = KINDS[kind]
        self.clean(self.place_of(kind, start))
        said = ""
        with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
            images = alone.loadImages(str(self.root / given))
            self.comm.Barrier()
            try:
                method(images, str(self.path(kind)), **always, **self.options(start))
            except FileExistsError:
                said = "refused"
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
        both = self.comm.allgather(said)
        self.numbers["starts together"] += 1
        wrong = []
        if self.first:
            if set(both) - {"", "refused"} or "" not in both:
                wrong.append(f"the jobs say {both}")
            if start == "new" and both.count("") != 1:
                wrong.append(f"{both.count('')} jobs write")
            if self.there(kind) != self.expected(kind):
                wrong.append("another output than it should be")
            left = sorted(os.listdir(self.root / "out"))
            if left != [self.path(kind).name]:
                wrong.append(f"they leave {left}")
        self.tell(["two jobs", kind, start], wrong)


def main() -> None:
    home, begin, wanted = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    logging.getLogger("mpimages").setLevel(logging.CRITICAL)
    resume.FLUSH_LEAST = -1.0  # at each record, not when the time has come
    sweep = Sweep(home)
    if not (home / "plan").exists():
        plan = sweep.make_plan(wanted)
        together = [
            ["two jobs", kind, start]
            for kind in KINDS
            if kind != "report"
            for start in sweep.starts(kind)
            for _ in range(6)
        ]
        if sweep.first:
            (home / "plan").write_text(json.dumps([*plan, *together]))
    sweep.comm.Barrier()
    plan = json.loads((home / "plan").read_text())
    for number in range(begin, len(plan)):
        if sweep.first:
            with open(home / "log", "a") as file:
                file.write(f"{number} {time.time():.1f} {json.dumps(plan[number])}\n")
        if plan[number][0] == "two jobs":
            sweep.meet(*plan[number][1:])
        else:
            sweep.suffer(plan[number])
        if sweep.first:
            (home / f"numbers-{begin}").write_text(json.dumps(sweep.numbers))
    sweep.tsc.close()


if __name__ == "__main__":
    main()
