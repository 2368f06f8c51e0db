"""The formats that are read, and the reader of each: our own, and those that others have added.

A package adds a reader by an entry point of the group ``mpimages.readers``: its name is that of
the format, and it stands for a subclass of `Reader`. Installed packages are looked through only
where a name is none of our own, or no format of our own has a file's ending.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from ..core.arguments import check_choice
from ..formats.zarr.names import NODES
from .base import Reader
from .listing import ZARR

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["FORMATS", "Format", "added_for", "extensions", "get", "names"]

GROUP = "mpimages.readers"


class Format(NamedTuple):
    """What is known of a format without its reader.

    Attributes
    ----------
    extensions : tuple of str
        The endings of its files, in lower case.
    module, reader : str
        Where its reader is. A job imports the reader of its recording alone.
    """

    extensions: tuple[str, ...]
    module: str
    reader: str


# In the order in which they are named to the user. NWB, NeXus and Imaris files are HDF5 files.
FORMATS = {
    "tif": Format(
        (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".stk", ".lsm"), ".tif.reader", "TifReader"
    ),
    "png": Format((".png",), ".png", "PngReader"),
    "stack": Format((".bin", ".stack", ".raw", ".dat"), ".flat.binary", "StackReader"),
    "hdf5": Format((".h5", ".hdf5", ".hdf", ".nwb", ".nxs", ".ims"), ".hdf5.reader", "Hdf5Reader"),
    # A directory; in its place stands the document in it, whatever the directory is called.
    "zarr": Format((ZARR, *NODES), ".zarr.reader", "ZarrReader"),
    "npy": Format((".npy",), ".flat.npy", "NpyReader"),
    "mmap": Format((".mmap",), ".flat.mmap", "MmapReader"),
    "nd2": Format((".nd2",), ".library.nd2", "Nd2Reader"),
    "czi": Format((".czi",), ".library.czi", "CziReader"),
    "lif": Format((".lif",), ".library.lif", "LifReader"),
}


def names() -> list[str]:
    """All formats: our own, and those that other packages have added."""
    return [*FORMATS, *_entry_points()]


def get(name: str) -> Reader:
    """The reader of a format.

    Raises
    ------
    ValueError
        If there is none; it lists the formats.
    ImportError, TypeError
        If that of another package cannot be imported, or is none.
    """
    if isinstance(name, str) and name not in FORMATS:
        added = _entry_points()
        if name in added:
            return _load(name, added[name])
        check_choice(name, "inputFormat", [*FORMATS, *added])
    return _make(check_choice(name, "inputFormat", FORMATS))


def extensions(name: str) -> tuple[str, ...] | None:
    """The endings of a format's files; None where they say nothing."""
    return (FORMATS[name] if name in FORMATS else get(name)).extensions or None


def added_for(paths: Sequence[str]) -> tuple[str | None, str]:
    """The format that another package has added for files of which none has an ending of ours.

    Returns
    -------
    (str or None, str)
        The format's name; and what is wrong with readers that cannot be asked, for a message.

    Raises
    ------
    ValueError
        If several fit; it names them.
    """
    fitting, problems = [], []
    for name, points in _entry_points().items():
        try:
            endings = _load(name, points).extensions
        except (ImportError, TypeError) as error:
            problems.append(str(error))
            continue
        if endings and any(path.lower().endswith(endings) for path in paths):
            fitting.append(name)
    if len(fitting) > 1:
        raise ValueError(
            f"{paths[0]}: several readers are installed for such files: {', '.join(fitting)}; say "
            "which by inputFormat="
        )
    return (fitting[0] if fitting else None), "; ".join(problems)


@cache
def _make(name: str) -> Reader:
    form = FORMATS[name]
    reader: Reader = getattr(import_module(form.module, __package__), form.reader)()
    return reader


def _entry_points() -> dict[str, tuple[EntryPoint, ...]]:
    """The readers of other packages by their names, which are in order."""
    from importlib.metadata import entry_points  # takes a while, and few need it

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=GROUP):
        if point.name not in FORMATS and point not in found.get(point.name, ()):
            found[point.name] = (*found.get(point.name, ()), point)
    return dict(sorted(found.items()))


@cache
def _load(name: str, points: tuple[EntryPoint, ...]) -> Reader:
    """The reader that an entry point stands for."""
    packages = sorted(point.dist.name if point.dist else point.value for point in points)
    if len(points) > 1:
        raise TypeError(
            f"inputFormat={name!r}: {' and '.join(packages)} have a reader of this name each: "
            "uninstall one"
        )
    told = f"inputFormat={name!r}: the reader of the package {packages[0]}"
    try:
        kind = points[0].load()
        reader = kind()
        endings = tuple(reader.extensions)
    except Exception as error:  # of any type: it is the code of others
        raise ImportError(f"{told} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(reader, Reader) or getattr(reader, "name", None) != name:
        raise TypeError(
            f"{told}, {points[0].value}, must be a subclass of mpimages.readers.Reader with the "
            f"name {name!r} of its entry point"
        )
    if isinstance(reader.extensions, str) or not all(
        isinstance(ending, str) and ending == ending.lower() and ending[:1] == "."
        for ending in endings
    ):
        raise TypeError(
            f"{told} must have a tuple of endings in lower case, with the dot, as extensions"
        )
    return reader
