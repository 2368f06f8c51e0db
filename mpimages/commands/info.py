"""``mpimages info``: what is this?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..core.json_types import JsonObject
from ..core.text import shortened
from .options import ask_movie, files_of, json_option, load, path_of, reads
from .running import Run, pass_run, text_of
from .stored_series import is_series, load_series

if TYPE_CHECKING:
    from ..context import ThunderContext
    from ..images import Images
    from ..series import Series

# More files than these are not opened to look for what was never written in them.
FILES_ASKED = 10_000
# A file is short if it has not half the bytes of the one in the middle.
SHORT = 0.5
# A call that an error names in whole, as what its user may have meant. What it gives is described.
_NAMED_CALL = re.compile(
    r"\b(channel|nplanes|nchannels|pattern|dataset|axes|incomplete|recursive)=(?:'([^']*)'|(\w+))"
)
# More arguments than these are not tried.
CHOICES = 4
# What has a line of its own, or is only for programs.
NOT_SHOWN = ("first", "last", "refused")
# Of the metadata, what other lines say.
SAID_ABOVE = ("pixelSize", "unit", "frameInterval")


@click.command("info")
@path_of
@reads
@json_option
@pass_run
def command(run: Run, path: str, reading: JsonObject, as_json: bool) -> None:
    """Say what PATH is: program, axes, channels, rate, pixel size, files, and what is uncertain.

    PATH is a directory, a file, or a quoted pattern of images; or a series that was written as
    binary series, HDF5 or Zarr. No pixels are read. It counts the pages, strips and tiles of TIFFs
    that were never written, which are zeros, in up to 10,000 files. Names that count and leave
    numbers out are said, and files that are much shorter than the others. Where other commands
    would refuse PATH, as something must be chosen, it says what was found and ends with their
    error.

    \b
    Examples:
      mpimages info recording/
      mpimages info 'movies/*.tif' --nplanes 1
    """
    with run.context() as context:
        if is_series(context, path):
            found, refused = _series(context, path, reading), None
        else:
            found, refused = _describe(context, path, reading)
    if refused is not None and not found:
        raise refused
    found["uncertain"] = [run.name_options(text) for text in found.get("uncertain", [])]
    if refused is not None:
        found["refused"] = run.name_options(text_of(refused))
    if as_json:
        run.answer({"path": path, **found})
    else:
        _tell(run, {"path": path, **found})
    if refused is not None:
        raise refused


def _tell(run: Run, found: JsonObject) -> None:
    """Print one line for each thing that was found."""
    for name, value in found.items():
        if name in NOT_SHOWN or value in (None, {}, [], ""):
            continue
        lines = [_calls(run, value)] if name == "as_if" else [_shown(name, value)]
        for told in value if name == "uncertain" else lines:
            line = told.replace("\n", "\\n")
            if not line:
                continue
            run.say(f"{name.replace('_', ' '):14} {line}")


def _calls(run: Run, choice: JsonObject) -> str:
    """Arguments as they are written in Python, and as options of the command."""
    from shlex import quote

    python = ", ".join(f"{name}={value!r}" for name, value in choice.items())
    words = " ".join(
        run.options[name] if value is True else f"{run.options[name]} {quote(str(value))}"
        for name, value in choice.items()
    )
    return f"{python} ({words})"


def _shown(name: str, value: Any) -> str:
    from ..core.sizes import size_text

    if name.startswith("bytes"):
        return size_text(value)
    if name == "dims":
        return " x ".join(map(str, value))
    if name == "rate":
        return f"{value:.6g} images/s"
    if name == "metadata":
        value = {key: part for key, part in value.items() if key not in SAID_ABOVE}
    if name.startswith("axes"):
        value = {letter.upper(): size for letter, size in value.items()}
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain_text(value: object) -> str:
    if isinstance(value, list):
        return " x ".join("?" if part is None else f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _describe(
    context: ThunderContext, path: str, reading: JsonObject
) -> tuple[JsonObject, Exception | None]:
    """What is known of images, and the error by which other commands refuse them. Collective.

    Where an error names a call that its user may mean, what that call would give is described.
    """
    from ..spmd.agreement import from_rank, is_agreed

    refused: Exception | None = None
    choice: JsonObject = {}
    while True:
        try:
            images = load(context, path, {**reading, **choice}, asks=False)
            found = _images(images)
        except (ValueError, OSError) as error:
            if not is_agreed(error):
                raise
            refused = refused or error
            further = _next_choice(str(error), {**reading, **choice})
        else:
            if refused is None:
                return found, ask_movie(images, path, reading)
            made = {name: value for name, value in choice.items() if not _is_open(value)}
            return {"as_if": made, **found}, refused
        if not further and not choice:
            return {}, refused
        if not further or len(choice) > CHOICES:
            return from_rank(context.comm, 0, "mpimages info", _list, path, reading), refused
        choice |= further


def _next_choice(text: str, given: JsonObject) -> JsonObject:
    """The first argument that an error spells out, of those that are not given."""
    for name, word, value in _NAMED_CALL.findall(text):
        if _is_open(given[name]):
            if name == "pattern":  # which says how deep, and how the names end
                return {"pattern": word, "recursive": False, "ext": None}
            if not value or value.isdecimal() or value == "True":
                return {name: int(value) if value.isdecimal() else value == "True" or word}
    return {}


def _is_open(value: object) -> bool:
    """Whether an argument is not given; 0 is."""
    return value is None or value is False


def _list(path: str, reading: JsonObject) -> JsonObject:
    """What the files alone say, of a recording that is refused; empty if it is not found. Local."""
    from .. import readers

    names = ("inputFormat", "ext", "recursive")
    try:
        name, paths = readers.find_input(path, *(reading[name] for name in names))
    except (OSError, ValueError):
        return {}
    return {"what": "images", "format": name, **_files(paths, name)}


def _series(context: ThunderContext, path: str, reading: JsonObject) -> JsonObject:
    from ..engine.sources import SeriesSource

    series: Series = load_series(context, path, reading)
    source = series.records.chain.source
    kind = source.header.kind if isinstance(source, SeriesSource) else ""
    action, selection = series.records.begin("info")
    known = action.require_settled(selection)
    length = known.dims[0]
    return {
        "what": "series",
        "format": {"binary": "binary series", "keyed": "binary series"}.get(kind, kind),
        "series": known.count,
        "values": length,
        "dims": list(series.dims.count if series.dims else ()),
        "dtype": str(known.dtype),
        "bytes": known.count * known.record_bytes,
        "metadata": _plain(series.metadata),
    }


def _images(images: Images) -> JsonObject:
    """What is known of images that can be loaded. Collective."""
    from ..conversion.rounds import check_counts
    from ..engine.unwritten_data import never_written
    from ..spmd.agreement import from_rank

    action, selection = images.records.begin("info")
    source, known = files_of(images), action.require_settled(selection)
    check_counts(action, selection)
    numbers = sorted(set(source.files_of(selection.positions).tolist()))
    paths = [source.paths[i] for i in numbers]
    files = from_rank(action.comm, 0, action.name, _files, paths, source.reader.name)
    unwritten = never_written(action, selection) if len(paths) <= FILES_ASKED else None
    said, metadata = source.header.found, _plain(images.metadata)
    interval = metadata.get("frameInterval")
    return {
        "what": "images",
        "format": source.reader.name,
        "images": known.count,
        "dims": list(known.dims),
        "dtype": str(known.dtype),
        "program": said.get("program", ""),
        "header": source.header.layout.get("said", ""),
        "start_time": said.get("startTime", ""),
        "axes_in_files": _lower(said.get("axes", {})),
        "axes": dict(zip("tyxz", (known.count, *known.dims), strict=False)),
        "channels": list(said.get("channels", ())),
        "rate": 1 / interval if interval else None,
        "pixel_size": _pixel_size(metadata),
        "bytes": known.count * known.record_bytes,
        **files,
        "never_written": unwritten,
        "uncertain": list(said.get("uncertain", ())),
        "metadata": metadata,
    }


def _lower(axes: dict[str, int]) -> dict[str, int]:
    return {letter.lower(): size for letter, size in axes.items()}


def _pixel_size(metadata: JsonObject) -> str:
    """The extent of a pixel for people; empty where the files have none."""
    size = metadata.get("pixelSize")
    return f"{_plain_text(list(size))} {metadata.get('unit') or ''}".strip() if size else ""


def _files(paths: Sequence[str], format_name: str) -> JsonObject:
    """What the names and the sizes of files say. Local."""
    from ..readers import called, get, whole_path
    from ..readers.names import find_gaps

    sizes = [get(format_name).stored_bytes(path) for path in paths]
    names = [called(path) for path in paths]
    return {
        "files": len(paths),
        "bytes_in_files": sum(sizes),
        "first": names[0],
        "last": names[-1],
        "names": names if len(names) < 5 else [*names[:2], "...", *names[-2:]],
        "numbering": find_gaps([whole_path(path) for path in paths]),
        "short_files": _short(names, sizes),
    }


def _short(names: Sequence[str], sizes: Sequence[int]) -> str:
    """Which files have far fewer bytes than the others."""
    from ..core.sizes import size_text

    usual = sorted(sizes)[len(sizes) // 2]
    short = [
        f"{name} ({size_text(size)})"
        for name, size in zip(names, sizes, strict=True)
        if size < SHORT * usual
    ]
    return f"{shortened(short)}; others have {size_text(usual)}" if short else ""


def _plain(metadata: JsonObject) -> JsonObject:
    from ..writers.output.plain import plain_metadata

    return dict(plain_metadata(metadata))
