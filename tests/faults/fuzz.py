"""Damaged files, by the thousand, through the public loaders: python -m tests.faults.fuzz [...]

A child process reads under a limit of memory and time, so that a crash or a hang is seen
from outside, with the file that caused it. The files follow from the seed alone.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 20  # for one file
BATCH = 150  # files for a child
BUDGET = 100_000_000
SPARE = 800_000_000


def read(kind: str, place: Path) -> None:
    """Open and read all there is; ValueError, OSError or a refusal are what may happen."""
    from mpi4py import MPI

    from mpimages import ThunderContext

    with ThunderContext(MPI.COMM_SELF, memory=BUDGET) as tsc:
        if kind.startswith("series"):
            tsc.loadSeries(place, nkeys=2 if kind == "series-text" else None).toArray()
        else:
            tsc.loadImages(place, inputFormat=kind).toArray()
            if kind in ("tif", "npy", "hdf5"):
                tsc.loadImages(place, inputFormat=kind, nplanes=1).toArray()


def trouble(kind: str, place: Path) -> str | None:
    """What is wrong with how a damaged file is met; None where all is well."""
    try:
        read(kind, place)
    except MemoryError as error:
        if "budget" not in str(error):
            return f"memory: {error}"
    except (ValueError, OSError) as error:
        if str(place) not in str(error) and str(place) not in str(getattr(error, "filename", "")):
            return f"the file is not named: {type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__} is not documented: {error}"
    return None


def child(kind: str, seed: int, first: int, stop: int, work: Path) -> None:
    """Read the mutations [first, stop); say after each what was found."""
    import h5py  # noqa: F401  (what is imported before the limit is not counted)
    import imagecodecs  # noqa: F401
    from mpi4py import MPI  # noqa: F401

    from .mutations import mutate, seeds

    faulthandler.enable()
    places = seeds(kind, work / "seeds")
    for place in places:
        read(kind, place)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + BUDGET + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(first, stop):
        rng = random.Random(f"{kind} {seed} {number}")
        damaged = work / f"{number}"
        damaged.mkdir()
        mutate(places[number % len(places)], damaged, rng)
        signal.alarm(SECONDS)
        found = trouble(kind, damaged)
        signal.alarm(0)
        print(f"{number}\t{found or ''}".replace("\n", " "), flush=True)
        if found is None:
            shutil.rmtree(damaged)


def run_child(kind: str, seed: int, first: int, stop: int, work: Path) -> tuple[int, list[str]]:
    """How many files a child has read, and its findings; it may have died of the last."""
    command = [
        sys.executable,
        "-m",
        "tests.faults.fuzz",
        "--child",
        kind,
        "--seed",
        str(seed),
        "--first",
        str(first),
        "--stop",
        str(stop),
        "--work",
        str(work),
    ]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=SECONDS * (stop - first),
    )
    lines = [line.split("\t", 1) for line in ended.stdout.splitlines() if "\t" in line]
    findings = [f"{kind} {seed} {number}: {told}" for number, told in lines if told]
    read_so_far = len(lines)
    if ended.returncode and first + read_so_far >= stop:
        findings.append(f"{kind} {seed}: the child failed at its end: {ended.stderr[-2000:]}")
    elif ended.returncode:
        what = f"signal {-ended.returncode}" if ended.returncode < 0 else "exit"
        if ended.returncode == -signal.SIGALRM:
            what = f"hangs for {SECONDS} s"
        findings.append(f"{kind} {seed} {first + read_so_far}: {what}\n{ended.stderr[-3000:]}")
        read_so_far += 1
    return read_so_far, findings


def fuzz(kind: str, seed: int, count: int, until: float, work: Path) -> tuple[int, list[str]]:
    """Read up to `count` mutations of one kind before a time on the monotonic clock."""
    done, findings = 0, []
    while done < count and time.monotonic() < until and len(findings) < 20:
        place = work / f"{kind}-{seed}-{done}"
        place.mkdir()
        read_now, found = run_child(kind, seed, done, min(count, done + BATCH), place)
        findings += found
        if not found:
            shutil.rmtree(place)
        done += max(1, read_now)
    return done, findings


def main() -> int:
    from .mutations import SEEDS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--count", type=int, default=10**9, help="files of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--keep", type=Path, help="a new directory for what findings leave")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    for option in ("--first", "--stop"):
        parser.add_argument(option, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.seed, given.first, given.stop, given.work)
        return 0
    began, total, findings = time.monotonic(), 0, []
    with contextlib.ExitStack() as stack:
        work = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(exist_ok=True)
        for i, kind in enumerate(given.kinds):
            until = began + 60 * given.minutes * (i + 1) / len(given.kinds)
            done, found = fuzz(kind, given.seed, given.count, until, work)
            print(f"{kind}: {done} damaged files read, {len(found)} findings", flush=True)
            total += done
            findings += found
    print("\n".join([*findings, f"tried: {total} fuzz executions, {len(findings)} findings"]))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
