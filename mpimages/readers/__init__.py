"""One reader per format, behind one small registry.

Readers are local: rank 0 lists and inspects, and every rank opens the files it owns.

A package may add a format. It needs `Reader`, `Header` and `Handle`, and `Options`; where images
are stored as plain bytes `Places`, and for temporary memory `Scratch`. CONTRIBUTING.md tells how.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..core.arguments import check_text
from ..formats.matlab import HEAD_BYTES, starts_as_ours
from ..formats.output_names import CONF, SUCCESS
from .base import Handle, Header, Reader, Scratch
from .file_sets import FileSet, find_set, named_set, used_files
from .flat.beside import described_files, plane_files
from .incomplete_files import Rest, count_images, inspect_first
from .listing import (
    BELOW,
    called,
    files_with,
    list_files,
    natural_key,
    path_list,
    refuse_without_effect,
    whole_path,
)
from .names import Named, list_pattern
from .options import Options
from .places import Places
from .registry import FORMATS, added_for, extensions, get

__all__ = [
    "FORMATS",
    "FileSet",
    "Handle",
    "Header",
    "Options",
    "Places",
    "Reader",
    "Rest",
    "Scratch",
    "called",
    "count_images",
    "detect",
    "find_input",
    "find_named",
    "find_set",
    "get",
    "inspect_first",
    "list_files",
    "named_set",
    "natural_key",
    "path_list",
    "used_files",
    "whole_path",
]

# Never an input, wherever they lie.
MARKERS = (SUCCESS, "_SUCCESS")
# Of files of MATLAB, which often lie beside recordings: they are read where nothing else is there.
MATLAB = ".mat"


def detect(paths: Sequence[str]) -> str | None:
    """The format that the names tell; None where they tell none.

    Raises
    ------
    ValueError
        If more than one format is present; it names them.
    """
    present: dict[str, str] = {}
    for name, form in FORMATS.items():
        for path in paths:
            if path.lower().endswith(form.extensions):
                present[name] = path
                break
    if len(present) > 1:
        kinds = ", ".join(f"{name} ({called(p)})" for name, p in present.items())
        raise ValueError(
            f"{os.path.dirname(paths[0]) or '.'}: more than one kind of input is present: "
            f"{kinds}; say which by inputFormat="
        )
    return next(iter(present), None)


def _is_ours(path: str) -> bool:
    """Whether a file of MATLAB is one that mpimages wrote, so that its axes are known."""
    with open(path, "rb") as file:
        return starts_as_ours(file.read(HEAD_BYTES))


def find_input(
    data_path: object,
    input_format: str | None = None,
    ext: str | None = None,
    recursive: bool = False,
    conf_filename: str = CONF,
) -> tuple[str, list[str]]:
    """Which format a recording has, and its files in order.

    Parameters
    ----------
    data_path : path or sequence of paths
        As `loadImages`' dataPath.
    input_format : str, optional
        A name in the registry; None detects it by the files' names. Where it is given and no file
        of a directory has one of its endings, those are taken that have its signature.
    ext : str, optional
        Only files of a directory or pattern that end so: ``'tif'`` or ``'.tif'``.
    recursive : bool
    conf_filename : str
        The name of the description beside flat binary files, which is no input.

    Returns
    -------
    (str, list of str)
        The format's name and the paths.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the format cannot be told, or more than one is present, or ext or recursive has nothing
        to choose from.
    """
    reader = None if input_format is None else get(input_format)
    ignored = (*MARKERS, conf_filename)
    if ext is not None:
        check_text(ext, "ext")
        endings: tuple[str, ...] | None = ("." + ext.lower().lstrip("."),)
    else:
        # Flat binary has no extension of its own: all files there are, or the format's.
        flat = reader is None or reader.name == "stack"
        endings = None if reader is None or flat else extensions(reader.name)
    # Who names the format may have files that end otherwise.
    recognises = None if reader is None or endings is None or ext is not None else reader.recognises
    zarr = reader is None or reader.name == "zarr"
    try:
        paths = list_files(data_path, endings, bool(recursive), ignored, recognises, zarr)
    except FileNotFoundError:
        given = path_list(data_path)
        planes = plane_files(given[0]) if endings is None and len(given) == 1 else []
        if not planes:
            raise
        return "stack", planes
    refuse_without_effect(data_path, ext, recursive)
    if ext is None and endings is None:
        described = described_files(paths, conf_filename)
        if len(described) > 1 and isinstance(data_path, (str, os.PathLike)):
            raise ValueError(
                f"{described[0]} and {described[1]}: are recordings of their own, of "
                f"{len(described)} in all: load each by its directory; a list of them is one after "
                "the other"
            )
        if described:
            return "stack", described
    if reader is not None:
        return reader.name, paths
    name = detect(paths)
    if name is None:
        conf = os.path.join(os.path.dirname(paths[0]), conf_filename)
        if os.path.exists(conf):
            return "stack", paths
        matlab = files_with(paths, (MATLAB,))
        if matlab and ext is None and _is_ours(matlab[0]):
            return "hdf5", matlab
        name, problems = added_for(paths)
        if name is None and ext is None:
            above = not recursive and any(map(os.path.isdir, path_list(data_path)))
            raise ValueError(
                f"{paths[0]}: the format cannot be told by the name; if it is an image, "
                f"inputFormat= says of which format ({', '.join(FORMATS)}); others are not read: "
                f"export them as TIFF{f' ({problems})' if problems else ''}"
                f"{BELOW if above else ''}"
            )
        if name is None:
            return "stack", paths
    chosen = files_with(paths, None if ext is not None else extensions(name))
    return name, chosen


def find_named(
    data_path: object, pattern: str, input_format: str | None, ext: str | None, recursive: bool
) -> tuple[str, Named]:
    """Which format the files have whose names match a pattern, and what the names say.

    Raises
    ------
    FileNotFoundError
        If no name matches.
    ValueError
        If arguments contradict the pattern, or the format cannot be told.
    """
    paths = path_list(data_path)
    if len(paths) > 1:
        raise ValueError("pattern= is for the files below one directory: dataPath names several")
    for name, given in (("ext", ext is not None), ("recursive", recursive)):
        if given:
            raise ValueError(
                f"{name}= means nothing beside pattern=, which says how names end and "
                "in which directories they are"
            )
    named = list_pattern(paths[0], pattern)
    found = input_format or detect(named.paths)
    if found is None:
        raise ValueError(
            f"{named.paths[0]}: the format cannot be told by the name; inputFormat= says of which "
            f"format it is ({', '.join(FORMATS)})"
        )
    return get(found).name, named
