"""Compression of HDF5 chunks: what a user may ask for, and the bytes of one chunk."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.arguments import check_int, check_ints
from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...core.text import quote
from ...formats.hdf5_plugins import has_filter

if TYPE_CHECKING:
    import h5py

DEFAULT_GZIP = 4
DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000
KEYWORDS = ("compression", "compression_opts", "shuffle", "fletcher32")
# Filters registered with the HDF Group that give back what they were given, whatever their
# options: bzip2, LZF, Blosc, LZ4, bitshuffle, Zstandard.
LOSSLESS = frozenset({DEFLATE, LZF, 307, 32001, 32004, 32008, 32015})

# A chunk's filter mask, its bytes, and the values they stand for where these may be others.
Encoded = tuple[int, bytes, np.ndarray | None]


@dataclass(frozen=True)
class Filters:
    """The filters of a dataset, in the order in which h5py applies them.

    Parameters
    ----------
    shuffle : bool
    number : int or None
        Of the compressing filter, as registered with the HDF Group; None: only the others.
    options : tuple of int
        Its own; for gzip its level.
    fletcher32 : bool
    """

    shuffle: bool = False
    number: int | None = None
    options: tuple[int, ...] = ()
    fletcher32: bool = False

    @property
    def exact(self) -> bool:
        """Whether every value comes back as it was."""
        return self.number is None or self.number in LOSSLESS

    def numbers(self) -> list[int]:
        """The filters' registered numbers, in order."""
        return (
            [SHUFFLE] * self.shuffle
            + ([] if self.number is None else [self.number])
            + [FLETCHER32] * self.fletcher32
        )

    def add_to(self, properties: h5py.h5p.PropDCID) -> None:
        """Add the filters to a dataset creation property list of ``h5py.h5p``."""
        from h5py import h5z

        if self.shuffle:
            properties.set_shuffle()
        if self.number == DEFLATE:
            properties.set_deflate(*self.options)
        elif self.number is not None:
            properties.set_filter(self.number, h5z.FLAG_OPTIONAL, self.options or None)
        if self.fletcher32:
            properties.set_fletcher32()


def parse_compression(compression: object) -> Filters | None:
    """What a user asks for, as h5py's users know it.

    Parameters
    ----------
    compression : None, bool, str, int, tuple or mapping
        ``'gzip'``, its level from 0 to 9, ``'lzf'``, a pair such as ``('gzip', 4)``, or the
        keywords of h5py's ``create_dataset`` as a mapping, such as hdf5plugin's objects are.

    Returns
    -------
    Filters or None
        None: not compressed.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For a filter that does not exist, or is not available here, or options it cannot take.
    """
    if compression is None or compression is False:
        return None
    if compression is True:
        return Filters(number=DEFLATE, options=(DEFAULT_GZIP,))
    if isinstance(compression, Mapping):
        return _from_keywords(compression)
    if isinstance(compression, tuple | list):
        if len(compression) != 2:
            raise ValueError(f"compression={quote(compression)}: give a filter and its options")
        return Filters(**_compressor(*compression))
    return Filters(**_compressor(compression, None))


def _from_keywords(keywords: Mapping[str, object]) -> Filters | None:
    unknown = [key for key in keywords if key not in KEYWORDS]
    if unknown:
        raise ValueError(
            f"compression with {quote(unknown[0])}: of h5py's keywords it takes "
            f"{', '.join(KEYWORDS)}"
        )
    asked, options = keywords.get("compression"), keywords.get("compression_opts")
    if asked is None and options is not None:
        raise ValueError("compression_opts without compression")
    if not keywords:
        raise ValueError("compression is an empty mapping; give None for none")
    chosen = {} if asked is None else _compressor(asked, options)
    filters = Filters(
        shuffle=bool(keywords.get("shuffle")), fletcher32=bool(keywords.get("fletcher32")), **chosen
    )
    return filters if filters.numbers() else None


def _compressor(asked: object, options: object) -> JsonObject:
    """`Filters`' number and options, checked."""
    if asked is True or (isinstance(asked, str) and asked == "gzip"):
        return {"number": DEFLATE, "options": _options(DEFLATE, options)}
    if isinstance(asked, str) and asked == "lzf":
        if options is not None:
            raise ValueError("compression='lzf' takes no options")
        return {"number": LZF}
    if isinstance(asked, str):
        raise ValueError(
            f"compression={quote(asked)} is unknown: give 'gzip', 'lzf', a level of gzip from "
            "0 to 9, or what hdf5plugin offers, such as hdf5plugin.Zstd()"
        )
    try:
        number = check_int(asked, "compression")
    except TypeError:
        raise TypeError(
            f"compression must be text, a number, a pair or a mapping, got {quote(asked)}"
        ) from None
    if number < 10 and options is None:
        return {"number": DEFLATE, "options": (_level(number),)}
    return {"number": _available(number), "options": _options(number, options)}


def _level(level: object) -> int:
    if isinstance(level, tuple | list) and len(level) == 1:
        level = level[0]
    number = check_int(level, "compression: the level of gzip")
    if not 0 <= number <= 9:
        raise ValueError(f"compression: the level of gzip must be from 0 to 9, got {number}")
    return number


def _options(number: int, options: object) -> tuple[int, ...]:
    if number == DEFLATE:
        return (_level(DEFAULT_GZIP if options is None else options),)
    return check_ints(() if options is None else options, f"the options of HDF5's filter {number}")


def _available(number: int) -> int:
    from h5py import h5z

    if not 0 < number < 1 << 16 or not has_filter(number):
        raise ValueError(
            f"compression: HDF5's filter {number} is not available here: install the package "
            "hdf5plugin for all ranks"
        )
    if not h5z.get_filter_info(number) & h5z.FILTER_CONFIG_ENCODE_ENABLED:
        raise ValueError(f"HDF5's filter {number} can only read here, not write")
    return number


def chunk_encoder(
    filters: Filters, chunk: tuple[int, ...], dtype: np.dtype
) -> tuple[Callable[[np.ndarray], Encoded], bool]:
    """A function from a chunk's values to its bytes, and whether threads may call it at once.

    Raises
    ------
    ValueError
        When the filters cannot take such chunks.
    """
    if filters.number in (None, DEFLATE) and not filters.fletcher32:
        return _Deflate(filters), True
    return _Pipeline(filters, chunk, dtype), False


class _Deflate:
    """Shuffle and gzip as HDF5 does them, outside the GIL. Local."""

    def __init__(self, filters: Filters) -> None:
        self._shuffle = filters.shuffle
        self._level = filters.options[0] if filters.number is not None else None

    def __call__(self, values: np.ndarray) -> Encoded:
        data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).reshape(-1)
        if self._shuffle and data.itemsize > 1:  # all first bytes, all second bytes …
            data = np.ascontiguousarray(data.view(np.uint8).reshape(-1, data.itemsize).T)
        content = data.view(np.uint8).reshape(-1).data
        if self._level is None:
            return 0, content.tobytes(), None
        return 0, zlib.compress(content, self._level), None


class _Pipeline:
    """Any filters, by HDF5 itself, on a dataset of one chunk in memory. Local."""

    def __init__(self, filters: Filters, chunk: tuple[int, ...], dtype: np.dtype) -> None:
        import h5py

        self._exact = filters.exact
        # Without a cache of chunks the values go through the filters when they are written.
        self._file = h5py.File("mpimages", "w", driver="core", backing_store=False, rdcc_nbytes=0)
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk(chunk)
        try:
            filters.add_to(properties)
            kind = h5py.h5t.py_create(dtype.newbyteorder("<"), logical=True)
            space = h5py.h5s.create_simple(chunk)
            self._dataset = h5py.h5d.create(self._file.id, b"chunk", kind, space, properties)
            self._corner = (0,) * len(chunk)
            self._dataset.write(space, space, np.zeros(chunk, dtype))
        except (OSError, ValueError, RuntimeError) as error:
            quietly(self._file.close)
            raise ValueError(
                f"the filter {filters.number} with options {filters.options} does not take chunks "
                f"of {chunk} values of {dtype}: {error}"
            ) from error

    def __call__(self, values: np.ndarray) -> Encoded:
        from h5py import h5s

        values = np.ascontiguousarray(values)
        self._dataset.write(h5s.ALL, h5s.ALL, values)
        self._dataset.flush()
        mask, content = self._dataset.read_direct_chunk(self._corner)
        if self._exact:
            return mask, content, None
        stored = np.empty_like(values)
        self._dataset.read(h5s.ALL, h5s.ALL, stored)
        return mask, content, stored
