"""``mpimages info``: what is this?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ..core.json_types import JsonObject
from .options import files_of, json_option, load, path_of, reads
from .running import Run, pass_run
from .stored_series import is_series, load_series

if TYPE_CHECKING:
    from ..context import ThunderContext
    from ..images import Images
    from ..series import Series

# More files than these are not opened to look for what was never written in them.
FILES_ASKED = 10_000


@click.command("info")
@path_of
@reads
@json_option
@pass_run
def command(run: Run, path: str, reading: JsonObject, as_json: bool) -> None:
    """Say what PATH is: format, images, dims, dtype, names, size.

    PATH is a directory, a file, or a quoted pattern of images; or a binary series or an HDF5
    series. No pixels are read. It counts the pages, strips and tiles of TIFFs that were never
    written, which are zeros, in up to 10,000 files.

    \b
    Examples:
      mpimages info recording/
      mpimages info 'movies/*.tif' --nplanes 1
    """
    with run.context() as context:
        found = (
            _series(context, path, reading)
            if is_series(context, path)
            else _images(load(context, path, reading, asks=False))
        )
    if as_json:
        run.answer({"path": path, **found})
        return
    rows = {"path": path, **found, "dims": " x ".join(map(str, found["dims"]))}
    for name, value in rows.items():
        if value not in (None, {}, ""):
            told = _shown(name, value).replace("\n", "\\n")
            run.say(f"{name.replace('_', ' '):14} {told}")


def _shown(name: str, value: Any) -> str:
    from ..core.sizes import size_text

    if name.startswith("bytes"):
        return size_text(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain_text(part)}" for key, part in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain_text(value: object) -> str:
    if isinstance(value, list):
        return " x ".join("?" if part is None else f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _series(context: ThunderContext, path: str, reading: JsonObject) -> JsonObject:
    series: Series = load_series(context, path, reading)
    action, selection = series.records.begin("info")
    known = action.require_settled(selection)
    length = known.dims[0]
    return {
        "what": "series",
        "format": "binary series" if os.path.isdir(path) else "hdf5",
        "series": known.count,
        "values": length,
        "dims": list(series.dims.count if series.dims else ()),
        "dtype": str(known.dtype),
        "bytes": known.count * known.record_bytes,
        "metadata": _plain(series.metadata),
    }


def _images(images: Images) -> JsonObject:
    from ..conversion.rounds import check_counts
    from ..engine.unwritten_data import never_written
    from ..spmd.agreement import from_rank

    action, selection = images.records.begin("info")
    source, known = files_of(images), action.require_settled(selection)
    check_counts(action, selection)
    paths, positions = source.paths, selection.positions
    first, last = (source.locate(int(positions[i]))[0] for i in (0, -1))
    stored = from_rank(action.comm, 0, action.name, source.stored_bytes, first, last)
    unwritten = never_written(action, selection) if last - first < FILES_ASKED else None
    count = known.count
    return {
        "what": "images",
        "format": source.reader.name,
        "images": count,
        "dims": list(known.dims),
        "dtype": str(known.dtype),
        "bytes": count * known.record_bytes,
        "files": last - first + 1,
        "bytes_in_files": stored,
        "first": os.path.basename(paths[first]),
        "last": os.path.basename(paths[last]),
        "header": source.header.layout.get("said", ""),
        "never_written": unwritten,
        "metadata": _plain(images.metadata),
    }


def _plain(metadata: JsonObject) -> JsonObject:
    from ..writers.output.plain import plain_metadata

    return dict(plain_metadata(metadata))
