"""The arrays and groups below a directory, and which of them holds the images that are meant."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...core.text import quote, shortened
from ...errors import FormatError
from ...formats.output_names import zarr_mark
from ...formats.zarr.array import ZarrArray
from ...formats.zarr.names import ATTRIBUTES_V2, NODES
from ...formats.zarr.nodes import ZarrGroup, is_zarr, read_node
from ..listing import natural_key
from .ome import Level, ome_attributes, pyramids

# As deep, and among as many, arrays are looked for: a plate has thousands of images.
MOST_DEPTH, MOST_NODES = 6, 1000


@dataclass(frozen=True)
class Found:
    """An array below a directory.

    Attributes
    ----------
    root : str
    name : str
        Its path below the root; empty where the root is the array.
    array : ZarrArray
    level : Level, optional
        What the group around it says of it as a level of an image.
    attributes : dict
        Those of that group, or of the root.
    """

    root: str
    name: str
    array: ZarrArray
    level: Level | None
    attributes: JsonObject

    @property
    def directory(self) -> str:
        """Where the array lies."""
        return os.path.join(self.root, self.name) if self.name else self.root

    @property
    def whole(self) -> bool:
        """Whether mpimages wrote it, which leaves out no chunk."""
        written = zarr_mark({"attributes": self.attributes}).get("arrays")
        return isinstance(written, dict) and self.name in written

    @property
    def called(self) -> str:
        """What messages call it."""
        return f"{self.root}, array {self.name}" if self.name else self.root


def node_at(directory: str) -> ZarrArray | ZarrGroup:
    """As `read_node`: what was read last is kept, as each opening of a recording asks for it."""
    signature: list[object] = []
    for name in (*NODES, ATTRIBUTES_V2):
        try:
            status = os.stat(os.path.join(directory, name))
        except OSError:
            continue
        signature.append((name, status.st_size, status.st_mtime_ns, status.st_ino))
    return _read_node(directory, tuple(signature))


@lru_cache(maxsize=16)
def _read_node(directory: str, signature: tuple[object, ...]) -> ZarrArray | ZarrGroup:
    return read_node(directory)


def find_array(root: str, dataset: str | None, axes: str | None = None) -> Found:
    """The array that was named, or the only one that images can be in.

    Parameters
    ----------
    root : str
        The directory.
    dataset : str, optional
        The path of an array, or of a group around it, in the root.
    axes : str, optional
        The axes that it must have.

    Raises
    ------
    FormatError
        If its metadata are damaged, or its values cannot be decoded.
    ValueError
        If it is not there, or not the only one: the arrays are listed.
    """
    node = node_at(root)
    if isinstance(node, ZarrArray):
        if dataset is not None:
            raise ValueError(
                f"{root}: is one array, so that dataset={quote(dataset)} means nothing"
            )
        return Found(root, "", node, None, node.attributes)
    name = "" if dataset is None else check_name(root, dataset)
    if not name:
        return _choose(root, "", node, axes, node.attributes)
    level, attributes, around = None, node.attributes, node
    for depth, part in enumerate(name.split("/")):
        rest = "/".join(name.split("/")[depth:])
        here = "/".join(name.split("/")[:depth])
        for one in _all_levels(root, here, around):
            if one.path == rest:
                level, attributes = one, around.attributes
        place = _place(root, f"{here}/{part}".strip("/"))
        inner = node_at(place) if is_zarr(place) else _implied(place, node)
        if isinstance(inner, ZarrArray) and rest == part:
            return Found(root, name, inner, level, attributes)
        if not isinstance(inner, ZarrGroup):
            raise ValueError(f"{root}: has no array {name!r}; it has {_listed(root)}")
        around = inner
    return _choose(root, name, around, axes, node.attributes)


def _implied(place: str, root: ZarrGroup) -> ZarrGroup | None:
    """The group that a directory is in which only others describe themselves."""
    return ZarrGroup(root.version, {}) if os.path.isdir(place) else None


def check_name(root: str, name: str) -> str:
    """A path of an array in a directory; ValueError where it might lead out of it."""
    parts = name.rstrip("/").split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"{root}: dataset={quote(name)} is no path of an array in this directory, such as '0'"
        )
    return "/".join(parts)


def _place(root: str, name: str) -> str:
    """The directory of a node; ValueError where a link leads out of the root."""
    place = os.path.join(root, name)
    inside = os.path.realpath(root)
    if os.path.commonpath([inside, os.path.realpath(place)]) != inside:
        raise ValueError(f"{place}: is a link to what lies outside of {root}; load that by itself")
    return place


def _all_levels(root: str, name: str, group: ZarrGroup) -> Iterator[Level]:
    for levels in pyramids(os.path.join(root, name), group.attributes):
        yield from levels


def _choose(
    root: str, name: str, group: ZarrGroup, axes: str | None, attributes: JsonObject
) -> Found:
    """The array of a group that is meant where nothing more is said."""
    where = os.path.join(root, name) if name else root
    images = pyramids(where, group.attributes)
    if images:
        firsts = list(dict.fromkeys(levels[0].path for levels in images))
        if len(firsts) > 1:
            raise ValueError(_several(where, "images", [_join(name, path) for path in firsts]))
        level = images[0][0]
        path = check_level(where, level.path)
        place = _place(root, _join(name, path))
        if not is_zarr(place):
            raise FormatError(f"{where}: its multiscales name {path!r}, which is not there")
        array = node_at(place)
        if not isinstance(array, ZarrArray):
            raise FormatError(f"{where}: its multiscales name {path!r}, which is no array")
        return Found(root, _join(name, path), array, level, group.attributes)
    nodes, problems = _walk(root, name)
    groups = [path for path, node in nodes.items() if isinstance(node, ZarrGroup)]
    if len(groups) == 1:
        inner = nodes[groups[0]]
        if not isinstance(inner, ZarrGroup):
            raise AssertionError
        return _choose(root, groups[0], inner, axes, inner.attributes)
    if groups:
        raise ValueError(_several(where, "images", groups))
    arrays = {path: node for path, node in nodes.items() if isinstance(node, ZarrArray)}
    fitting = _fitting(arrays, axes)
    if len(fitting) > 1:
        raise ValueError(_several(where, "arrays", fitting, arrays))
    if not fitting:
        if problems:
            raise problems[0]
        raise ValueError(
            f"{where}: has no array of images; it has {_named(arrays)}; name one by dataset="
        )
    return Found(root, fitting[0], arrays[fitting[0]], None, attributes)


def check_level(where: str, path: str) -> str:
    """The path of a level, as metadata have it."""
    try:
        return check_name(where, path)
    except ValueError:
        raise FormatError(
            f"{where}: its multiscales name {quote(path)}, which is no path"
        ) from None


def _join(name: str, path: str) -> str:
    return f"{name}/{path}" if name else path


def _fitting(arrays: dict[str, ZarrArray], axes: str | None) -> list[str]:
    """Those that images can be in: coordinates along the axes of others are arrays, too."""
    numeric = {path: len(array.shape) for path, array in arrays.items() if _is_numeric(array)}
    ranks = [(len(axes),)] if axes is not None else []
    for wanted in [*ranks, (3, 4), (5, 6, 7, 8), (2,)]:
        found = [path for path, rank in numeric.items() if rank in wanted]
        if found:
            return found
    return []


def _is_numeric(array: ZarrArray) -> bool:
    try:
        image_dtype(array.dtype)
    except (ValueError, TypeError):
        return False
    return True


def _walk(root: str, name: str) -> tuple[dict[str, ZarrArray | ZarrGroup], list[FormatError]]:
    """The arrays below a group, and the groups with images, in natural order.

    And what is wrong with those that cannot be read. Links are not followed.
    """
    found: dict[str, ZarrArray | ZarrGroup] = {}
    problems: list[FormatError] = []
    pending, seen = [(name, 0)], 0
    while pending and seen < MOST_NODES:
        current, depth = pending.pop()
        with os.scandir(os.path.join(root, current)) as entries:
            names = [
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
        for inner in sorted(names, key=natural_key):
            path = _join(current, inner)
            place = os.path.join(root, path)
            seen += 1
            try:
                node = node_at(place) if is_zarr(place) else ZarrGroup(0, {})
            except FormatError as error:
                problems.append(error)
                continue
            if isinstance(node, ZarrArray) or ome_attributes(node.attributes).get("multiscales"):
                found[path] = node
            elif depth < MOST_DEPTH:
                pending.append((path, depth + 1))
    return {path: found[path] for path in sorted(found, key=natural_key)}, problems


def _several(
    where: str, what: str, names: list[str], arrays: dict[str, ZarrArray] | None = None
) -> str:
    told = _named({name: arrays[name] for name in names}) if arrays else shortened(names)
    return (
        f"{where}: has {len(names)} {what}: {told}; choose one by dataset=, as in "
        f"dataset={names[0]!r}"
    )


def _named(arrays: dict[str, ZarrArray]) -> str:
    if not arrays:
        return "none"
    return shortened([f"{path} {a.shape} {a.dtype.name}" for path, a in arrays.items()])


def _listed(root: str) -> str:
    nodes, _ = _walk(root, "")
    return shortened(list(nodes)) or "none"
