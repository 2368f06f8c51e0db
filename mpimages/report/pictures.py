"""The pictures of a recording: mean, maximum, stdev, local correlation, noise, SNR. Local."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from .colours import TABLES, coloured
from .drawing import Scale, clipped, fit_picture
from .gathering import Recording
from .judgement import LASTING, Judged
from .words import number_text, percent_text

__all__ = ["Picture", "alike", "montage", "pictures"]

# The display range, in per cent of the values.
RANGE = (1.0, 99.5)
# In the drawing's own units: its width, that of the picture in it, and of the colour bar.
WIDTH, INNER, BAR = 440.0, 364.0, 11.0
EDGE = 8.0
# Of height over width, at least and at most.
FLATTEST, TALLEST = 0.12, 1.6
# Of the montage's shorter side, between two planes.
GAP = 0.01
WIDE = 1.5


@dataclass(frozen=True)
class Picture:
    """One figure.

    Attributes
    ----------
    title, caption, svg : str
    """

    title: str
    caption: str
    svg: str


def pictures(recording: Recording, judged: Judged) -> list[Picture]:
    """Those there are: of one image alone, mean and maximum."""
    found = [
        _picture(recording, "mean", "Mean", recording.pixels.mean, "grey"),
        _picture(recording, "max", "Maximum", recording.pixels.max, "grey"),
    ]
    if recording.count == 1:
        return found
    around = "Of each pixel with its four neighbours, −1 to 1."
    correlation, noise = recording.pixels.correlation, recording.pixels.noise
    found += [
        _picture(recording, "stdev", "Standard deviation", recording.pixels.stdev, "magma"),
        _picture(recording, "correlation", "Local correlation", correlation, "viridis", around),
        _picture(recording, "noise", "Noise", noise, "magma", _of_noise(judged)),
    ]
    if judged.snr is None:
        return found
    about = _of_snr(judged)
    return [*found, _picture(recording, "snr", "Signal to noise", judged.snr, "viridis", about)]


def _of_noise(judged: Judged) -> str:
    text = "Standard deviation of what changes from frame to frame: the root of half the mean "
    text += "square difference to the frame before."
    noise = judged.figures["noise"]
    if noise is None:
        return text
    text += f" Median {number_text(noise['median'], 3)}"
    if noise["of_mean"] is not None:
        text += f", {percent_text(noise['of_mean'])} of the mean"
    return text + "."


def _of_snr(judged: Judged) -> str:
    text = "SNR: standard deviation of what lasts from frame to frame, over the noise."
    snr = judged.figures["snr"]
    if snr is None:
        return text
    text += (
        f" Median {number_text(snr['median'], 2)}; 1 % of the pixels exceed "
        f"{number_text(snr['percentile_99'], 2)}."
    )
    if snr["lasting"] is not None:
        text += (
            f" In {percent_text(snr['lasting'])} of those that change it is more than chance "
            f"(by {LASTING:g} standard deviations)."
        )
    return text


def _picture(
    recording: Recording, name: str, title: str, image: np.ndarray, colours: str, about: str = ""
) -> Picture:
    finite = clipped(image)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        none = "no pixel changes" if not recording.pixels.stdev.any() else "values are too large"
        return Picture(title, f"There is none: {none}.", "")
    low, high = (float(end) for end in np.percentile(finite, RANGE))
    caption = f"Shown from {number_text(low)} to {number_text(high)}, percentiles 1 to 99.5."
    if not high > low:
        low, high = float(finite.min()), float(finite.max())
        caption = f"Shown from {number_text(low)} to {number_text(high)}: nearly all alike."
    if not high > low:
        room = max(0.5, 0.01 * abs(low))
        low, high = low - room, low + room
        caption = f"All pixels are {number_text(float(finite[0]))}."
    flat, places = montage(image)
    shown = fit_picture(clipped(flat), name)
    marks = _marks(recording, places) if name == "correlation" else []
    drawn = _drawn(shown, flat.shape, (low, high), colours, title, marks)
    return Picture(title, f"{about} {caption}".strip().replace("-", "−"), drawn)


def alike(images: dict[str, np.ndarray], colours: str, name: str) -> list[Picture]:
    """Images by their titles, all in the same colours. `name` is as of `fit_picture`."""
    known = np.concatenate([clipped(image).ravel() for image in images.values()])
    known = known[np.isfinite(known)]
    if not len(known):
        return []
    low, high = (float(end) for end in np.percentile(known, RANGE))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    caption = f"Shown from {number_text(low)} to {number_text(high)}.".replace("-", "−")
    found = []
    for title, image in images.items():
        flat, _ = montage(image)
        shown = fit_picture(clipped(flat), name)
        drawn = _drawn(shown, flat.shape, (low, high), colours, title, [])
        found.append(Picture(title, caption, drawn))
    return found


def montage(image: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The planes of a volume side by side in rows, somewhat wider than high.

    Returns
    -------
    (rows, columns) ndarray
        NaN between the planes; a 2-D image as it is.
    places : list of (row, column)
        Where each plane begins.
    """
    if image.ndim == 2:
        return image, [(0, 0)]
    rows, columns, planes = image.shape
    across = max(1, min(planes, round((WIDE * planes * rows / columns) ** 0.5)))
    down = -(-planes // across)
    gap = max(1, round(GAP * max(down * rows, across * columns))) if planes > 1 else 0
    flat = np.full((down * (rows + gap) - gap, across * (columns + gap) - gap), np.nan)
    places = []
    for plane in range(planes):
        r, c = plane // across * (rows + gap), plane % across * (columns + gap)
        flat[r : r + rows, c : c + columns] = image[..., plane]
        places.append((r, c))
    return flat, places


def _marks(recording: Recording, places: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Where the active pixels are in the montage, (row, column)."""
    found: list[tuple[float, float]] = []
    for flat in recording.active:
        place = [int(i) for i in np.unravel_index(flat, recording.dims)]
        r, c = places[place[2] if len(place) == 3 else 0]
        found.append((place[0] + r, place[1] + c))
    return found


def _drawn(
    shown: np.ndarray,
    extent: tuple[int, ...],
    limits: tuple[float, float],
    colours: str,
    title: str,
    marks: list[tuple[float, float]],
) -> str:
    rows, columns = extent
    height = INNER * min(TALLEST, max(FLATTEST, rows / columns))
    scale = min(INNER / columns, height / rows)
    left, top = (INNER - columns * scale) / 2, EDGE + (height - rows * scale) / 2
    labels, about = _bar_labels(limits, height)
    parts = [
        _image(coloured(shown, *limits, colours), left, top, columns * scale, rows * scale),
        f'<rect class="edge" x="{left:.2f}" y="{top:.2f}" width="{columns * scale:.2f}" '
        f'height="{rows * scale:.2f}"/>',
        _image(TABLES[colours][::-1, None], INNER + 10, EDGE, BAR, height),
        *labels,
        *(
            _mark(left + (column + 0.5) * scale, top + (row + 0.5) * scale, number, scale)
            for number, (row, column) in enumerate(marks, 1)
        ),
    ]
    below = height + 2 * EDGE
    if about:
        below += 12
        parts.append(
            f'<text class="soft" text-anchor="end" x="{WIDTH:g}" y="{below - 2:.1f}">{about}</text>'
        )
    return (
        f'<svg class="picture" role="img" aria-label="{title}" '
        f'viewBox="0 0 {WIDTH:g} {below:.1f}">{"".join(parts)}</svg>'
    )


def _image(pixels: np.ndarray, x: float, y: float, width: float, height: float) -> str:
    from ..writers.png import encode_png

    data = base64.b64encode(encode_png(pixels)).decode()
    return (
        f'<image x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
    )


def _bar_labels(limits: tuple[float, float], height: float) -> tuple[list[str], str]:
    """What stands beside the colour bar, and what must be said about it."""
    places, texts, about = Scale(*limits).labels(max(2, min(6, int(height / 40))))
    low, high = limits
    x = INNER + 10 + BAR
    found = []
    for place, text in zip(places, texts, strict=True):
        y = EDGE + height * float((high - place) / (high - low))
        found.append(
            f'<path class="axis" d="M{x:.1f} {y:.1f}h4"/>'
            f'<text x="{x + 7:.1f}" y="{y + 4:.1f}">{text}</text>'
        )
    return found, about.strip()


def _mark(x: float, y: float, number: int, scale: float) -> str:
    """A numbered circle; the number on that side where there is room."""
    left, low = x > 0.92 * INNER, y < 20
    return (
        f'<circle class="halo" cx="{x:.1f}" cy="{y:.1f}" r="{max(5, scale):.1f}"/>'
        f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{max(5, scale):.1f}"/>'
        f'<text class="number" x="{x + (-6 if left else 6):.1f}" y="{y + (14 if low else -5):.1f}" '
        f'text-anchor="{"end" if left else "start"}">{number}</text>'
    )
