"""The page: one HTML file with everything in it. Local."""

from __future__ import annotations

from html import escape

from ..core.crc32 import crc32
from ..formats.output_names import REPORT_START
from .description import Description
from .drawing import drawing
from .gathering import Recording
from .judgement import Judged
from .pictures import Picture, pictures
from .plots import active_series, difference, histogram, intensity, shifts
from .style import CSS

__all__ = ["page"]


def page(recording: Recording, judged: Judged, description: Description) -> bytes:
    """The page's bytes: the same for the same recording, whoever computed it."""
    with drawing():
        parts = [
            _head(recording, judged, description),
            _section("Pictures", "pictures", pictures(recording), _of_pictures(judged)),
            _section(
                "Over time" if recording.count > 1 else "Values",
                "lines",
                _lines(recording, judged, description),
            ),
            _active(recording),
            _table(description),
        ]
    title = escape(f"{description.title} – report")
    text = (
        REPORT_START.decode() + '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n<footer>Made by <code>mpimages report</code>. Frames are numbered by key, from 0; "
        "pixels are (row, column[, plane]), from 0.</footer>\n</main>\n</body>\n</html>\n"
    ).encode("utf-8", "backslashreplace")
    return text + b"<!-- crc32 %08x -->\n" % crc32(text)


def _of_pictures(judged: Judged) -> str:
    notes = []
    if judged.figures["not_finite"]:
        notes.append("Values that are not finite count as 0 here.")
    if judged.figures["blank"] and not judged.blank.all():
        notes.append("Blank frames are left out here.")
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


def _lines(recording: Recording, judged: Judged, description: Description) -> list[Picture]:
    found = [histogram(recording, judged)]
    if recording.count > 1:
        moved = shifts(recording)
        found = [
            intensity(recording, judged, description.interval),
            difference(recording, judged),
            *([] if moved is None else [moved]),
            *found,
        ]
    return found


def _active(recording: Recording) -> str:
    found = active_series(recording)
    if not found:
        return ""
    about = (
        "The pixels that fluctuate most together with their neighbours: the highest products "
        "of stdev and local correlation, some distance apart. Their numbers are those in the "
        "picture of the local correlation."
    )
    return _section("Most active pixels", "active", found, about)


def _section(title: str, kind: str, found: list[Picture], about: str = "") -> str:
    figures = "\n".join(
        f"<figure><h3>{escape(picture.title)}</h3>{picture.svg}"
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        for picture in found
    )
    told = f"<p>{escape(about)}</p>" if about else ""
    return f'<section><h2>{title}</h2>{told}\n<div class="{kind}">\n{figures}\n</div></section>'


def _table(description: Description) -> str:
    rows = "\n".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>"
        for name, text in description.rows
    )
    return f"<section><h2>Recording</h2>\n<table>\n{rows}\n</table></section>"
