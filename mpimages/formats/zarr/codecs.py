"""The bytes of a chunk: from an array to what is stored, and back.

A chain is at most one transposition, the values in a byte order, and codecs from bytes to bytes.
These are the codecs of imagecodecs, and the CRC-32C of google-crc32c.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ...core.arguments import check_int
from ...core.json_types import JsonObject
from ...core.text import quote
from ...errors import FormatError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["COMPRESSIONS", "CRC32C", "Codec", "Codecs", "crc32c", "parse_compression"]

CRC32C = "crc32c"
CRC_BYTES = 4

# What a user may ask for, with the least and the largest level, and the one that is taken: of
# 16-bit images with the noise of photons, level 3 of Zstandard takes twice as long for 1 % less.
COMPRESSIONS = {"zstd": (1, 22, 1), "blosc": (1, 9, 1), "gzip": (1, 9, 5)}
# Blosc's shuffles by their numbers, which version 2 writes.
SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
# What a file may be compressed by: the names of numcodecs, which version 3 took over.
KNOWN = ("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd")
# Names in version 3 of what only numcodecs specifies.
FOREIGN = "numcodecs."


@dataclass(frozen=True)
class Codec:
    """A codec from bytes to bytes: its name in the specification of Zarr, and its options."""

    name: str
    options: JsonObject

    @classmethod
    def checked(cls, name: object, options: object) -> Self:
        """Return a codec that can be decoded.

        Raises
        ------
        FormatError
            If it is none of those that are known; the message does not name the file.
        """
        plain = name.removeprefix(FOREIGN) if isinstance(name, str) else name
        if plain != CRC32C and plain not in KNOWN:
            raise FormatError(
                f"its values are stored by the codec {quote(name)}, which is not read"
            )
        return cls(str(plain), dict(options) if isinstance(options, Mapping) else {})

    def encode(self, data: np.ndarray) -> bytes | np.ndarray:
        """Return what is stored of `data`, (n,) uint8."""
        if self.name == CRC32C:
            stored = np.empty(len(data) + CRC_BYTES, np.uint8)
            stored[:-CRC_BYTES] = data
            stored[-CRC_BYTES:] = np.array([crc32c(data)], "<u4").view(np.uint8)
            return stored
        import imagecodecs

        level, content = self.options.get("level"), cast("bytes", data.data)
        if self.name == "zstd":
            return bytes(imagecodecs.zstd_encode(content, level=level))
        if self.name == "gzip":
            return bytes(imagecodecs.gzip_encode(content, level=level))
        if self.name == "blosc":
            return bytes(
                imagecodecs.blosc_encode(
                    content,
                    level=self.options["clevel"],
                    compressor=self.options["cname"],
                    shuffle=SHUFFLES.index(self.options["shuffle"]),
                    typesize=self.options["typesize"],
                    blocksize=self.options["blocksize"],
                    numthreads=1,  # the bytes depend on it
                )
            )
        raise ValueError(f"nothing is written by the codec {self.name!r}")

    def decode(
        self, data: np.ndarray, size: int | None, memory: np.ndarray | None = None
    ) -> np.ndarray:
        """Return what `data`, (n,) uint8, stands for: `size` bytes where that is known.

        These are written to `memory`, (size,) uint8, if it is given and the codec writes anything.

        Raises
        ------
        FormatError
            If it is damaged.
        """
        if self.name == CRC32C:
            return self._checked_end(data)
        import imagecodecs

        decode, options = getattr(imagecodecs, f"{self.name}_decode"), {}
        if self.name == "blosc":
            # It believes its own header, and would read behind the end.
            if len(data) < 16 or int(data[12:16].copy().view("<u4")[0]) != len(data):
                raise FormatError("is not as long as its header says")
            options = {"numthreads": 1}
        elif self.name == "lz4":
            options = {"header": True}
        try:
            if size is None:
                return np.frombuffer(decode(data.data, **options), np.uint8)
            # Into memory of this size: what claims to be more fails.
            out = np.empty(size, np.uint8) if memory is None else memory
            count = len(decode(data.data, out=out, **options))
        except Exception as error:  # each codec has an exception of its own
            raise FormatError(f"cannot be decoded by {self.name}: {error}") from None
        if count != size:
            raise FormatError(f"holds {count} bytes where {size} are due")
        return out

    @staticmethod
    def _checked_end(data: np.ndarray) -> np.ndarray:
        content, end = data[:-CRC_BYTES], data[-CRC_BYTES:]
        if len(end) < CRC_BYTES or int(end.copy().view("<u4")[0]) != crc32c(content):
            raise FormatError("does not have its CRC-32C")
        return content

    def for_version(self, version: int) -> JsonObject:
        """Return the codec's metadata."""
        if version == 3:
            named = {"name": self.name}
            return {**named, "configuration": self.options} if self.options else named
        left_out = {"typesize", "checksum"}
        options = {key: value for key, value in self.options.items() if key not in left_out}
        if options.get("shuffle") in SHUFFLES:
            options["shuffle"] = SHUFFLES.index(options["shuffle"])
        return {"id": self.name, **options}


@dataclass(frozen=True)
class Codecs:
    """All that is done to a chunk.

    Attributes
    ----------
    dtype : numpy.dtype
        As stored, with its byte order.
    chunk : tuple of int
        The shape of a chunk.
    order : tuple of int or None
        In which order of the axes the values are stored; None: C order.
    steps : tuple of Codec
        In the order in which they encode.
    """

    dtype: np.dtype
    chunk: tuple[int, ...]
    order: tuple[int, ...] | None = None
    steps: tuple[Codec, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether a chunk is stored as its values alone, in C order."""
        return self.order is None and not self.steps

    @property
    def nbytes(self) -> int:
        """The bytes of a chunk's values."""
        return math.prod(self.chunk) * self.dtype.itemsize

    def encode(self, values: np.ndarray) -> bytes | np.ndarray:
        """Return what is stored of the values of a whole chunk: bytes, or (n,) uint8."""
        if values.shape != self.chunk:
            raise ValueError(f"a chunk of shape {values.shape} instead of {self.chunk}")
        turned = values if self.order is None else values.transpose(self.order)
        data: bytes | np.ndarray = (
            np.ascontiguousarray(turned, self.dtype).reshape(-1).view(np.uint8)
        )
        for step in self.steps:
            data = step.encode(np.frombuffer(data, np.uint8))
        return data

    def decode(
        self, data: bytes | memoryview | np.ndarray, memory: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the values of a chunk, of the dtype as stored; a view of `data` where it can be.

        `memory`, (nbytes,) uint8, is where they are decoded to if there is anything to decode.

        Raises
        ------
        FormatError
            If it is damaged; the message does not name the file.
        """
        left = np.frombuffer(data, np.uint8)
        for place in range(len(self.steps) - 1, -1, -1):
            # Of codecs before others only the last one's result has a size that is known.
            sizes_kept = all(step.name == CRC32C for step in self.steps[:place])
            ends = CRC_BYTES * place
            size = self.nbytes + ends if sizes_kept else None
            left = self.steps[place].decode(left, size, memory if size == self.nbytes else None)
        if len(left) != self.nbytes:
            raise FormatError(f"holds {len(left)} bytes where {self.nbytes} are due")
        if self.order is None:
            return left.view(self.dtype).reshape(self.chunk)
        turned = left.view(self.dtype).reshape([self.chunk[axis] for axis in self.order])
        return turned.transpose(np.argsort(self.order))

    @classmethod
    def from_v3(cls, listed: Sequence[JsonObject], dtype: np.dtype, chunk: tuple[int, ...]) -> Self:
        """Return the codecs of version 3; `dtype` has the native byte order."""
        order: tuple[int, ...] | None = None
        steps: list[Codec] = []
        stored: np.dtype | None = None
        for item in listed:
            name, options = _named(item)
            if name == "transpose" and stored is None:
                order = _combined(order, _permutation(options.get("order"), len(chunk)))
            elif name == "bytes" and stored is None:
                stored = dtype.newbyteorder(_byte_order(options.get("endian"), dtype))
            elif stored is None:
                raise FormatError(
                    f"its values are stored by the codec {quote(name)}, which is not read"
                )
            else:
                steps.append(Codec.checked(name, options))
        if stored is None:
            raise FormatError("its codecs do not say how values become bytes")
        return cls(stored, chunk, order, tuple(steps))

    @classmethod
    def from_v2(cls, described: JsonObject, dtype: np.dtype, chunk: tuple[int, ...]) -> Self:
        """Return the codecs of the ``.zarray`` of version 2; `dtype` is that as stored."""
        filters = described.get("filters") or []
        if not isinstance(filters, list):
            raise FormatError(f"has the filters {quote(filters)}, which are no list")
        steps = []
        for item in [*filters, described.get("compressor")]:
            if item is not None:
                options = dict(item) if isinstance(item, Mapping) else {}
                steps.append(Codec.checked(options.pop("id", None), options))
        order = described.get("order", "C")
        if order not in ("C", "F"):
            raise FormatError(f"its values are in the order {quote(order)}, which is not known")
        turned = tuple(range(len(chunk)))[::-1] if order == "F" and len(chunk) > 1 else None
        return cls(dtype, chunk, turned, tuple(steps))

    def for_v3(self) -> list[JsonObject]:
        """Return the list of codecs of version 3."""
        one = self.dtype.itemsize == 1
        listed: list[JsonObject] = (
            [] if self.order is None else [_v3("transpose", {"order": list(self.order)})]
        )
        listed.append(
            _v3("bytes", {} if one else {"endian": "big" if _is_big(self.dtype) else "little"})
        )
        return listed + [step.for_version(3) for step in self.steps]


def crc32c(data: bytes | np.ndarray) -> int:
    """Return the CRC-32C (Castagnoli) of bytes, or of (n,) uint8. Local."""
    import google_crc32c

    return int(google_crc32c.value(data))


def parse_compression(given: object, dtype: np.dtype) -> tuple[Codec, ...]:
    """Return the codec that a user asks for; none where nothing is to be compressed.

    Parameters
    ----------
    given : None, False, str or (str, int)
        A name of `COMPRESSIONS`, with a level or without.

    Raises
    ------
    ValueError, TypeError
        If it is something else.
    """
    if given is None or given is False:
        return ()
    name, level = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    if not isinstance(name, str):
        raise TypeError(
            f"compression must be None, a name or a name and its level, got {quote(given)}"
        )
    if name not in COMPRESSIONS:
        raise ValueError(
            f"compression={quote(given)} is unknown: one of {', '.join(COMPRESSIONS)}, or None"
        )
    least, most, usual = COMPRESSIONS[name]
    number = usual if level is None else check_int(level, "compression: level")
    if not least <= number <= most:
        raise ValueError(f"compression: levels of {name} lie in {least} … {most}, got {number}")
    options: dict[str, Any] = {"level": number}
    if name == "zstd":
        options["checksum"] = False
    elif name == "blosc":
        options = {
            "cname": "zstd",
            "clevel": number,
            "shuffle": "bitshuffle",
            "typesize": dtype.itemsize,
            "blocksize": 0,
        }
    return (Codec(name, options),)


def _v3(name: str, options: JsonObject) -> JsonObject:
    return {"name": name, "configuration": options} if options else {"name": name}


def _named(item: object) -> tuple[object, JsonObject]:
    """Return the name and the options of an entry of a list of codecs."""
    if isinstance(item, str):
        return item, {}
    if not isinstance(item, Mapping):
        raise FormatError(f"has a codec {quote(item)} without a name")
    options = item.get("configuration")
    return item.get("name"), options if isinstance(options, dict) else {}


def _permutation(order: object, axes: int) -> tuple[int, ...]:
    if order in ("C", "F"):
        return tuple(range(axes))[:: 1 if order == "C" else -1]
    if not isinstance(order, list) or sorted(map(repr, order)) != sorted(map(repr, range(axes))):
        raise FormatError(f"transposes its axes by {quote(order)}, which is no order of {axes}")
    return tuple(order)


def _combined(first: tuple[int, ...] | None, then: tuple[int, ...]) -> tuple[int, ...] | None:
    whole = then if first is None else tuple(first[axis] for axis in then)
    return None if whole == tuple(range(len(whole))) else whole


def _byte_order(endian: object, dtype: np.dtype) -> Literal["<", ">"]:
    if endian in ("little", "big"):
        return "<" if endian == "little" else ">"
    if dtype.itemsize > 1:
        raise FormatError(f"its values have the byte order {quote(endian)}, which is not known")
    return "<"


def _is_big(dtype: np.dtype) -> bool:
    return dtype.newbyteorder(">") == dtype
