"""What the metadata of Zarr say of an array, and what they say of one that is written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.json_types import JsonObject
from ...core.text import quote
from ...errors import FormatError
from .codecs import CRC32C, Codecs
from .names import ARRAY_V2, ATTRIBUTES_V2, NODE_V3
from .shard import ShardIndex

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ZarrArray"]

MOST_AXES = 32
SHARDING = "sharding_indexed"
# What follows the prefix in the path of a file, or of a directory that holds some.
_NUMBERS = re.compile(r"(?:(?:0|[1-9][0-9]*)/)*(?:0|[1-9][0-9]*)?")
INFINITIES = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


@dataclass(frozen=True)
class ZarrArray:
    """An array.

    Attributes
    ----------
    version : {2, 3}
    shape : tuple of int
    chunk : tuple of int
        The shape of what is decoded at once.
    shard : tuple of int
        The shape of what a file holds: a multiple of `chunk`; `chunk` where there are no shards.
    codecs : Codecs
        Of a chunk; `codecs.dtype` is the dtype as stored.
    index : ShardIndex or None
        None where there are no shards.
    fill_value : scalar
        What stands for chunks that are not there.
    names : tuple of (str or None), or None
        The names of the axes.
    attributes : dict
    separator : str
        Between the numbers of a file's name.
    prefix : str
        What stands before them: ``'c'``, or nothing.
    """

    version: int
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]
    codecs: Codecs
    index: ShardIndex | None = None
    fill_value: Any = 0
    names: tuple[str | None, ...] | None = None
    attributes: JsonObject = field(default_factory=dict)
    separator: str = "/"
    prefix: str = "c"

    @property
    def dtype(self) -> np.dtype:
        """The dtype as stored, byte order included."""
        return self.codecs.dtype

    @property
    def grid(self) -> tuple[int, ...]:
        """How many files there are along each axis."""
        return tuple(-(-n // s) for n, s in zip(self.shape, self.shard, strict=True))

    @property
    def inner(self) -> tuple[int, ...]:
        """How many chunks a file holds along each axis."""
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    def place(self, number: int) -> tuple[int, ...]:
        """Return the place in the grid of a file, by its number in C order."""
        place: list[int] = []
        for n in reversed(self.grid):
            number, at = divmod(number, n)
            place.append(at)
        return tuple(reversed(place))

    def present(self, place: Sequence[int]) -> tuple[int, ...]:
        """Return how many chunks of the file at this place begin in the array, along each axis."""
        axes = zip(self.shape, self.chunk, self.inner, place, strict=True)
        return tuple(min(inner, -(-n // c) - inner * at) for n, c, inner, at in axes)

    def file(self, number: Sequence[int]) -> str:
        """Return the path, in the array's directory, of the file with this place in the grid."""
        parts = [self.prefix] * bool(self.prefix) + [str(int(i)) for i in number]
        return self.separator.join(parts) if parts else "0"

    def has(self, path: str) -> bool:
        """Return whether a file of the array has this path in its directory.

        Of a directory, whose path ends in a slash, whether it is one that holds files.
        """
        if self.separator != "/":
            raise ValueError(f"the files of an array with the separator {self.separator!r}")
        start = f"{self.prefix}/" if self.prefix else ""
        if not path.startswith(start) or not _NUMBERS.fullmatch(path, len(start)):
            return False
        numbers = [int(number) for number in path[len(start) :].split("/") if number]
        inside = path.endswith("/")
        return (
            len(numbers) + inside <= len(self.shape)
            and (inside or len(numbers) == len(self.shape))
            and all(number < count for number, count in zip(numbers, self.grid, strict=False))
        )

    def documents(self) -> dict[str, JsonObject]:
        """Return the metadata files by their names; the last one makes it an array."""
        return self._documents_v3() if self.version == 3 else self._documents_v2()

    def _documents_v3(self) -> dict[str, JsonObject]:
        codecs = self.codecs.for_v3()
        if self.index is not None:
            endian = "big" if self.index.big else "little"
            index: list[JsonObject] = [{"name": "bytes", "configuration": {"endian": endian}}]
            options = {
                "chunk_shape": list(self.chunk),
                "codecs": codecs,
                "index_codecs": index + [{"name": CRC32C}] * self.index.checked,
                "index_location": "end" if self.index.at_end else "start",
            }
            codecs = [{"name": SHARDING, "configuration": options}]
        keys = {"name": "default" if self.prefix else "v2"}
        document: JsonObject = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.shard)}},
            "chunk_key_encoding": {**keys, "configuration": {"separator": self.separator}},
            "fill_value": self.fill_value,
            "codecs": codecs,
        }
        if self.names is not None:
            document["dimension_names"] = list(self.names)
        return {NODE_V3: {**document, "attributes": self.attributes}}

    def _documents_v2(self) -> dict[str, JsonObject]:
        steps = [step.for_version(2) for step in self.codecs.steps]
        document: JsonObject = {
            "zarr_format": 2,
            "shape": list(self.shape),
            "chunks": list(self.chunk),
            "dtype": self.dtype.str,
            "compressor": steps[-1] if steps else None,
            "fill_value": self.fill_value,
            "order": "C",
            "filters": steps[:-1] or None,
            "dimension_separator": self.separator,
        }
        return {ATTRIBUTES_V2: self.attributes, ARRAY_V2: document}

    @classmethod
    def from_v3(cls, document: JsonObject) -> Self:
        """Return the array that a ``zarr.json`` describes.

        Raises
        ------
        FormatError
            If it describes none that can be read; the message does not name the file.
        """
        shape = _shape(document.get("shape"), "shape", 0)
        dtype = _dtype_v3(document.get("data_type"))
        outer = _chunks(_options(document, "chunk_grid", "regular").get("chunk_shape"), shape)
        codecs = document.get("codecs")
        if not isinstance(codecs, list):
            raise FormatError("has no codecs")
        if document.get("storage_transformers"):
            raise FormatError("is stored by storage transformers, which are not read")
        chunk, index = outer, None
        if codecs and isinstance(codecs[0], Mapping) and codecs[0].get("name") == SHARDING:
            if len(codecs) > 1:
                raise FormatError("its shards are encoded as a whole, which is not read")
            options = codecs[0].get("configuration")
            options = options if isinstance(options, dict) else {}
            chunk = _chunks(options.get("chunk_shape"), shape)
            if any(s % c for s, c in zip(outer, chunk, strict=True)):
                raise FormatError(f"has shards of {outer}, which are no multiple of {chunk}")
            count = math.prod(s // c for s, c in zip(outer, chunk, strict=True))
            index = _index(options, count)
            codecs = options.get("codecs")
            if not isinstance(codecs, list):
                raise FormatError("has no codecs of chunks")
        names = document.get("dimension_names")
        prefix, separator = _keys(document.get("chunk_key_encoding"))
        attributes = document.get("attributes")
        return cls(
            3,
            shape,
            chunk,
            outer,
            Codecs.from_v3(codecs, dtype, chunk),
            index,
            _fill_value(document.get("fill_value"), dtype),
            tuple(names) if isinstance(names, list) and len(names) == len(shape) else None,
            attributes if isinstance(attributes, dict) else {},
            separator,
            prefix,
        )

    @classmethod
    def from_v2(cls, document: JsonObject, attributes: JsonObject) -> Self:
        """Return the array that ``.zarray`` and ``.zattrs`` describe. See `from_v3`."""
        shape = _shape(document.get("shape"), "shape", 0)
        dtype = _dtype_v2(document.get("dtype"))
        chunk = _chunks(document.get("chunks"), shape)
        separator = document.get("dimension_separator", ".")
        if separator not in ("/", "."):
            raise FormatError(f"separates the numbers of files by {quote(separator)}")
        names = attributes.get("_ARRAY_DIMENSIONS")
        return cls(
            2,
            shape,
            chunk,
            chunk,
            Codecs.from_v2(document, dtype, chunk),
            None,
            _fill_value(document.get("fill_value"), dtype),
            tuple(names) if isinstance(names, list) and len(names) == len(shape) else None,
            attributes,
            separator,
            "",
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shape(given: object, what: str, least: int) -> tuple[int, ...]:
    if (
        isinstance(given, list)
        and len(given) <= MOST_AXES
        and all(_is_whole(n) and least <= n < 1 << 62 for n in given)
    ):
        return tuple(given)
    raise FormatError(f"has the {what} {quote(given)}")


def _chunks(given: object, shape: tuple[int, ...]) -> tuple[int, ...]:
    chunk = _shape(given, "chunks", 1)
    if len(chunk) != len(shape):
        raise FormatError(f"has chunks of {chunk} for the shape {shape}")
    return chunk


def _options(document: JsonObject, field_name: str, kind: str) -> JsonObject:
    """Return the configuration of a field, if it is of the kind that is known."""
    found = document.get(field_name)
    name = found.get("name") if isinstance(found, Mapping) else found
    if name != kind:
        raise FormatError(f"has the {field_name} {quote(name)}, which is not read")
    options = found.get("configuration") if isinstance(found, Mapping) else None
    return options if isinstance(options, dict) else {}


def _index(options: JsonObject, count: int) -> ShardIndex:
    location = options.get("index_location", "end")
    codecs = options.get("index_codecs")
    listed = codecs if isinstance(codecs, list) else []
    names = [item.get("name") for item in listed if isinstance(item, Mapping)]
    if location not in ("start", "end") or names not in (["bytes"], ["bytes", CRC32C]):
        raise FormatError(
            f"has the index of its shards at the {quote(location)} by {quote(codecs)}, which is "
            "not read"
        )
    first = next(item for item in listed if isinstance(item, Mapping)).get("configuration")
    big = isinstance(first, Mapping) and first.get("endian") == "big"
    return ShardIndex(count, location == "end", CRC32C in names, big)


def _keys(given: object) -> tuple[str, str]:
    """Return what stands before the numbers in a file's name, and what separates them."""
    name = given.get("name") if isinstance(given, Mapping) else given
    options = given.get("configuration") if isinstance(given, Mapping) else None
    usual = {"default": "/", "v2": "."}.get(str(name))
    separator = options.get("separator", usual) if isinstance(options, Mapping) else usual
    if usual is None or separator not in ("/", "."):
        raise FormatError(f"names its files by {quote(given)}, which is not known")
    return ("c" if name == "default" else ""), separator


def _dtype_v3(name: object) -> np.dtype:
    kinds = ("bool", "complex64", "complex128", "float16", "float32", "float64")
    whole = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    if not isinstance(name, str) or name not in (*kinds, *whole):
        raise FormatError(f"has values of the type {quote(name)}, which is not read")
    return np.dtype(name)


def _dtype_v2(text: object) -> np.dtype:
    try:
        dtype = np.dtype(text) if isinstance(text, str) else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in "biufc":
        raise FormatError(f"has values of the type {quote(text)}, which is not read")
    return dtype


def _fill_value(given: object, dtype: np.dtype) -> Any:
    """Return the value for chunks that are not there, of the dtype in native byte order."""
    native = dtype.newbyteorder("=")
    if given is None:
        return native.type(0)
    if isinstance(given, str) and given in INFINITIES and dtype.kind in "fc":
        return native.type(INFINITIES[given])
    try:
        if isinstance(given, str) and given.startswith("0x"):
            content = int(given, 16).to_bytes(dtype.itemsize, "little")
            return np.frombuffer(content, native.newbyteorder("<"))[0].astype(native)
        if isinstance(given, list) and dtype.kind == "c" and len(given) == 2:
            parts = [INFINITIES[part] if isinstance(part, str) else part for part in given]
            return native.type(complex(*parts))
        if isinstance(given, bool | int | float):
            value = np.array(given, native)
            if value == given or given != given or dtype.kind in "fc":
                return value[()]
    except (ValueError, OverflowError, TypeError, KeyError):
        pass
    raise FormatError(f"has the fill value {quote(given)}, which {native} cannot hold")
