"""What mpimages wrote, recognised by its marks; and the only place that removes anything.

A directory carries a mark: ``conf.json`` of a binary series, the hidden manifest of a directory of
pictures, ``stats.json`` of statistics, or the mark of a partial output. Each says which names
belong. With any other name, a link or a directory inside, the whole is not ours to remove. A file
is HDF5 with nothing but our datasets, HDF5 whose trailer says that nothing was changed, or another
kind of file with a mark in it. Local.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...core.json_types import JsonObject
from ...formats.hdf5_trailer import is_as_written, read_trailer
from ...formats.output_names import (
    CONF,
    HDF5_MARK,
    HDF5_SIGNATURE,
    MANIFEST,
    PARTIAL_MARK,
    PARTIAL_SUFFIX,
    PARTIAL_TEXT,
    PICTURES_FORMAT,
    REPORT_START,
    SEALED,
    SEEN,
    SERIES_FILE,
    SERIES_FORMAT,
    STATS,
    STATS_FORMAT,
    STATS_PICTURES,
    SUCCESS,
    TEMPORARY,
    is_job_file,
    is_registration,
    is_view,
)
from ...formats.tif_checksums import read_mark
from .naming import Naming

if TYPE_CHECKING:
    import h5py

# What HDF5 and h5py raise on damage differs from call to call.
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)
# Whether a name belongs to an output.
Rule = Callable[[str], bool]


def check_ours(path: str) -> None:
    """Raise FileExistsError unless `path`, which exists, is wholly an output of mpimages."""
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        _check_directory(path)
    elif stat.S_ISREG(mode):
        _check_file(path)
    else:
        raise _refusal(
            path,
            "it is a symbolic link"
            if stat.S_ISLNK(mode)
            else "it is neither a file nor a directory",
        )


def check_owner(path: str, status: os.stat_result | None = None) -> None:
    """Raise FileExistsError where a hidden name beside an output belongs to another user.

    Anybody who may write into the directory above can give something such a name. Of a directory,
    all that is in it is looked at, too. `status` is that of `path`, where it is open.
    """
    found = [(path, status or os.lstat(path))]
    if stat.S_ISDIR(found[0][1].st_mode):
        with os.scandir(path) as entries:
            found += [(entry.path, entry.stat(follow_symlinks=False)) for entry in entries]
    others = [(one, of.st_uid) for one, of in found if of.st_uid != os.geteuid()]
    # Some file systems show what this user creates as another's: NFS that maps root, FUSE, CIFS.
    if others and any(uid != _shown_owner(path) for _, uid in others):
        one, uid = others[0]
        raise FileExistsError(
            f"{one} belongs to another user, of number {uid}, and so is neither taken up nor "
            "removed; choose another path, or have its owner remove it"
        )


def _shown_owner(path: str) -> int:
    """To whom a file belongs that this process makes beside `path`."""
    import tempfile

    with tempfile.TemporaryFile(dir=os.path.dirname(path)) as file:
        return os.fstat(file.fileno()).st_uid


def remove_ours(path: str) -> None:
    """Remove an output of mpimages, if there is one, after `check_ours`; never follow a link.

    The marks go last, so that a removal that was interrupted can be taken up.
    """
    if not os.path.lexists(path):
        return
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        check_ours(path)
        os.unlink(path)
        return
    names = _check_directory(path)
    # What says that it is whole goes first.
    order = {SUCCESS: 0, CONF: 2, MANIFEST: 3, STATS: 4, PARTIAL_MARK: 5}
    for name in sorted(names, key=lambda name: (order.get(name, 1), name)):
        os.unlink(os.path.join(path, name))
    os.rmdir(path)


def holds_files(path: str, files: Sequence[str]) -> bool:
    """Whether one of the files is `path`, by whatever name, or lies in it. Local."""
    target = os.path.realpath(path)
    each = [files[i] for i in range(len(files))]
    if os.path.isfile(target):
        there = os.stat(target)
        return any(os.path.samestat(there, os.stat(file)) for file in each)
    # Many files lie in few directories; one alone may be a directory, a binary series.
    places = {*map(os.path.dirname, each), *each[:1]}
    return any(os.path.commonpath([target, os.path.realpath(place)]) == target for place in places)


def has_all_marks(path: str) -> bool:
    """Whether `path` is a directory that its writer has finished."""
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    if _read_json(path, CONF).get("format") == SERIES_FORMAT:
        return os.path.lexists(os.path.join(path, SUCCESS))
    return (
        _read_json(path, MANIFEST).get("complete") is True
        or _read_json(path, STATS).get("format") == STATS_FORMAT
    )


def _check_directory(directory: str) -> set[str]:
    """The names in a directory; refuse any that is no regular file that its marks say is ours."""
    with os.scandir(directory) as entries:
        regular = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    rules = _rules(directory, set(regular))
    if regular and not rules:
        raise _refusal(directory, f"it holds {min(regular)!r} and no mark of mpimages")
    foreign = [
        name for name in regular if not regular[name] or not any(belongs(name) for belongs in rules)
    ]
    if foreign:
        raise _refusal(directory, f"it holds {min(foreign)!r}, which is not of mpimages' making")
    return set(regular)


def _rules(directory: str, names: set[str]) -> list[Rule]:
    """One rule for each mark that the directory carries."""
    rules: list[Rule] = []
    for mark, kind, make in (
        (CONF, SERIES_FORMAT, _series_rule),
        (MANIFEST, PICTURES_FORMAT, _pictures_rule),
        (STATS, STATS_FORMAT, _stats_rule),
    ):
        described = _read_json(directory, mark) if mark in names else {}
        if described.get("format") == kind:
            rules.append(make(described))
    if PARTIAL_MARK in names and _is_partial_mark(directory, alone=len(names) == 1):
        rules.append(_partial_rule(directory))
    return rules


def _series_rule(conf: JsonObject) -> Rule:
    files = conf.get("files")
    entries = files if isinstance(files, list) else []
    listed = {entry.get("name") for entry in entries if isinstance(entry, dict)}
    return lambda name: (
        name in (CONF, SUCCESS) or (name in listed and bool(SERIES_FILE.fullmatch(name)))
    )


def _stats_rule(_: JsonObject) -> Rule:
    return {STATS, *STATS_PICTURES}.__contains__


def _pictures_rule(manifest: JsonObject) -> Rule:
    try:
        files = manifest["files"]
        naming = Naming(files["prefix"], manifest["kind"], files["digits"])
        keys = [(int(a), int(b)) for a, b in files["keys"]]
    except (TypeError, KeyError, ValueError):
        return lambda name: name == MANIFEST
    whole = manifest.get("complete") is True
    beside = {CONF, SUCCESS} if manifest["kind"] == "bin" else set()

    def belongs(name: str) -> bool:
        key = naming.key(name)
        return name in (MANIFEST, *beside) or (
            key is not None and (not whole or any(a <= key < b for a, b in keys))
        )

    return belongs


def _partial_rule(directory: str) -> Rule:
    # A file output is prepared under its final name, which the directory's name contains.
    final = os.path.basename(directory)[1:].removesuffix(PARTIAL_SUFFIX)
    fixed = {PARTIAL_MARK, SEEN, SUCCESS, SEALED, final, *STATS_PICTURES}
    fixed |= {name + TEMPORARY for name in (CONF, MANIFEST, STATS, SUCCESS, final)}
    # Open MPI has a file beside one that it has open on several hosts, and a killed job leaves it.
    lock = re.compile(re.escape(final) + r"-\d+-\d+\.lock")

    def belongs(name: str) -> bool:
        return (
            name in fixed
            or bool(SERIES_FILE.fullmatch(name))
            or bool(lock.fullmatch(name))
            or is_job_file(name)
        )

    return belongs


def _is_partial_mark(directory: str, alone: bool) -> bool:
    # A job may have been killed, or the machine, while it wrote the mark and nothing else yet.
    try:
        with open(os.path.join(directory, PARTIAL_MARK), "rb") as file:
            text = file.read(len(PARTIAL_TEXT) + 1)
    except OSError:
        return False
    return text == PARTIAL_TEXT or (alone and PARTIAL_TEXT.startswith(text.rstrip(b"\0")))


def _read_json(directory: str, name: str) -> JsonObject:
    """A small JSON file as a dict; empty where it is not one (and so carries no mark)."""
    path = os.path.join(directory, name)
    if os.path.islink(path):
        return {}
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _check_file(path: str) -> None:
    """Refuse a file but those with a mark of ours, and HDF5 of our datasets alone."""
    with open(path, "rb") as file:
        if read_mark(file) is not None:
            return
        file.seek(0)
        start = file.read(len(REPORT_START))
        trailer = read_trailer(file)
        changed = trailer is not None and not is_as_written(file, trailer)
    if start == REPORT_START or is_view(path) or is_registration(path):
        return
    if not start.startswith(HDF5_SIGNATURE):
        raise _refusal(
            path, "it is no HDF5 file, TIFF, report, registration or view with the mark of mpimages"
        )
    if changed:
        raise _refusal(path, "it holds other objects or attributes than mpimages wrote")
    if trailer is not None:
        return
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            foreign = _foreign_object(file)
    except DAMAGE as error:
        raise _refusal(path, f"it cannot be read as HDF5 ({error})") from error
    if foreign is not None:
        raise _refusal(path, f"it holds {foreign!r}, which is not of mpimages' making")


def _foreign_object(group: h5py.Group) -> str | None:
    """The name of something below an HDF5 group that mpimages did not write, or None."""
    import h5py

    if not len(group):
        return str(group.name)
    if len(group.attrs):
        return f"{group.name} (its attributes)"
    for name in group:
        path = f"{group.name.rstrip('/')}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            return path
        item = group[name]
        if isinstance(item, h5py.Group):
            found = _foreign_object(item)
            if found is not None:
                return found
        elif not isinstance(item, h5py.Dataset) or HDF5_MARK not in item.attrs:
            return path
    return None


def _refusal(path: str, why: str) -> FileExistsError:
    return FileExistsError(
        f"{path}: refusing to remove it, {why}; overwrite=True replaces only what mpimages "
        "itself wrote. Choose another path, or remove it yourself"
    )
