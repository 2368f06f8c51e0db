"""Movies in other programs' files: ``conf.json``, and each file piece by piece."""

from __future__ import annotations

import os

from ..core.json_types import JsonObject
from ..errors import FormatError
from ..formats.output_names import CONF, MOVIE_FORMAT, MOVIE_VERSION, is_movie_file
from .findings import Findings, check_names, check_whole, own_json, size_of
from .pieces import Stored, find_damaged
from .series import MOST, crcs_of, find_checksums

__all__ = ["verify_movie"]

# What `Verified` calls the output of each program.
KINDS = {"suite2p": "suite2p", "CaImAn": "mmap"}


def verify_movie(directory: str, findings: Findings) -> str:
    """Add to `findings` what is wrong with a movie; return its kind."""
    conf = own_json(directory, CONF, findings) or {}
    findings.files += 1
    kind = KINDS.get(str(conf.get("program")))
    if kind is None:
        kind = "suite2p" if os.path.isdir(os.path.join(directory, "plane0")) else "mmap"
    if not conf:
        return kind
    try:
        piece, files = _parse(conf)
    except FormatError as error:
        findings.problem(f"{CONF}: {error}")
        return kind
    check_names(directory, {CONF, *files}, findings)
    runs = []
    for name, (size, crcs) in files.items():
        present = max(0, size_of(directory, name, size, findings))
        runs.append(Stored(os.path.join(directory, name), 0, size, piece, crcs, present))
    names = list(files)
    for number, first, stop, why in find_damaged(runs, findings):
        findings.problem(f"{names[number]}: bytes [{first}, {stop}) {why}")
    return kind


def _parse(conf: JsonObject) -> tuple[int, dict[str, tuple[int, list[int]]]]:
    """The length of a piece, and of each file its bytes and checksums; FormatError without."""
    if conf.get("format") != MOVIE_FORMAT or conf.get("version") != MOVIE_VERSION:
        raise FormatError(
            f"is of format {conf.get('format')!r:.80}, version {conf.get('version')!r:.80}; this "
            f"mpimages verifies {MOVIE_FORMAT}, version {MOVIE_VERSION}"
        )
    piece, values = find_checksums(conf.get("checksum"))
    listed = conf.get("files")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise FormatError("lists no files")
    files = {}
    for entry in listed:
        name = entry.get("name")
        if not isinstance(name, str) or not is_movie_file(name) or name.endswith("/"):
            raise FormatError(f"names {name!r:.80}, which is no file of such an output")
        size = check_whole(entry.get("bytes"), f"the size of {name}", 1, MOST)
        files[name] = (size, crcs_of(name, size, piece, values))
    return piece, files
