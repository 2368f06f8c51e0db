"""The statistics that ``mpimages stats`` writes, by what ``stats.json`` says of its files."""

from __future__ import annotations

import os

from ..core.json_types import JsonObject
from ..errors import FormatError
from ..formats.output_names import STATS, STATS_PICTURES
from .findings import Findings, check_names, check_whole, own_json, size_of
from .pieces import Stored, find_damaged

NAMES = ("mean", "stdev", "max", "min")
MOST = 1 << 62


def verify_stats(directory: str, findings: Findings) -> None:
    """Add to `findings` what is wrong with a directory of statistics."""
    described = own_json(directory, STATS, findings)
    findings.files += 1
    names = list(STATS_PICTURES)
    check_names(directory, {STATS, *names}, findings)
    if described is None:
        return
    try:
        stored = _parse_files(described, names)
    except FormatError as error:
        findings.problem(f"{STATS}: {error}")
        stored = {}
    runs = []
    for name in names:
        path = os.path.join(directory, name)
        if name not in stored:
            if not os.path.lexists(path):
                findings.problem(f"{name}: is missing")
            continue
        size, crc = stored[name]
        present = size_of(directory, name, size, findings)
        runs.append(Stored(path, 0, size, size, [crc], max(0, present)))
    for number, first, stop, why in find_damaged(runs, findings):
        findings.problem(f"{os.path.basename(runs[number].path)}: bytes [{first}, {stop}) {why}")
    for name in NAMES:
        _check_picture(directory, name, described, findings)


def _parse_files(described: JsonObject, names: list[str]) -> dict[str, tuple[int, int]]:
    """The size and the checksum of each file; FormatError where it does not say them."""
    files = described.get("files")
    if not isinstance(files, dict):
        raise FormatError(
            "has no checksums of the files (an earlier version wrote it), so that they cannot be "
            "verified"
        )
    if sorted(files) != sorted(names):
        raise FormatError(f"does not describe the files {', '.join(names)}")
    found = {}
    for name, entry in files.items():
        entry = entry if isinstance(entry, dict) else {}
        found[name] = (
            check_whole(entry.get("size"), f"the size of {name}", 1, MOST),
            check_whole(entry.get("crc32"), f"the checksum of {name}", 0, 0xFFFFFFFF),
        )
    return found


def _check_picture(directory: str, name: str, described: JsonObject, findings: Findings) -> None:
    """Compare the shape and the dtype of a TIFF with what is said of the data."""
    import tifffile

    path = os.path.join(directory, f"{name}.tif")
    if not os.path.isfile(path):
        return  # that has been said
    dims = described.get("dims")
    if not isinstance(dims, list) or not all(isinstance(n, int) for n in dims):
        findings.problem(f"{STATS}: its dims are {dims!r:.80}")
        return
    dtype = described.get("dtype") if name in ("max", "min") else "float32"
    shape = tuple(dims) if len(dims) == 2 else (dims[-1], *dims[:-1])
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            found, kind = tuple(series.shape), str(series.dtype)
    except Exception as error:  # what tifffile raises on damage differs from byte to byte
        findings.problem(f"{name}.tif: cannot be read as a TIFF: {' '.join(str(error).split())}")
        return
    if (tuple(n for n in found if n > 1), kind) != (tuple(n for n in shape if n > 1), dtype):
        findings.problem(f"{name}.tif: holds {kind} of shape {found}, not {dtype} of {shape}")
