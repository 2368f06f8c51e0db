"""From images to time series and back, on any number of processes.

    mpiexec -n 2 python examples/demo.py                     # a simulated recording
    mpiexec -n 2 python examples/demo.py recording/          # a directory of TIFF, PNG, … files
    mpiexec -n 2 python examples/demo.py movie.tif --nplanes 1 --out results

Every process ("rank") runs this whole program. Calls on a collection are collective: all ranks
make them, each works on its share, and all get the same result. So there is no `if rank == 0`
around them; it stands only around what is local: printing, and drawing at the end.
"""

import argparse
import os
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO

import numpy as np

from mpimages import Colorize, ThunderContext

EXAMPLES = ("fish-images", "mouse-images")
PICTURES = ("projection.png", "stdev.png", "montage.png", "timeseries.png")
WHOLE = 256 << 20  # up to so many bytes the verification compares every single value
# Okabe and Ito's colours, which all eyes can tell apart, but yellow, which is lost on white, and
# black, which is lost on the picture.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


def main():
    with ThunderContext() as tsc:
        speaks = tsc.rank == 0

        def say(text):  # all ranks compute the text, one prints it
            if speaks:
                print(text, flush=True)

        try:
            options = parse_arguments(speaks)
            results = compute(tsc, options, say)
        except (OSError, ValueError, MemoryError) as error:  # on all ranks alike; one says it
            sys.exit(f"demo: {error}" if speaks else 1)
    if speaks:  # every rank has the results; one draws them, when nothing collective is left
        draw(results, options.out)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(message)


def parse_arguments(speaks):
    parser = Parser(description="Images to time series and back: a demo.")
    parser.add_argument(
        "data",
        nargs="?",
        default="fish-images",
        metavar="DATA",
        help="directory, file or pattern of images, or the name of an example",
    )
    parser.add_argument(
        "--out",
        default="demo-output",
        metavar="DIR",
        type=os.path.expanduser,
        help="where results go",
    )
    parser.add_argument(
        "--nplanes",
        metavar="N|all",
        type=planes,
        help="cut each file into images of N planes (a movie in one file: 1; one volume: all)",
    )
    with redirect_stdout(sys.stdout if speaks else StringIO()):  # --help is printed once, too
        return parser.parse_args()


def planes(text):
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor all")
    return text if text == "all" else int(text)


def compute(tsc, options, say):
    """The main job; all ranks come to the same results."""
    data = load(tsc, options)
    prepare(options.out)
    say(describe(tsc, data, options))
    results = {"statistics": data.stats()}  # mean, stdev, max, …: one pass over the images
    say(report(results["statistics"]))

    series = data.toSeries().cache()  # the ranks exchange pixels; each keeps a block of them
    say(f"series     {series.count():,} pixels with {len(series.index)} values each\n")

    binary = os.path.join(options.out, "series-binary")
    hdf5 = os.path.join(options.out, "series.h5")
    series.saveAsBinarySeries(binary, overwrite=True)
    series.saveAsHDF5(hdf5, overwrite=True)
    for path in (binary, hdf5):
        say(f"saved      {os.path.relpath(path)}  {size_on_disk(path) / 1e6:.2f} MB")
        say(f"verified   {verify(data, series, tsc.loadSeries(path))}")

    results["frames"] = frames(data)
    results["activity"], results["traces"] = most_active(series)
    results["interval"] = data.metadata.get("frameInterval")  # seconds, where the files say so
    return results


def load(tsc, options):
    """The recording, as a collection of images. Nothing is read yet."""
    if options.data in EXAMPLES and not os.path.exists(options.data):
        return tsc.loadExample(options.data)
    return tsc.loadImages(options.data, nplanes=options.nplanes)


def prepare(out):
    """The directory of the results, without pictures of an earlier recording."""
    os.makedirs(out, exist_ok=True)
    for name in PICTURES:
        with suppress(FileNotFoundError):  # another rank may be faster
            os.remove(os.path.join(out, name))


def describe(tsc, data, options):
    shape = data.dims.count
    simulated = " (simulated)" if "description" in data.metadata else ""
    lines = [
        f"recording  {options.data}{simulated}: {data.count()} image{'s' * (data.count() > 1)} of "
        f"{' x '.join(map(str, shape))} pixels, {data.dtype}",
        f"ranks      {tsc.size}",
    ]
    if len(shape) == 3 and options.nplanes is None and not simulated:
        lines.append(
            f"volumes    each image is taken for a volume of {shape[2]} pages; if the pages are "
            "times, as in a movie, give NPLANES=1 (--nplanes 1)"
        )
    return "\n".join(lines)


def report(stats):
    known = np.isfinite(stats["stdev"])  # pixels that are NaN or infinite at some time stay out
    if not known.any():
        return "values     no pixel is finite at all times"
    low, high, mean, stdev = (stats[name][known] for name in ("min", "max", "mean", "stdev"))
    return (
        f"values     {low.min()} to {high.max()}, mean {mean.mean():.2f}\n"
        f"over time  stdev {np.median(stdev):.2f} in the median pixel, {stdev.max():.2f} in the"
        " most variable"
    )


def size_on_disk(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(entry.stat().st_size for entry in os.scandir(path))


def verify(data, series, loaded):
    """Compare a Series that was read back with the one in memory, and with the images."""
    length, pixels = len(series.index), series.count()
    if length * pixels * series.dtype.itemsize <= WHOLE:
        images = np.moveaxis(data.toArray(), 0, -1)  # (time, row, column…) to (row, column…, time)
        memory, file = series.toArray(), loaded.toArray()
        what = f"{memory.size:,} values"
    else:  # some pixels, spread over the image
        places = np.linspace(0, pixels - 1, 50).astype(int)
        keys = [tuple(int(i) for i in np.unravel_index(p, series.dims.count)) for p in places]
        images = data.meanByRegions([[key] for key in keys]).T
        memory, file = (np.stack([part[key] for key in keys]) for part in (series, loaded))
        what = f"{memory.size:,} values of {len(keys)} pixels"
    counts = [np.count_nonzero(differ(file, other)) for other in (memory, images)]
    if any(counts):
        raise SystemExit(
            f"{what} compared: {counts[0]} differ from the Series in memory, "
            f"{counts[1]} from the images"
        )
    return f"{what} read back: 0 differ from the Series in memory, 0 from the images"


def differ(a, b):
    return (a != b) & ~((a != a) & (b != b))  # NaN equals NaN here


def frames(data, count=12):
    """Some images, evenly spaced over time; of volumes the maximum projection."""
    keys = data.keys().collect()
    chosen = [keys[i] for i in np.unique(np.linspace(0, len(keys) - 1, count).astype(int))]
    flat = data.maxProjection() if len(data.dims.count) == 3 else data
    return {key: flat[key] for key in chosen}


def most_active(series, count=8, apart=6):
    """How much each pixel's relative change varies, and the series of the most active ones."""
    changes = series.toTimeSeries().normalize()  # (y - baseline) / (baseline + 0.1)
    activity = changes.seriesStdev().toArray()[..., 0]
    left = np.nan_to_num(activity.astype(float), nan=-np.inf, posinf=-np.inf)
    traces = {}
    while len(traces) < count and left.max() > 0:
        key = tuple(int(i) for i in np.unravel_index(left.argmax(), left.shape))
        traces[key] = changes[key]
        near = tuple(slice(max(0, i - apart), i + apart + 1) for i in key[:2])
        left[near] = -np.inf  # the next one is another cell, not the pixel beside this one
    return activity, traces


# Pictures: local, drawn by one rank ------------------------------------------------------------


def draw(results, out):
    import matplotlib

    matplotlib.use("Agg")
    stats = results["statistics"]
    drawn = {
        "projection.png": (picture, stats["max"], "Maximum over time", "gray"),
        "stdev.png": (picture, stats["stdev"], "Standard deviation over time", "inferno"),
        "montage.png": (montage, results["frames"]),
    }
    if results["traces"]:  # none where no pixel ever changes
        found = (results["activity"], results["traces"], results["interval"])
        drawn["timeseries.png"] = (timeseries, *found)
    print("\npictures")
    for name, (function, *arguments) in drawn.items():
        path = os.path.join(out, name)
        save(path, function, *arguments)
        print(f"  {os.path.relpath(path)}")


def save(path, function, *arguments):
    import matplotlib.pyplot as plt

    function(*arguments)
    plt.savefig(path, dpi=110, bbox_inches="tight")
    plt.close()


def flattened(image):
    """A volume seen from above; a 2-D image as it is."""
    return image.max(axis=2) if image.ndim == 3 else image


def contrast(image):
    """Limits that a few extreme pixels do not spoil."""
    finite = image[np.isfinite(image)]
    return np.percentile(finite, [0.5, 99.8]) if finite.size else None


def picture(image, title, cmap):
    import matplotlib.pyplot as plt

    image = flattened(image)
    Colorize.image(image, cmap=cmap, bar=True, clim=contrast(image), size=7)
    plt.title(title)


def timeseries(activity, traces, interval):
    """The active pixels' places on the left, their series on the right, by the same numbers."""
    import matplotlib.pyplot as plt

    _, (places, lines) = plt.subplots(
        1, 2, figsize=(13, 5.5), width_ratios=[1, 1.5], layout="constrained"
    )
    shown = flattened(activity)
    Colorize.image(shown, cmap="gray", clim=contrast(shown), ax=places)
    places.set_title("Activity: stdev of the relative change")
    # Far enough apart that most traces do not touch, near enough that small ones are seen.
    step = max(0.7 * np.ptp(trace) for trace in traces.values())
    labels = []
    for number, (key, trace) in enumerate(traces.items()):
        color = COLORS[number % len(COLORS)]
        places.plot(key[1], key[0], "o", ms=9, mfc="none", mec=color, mew=2, clip_on=False)
        name(places, number + 1, key, color)
        times = np.arange(len(trace)) * (interval or 1)
        lines.plot(times, trace - number * step, color=color, lw=1.4)
        labels.append(f"{number + 1}: {', '.join(str(i) for i in key)}")
    lines.set_yticks([-number * step for number in range(len(labels))], labels)
    lines.set_ylabel("pixel: row, column, page" if activity.ndim == 3 else "pixel: row, column")
    lines.set_xlabel("time (s)" if interval else "image")
    lines.xaxis.get_major_locator().set_params(integer=not interval)
    lines.margins(x=0.05)
    scale_bar(lines, step)
    lines.set_title("Relative change of the most active pixels")
    lines.spines[["top", "right"]].set_visible(False)


def name(ax, number, key, color):
    """Write a number beside a pixel, whatever the picture is there."""
    from matplotlib.patheffects import withStroke

    text = ax.annotate(
        str(number),
        (key[1], key[0]),
        (7, 5),
        textcoords="offset points",
        color=color,
        weight="bold",
    )
    text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def scale_bar(ax, height):
    """How tall a change of so much is, at the right edge of the traces."""
    at = ax.get_xlim()[1]
    ax.plot([at, at], [0, height], color="black", lw=3, solid_capstyle="butt")
    ax.text(at, height / 2, f" {100 * height:.0f} %", va="center")


def montage(frames):
    import matplotlib.pyplot as plt

    images = list(frames.values())
    Colorize.tile(images, clim=contrast(np.stack(images)), size=11)
    for ax, key in zip(plt.gcf().axes, frames, strict=False):
        ax.text(0.03, 0.97, f"image {key}", color="white", va="top", transform=ax.transAxes)


if __name__ == "__main__":
    main()
