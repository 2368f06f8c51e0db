"""What mpimages wrote, recognised by its marks; and the only place that removes anything.

A directory carries a mark: ``conf.json`` of a binary series, the hidden manifest of a directory of
pictures, ``stats.json`` of statistics, an attribute of a Zarr, or the mark of a partial output.
Each is a rule which files and directories belong. With anything else inside, or a link, the whole
is not ours to remove. A file is HDF5 with nothing but our datasets, HDF5 whose trailer says that
nothing was changed, or another kind of file with a mark in it. Local.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...errors import FormatError
from ...formats.hdf5_trailer import is_as_written, read_trailer
from ...formats.matlab import HEAD_BYTES, starts_as_ours
from ...formats.output_names import (
    CONF,
    HDF5_MARK,
    MANIFEST,
    MOVIE_FORMAT,
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
    ZARR_ARRAY,
    ZARR_CHUNK,
    ZARR_DOCUMENTS,
    ZARR_REMOVED,
    ZARR_ROOTS,
    is_job_file,
    is_movie_file,
    is_registration,
    is_view,
    zarr_mark,
)
from ...formats.tif_checksums import read_mark
from .naming import Naming
from .plain import read_object, sync_directory

if TYPE_CHECKING:
    import h5py

# What HDF5 and h5py raise on damage differs from call to call.
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)
# Whether something belongs to an output, by its path in it: 'a/b' of a file, 'a/' of a directory.
Rule = Callable[[str], bool]
# What a directory holds: for a file None, for a directory what that holds.
Tree = dict[str, "Tree | None"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What says that an output is whole goes first, what says that it is ours goes last.
_LAST = (CONF, MANIFEST, STATS, ZARR_REMOVED, PARTIAL_MARK)
_ORDER = dict.fromkeys((SUCCESS, *ZARR_DOCUMENTS), -1) | {n: i for i, n in enumerate(_LAST, 1)}


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
    shown: int | None = None
    for one, uid in _owners(path, status or os.lstat(path)):
        if uid in (os.geteuid(), shown):
            continue
        # Some file systems show what this user creates as another's: NFS, FUSE, CIFS.
        shown = _shown_owner(path)
        if uid != shown:
            raise FileExistsError(
                f"{one} belongs to another user, of number {uid}, and so is neither taken up nor "
                "removed; choose another path, or have its owner remove it"
            )


def _owners(path: str, status: os.stat_result) -> Iterator[tuple[str, int]]:
    """`path` and all below it, each before what it holds, and to whom it belongs."""
    yield path, status.st_uid
    if stat.S_ISDIR(status.st_mode):
        with os.scandir(path) as entries:
            for entry in entries:
                yield from _owners(entry.path, entry.stat(follow_symlinks=False))


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
    tree = _check_directory(path)
    for name in ZARR_ROOTS:
        # What lacks chunks must not look like a Zarr, whose readers take them for zeros.
        if zarr_mark(read_object(path, name)):
            os.rename(os.path.join(path, name), os.path.join(path, ZARR_REMOVED))
            tree[ZARR_REMOVED] = tree.pop(name)
            sync_directory(path)
    _remove(path, tree, None)


def _remove(name: str, tree: Tree, parent: int | None) -> None:
    """Remove a directory and what was found in it, by descriptors: no link is on the way."""
    descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        for child in sorted(tree, key=lambda child: (_ORDER.get(child, 0), child)):
            below = tree[child]
            if below is None:
                os.unlink(child, dir_fd=descriptor)
            else:
                _remove(child, below, descriptor)
    finally:
        quietly(os.close, descriptor)
    os.rmdir(name, dir_fd=parent)


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
    form = read_object(path, CONF).get("format")
    if form == SERIES_FORMAT:
        return os.path.lexists(os.path.join(path, SUCCESS))
    return (
        form == MOVIE_FORMAT
        or read_object(path, MANIFEST).get("complete") is True
        or read_object(path, STATS).get("format") == STATS_FORMAT
        or any(zarr_mark(read_object(path, name)) for name in ZARR_ROOTS)
    )


def _check_directory(directory: str) -> Tree:
    """What a directory holds; refuse all that is no file or directory of which its marks speak."""
    names = set(os.listdir(directory))
    rules = _rules(directory, names)
    if names and not rules:
        raise _refusal(directory, f"it holds {min(names)!r} and no mark of mpimages")
    return _look_into(directory, "", rules, directory)


def _look_into(directory: str, above: str, rules: Sequence[Rule], output: str) -> Tree:
    """What a directory holds that is `above`, a path with a slash, in an output."""
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    tree: Tree = {}
    for entry in entries:
        inside = entry.is_dir(follow_symlinks=False)
        path = above + entry.name + "/" * inside
        if not (inside or entry.is_file(follow_symlinks=False)) or not any(
            belongs(path) for belongs in rules
        ):
            raise _refusal(output, f"it holds {path!r}, which is not of mpimages' making")
        tree[entry.name] = _look_into(entry.path, path, rules, output) if inside else None
    return tree


def _rules(directory: str, names: set[str]) -> list[Rule]:
    """One rule for each mark that the directory carries."""
    rules: list[Rule] = []
    for mark, kind, make in (
        (CONF, SERIES_FORMAT, _series_rule),
        (CONF, MOVIE_FORMAT, _movie_rule),
        (MANIFEST, PICTURES_FORMAT, _pictures_rule),
        (STATS, STATS_FORMAT, _stats_rule),
    ):
        described = read_object(directory, mark) if mark in names else {}
        if described.get("format") == kind:
            rules.append(make(described))
    for mark in (*ZARR_ROOTS, ZARR_REMOVED):
        described = zarr_mark(read_object(directory, mark)) if mark in names else {}
        if described:
            rules.append(_zarr_rule(directory, described, whole=mark != ZARR_REMOVED))
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


def _movie_rule(conf: JsonObject) -> Rule:
    files = conf.get("files")
    entries = files if isinstance(files, list) else []
    names = [str(entry.get("name")) for entry in entries if isinstance(entry, dict)]
    listed = {CONF, *filter(is_movie_file, names)}
    return {*listed, *(os.path.dirname(name) + "/" for name in listed)}.__contains__


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


def _zarr_rule(directory: str, mark: JsonObject, whole: bool) -> Rule:
    """The arrays that a Zarr's mark names; of a whole one no files but those that they have."""
    arrays = mark.get("arrays")
    names = filter(_is_array, arrays) if isinstance(arrays, dict) else ()
    rules = {name: _array_rule(directory, name) if whole else _is_any_chunk for name in names}

    def belongs(path: str) -> bool:
        array, slash, below = path.partition("/")
        if not slash:
            return path in (*ZARR_DOCUMENTS, ZARR_REMOVED)
        return array in rules and (below in ("", *ZARR_DOCUMENTS) or rules[array](below))

    return belongs


def _array_rule(directory: str, name: str) -> Rule:
    """The files that an array of a Zarr has; none without its document."""
    from ...formats.zarr.array import ZarrArray
    from ...formats.zarr.nodes import read_node

    try:
        node = read_node(os.path.join(directory, name))
    except (OSError, FormatError):
        node = None
    if isinstance(node, ZarrArray) and node.separator == "/":
        return node.has
    return lambda path: False


def _is_array(name: str) -> bool:
    return ZARR_ARRAY.fullmatch(name) is not None


def _is_any_chunk(path: str) -> bool:
    return ZARR_CHUNK.fullmatch(path) is not None


def _partial_rule(directory: str) -> Rule:
    # A file output is prepared under its final name, which the directory's name contains.
    final = os.path.basename(directory)[1:].removesuffix(PARTIAL_SUFFIX)
    fixed = {PARTIAL_MARK, SEEN, SUCCESS, SEALED, final, *STATS_PICTURES}
    fixed |= {name + TEMPORARY for name in (CONF, MANIFEST, STATS, SUCCESS, final)}
    fixed |= {name + ending for name in ZARR_DOCUMENTS for ending in ("", TEMPORARY)}
    # Open MPI has a file beside one that it has open on several hosts, and a killed job leaves it.
    lock = re.compile(re.escape(final) + r"-\d+-\d+\.lock")

    def belongs(name: str) -> bool:
        if is_movie_file(name.removesuffix(TEMPORARY)):
            return True
        array, slash, below = name.partition("/")
        if slash:
            below = below.removesuffix(TEMPORARY)
            return _is_array(array) and (below in ZARR_DOCUMENTS or _is_any_chunk(below))
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


def _check_file(path: str) -> None:
    """Refuse a file but those with a mark of ours, and HDF5 of our datasets alone."""
    with open(path, "rb") as file:
        if read_mark(file) is not None:
            return
        file.seek(0)
        start = file.read(HEAD_BYTES)
        trailer = read_trailer(file)
        changed = trailer is not None and not is_as_written(file, trailer)
    if start.startswith(REPORT_START) or is_view(path) or is_registration(path):
        return
    if not starts_as_ours(start):
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
