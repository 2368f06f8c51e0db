"""make faults: every fault of a machine, in all outputs; and jobs that start together.

For each kind of output, new, over an old one, to be resumed, and resumed: each of open, write,
sync, truncate, rename, unlink, mkdir, read and close fails once, on one rank of two; or takes a
part only; or the disk loses what it had not yet taken; or the machine goes down in it. Then what
was not flushed is lost. What is said to be done must be right all the same, byte for byte, and the
next job must come to the right end.

One job of two ranks meets all of them in turn. A library that is loaded before the others
(``faults.c``) lets the calls fail.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ..support.jobs import launcher

HERE = Path(__file__).parent
SHARED_BYTES = 1 << 23
HUNG = 30.0


def build() -> Path:
    target = HERE.parents[1] / "build" / "faults.so"
    target.parent.mkdir(exist_ok=True)
    subprocess.run(
        [
            "gcc",
            "-O1",
            "-Wall",
            "-Werror",
            "-shared",
            "-fPIC",
            "-o",
            target,
            HERE / "faults.c",
            "-ldl",
        ],
        check=True,
    )
    return target


def run_until_hang(home: Path, library: Path, begin: int, count: int) -> int | None:
    """The exit code of a job from fault number `begin` on; None where it hangs."""
    # In memory, where there is such a place: what is tried does not depend on a real disk.
    environment = {
        **os.environ,
        "FAULTS_ROOT": str(home / "root"),
        "FAULTS_SHARED": str(home / "shared"),
        "MPIMAGES_THREADS": "1",
        "MPIMAGES_PROGRESS": "0",
        "MPIR_CVAR_POLLS_BEFORE_YIELD": "1",
        "PYTHONPATH": str(HERE.parents[1]),
        "PYTHONFAULTHANDLER": "1",
    }
    command = [
        *launcher(),
        "-n",
        "2",
        "env",
        f"LD_PRELOAD={library}",
        sys.executable,
        "-m",
        "tests.faults.sweep",
        str(home),
        str(begin),
        str(count),
    ]
    with open(home / "output", "ab") as output:
        job = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        while job.poll() is None:
            time.sleep(0.2)
            moved = max(file.stat().st_mtime for file in home.iterdir() if file.name != "output")
            if time.time() - moved > HUNG * (1 if (home / "log").exists() else 4):
                for process in ranks_of(home):
                    os.kill(process, signal.SIGABRT)  # which shows where they are
                time.sleep(1)
                os.killpg(job.pid, signal.SIGKILL)
                for process in ranks_of(home):
                    os.kill(process, signal.SIGKILL)
                job.wait()
                return None
    return job.returncode


def ranks_of(home: Path) -> list[int]:
    """The processes of the job that works at `home`."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"tests.faults.sweep" in words and os.fsencode(home) in words and b"-n" not in words:
            found.append(int(entry))
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1600)
    parser.add_argument("--least", type=int, default=1500)
    given = parser.parse_args()
    library = build()
    home = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    (home / "root").mkdir()
    (home / "shared").write_bytes(bytes(SHARED_BYTES))
    began, hangs, begin, code = time.monotonic(), [], 0, None
    while code is None:
        (home / "began").touch()
        code = run_until_hang(home, library, begin, given.count)
        last = (home / "log").read_text().splitlines()[-1] if (home / "log").exists() else ""
        if code is None or code != 0:
            if not last or len(hangs) > 20:
                break
            hangs.append((code, last))
            begin, code = int(last.split()[0]) + 1, None
            # What the processes held is free; what they froze is not.
            (home / "shared").write_bytes(bytes(SHARED_BYTES))
    numbers: Counter[str] = Counter()
    for file in home.glob("numbers-*"):
        numbers.update(json.loads(file.read_text()))
    wrong = (home / "wrong").read_text().splitlines() if (home / "wrong").exists() else []
    for line in wrong[:40]:
        print("wrong:", line)
    for ended, line in hangs:
        print("hang:" if ended is None else f"ended with {ended}:", line)
    if hangs or code:
        print((home / "output").read_text(errors="replace")[-6000:])
    faults = numbers["faults"] + len(hangs)
    print(
        f"{faults} faults, {len(hangs)} hangs, {len(wrong)} accepted wrong outputs; "
        f"{numbers['starts together']} times two jobs at once; "
        f"{time.monotonic() - began:.0f} s ({numbers['not met']} faults were not met)"
    )
    shutil.rmtree(home, ignore_errors=True)
    return int(bool(hangs or wrong or code or faults < given.least))


if __name__ == "__main__":
    sys.exit(main())
