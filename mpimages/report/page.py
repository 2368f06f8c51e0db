"""The page: one HTML file with everything in it. Local."""

from __future__ import annotations

import json
from html import escape

from ..core.crc32 import crc32
from ..core.json_types import JsonObject
from ..formats.output_names import REPORT_START
from .description import Description
from .drawing import Frames
from .gathering import Recording
from .judgement import Judged
from .noted import frame_fields
from .pictures import Picture, pictures
from .plots import about_active, active_series, difference, histogram, intensity, shifts
from .script import SCRIPT
from .style import CSS
from .words import clock_text

__all__ = ["page", "section", "table"]

# Of the frames with findings so many are listed.
LISTED = 200


def page(
    recording: Recording, judged: Judged, description: Description, correction: str = ""
) -> bytes:
    """The page's bytes: the same for the same recording, whoever computed it.

    `correction` is the section about a registration, where there is one.
    """
    frames = Frames(recording.keys, description.interval)
    parts = [
        _head(recording, judged, description),
        _frames_with_findings(recording, judged, description),
        correction,
        section("Pictures", "pictures", pictures(recording, judged), _of_pictures(judged)),
        section(
            "Over time" if recording.count > 1 else "Values",
            "lines",
            _lines(recording, judged, frames),
        ),
        _active(recording, judged, frames),
        f"<section><h2>Recording</h2>\n{table(description.rows)}</section>",
    ]
    title = escape(f"{description.title} – report")
    text = (
        REPORT_START.decode() + '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n{_foot(description)}\n</main>\n{_script(recording, frames)}</body>\n</html>\n"
    ).encode("utf-8", "backslashreplace")
    return text + b"<!-- crc32 %08x -->\n" % crc32(text)


def _of_pictures(judged: Judged) -> str:
    notes = []
    if judged.figures["not_finite"]:
        notes.append("Values that are not finite count as 0 here.")
    if judged.figures["blank"] and not judged.blank.all():
        notes.append("Blank frames are left out here.")
    if (judged.figures["shift"] or {}).get("above_one_pixel"):
        notes.append(
            "Frames are shifted: what moves past a pixel is part of its standard deviation, "
            "correlation, noise, SNR and ΔF/F."
        )
    return " ".join(notes)


def _head(recording: Recording, judged: Judged, description: Description) -> str:
    shape = " × ".join(map(str, recording.dims))
    number = f"{recording.count:,} {'volume' if len(recording.dims) == 3 else 'image'}"
    summary = f"{number}{'s' if recording.count > 1 else ''} of {shape}, {recording.dtype}"
    items = [
        f'<li class="{finding.level}"><span class="mark" aria-label="{finding.level}">'
        f"{'!' if finding.level == 'warning' else 'i'}</span>{escape(finding.text)}</li>"
        for finding in judged.findings
    ] or ['<li class="fine"><span class="mark" aria-label="fine">✓</span>Nothing conspicuous.</li>']
    return (
        f"<header><h1>{escape(description.title)}</h1>\n"
        f'<p class="summary">{escape(summary)}</p>\n</header>\n'
        f'<section class="findings"><h2>Findings</h2>\n<ul>{"".join(items)}</ul></section>'
    )


def _frames_with_findings(recording: Recording, judged: Judged, description: Description) -> str:
    if not judged.frames:
        return ""
    known = [frame_fields(one, recording, description) for one in judged.frames[:LISTED]]
    with_time = description.interval is not None
    with_file = any("file" in fields for fields in known)
    head = ["Frame", *(["Time"] if with_time else []), *(["File"] if with_file else []), "Finding"]
    rows = "\n".join(
        "<tr>" + "".join(_cells(fields, with_time, with_file)) + "</tr>" for fields in known
    )
    rest = len(judged.frames) - len(known)
    more = (
        f"<p>{rest:,} more are among the <code>frames</code> of "
        "<code>mpimages report --json</code>.</p>"
        if rest
        else ""
    )
    heads = "".join(f"<th>{name}</th>" for name in head)
    return (
        f'<section><h2>Frames with findings</h2>\n<div class="frames" tabindex="0"><table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>{more}</section>"
    )


def _cells(fields: JsonObject, with_time: bool, with_file: bool) -> list[str]:
    several = fields["last"] > fields["first"]
    frame = f"{fields['first']}–{fields['last']}" if several else str(fields["first"])
    found = [f"<td>{frame}</td>"]
    if with_time:
        found.append(f'<td class="time">{clock_text(fields["seconds"])}</td>')
    if with_file:
        found.append(f"<td>{escape(_file_text(fields))}</td>")
    of = f" ({fields['earlier_file']})" if "earlier_file" in fields else ""
    return [*found, f"<td>{escape(fields['text'] + of)}</td>"]


def _file_text(fields: JsonObject) -> str:
    """``'a.tif, page 3'``, ``'a.tif – c.tif'``, ``'a.tif, pages 3–5'``."""
    word = next((name for name in ("page", "image") if name in fields), None)
    first, last = fields["file"], fields.get("last_file", fields["file"])
    if word is None:
        return first if first == last else f"{first} – {last}"
    a, b = fields[word], fields.get(f"last_{word}", fields[word])
    if first != last:
        return f"{first}, {word} {a} – {last}, {word} {b}"
    return f"{first}, {word} {a}" if a == b else f"{first}, {word}s {a}–{b}"


def _lines(recording: Recording, judged: Judged, frames: Frames) -> list[Picture]:
    found = [histogram(recording, judged)]
    if recording.count > 1:
        moved = shifts(recording, frames)
        found = [
            intensity(recording, judged, frames),
            difference(recording, judged, frames),
            *([] if moved is None else [moved]),
            *found,
        ]
    return found


def _active(recording: Recording, judged: Judged, frames: Frames) -> str:
    found = active_series(judged.active, frames, recording.dtype.kind in "iu")
    if not found:
        return ""
    return section("Most active pixels", "active", found, about_active(judged.active))


def section(title: str, kind: str, found: list[Picture], about: str = "") -> str:
    """A heading, a text, and some figures."""
    figures = "\n".join(
        f"<figure><h3>{escape(picture.title)}</h3>{picture.svg}"
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        for picture in found
    )
    told = f"<p>{escape(about)}</p>" if about else ""
    return f'<section><h2>{title}</h2>{told}\n<div class="{kind}">\n{figures}\n</div></section>'


def table(rows: list[tuple[str, str]]) -> str:
    """Names and what they are."""
    told = "\n".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows
    )
    return f'<table class="recording">\n{told}\n</table>'


def _foot(description: Description) -> str:
    from .. import __version__

    read = f"Read with {description.options}. " if description.options else ""
    return (
        f"<footer>Made by <code>mpimages report</code>, version {escape(__version__)}. "
        f"{escape(read)}Frames are numbered by key, pages and images of a file from 0; pixels are "
        "(row, column[, plane]), from 0. Time is that since frame 0.</footer>"
    )


def _script(recording: Recording, frames: Frames) -> str:
    """What the plots need to show a part of a recording."""
    if recording.count < 2:
        return ""
    known = json.dumps(frames.fields())
    return (
        f'<script type="application/json" id="frames">{known}</script>\n'
        f"<script>\n{SCRIPT}</script>\n"
    )
