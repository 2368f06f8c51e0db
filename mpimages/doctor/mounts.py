"""The file system of a directory, as this host has mounted it, and what is known of it. Local."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass

from .findings import Finding

__all__ = ["MOUNTS", "Mount", "find_mount", "look_at_caches", "look_at_locks", "stripes"]

MOUNTS = "/proc/self/mountinfo"
# Seconds that a command of the file system may take: a server that is down must not hang a doctor.
COMMAND_SECONDS = 10
# Seconds that an NFS client remembers a directory, if no option says it (nfs(5): acdirmax).
DIRECTORY_SECONDS = 60
# Options that change what locks and caches do.
TELLING = (
    "vers",
    "nolock",
    "local_lock",
    "noac",
    "acregmax",
    "acdirmax",
    "lookupcache",
    "flock",
    "localflock",
    "noflock",
    "ro",
)
# What holds for all hosts that see it is a file system of several.
SHARED = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "beegfs_nodev", "ceph", "9p", "cifs", "smb3")


@dataclass(frozen=True)
class Mount:
    """One file system as it is mounted here.

    Attributes
    ----------
    kind : str
        Its type; 'unknown' where the system does not say.
    where, source : str
        The directory at which it is mounted, and what is mounted there: ``server:/home``.
    options : tuple of str
        As the system tells them, those of the mount point first.
    """

    kind: str = "unknown"
    where: str = ""
    source: str = ""
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The type, as people call it."""
        version = self.option("vers")
        return f"NFS v{version}" if self.is_nfs and version else self.kind

    @property
    def is_nfs(self) -> bool:
        """True for each version of NFS."""
        return self.kind in ("nfs", "nfs4")

    @property
    def shared(self) -> bool:
        """True for a kind that several hosts see."""
        return self.kind in SHARED or self.kind.startswith("fuse.")

    @property
    def telling(self) -> tuple[str, ...]:
        """The options that change what locks and caches do."""
        return tuple(one for one in self.options if one.split("=")[0] in TELLING)

    def has(self, option: str) -> bool:
        """Return True if it is mounted with the option."""
        return option in self.options

    def option(self, name: str) -> str:
        """Return the value of an option, or ''."""
        values = [one.partition("=")[2] for one in self.options if one.startswith(f"{name}=")]
        return values[-1] if values else ""


def find_mount(path: str, table: str = MOUNTS) -> Mount:
    """Return the mount that holds `path`. Local; proc_pid_mountinfo(5) has the table's form."""
    real, best = os.path.realpath(path), Mount()
    with suppress(OSError), open(table, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            mount = _read(line)
            if mount is None:
                continue
            inside = real == mount.where or real.startswith(mount.where.rstrip("/") + "/")
            if inside and len(mount.where) >= len(best.where):  # the later of two hides the other
                best = mount
    return best


def _read(line: str) -> Mount | None:
    before, separator, after = line.rstrip("\n").partition(" - ")
    left, right = before.split(" "), after.split(" ")
    if not separator or len(left) < 6 or len(right) < 3:
        return None
    options = dict.fromkeys([*left[5].split(","), *right[2].split(",")])
    where, source = _unescaped(left[4]), _unescaped(right[1])
    return Mount(right[0], where, source, tuple(map(_unescaped, options)))


def _unescaped(text: str) -> str:
    """Blanks are written in octal there: ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text)


# -- locks and caches ------------------------------------------------------------------------

_TWO_JOBS = "take care yourself that no two jobs write one output"


def look_at_locks(mount: Mount, hosts: int) -> Finding | None:
    """Return what the options tell of locks, if they hold for one host only. Local."""
    why = _local_locks(mount)
    if why is None:
        return None
    return Finding(
        "locks",
        "note",
        f"{mount.where} is mounted with {why}: a lock is seen on its own host only, and outputs "
        "are kept from a second job by one",
        f"{_TWO_JOBS}{' on two hosts' if hosts > 1 else ''}, or ask for locks that hold everywhere",
    )


def _local_locks(mount: Mount) -> str | None:
    if mount.is_nfs and not mount.option("vers").startswith("4") and mount.kind != "nfs4":
        if mount.has("nolock"):
            return "nolock"
        if mount.option("local_lock") in ("all", "flock"):
            return f"local_lock={mount.option('local_lock')}"
    if mount.kind == "lustre":
        return next((one for one in ("localflock", "noflock") if mount.has(one)), None)
    if mount.kind.startswith("beegfs"):
        return _beegfs_locks(mount.option("cfgFile"))
    return None


def _beegfs_locks(configuration: str) -> str | None:
    """Return the setting of a BeeGFS client whose locks are its own; None if it cannot be read."""
    with suppress(OSError), open(configuration, encoding="utf-8", errors="replace") as lines:
        given = re.findall(r"^\s*tuneUseGlobalFileLocks\s*=\s*(\w+)", lines.read(), re.MULTILINE)
        on = bool(given) and given[-1].lower() in ("true", "1", "yes", "on", "y", "t")
        return None if on else "tuneUseGlobalFileLocks=false"
    return None


def look_at_caches(mount: Mount, hosts: int) -> Finding | None:
    """Return how late one host may see what another has made, if it may be late. Local."""
    if not mount.is_nfs or mount.has("noac"):
        return None
    seconds = mount.option("acdirmax") or str(DIRECTORY_SECONDS)
    if seconds == "0":
        return None
    text = f"NFS: a host may see for {seconds} s an older listing, size or time than another"
    if hosts == 1:
        return Finding("caches", "ok", text)
    return Finding(
        "caches",
        "note",
        text,
        f"begin to read a recording {seconds} s after its last file was written; or ask for "
        "lookupcache=positive and a shorter actimeo=",
    )


# -- stripes ---------------------------------------------------------------------------------


def stripes(mount: Mount, path: str) -> str:
    """Return how new files there are cut into stripes, as the file system tells it; or ''. Local.

    On Lustre and BeeGFS their own command is asked, if it is there.
    """
    if mount.kind == "lustre":
        return _lustre(_said("lfs", "getstripe", "-d", path))
    if mount.kind.startswith("beegfs"):
        return _beegfs(_said("beegfs-ctl", "--getentryinfo", path))
    if mount.kind == "gpfs":
        with suppress(OSError):
            return f"blocks of {_binary(os.statvfs(path).f_bsize)}"
    return ""


def _said(*command: str) -> str:
    """Return what a command prints; '' if it is not there, fails or takes too long. Local."""
    if shutil.which(command[0]) is None:
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=True,
        )
        return done.stdout.decode(errors="replace")
    return ""


def _lustre(said: str) -> str:
    counts = re.findall(r"stripe_count:\s*(-?\d+)", said)
    sizes = re.findall(r"stripe_size:\s*(\d+)", said)
    layouts = [
        f"{'all servers' if count == '-1' else count} × {_binary(int(size))}"
        for count, size in zip(counts, sizes, strict=False)
    ]
    layouts = list(dict.fromkeys(layouts))
    return f"stripes: {', then '.join(layouts)}" if layouts else ""


def _beegfs(said: str) -> str:
    size = re.search(r"Chunksize:\s*(\S+)", said)
    count = re.search(r"desired:\s*(\d+)", said)
    return f"stripes: {count[1]} × {size[1]}" if size and count else ""


def _binary(size: int) -> str:
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale and size % scale == 0:
            return f"{size // scale} {unit}"
    return f"{size} bytes"
