"""HDF5 objects that stand in other files: a file that is read must not lead to any other.

External links, external storage and virtual datasets name files, which may be anything that
this user can read, on any machine that the file came from. The library opens them silently.
"""

from __future__ import annotations

from typing import Any

__all__ = ["open_item", "refuse_outside"]

# Soft links may form a circle.
MOST_LINKS = 32


def open_item(path: str, file: Any, name: str) -> Any:
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


def refuse_outside(path: str, dataset: Any) -> None:
    """Raise ValueError where a dataset's values stand in other files."""
    if dataset.external:
        others = [str(item[0]) for item in dataset.external]
    elif dataset.is_virtual:
        others = [source.file_name for source in dataset.virtual_sources()]
        others = [other for other in others if other != "."]
    else:
        return
    if others:
        raise ValueError(
            f"{path}: the values of dataset {dataset.name} stand in another file, {others[0]!r}, "
            "which is not followed; load that file, or copy the values into one"
        )
