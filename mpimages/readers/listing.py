"""Which files a recording consists of, and in which order."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from ..core.text import quote
from ..errors import not_found
from ..formats.output_names import refuse_unfinished
from ..formats.zarr.names import NODES

# How directories of Zarr are called.
ZARR = ".zarr"
# Endings that stand before another, as in rec.ome.tif.
DOUBLE = (".ome", ".tar")

_DIGITS = re.compile("[0-9]+")


# The parts of a name between its dots, and its ending.
_Name = tuple[tuple[str, ...], str]


def natural_key(path: str) -> tuple[tuple[_Name, ...], _Name, str]:
    """Sort key: directory, stem and ending apart, so that ``rec`` comes before ``rec-1``.

    Runs of digits compare as integers, the rest by code point, ties by the string. A stem that
    is the beginning of another comes first, whatever follows in the other: compared with their
    endings, ``rec.tif`` would come after ``rec-1.tif``, as the dot does after the hyphen.

    Examples
    --------
    >>> sorted(["img10.tif", "img2.tif", "img-1.tif", "img.tif"], key=natural_key)
    ['img.tif', 'img-1.tif', 'img2.tif', 'img10.tif']
    """
    directory, name = os.path.split(path)
    return _directories_key(directory), _name_key(name), path


@lru_cache(maxsize=1024)
def _directories_key(directory: str) -> tuple[_Name, ...]:
    return tuple(_name_key(name) for name in directory.split(os.sep)) if directory else ()


def _name_key(name: str) -> _Name:
    stem, ending = os.path.splitext(name)
    if "." not in stem:  # nearly always: a recording may have a hundred thousand names
        return (_natural(stem),), _ending_key(ending)
    before, inner = os.path.splitext(stem)
    if inner.lower() in DOUBLE:
        stem, ending = before, inner + ending
    # Of other names with several dots, too, what stands before one comes first: a.b before a-1.b.
    return tuple(_natural(part) for part in stem.split(".")), _ending_key(ending)


@lru_cache(maxsize=64)
def _ending_key(ending: str) -> str:
    return _natural(ending)


def _natural(text: str) -> str:
    return _DIGITS.sub(_ordered, text)


def _ordered(run: re.Match[str]) -> str:
    # The length without leading zeros, as one character, and then the digits compare like
    # the integer; the 0 before them stands among other characters where digits do.
    digits = run[0].lstrip("0")
    return f"0{chr(len(digits))}{digits}"


def path_list(data_path: object) -> list[str]:
    """`dataPath` as a list of strings: one path or pattern, or a sequence of them."""
    if isinstance(data_path, (str, os.PathLike)):
        items: Iterable[object] = [data_path]
    elif isinstance(data_path, Iterable) and not isinstance(data_path, (bytes, dict, set)):
        try:
            items = list(data_path)
        except Exception:  # of any type: it is the argument that is asked for its items
            raise TypeError(
                f"dataPath must be a path or a list of paths, got {quote(data_path)}"
            ) from None
    else:
        raise TypeError(f"dataPath must be a path or a list of paths, got {quote(data_path)}")
    paths = []
    for item in items:
        if not isinstance(item, (str, os.PathLike)):
            raise TypeError(f"dataPath must be a path or a list of paths, got {quote(item)} in it")
        path = os.fspath(item)
        if not isinstance(path, str):
            raise TypeError(f"a path must be text, got {quote(path)}")
        if not path or "\0" in path:
            raise ValueError(f"dataPath holds {quote(path)}, which is no path")
        paths.append(os.path.expanduser(path))
    if not paths:
        raise ValueError("dataPath is an empty list")
    return paths


def files_with(names: Iterable[str], extensions: Sequence[str] | None) -> list[str]:
    """Those of `names` that end in one of `extensions`, in any letter case; None: all.

    A document of Zarr ends as its directory does, too.
    """
    if extensions is None:
        return list(names)
    endings = tuple(extensions)
    return [
        name
        for name in names
        if name.lower().endswith(endings)
        or (is_zarr_document(name) and os.path.dirname(name).lower().endswith(endings))
    ]


def is_zarr_document(path: str) -> bool:
    """Whether a file has the name of one that stands for a directory of Zarr."""
    return os.path.basename(path) in NODES


def zarr_document(directory: str) -> str | None:
    """The file that stands for a directory of Zarr; None where the directory is none."""
    for name in NODES:
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            return path
    return None


def whole_path(path: str) -> str:
    """What a file of a recording stands for: a document of Zarr for its directory."""
    return os.path.dirname(os.path.abspath(path)) if is_zarr_document(path) else path


def called(path: str) -> str:
    """The name by which people know a file of a recording."""
    return os.path.basename(whole_path(path))


def stored_in(directory: str) -> int:
    """The bytes of all files below a directory; links to directories are not followed."""
    total, pending = 0, [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file():
                    total += entry.stat().st_size
    return total


def list_files(
    data_path: object,
    extensions: Sequence[str] | None = None,
    recursive: bool = False,
    ignored: Sequence[str] = (),
    recognises: Callable[[str], bool] | None = None,
    zarr: bool = False,
) -> list[str]:
    """The files that `data_path` stands for.

    Parameters
    ----------
    data_path : path or sequence of paths
        A directory, a file, or a pattern with wildcards (``*``, ``?``, ``[...]``, and
        ``**`` for directories of any depth); a list keeps its order.
    extensions : sequence of str, optional
        Which files of a directory or pattern are meant, lower case with the dot;
        None: every one. A file that is named outright is always meant.
    recursive : bool
        Whether a directory's directories are searched too.
    ignored : sequence of str
        Names that are never an input.
    recognises : callable, optional
        Which files are meant where none has one of the extensions: those for which it is true. A
        pattern with an ending of its own, such as ``*.nwb``, then means whatever fits it.
    zarr : bool
        Whether a directory of Zarr counts as a file: as the document that describes it.

    Returns
    -------
    list of str
        What one directory or pattern stands for is in natural order.

    Raises
    ------
    FileNotFoundError
        If one of the paths stands for no file; it says what was looked for.
    FormatError
        If a file lies in the unfinished output of a job of mpimages.
    """
    files: list[str] = []
    for path in path_list(data_path):
        files += _one(path, extensions, recursive, frozenset(ignored), recognises, zarr)
    refuse_unfinished({os.path.dirname(file) for file in files})
    return files


def refuse_without_effect(data_path: object, ext: str | None, recursive: bool) -> None:
    """Raise ValueError where no path is one of which ext or recursive chooses files."""
    paths = path_list(data_path)
    if recursive and not any(map(_is_searched, paths)):
        raise ValueError(
            f"recursive=True searches below a directory, and {quote(paths[0])} is none; in a "
            "pattern ** stands for directories of any depth"
        )
    if ext is not None and all(os.path.lexists(p) and not _is_searched(p) for p in paths):
        raise ValueError(
            f"ext={quote(ext)} chooses among the files of a directory or pattern, and "
            f"{quote(paths[0])} is a file, which is read whatever it ends in; inputFormat= says of "
            "which format it is"
        )


def _is_searched(path: str) -> bool:
    """Whether a path is a directory in which files are looked for."""
    return os.path.isdir(path) and zarr_document(path) is None


def _one(
    path: str,
    extensions: Sequence[str] | None,
    recursive: bool,
    ignored: frozenset[str],
    recognises: Callable[[str], bool] | None,
    zarr: bool,
) -> list[str]:
    if os.path.isdir(path):
        refuse_unfinished([path])  # before it is found to hold no images
        document = zarr_document(path) if zarr else None
        if document is not None:
            return [document]
        # Where nobody has named the format, only by their names.
        ending = (ZARR if extensions is None else "") if zarr else None
        found = list(_scan(path, recursive, ending))
        kind = "directory"
    elif os.path.lexists(path) or not glob.has_magic(path):
        if not os.path.lexists(path):
            raise not_found(path, f"{path}: no such file or directory")
        return [path]
    else:
        found = list(_matching(path, zarr=zarr))
        kind = "pattern"
    found = [name for name in found if os.path.basename(name) not in ignored]
    named = kind == "pattern" and recognises is not None and _names_ending(path)
    files = found if named else files_with(found, extensions)
    if not files and recognises is not None:
        files = [name for name in found if recognises(name)]
    if not files:
        raise FileNotFoundError(_nothing(path, kind, found, extensions, recursive))
    files.sort(key=natural_key)
    return files


def _names_ending(pattern: str) -> bool:
    """Whether a pattern says how the names end."""
    ending = os.path.splitext(os.path.basename(pattern))[1]
    return len(ending) > 1 and not glob.has_magic(ending)


def _scan(directory: str, recursive: bool, zarr: str | None = None) -> Iterator[str]:
    """The visible files below a directory. No file is asked for its status, except links
    and where the file system does not tell the type with the name.

    Also the documents of directories of Zarr whose names end in `zarr`, of all that are met with
    `recursive`; below them nothing is looked for.
    """
    pending = [directory]
    seen: set[tuple[int, int]] = set()
    while pending:
        current = pending.pop()
        with os.scandir(current) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    document = None
                    if zarr is not None and (recursive or entry.name.lower().endswith(zarr)):
                        document = zarr_document(entry.path)
                    if document is not None:
                        yield document
                    elif recursive and _unseen(entry, seen):
                        pending.append(entry.path)
                elif is_input(entry):
                    yield entry.path


def is_input(entry: os.DirEntry[str]) -> bool:
    """Whether what is no directory counts as a file of a recording."""
    # A dangling link counts: an image that is missing must not go unnoticed.
    return entry.is_file() or entry.is_symlink()


def _unseen(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> bool:
    """Whether a directory is met for the first time: links may form a circle."""
    status = entry.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _matching(pattern: str, ignore_case: bool = False, zarr: bool = False) -> Iterator[str]:
    """The visible files that match a pattern; with `zarr` also directories of Zarr."""
    head, tail = os.path.split(pattern)
    if tail == "**":
        tail = "*"
        head = os.path.join(head, "**")
    # Like a shell: a wildcard does not stand for a leading dot, unless it is written.
    hidden = tail.startswith(".")
    matches = re.compile(fnmatch.translate(tail), re.IGNORECASE if ignore_case else 0).match
    for directory in _directories(head):
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith(".") and not hidden:
                    continue
                if not matches(entry.name):
                    continue
                path = os.path.join(head, entry.name) if directory == "." else entry.path
                if entry.is_dir():
                    document = zarr_document(path) if zarr else None
                    if document is not None:
                        yield document
                elif is_input(entry):
                    yield path


def _directories(head: str) -> list[str]:
    if not head:
        return ["."]
    if not glob.has_magic(head):
        return [head] if os.path.isdir(head) else []
    found = (os.path.normpath(path) for path in glob.glob(head, recursive=True))
    return sorted({path for path in found if os.path.isdir(path)})


BELOW = " (recursive=True searches the directories below)"


def _nothing(
    path: str, kind: str, found: Sequence[str], extensions: Sequence[str] | None, recursive: bool
) -> str:
    wanted = "files" if extensions is None else f"files ending in {', '.join(extensions)}"
    message = f"{path}: no {wanted} " + (
        "in this directory" if kind == "directory" else "match this pattern"
    )
    if kind == "pattern" and "[" in path:
        message += "; brackets are wildcards too: a [ that is part of a name is written [[]"
    others = [] if kind == "directory" or found else list(_matching(path, ignore_case=True))
    if others:
        message += (
            f"; upper and lower case differ in a pattern, and {name_some(others)} would match "
            "otherwise: give the pattern in their case, or the directory"
        )
    if kind == "directory" and not recursive:
        message += BELOW
    if kind == "directory" and path.rstrip("/").lower().endswith(ZARR):
        message += f"; it is no Zarr, as it has none of {', '.join(NODES)}"
    if found:
        message += f"; it has {name_some(found)}"
    return message


def name_some(found: Sequence[str]) -> str:
    """The first names in natural order, and how many more there are."""
    names = sorted(map(called, found), key=natural_key)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
