"""Binary series of Thunder 0.x: each record is its keys, then its values, without padding.

The extent is not written anywhere: it follows from the keys. The records lie with axis 0
fastest, so that the first file begins with the lowest keys and the last ends with the
highest. Loading therefore reads two records of each file; every record's keys are compared
with those expected when its values are read.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np

from ...core.arguments import check_dtype, check_int, image_dtype
from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...errors import FormatError
from ..base import Scratch
from ..byte_ranges import open_file, read_into
from .files import FileSequence, data_files
from .header import SeriesHandle, SeriesHeader, SeriesOptions

DEFAULT_TYPE = "int16"
BAND_BYTES = 1 << 24
# A run of so many bytes is worth a read of its own.
RUN_BYTES = 1 << 15


def inspect_keyed(path: str, conf: JsonObject, options: SeriesOptions) -> SeriesHeader:
    """The header of a directory of Thunder 0.x, without dims: see `complete`."""
    conf_path = os.path.join(path, options.confFilename)
    if options.nkeys == 0:
        raise ValueError(f"{path}: nkeys=0 is of text; records of a binary Series have keys")
    try:
        nkeys = options.nkeys or check_int(conf.get("nkeys"), "nkeys", 1)
        nvalues = options.nvalues or check_int(conf.get("nvalues"), "nvalues", 1)
        keys = options.keyType or check_dtype(conf.get("keytype", DEFAULT_TYPE), "keytype")
        values = options.valueType or check_dtype(conf.get("valuetype", DEFAULT_TYPE), "valuetype")
        if nkeys > 3:
            raise ValueError(f"{nkeys} keys; pixels have up to three coordinates")
    except (TypeError, ValueError) as error:
        raise FormatError(f"{conf_path}: {error}") from None
    record = nkeys * keys.itemsize + nvalues * values.itemsize
    names, counts = [], []
    for name in data_files(path, options.confFilename):
        size = os.path.getsize(os.path.join(path, name))
        if size % record:
            raise FormatError(
                f"{os.path.join(path, name)}: has {size} bytes, which are no whole records of "
                f"{nkeys} {keys} keys and {nvalues} {values} values ({record} bytes); correct "
                f"{options.confFilename}, or give nkeys, nvalues, keyType and valueType"
            )
        if size:
            names.append(name)
            counts.append(size // record)
    if not names:
        raise FormatError(f"{path}: its data files are empty")
    layout = {
        "names": names,
        "counts": counts,
        "nkeys": nkeys,
        "keys": keys.str,
        "values": values.str,
    }
    return SeriesHeader(path, "keyed", (), nvalues, image_dtype(values), None, {}, layout)


def _record_dtype(header: SeriesHeader) -> np.dtype:
    layout = header.layout
    return np.dtype(
        [("key", layout["keys"], (layout["nkeys"],)), ("value", layout["values"], (header.length,))]
    )


def scan_files(header: SeriesHeader, start: int, stop: int) -> np.ndarray:
    """See `mpimages.readers.series.base.scan_keys`."""
    names, counts = header.layout["names"], header.layout["counts"]
    nkeys, dtype = header.layout["nkeys"], np.dtype(header.layout["keys"])
    record = _record_dtype(header).itemsize
    scans = np.empty((stop - start, 2 * nkeys + 1), dtype=np.int64)
    key = np.empty(nkeys, dtype=dtype)
    for k in range(start, stop):
        path = os.path.join(header.path, names[k])
        fd, _ = open_file(path)
        try:
            for place, number in ((0, 0), (nkeys, counts[k] - 1)):
                read_into(fd, number * record, key, path)
                scans[k - start, place : place + nkeys] = _whole_keys(path, key)
        finally:
            quietly(os.close, fd)
        scans[k - start, -1] = counts[k]
    return scans


def _whole_keys(path: str, keys: np.ndarray) -> np.ndarray:
    """Keys as int64; some wrote them as floats."""
    whole = keys.astype(np.float64) if keys.dtype.kind == "f" else keys
    if not (np.isfinite(whole).all() and (whole == np.floor(whole)).all()):
        raise FormatError(f"{path}: its keys are no integers; give keyType and valueType")
    return whole.astype(np.int64)


def complete(header: SeriesHeader, scans: np.ndarray) -> SeriesHeader:
    """See `mpimages.readers.series.base.with_keys`."""
    nkeys = header.layout["nkeys"]
    if scans.shape != (header.file_count, 2 * nkeys + 1):
        raise ValueError(f"{header.path}: {scans.shape} is not a scan of all its files")
    # Highest axis first: that is their order, whatever their names.
    order = np.lexsort(tuple(scans[:, axis] for axis in range(nkeys)))
    scans = scans[order]
    low, high = scans[0, :nkeys], scans[-1, nkeys : 2 * nkeys]
    dims = tuple(int(n) for n in high - low + 1)
    begins = np.concatenate([[0], np.cumsum(scans[:, -1])])
    fits = all(n > 0 for n in dims) and math.prod(dims) == int(begins[-1])
    if fits:
        first = _numbers(scans[:, :nkeys] - low, dims)
        last = _numbers(scans[:, nkeys : 2 * nkeys] - low, dims)
        fits = bool((first == begins[:-1]).all() and (last == begins[1:] - 1).all())
    if not fits:
        raise FormatError(
            f"{header.path}: its {int(begins[-1])} records, with keys from {tuple(low.tolist())} "
            f"to {tuple(high.tolist())}, are not all the pixels of a box in order; a wrong "
            f"nkeys, nvalues, keyType or valueType looks like this too"
        )
    layout = header.layout | {
        "names": [header.layout["names"][k] for k in order],
        "counts": [header.layout["counts"][k] for k in order],
        "low": low.tolist(),
    }
    return replace(header, dims=dims, layout=layout)


def _numbers(keys: np.ndarray, dims: tuple[int, ...]) -> np.ndarray:
    """The number of each key with axis 0 fastest; -1 outside."""
    inside = ((keys >= 0) & (keys < np.array(dims))).all(axis=1)
    numbers = np.full(len(keys), -1, dtype=np.int64)
    numbers[inside] = np.ravel_multi_index(tuple(keys[inside].T), dims, order="F")
    return numbers


class KeyedHandle(SeriesHandle):
    """A Series in files of keys and values.

    The pixels wanted are neighbours in C order, but axis 0 is fastest in the files: rows
    lie apart. Either the runs of the wanted rows are read, or, where these are short, all
    there is between.
    """

    def __init__(self, header: SeriesHeader, scratch: Scratch | None) -> None:
        super().__init__(header, scratch)
        self._record = _record_dtype(header)
        self._low = np.array(header.layout["low"], dtype=np.int64)
        layout = header.layout
        self._files = FileSequence(header.path, layout["names"], layout["counts"])

    def close(self) -> None:
        self._files.close()

    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        dims = self.header.dims
        rows, fibres = dims[0], math.prod(dims[1:])
        top, bottom = first // fibres, (stop - 1) // fibres + 1
        run = (bottom - top) * self._record.itemsize
        if run < RUN_BYTES and bottom - top < rows:
            # From the first wanted row of the first fibre to the last one of the last.
            self._read_records(top, (fibres - 1) * rows + bottom, first, stop, out)
            return
        for fibre in range(fibres):
            begin = fibre * rows
            self._read_records(begin + top, begin + bottom, first, stop, out)

    def _read_records(self, begin: int, end: int, first: int, stop: int, out: np.ndarray) -> None:
        """Read the records [begin, end), and keep those of the pixels [first, stop)."""
        step = max(1, BAND_BYTES // self._record.itemsize)
        for low in range(begin, end, step):
            count = min(step, end - low)
            raw = self.scratch.take((count, self._record.itemsize), np.dtype(np.uint8))
            self._files.read(low, raw)
            records = raw.view(self._record)[:, 0]
            places = np.unravel_index(np.arange(low, low + count), self.header.dims, order="F")
            self._check_keys(records["key"], np.stack(places, axis=1), low)
            pixels = np.ravel_multi_index(places, self.header.dims)
            wanted = np.flatnonzero((pixels >= first) & (pixels < stop))
            out[pixels[wanted] - first] = records["value"][wanted]

    def _check_keys(self, found: np.ndarray, expected: np.ndarray, low: int) -> None:
        wrong = np.flatnonzero((found != expected + self._low).any(axis=1))
        if wrong.size:
            k = int(wrong[0])
            raise FormatError(
                f"{self.header.path}: record {low + k} has the keys {tuple(found[k].tolist())}, "
                f"but {tuple((expected[k] + self._low).tolist())} come next"
            )
