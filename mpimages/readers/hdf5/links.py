"""HDF5 objects that stand in other files: which of these may be opened.

External links, external storage and virtual datasets name files, which may be anything that
this user can read, on any machine that the file came from. The library opens them silently, and
takes the fill value where one is not there. So each is looked for here before the library is asked.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...core.cleanup import quietly
from ...errors import FormatError
from ...formats.hdf5_plugins import require_filters
from ..base import Closing
from .opening import open_hdf5_file, refuse_short_chunks

if TYPE_CHECKING:
    import h5py

# Soft links, and virtual datasets, may form a circle.
MOST_LINKS = 32
# A virtual dataset may be made of thousands of files.
MOST_OPEN = 32
# What HDF5 says instead of a length.
UNLIMITED = (1 << 64) - 1
# By them the library would look for files elsewhere first.
PREFIXES = ("HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX")

INSTEAD = "load that file, or copy the values into this one"


class LeadsOut(ValueError):
    """What was asked for stands in a file that is not followed."""


class LinkedFiles(Closing):
    """An HDF5 file, and those that it leads to.

    Parameters
    ----------
    path : str
    file : h5py.File, optional
        The file, where it is open already.
    follow : 'directory', optional
        Whether files below the directory of `path` are opened; None: no other file is.

    Attributes
    ----------
    file : h5py.File
    followed : list of str
        The other files that were found needed.
    """

    def __init__(self, path: str, file: h5py.File | None = None, follow: str | None = None) -> None:
        self.path = path
        locking = None if follow is not None else False
        self.file = open_hdf5_file(path, locking) if file is None else file
        self.followed: list[str] = []
        self._follow = follow is not None
        self._others: dict[str, h5py.File] = {}

    def close(self) -> None:
        self.release()
        quietly(self.file.close)

    def release(self) -> None:
        """Close the other files, with all that was found in them."""
        while self._others:
            quietly(self._others.popitem()[1].close)

    def item(self, name: str, file: h5py.File | None = None) -> h5py.Dataset | h5py.Group | None:
        """The object that a name stands for, in the first file by default; None: there is none.

        Raises
        ------
        ValueError
            If the name leads through an external link that is not followed.
        """
        import h5py

        file = self.file if file is None else file
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
                file = group = self._other(
                    file, link.filename, f"{name} is a link into another file"
                )
                parts = _parts(link.path) + parts[1:]
            elif isinstance(link, h5py.SoftLink):
                if link.path.startswith("/"):
                    group = file
                parts = _parts(link.path) + parts[1:]
            else:
                group = group[parts[0]]
                parts = parts[1:]
        raise ValueError(f"{self.path}: {name} leads through too many links")

    def dataset(self, name: str) -> h5py.Dataset | None:
        """The dataset that a name stands for, which can be read; None where there is none."""
        import h5py

        item = self.item(name)
        if not isinstance(item, h5py.Dataset):
            return None
        self.require_readable(item)
        return item

    def require_readable(self, dataset: h5py.Dataset) -> None:
        """Refuse a dataset whose values stand where they are not read from, or that cannot be.

        A virtual dataset is made of others, which may be virtual too: all that it leads to must
        be there, with filters that are there. The library would follow a circle until it crashes.

        Raises
        ------
        ValueError
            If a way leads to a file that is not followed, or in a circle.
        FormatError
            If a file or filter is not there, or a chunk is damaged such that the library would
            crash.
        """
        self._walk(dataset, [], set())

    def storage(self, dataset: h5py.Dataset) -> tuple[str, int] | None:
        """The file in which a dataset's values lie as they are, and where they begin in it.

        None where they lie in the HDF5 file itself.

        Raises
        ------
        ValueError
            If that file is not followed, or they lie in several.
        """
        if not dataset.external:
            return None
        (other, offset, size), *more = dataset.external
        what = f"the values of dataset {dataset.name} stand in another file"
        target = self._require(dataset.file, os.fsdecode(other), what)
        if more or size < dataset.size * dataset.dtype.itemsize:
            raise ValueError(
                f"{self.path}: the values of dataset {dataset.name} stand in several pieces of "
                "other files, which is not read; copy them into one dataset"
            )
        return target, int(offset)

    def _walk(
        self, dataset: h5py.Dataset, way: list[tuple[int, int]], seen: set[tuple[int, int]]
    ) -> None:
        """As `require_readable`; `way` leads to it, and `seen` need not be looked at again."""
        import h5py

        info = h5py.h5o.get_info(dataset.id)
        place = (info.fileno, info.addr)
        if place in way or len(way) > MOST_LINKS:
            raise ValueError(
                f"{self.path}: the virtual dataset {dataset.name} is made of itself, or through "
                f"more than {MOST_LINKS} others; copy the values into one dataset"
            )
        if place in seen:
            return
        if self.storage(dataset) is not None and way:
            raise ValueError(
                f"{self.path}: a virtual dataset is made of {dataset.name}, whose values stand in "
                "a file that is no HDF5 file; copy them into one dataset"
            )
        for source in dataset.virtual_sources() if dataset.is_virtual else ():
            found = self._source(dataset, source)
            if found is not None:
                self._walk(found, [*way, place], seen)
            if not way and len(self._others) > MOST_OPEN and self._is_own(dataset):
                self.release()
        require_filters(self.path, dataset)
        refuse_short_chunks(self.path, dataset)
        seen.add(place)

    def _source(self, dataset: h5py.Dataset, source: h5py.VDSmap) -> h5py.Dataset | None:
        """A dataset that a virtual one is made of.

        None where the file itself has no such: then its part has the fill value.
        """
        import h5py

        for name in (source.file_name, source.dset_name):
            if "%b" in name.replace("%%", ""):
                raise ValueError(
                    f"{self.path}: the virtual dataset {dataset.name} is made of those whose names "
                    f"fit {name!r}, which are not looked for; copy the values into one dataset"
                )
        other, name = (said.replace("%%", "%") for said in (source.file_name, source.dset_name))
        own = source.file_name == "."
        what = f"the values of dataset {dataset.name} stand in another file"
        file = dataset.file if own else self._other(dataset.file, other, what)
        found = self.item(name, file)
        if isinstance(found, h5py.Dataset):
            self._require_extent(found, source, own)
            return found
        if own:
            return None
        raise FormatError(
            f"{self.path}: the virtual dataset {dataset.name} is made of {name} in {other!r}, "
            "which has no such dataset: the recording is not complete"
        )

    def _require_extent(self, found: h5py.Dataset, source: h5py.VDSmap, own: bool) -> None:
        """Raise FormatError where another file has less than a virtual dataset takes of it."""
        import h5py

        space = source.src_space
        if own or _grows(space):
            return
        if space.get_select_type() == h5py.h5s.SEL_ALL:  # whatever extent it was thought to have
            enough = found.size == source.vspace.get_select_npoints()
        else:
            _, last = space.get_select_bounds()
            enough = len(last) == found.ndim and all(
                end < n for end, n in zip(last, found.shape, strict=True)
            )
        if not enough:
            raise FormatError(
                f"{self.path}: of {found.name} in {source.file_name!r} more is wanted than there "
                f"is, shape {found.shape}: the recording is not complete"
            )

    def _is_own(self, dataset: h5py.Dataset) -> bool:
        """Whether a dataset stands in the first file, which stays open."""
        return bool(dataset.file.filename == self.file.filename)

    def _other(self, file: h5py.File, other: str, what: str) -> h5py.File:
        """Another file, which `file` names, opened."""
        target = self._require(file, other, what)
        key = os.path.realpath(target)
        if key == os.path.realpath(self.path):
            return self.file
        if key not in self._others:
            self._others[key] = open_hdf5_file(target, locking=None)
        return self._others[key]

    def _require(self, file: h5py.File, other: str, what: str) -> str:
        """The path of another file, which `file` names; an error where it is not followed."""
        path = os.path.join(os.path.dirname(file.filename), other)
        root, real = os.path.realpath(os.path.dirname(self.path)), os.path.realpath(path)
        if os.path.commonpath([root, real]) != root:
            raise ValueError(
                f"{self.path}: {what}, {other!r}, which is not below the directory of this one "
                f"and is not followed; {INSTEAD}"
            )
        prefix = next((name for name in PREFIXES if os.environ.get(name)), None)
        if not self._follow and prefix is None and os.path.exists(path):
            raise LeadsOut(f"{self.path}: {what}, {other!r}, which is not followed; {INSTEAD}")
        if not self._follow and prefix is None:
            raise ValueError(
                f"{self.path}: {what}, {other!r}, which is not followed and not there; {INSTEAD}"
            )
        if prefix is not None:
            raise ValueError(
                f"{self.path}: {what}, {other!r}, but {prefix} is set, which leads elsewhere: "
                "unset it in the environment of all ranks"
            )
        if not os.path.exists(path):
            raise FormatError(
                f"{self.path}: {what}, {other!r}, which is not there: copy it to its place"
            )
        if path not in self.followed:
            self.followed.append(path)
        return path


def _grows(space: h5py.h5s.SpaceID) -> bool:
    """Whether a part of a dataset has no end, and is taken as far as the dataset goes."""
    import h5py

    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return False
    return any(n >= UNLIMITED for extent in space.get_regular_hyperslab() for n in extent)


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]
