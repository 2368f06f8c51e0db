"""HDF5 objects that stand in other files: a file that is read must not lead to any other.

External links, external storage and virtual datasets name files, which may be anything that
this user can read, on any machine that the file came from. The library opens them silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.hdf5_plugins import require_filters
from .opening import refuse_short_chunks

if TYPE_CHECKING:
    import h5py

# Soft links, and virtual datasets, may form a circle.
MOST_LINKS = 32


def open_item(path: str, file: h5py.File, name: str) -> h5py.Dataset | h5py.Group | None:
    """The object of a file that a name stands for; None where there is none.

    Raises
    ------
    ValueError
        If the name leads through an external link.
    """
    import h5py

    group, parts = file, _parts(name)
    for _ in range(MOST_LINKS + len(parts)):
        if not parts:
            return group
        if not isinstance(group, h5py.Group):
            return None
        link = group.get(parts[0], getlink=True)
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(
                f"{path}: {name} is a link into another file, {link.filename!r}, which is not "
                "followed; load that file"
            )
        if isinstance(link, h5py.SoftLink):
            if link.path.startswith("/"):
                group = file
            parts = _parts(link.path) + parts[1:]
        else:
            group = group[parts[0]]
            parts = parts[1:]
    raise ValueError(f"{path}: {name} leads through too many links")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def require_readable(path: str, file: h5py.File, dataset: h5py.Dataset) -> None:
    """Refuse a dataset whose values stand in other files, or that cannot be read here.

    A virtual dataset is made of others, which may be virtual too: all that it leads to must stand
    in this file, with filters that are there. The library would follow a circle until it crashes.

    Raises
    ------
    ValueError
        If a way leads out of the file, or in a circle.
    FormatError
        If a filter is not there, or a chunk is damaged such that the library would crash.
    """
    _follow(path, file, dataset, [], set())


def _follow(
    path: str, file: h5py.File, dataset: h5py.Dataset, way: list[int], seen: set[int]
) -> None:
    """As `require_readable`; `way` leads to the dataset, and `seen` need not be followed again."""
    import h5py

    place = h5py.h5o.get_info(dataset.id).addr
    if place in way or len(way) > MOST_LINKS:
        raise ValueError(
            f"{path}: the virtual dataset {dataset.name} is made of itself, or through more than "
            f"{MOST_LINKS} others; copy the values into one dataset"
        )
    if place in seen:
        return
    if dataset.external:
        _refuse_outside(path, dataset, str(dataset.external[0][0]))
    for name in _sources(path, dataset) if dataset.is_virtual else ():
        source = open_item(path, file, name)
        if isinstance(source, h5py.Dataset):  # where there is none, its part has the fill value
            _follow(path, file, source, [*way, place], seen)
    require_filters(path, dataset)
    refuse_short_chunks(path, dataset)
    seen.add(place)


def _sources(path: str, dataset: h5py.Dataset) -> list[str]:
    """The names of the datasets that a virtual one is made of, each once."""
    names: dict[str, None] = {}
    for source in dataset.virtual_sources():
        if source.file_name != ".":
            _refuse_outside(path, dataset, source.file_name)
        if "%b" in source.dset_name.replace("%%", ""):
            raise ValueError(
                f"{path}: the virtual dataset {dataset.name} is made of those whose names fit "
                f"{source.dset_name!r}, which are not looked for; copy the values into one dataset"
            )
        names[source.dset_name.replace("%%", "%")] = None
    return list(names)


def _refuse_outside(path: str, dataset: h5py.Dataset, other: str) -> None:
    raise ValueError(
        f"{path}: the values of dataset {dataset.name} stand in another file, {other!r}, "
        "which is not followed; load that file, or copy the values into one"
    )
