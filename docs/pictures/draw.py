"""Draws the pictures of README.md and of the documentation, from simulated recordings.

python docs/pictures/draw.py [DIRECTORY]

One rank is enough. Each picture has a white ground, so that it can be read on a dark page, too, and
marks what belongs together by numbers as well as by colours.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from mpimages import Colorize, ThunderContext

HERE = Path(__file__).parent
# Of Okabe and Ito (2008): told apart by eyes that do not see red, or green.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK = "#24292f"
LARGEST = 150_000
STYLE = {
    "font.size": 13,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


class Recording:
    """What the pictures show: 240 volumes of a simulated larval fish, from above."""

    def __init__(self, tsc: ThunderContext) -> None:
        series = tsc.loadExample("fish-series")
        self.volumes = np.moveaxis(series.toArray(), -1, 0)
        images = tsc.loadImagesFromArray(self.volumes)
        self.deviation = images.stdev().max(axis=2)
        self.greatest = images.max().max(axis=2)
        self.places = self._active(5)
        self.mask = self._squares(self.places)
        changes = series.toTimeSeries().normalize()
        self.traces = [changes[place] for place in self.places]
        self.regions = images.meanByRegions(self.mask).T
        self.levels = self._levels(tsc)

    def _levels(self, tsc: ThunderContext) -> list[np.ndarray]:
        """The first image at each size that an OME-Zarr has it."""
        first = tsc.loadImagesFromArray(self.volumes[:1].max(axis=-1))
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/movie.ome.zarr"
            first.saveAsZarr(path, levels=2)
            return [tsc.loadImages(path, dataset=name).toArray()[0] for name in "012"]

    def _active(self, count: int, apart: int = 13) -> list[tuple[int, int, int]]:
        """The pixels that vary most, far from each other and from the border."""
        left = self.volumes.std(axis=0)
        left[:8], left[-8:], left[:, :8], left[:, -8:] = 0, 0, 0, 0
        places = []
        for _ in range(count):
            row, column, page = (int(i) for i in np.unravel_index(left.argmax(), left.shape))
            places.append((row, column, page))
            left[max(0, row - apart) : row + apart, max(0, column - apart) : column + apart] = 0
        return sorted(places)

    def _squares(self, places: Sequence[tuple[int, int, int]]) -> np.ndarray:
        mask = np.zeros(self.volumes.shape[1:], dtype=int)
        for number, (row, column, page) in enumerate(places, start=1):
            mask[row - 2 : row + 3, column - 2 : column + 3, page] = number
        return mask


def overview(recording: Recording) -> Any:
    """From a directory of images to a map, and to the time series of pixels."""
    figure = plt.figure(figsize=(16, 5.2))
    sheets(figure, recording)
    image = figure.add_axes((0.345, 0.15, 0.27, 0.70))
    deviation(image, recording)
    marks(image, recording)
    lines = figure.add_axes((0.685, 0.17, 0.30, 0.68))
    traces(lines, recording.traces, "")
    lines.set_xlabel("")
    columns = (
        (0.135, "many images, in many files", "recording/0.tif … 239.tif"),
        (0.48, "one map of all of them", "data.stdev()"),
        (0.835, "a time series for each pixel", "data.toSeries()"),
    )
    for x, title, code in columns:
        figure.text(x, 0.915, title, ha="center", fontsize=19, fontweight="bold")
        figure.text(x, 0.035, code, ha="center", fontsize=17, family="monospace")
    for ends in ((0.275, 0.335), (0.625, 0.685)):
        arrow(figure, ends)
    return figure


def sheets(figure: Any, recording: Recording) -> None:
    """The images, one behind the other."""
    for number, i in enumerate((239, 2, 1, 0)):
        back = 3 - number
        sheet = figure.add_axes((0.02 + 0.014 * back, 0.15 + 0.05 * back, 0.19, 0.55))
        volume = recording.volumes[i].max(axis=2)
        sheet.imshow(volume, cmap="gray", vmin=20, vmax=150, interpolation="none")
        sheet.set(xticks=[], yticks=[])
        for spine in sheet.spines.values():
            spine.set(visible=True, color="white", linewidth=2)


def arrow(figure: Any, ends: tuple[float, float]) -> None:
    """An arrow between two of the pictures."""
    figure.add_artist(
        matplotlib.patches.FancyArrowPatch(
            (ends[0], 0.5),
            (ends[1], 0.5),
            transform=figure.transFigure,
            arrowstyle="simple,head_length=14,head_width=20,tail_width=6",
            color=INK,
        )
    )


def deviation(ax: Any, recording: Recording) -> None:
    """How much each pixel varies over time."""
    limits = (0, float(np.percentile(recording.deviation, 99.7)))
    Colorize.image(recording.deviation, cmap="gray", clim=limits, ax=ax)


def marks(ax: Any, recording: Recording) -> None:
    """Numbered circles where the traces are from."""
    for number, (row, column, _) in enumerate(recording.places):
        colour = COLOURS[number]
        ax.plot(column, row, "o", ms=17, mfc="none", mec="white", mew=5)
        ax.plot(column, row, "o", ms=17, mfc="none", mec=colour, mew=3)
        label(ax, (column + 5.5, row - 4), number)


def label(ax: Any, place: tuple[float, float], number: int) -> None:
    """A number on a ground of its colour."""
    ax.text(
        *place,
        str(number + 1),
        color="white",
        fontsize=14,
        fontweight="bold",
        ha="center",
        va="center",
        bbox={"boxstyle": "circle,pad=0.15", "color": COLOURS[number]},
    )


def traces(ax: Any, values: Sequence[np.ndarray], ylabel: str, first: float = -13) -> None:
    """Numbered lines, one above the other."""
    step = 0.8 * max(np.ptp(trace) for trace in values)
    for number, trace in enumerate(values):
        ax.plot(trace - trace.min() - number * step, color=COLOURS[number], lw=1.8)
        label(ax, (first, 0.12 * step - number * step), number)
    ax.set(xlim=(-22, 240), xticks=(0, 80, 160, 240), yticks=[], ylabel=ylabel)
    ax.set_xlabel("image")
    ax.spines["left"].set_visible(False)


def small(recording: Recording) -> dict[str, Any]:
    """The pictures of the tasks, all of one size."""
    names = ("deviation", "traces", "regions", "ranks", "intensity", "volume", "levels")
    return {name: globals()[f"small_{name}"](recording, *square()) for name in names}


def square() -> tuple[Any, Any]:
    """A figure of the size of a card, and its axes."""
    return plt.subplots(figsize=(6, 4), layout="constrained")


def small_deviation(recording: Recording, figure: Any, ax: Any) -> Any:
    """The deviation in colours, with their scale."""
    limits = (0, float(np.percentile(recording.deviation, 99.7)))
    Colorize.image(recording.deviation, cmap="inferno", bar=True, clim=limits, ax=ax)
    return figure


def small_traces(recording: Recording, figure: Any, ax: Any) -> Any:
    """Pixels' relative changes."""
    traces(ax, recording.traces, "ΔF/F of pixels")
    return figure


def small_regions(recording: Recording, figure: Any, ax: Any) -> Any:
    """Regions on an image, as a drawing program shows them, and their means over time."""
    ax.remove()
    image, lines = figure.subplots(1, 2, width_ratios=(1.15, 1))
    Colorize.image(recording.greatest, cmap="gray", clim=(20, 170), ax=image)
    for number, (row, column, _) in enumerate(recording.places):
        image.add_patch(
            plt.Rectangle((column - 2.5, row - 2.5), 5, 5, fill=False, ec=COLOURS[number], lw=2.5)
        )
        label(image, (column + 8, row - 5), number)
    traces(lines, recording.regions, "", first=-28)
    lines.set(xlim=(-50, 240), xticks=(0, 240), xlabel="image")
    return figure


def small_ranks(recording: Recording, figure: Any, ax: Any) -> Any:
    """How four ranks share twenty images."""
    ax.remove()
    axes = figure.subplots(4, 5)
    for number, cell in enumerate(axes.flat):
        volume = recording.volumes[number].max(axis=2)
        cell.imshow(volume, cmap="gray", vmin=20, vmax=150, interpolation="none")
        cell.set(xticks=[], yticks=[])
        for spine in cell.spines.values():
            spine.set(visible=True, color=COLOURS[number // 5], linewidth=3)
    for rank, row in enumerate(axes):
        row[0].set_ylabel(f"rank {rank}", color=COLOURS[rank], fontweight="bold")
    return figure


def small_intensity(recording: Recording, figure: Any, ax: Any) -> Any:
    """Mean brightness of each image, as the report draws it."""
    ax.plot(recording.volumes.reshape(240, -1).mean(axis=1), color=COLOURS[0], lw=1.8)
    ax.set(xlabel="image", ylabel="mean brightness")
    return figure


def small_volume(recording: Recording, figure: Any, ax: Any) -> Any:
    """The planes of one volume, beside each other."""
    planes = np.moveaxis(recording.volumes[0], -1, 0)
    gap = np.full((planes.shape[1], 4), np.nan)
    both = np.hstack([planes[0], gap, planes[1]])
    Colorize.image(both, cmap="gray", clim=(20, 130), nans=False, ax=ax)
    figure.set_size_inches(6, 2.8)
    return figure


def small_levels(recording: Recording, figure: Any, ax: Any) -> Any:
    """One image at the sizes of an OME-Zarr."""
    ax.remove()
    figure.set_size_inches(8, 3)
    for number, cell in enumerate(figure.subplots(1, 3)):
        level = recording.levels[number]
        Colorize.image(level, cmap="gray", clim=(20, 130), ax=cell)
        cell.set_title(f'"{number}": {level.shape[0]} × {level.shape[1]}')
    return figure


class Moving:
    """300 images of a simulated cortex that moves, and the same once the motion is taken out."""

    cells = ((84, 113), (62, 36), (22, 79))

    def __init__(self, tsc: ThunderContext) -> None:
        raw = tsc.loadExample("moving-images")
        raw.cache()
        corrected = raw.register()
        self.means = raw.mean(), corrected.mean()
        rows, columns = np.indices(raw.dims.count)
        mask = np.zeros(raw.dims.count, dtype=int)
        for number, (row, column) in enumerate(self.cells, start=1):
            mask[np.hypot(rows - row, columns - column) <= 6] = number
        self.traces = [images.meanByRegions(mask).T for images in (raw, corrected)]


def small_motion(moving: Moving) -> Any:
    """The mean of what moves, and of what is moved back."""
    figure, axes = plt.subplots(1, 2, figsize=(6, 3.3), layout="constrained")
    for ax, mean, title in zip(axes, moving.means, ("as recorded", "corrected"), strict=True):
        Colorize.image(mean, cmap="gray", clim=(120, 215), ax=ax)
        ax.set_title(title)
    return figure


def small_corrected(moving: Moving) -> Any:
    """Traces of cells, grey as they were recorded, and in colour once corrected."""
    figure, ax = square()
    step = 0.9 * max(np.ptp(trace) for trace in moving.traces[1])
    for number, (before, after) in enumerate(zip(*moving.traces, strict=True)):
        low = np.percentile(after, 20) + number * step
        ax.plot(before - low, color="0.65", lw=1.6)
        ax.plot(after - low, color=COLOURS[number], lw=1.6)
        label(ax, (-16, -number * step), number)
    ax.set(xlim=(-26, 300), xticks=(0, 100, 200, 300), yticks=[], xlabel="image")
    ax.set_ylabel("mean of cells, grey: as recorded")
    ax.spines["left"].set_visible(False)
    return figure


def save(figure: Any, path: Path, dpi: int) -> None:
    """As a PNG of at most 256 colours, which these pictures do with."""
    memory = io.BytesIO()
    figure.savefig(memory, dpi=dpi, facecolor="white")
    plt.close(figure)
    Image.open(memory).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    size = path.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{path} has {size:,} bytes, more than {LARGEST:,}")
    print(f"{path}: {size:,} bytes")


def main() -> None:
    """Draw all of them."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    directory.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE), ThunderContext() as tsc:
        recording = Recording(tsc)
        save(overview(recording), directory / "overview.png", dpi=100)
        for name, figure in small(recording).items():
            save(figure, directory / f"{name}.png", dpi=80)
        moving = Moving(tsc)
        save(small_motion(moving), directory / "motion.png", dpi=80)
        save(small_corrected(moving), directory / "corrected.png", dpi=80)


if __name__ == "__main__":
    main()
