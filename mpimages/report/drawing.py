"""matplotlib to SVG that belongs to a page: its fonts, its colours, light and dark. Local.

Nothing of matplotlib's state for interactive use is touched. What shall follow the page's colours
is drawn in stand-ins, which the page's style replaces.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ACCENT", "INK", "MUTED", "SECOND", "WARN", "drawing", "fit_picture", "line", "svg_of"]

# Colours that nobody would choose, and what the page puts in their place.
INK, MUTED, ACCENT, SECOND, WARN = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
STAND_INS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
    WARN: "var(--warn)",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mpimages",
    "path.simplify": False,
    "font.size": 9.0,
    "axes.linewidth": 0.7,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "axes.formatter.limits": (-4, 6),
}
# Of a line so many pieces are drawn, each by its least and greatest value.
POINTS = 1000
# The longer side of a picture; larger ones are reduced.
SIDE = 800


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib with the page's settings, whatever the program's own are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def svg_of(figure: Figure, label: str) -> str:
    """A figure as an SVG element that stands in a page, with a label for who cannot see it."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
        text, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for stand_in, wanted in STAND_INS.items():
        svg = svg.replace(stand_in, wanted)
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg))
    ids = {name for pair in used for name in pair if name}
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in ids else "", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()


def line(axes: Axes, values: np.ndarray, colour: str, keys: np.ndarray) -> None:
    """Draw a line over the images' keys; one of many points as the band of its extremes."""
    from .trends import envelope

    if len(values) <= 2 * POINTS:
        marker = "o" if len(values) < 30 else ""
        axes.plot(keys, values, color=colour, linewidth=0.9, marker=marker, markersize=2.5)
        return
    places, low, high = envelope(values, POINTS)
    along = np.interp(places, np.arange(len(keys)), keys)
    axes.fill_between(along, low, high, color=colour, linewidth=0.6)


def fit_picture(picture: np.ndarray, kind: str) -> np.ndarray:
    """A picture of at most 800 pixels a side: means of blocks, or their greatest values."""
    factor = -(-max(picture.shape) // SIDE)
    if factor == 1:
        return picture
    rows, columns = (-(-n // factor) * factor for n in picture.shape)
    padded = np.full((rows, columns), np.nan)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    blocks = padded.reshape(rows // factor, factor, columns // factor, factor)
    there = np.isfinite(blocks)
    number = there.sum(axis=(1, 3))
    if kind == "max":
        found = np.where(there, blocks, -np.inf).max(axis=(1, 3))
    else:
        total = np.where(there, blocks, 0).sum(axis=(1, 3))
        found = total / np.maximum(number, 1)
    return np.where(number > 0, found, np.nan)
