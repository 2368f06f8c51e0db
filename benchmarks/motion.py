"""How well and how fast recordings are registered whose motion is known, beside what is aimed at.

    python benchmarks/motion.py [--only TEXT] [--quick] [--minutes N] [--scratch FOLDER]

Errors are root mean squares over the images and over both directions (all three of volumes), in
pixels, of what was found less the true displacement. A reference that the library has made lies
somewhere: the median of these differences is taken out, for each pixel of a field. An image that
is lost counts nowhere, and is told.

Frames a second and core are frames over the seconds that the cores have worked, on all threads
together, so that other programs on the machine count little. The best of some runs is taken.
scikit-image and SciPy do their part of the same images in the same run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from moving import Parameters, Recording, write

from mpimages import Images, RegistrationModel, ThunderContext

PHOTONS = (0.5, 2.0, 10.0)
# A shift that is further off is a wrong one.
WRONG = 1.0
# Rows and columns between the pixels at which fields are compared.
STEP = 8


@dataclass(frozen=True)
class Target:
    """What a row is to reach.

    Attributes
    ----------
    least, aim : float or None
        The greatest error, or the least speed, and what is hoped for.
    more : bool
        More is better.
    """

    row: str
    least: float | None
    aim: float | None
    more: bool = False


TARGETS = (
    Target("rigid, 0.5 photons a pixel: rms error, px", 0.30, 0.22),
    Target("rigid, 2 photons a pixel: rms error, px", 0.06, 0.045),
    Target("rigid, 10 photons a pixel: rms error, px", 0.035, 0.02),
    Target("rigid, 2 photons a pixel: images off by > 1 px, not lost", 0, 0),
    Target("piecewise, field of 1.5 px, 5 photons: rms error, px", 0.20, 0.12),
    Target("volumes of 32 planes, 5 photons: rms error, voxels", 0.12, 0.08),
    Target("rigid, in memory: frames a second and core", 450, 800, more=True),
    Target("rigid, from a TIFF: frames a second and core", 450, 800, more=True),
    Target("piecewise, in memory: frames a second and core", 70, 120, more=True),
    Target("piecewise, from a TIFF: frames a second and core", 70, 120, more=True),
    Target("scikit-image and SciPy: times as fast", 8, 15, more=True),
    Target("scikit-image, 0.5 photons: times its error", 1, None, more=True),
    Target("scikit-image, 2 photons: times its error", 1, None, more=True),
    Target("scikit-image, 10 photons: times its error", 1, None, more=True),
    Target("process: bytes of to-series' where shares fit", 2, None),
    Target("process: bytes of to-series', an eighth fits", 4, None),
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    count: int = 400  # images that an error is taken of
    dims: tuple[int, int] = (512, 512)
    volumes: int = 24
    volume: tuple[int, int, int] = (512, 512, 32)
    timed: int = 256  # images that a time is taken of
    repeats: int = 3
    others: int = 40  # images that scikit-image takes
    wrong: int = 10_000  # images among which wrong ones are looked for, at most
    minutes: float = 10.0  # for that
    job: int = 2000  # images of a job's recording
    scratch: Path = Path("build/bench")


QUICK = Sizes(60, (512, 512), 12, (128, 128, 32), 64, 2, 10, 200, 1.0, 1000)


@dataclass(frozen=True)
class Measured:
    """A row's figure, None where there is none, and what else is to be told."""

    value: float | None
    told: str


class Bench:
    """What the rows share: a context, and recordings that were made once."""

    def __init__(self, tsc: ThunderContext, sizes: Sizes) -> None:
        self.tsc = tsc
        self.sizes = sizes

    @cache  # noqa: B019
    def rigid(self, photons: float) -> tuple[Recording, np.ndarray]:
        """A rigid recording, and all its images."""
        return made(Parameters(self.sizes.dims, self.sizes.count, photons))

    @cache  # noqa: B019
    def model(self, photons: float) -> RegistrationModel:
        """What is found of it, against a reference of its own."""
        return self.images(self.rigid(photons)[1]).fitRegistration()

    def images(self, array: np.ndarray) -> Images:
        return self.tsc.loadImagesFromArray(array)


def made(parameters: Parameters) -> tuple[Recording, np.ndarray]:
    """A recording, and all its images as an array."""
    recording = Recording(parameters)
    images = np.empty((parameters.count, *parameters.dims), np.uint16)
    for i in range(parameters.count):
        images[i] = recording.image(i)
    return recording, images


# Errors -----------------------------------------------------------------------------------


def differences(shifts: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Found less true shifts, without the place of the reference; NaN where an image is lost."""
    apart = shifts - truth
    return apart - np.nanmedian(apart, axis=0)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(values**2)))


def rigid_error(bench: Bench, photons: float) -> Measured:
    recording, _ = bench.rigid(photons)
    model = bench.model(photons)
    error = differences(model.shifts, recording.shifts)
    worst = float(np.nanmax(np.abs(error)))
    return Measured(
        rms(error), f"{len(error)} images, {len(model.lost)} lost, the worst off by {worst:.2f}"
    )


def wrong_images(bench: Bench) -> Measured:
    """Recordings of other scenes and motion, one after the other, until the time is over."""
    sizes, part = bench.sizes, min(250, bench.sizes.wrong)
    end = time.monotonic() + 60 * sizes.minutes
    seen = wrong = lost = seed = 0
    while seen < sizes.wrong and (seen == 0 or time.monotonic() < end):
        seed += 1
        recording, images = made(Parameters(sizes.dims, part, 2.0, seed, jumps=0.01))
        shifts = bench.images(images).fitRegistration().shifts
        error = np.abs(differences(shifts, recording.shifts)).max(axis=1)
        seen, wrong = seen + part, wrong + int((error > WRONG).sum())
        lost += int(np.isnan(error).sum())
    return Measured(wrong, f"of {seen:,} images of {seed} recordings; {lost} lost")


def piecewise_error(bench: Bench) -> Measured:
    sizes = bench.sizes
    recording, images = made(
        Parameters(sizes.dims, max(20, sizes.count // 4), 5.0, mode="piecewise")
    )
    model = bench.images(images).fitRegistration(method="piecewise")
    truth = np.stack([recording.field(i, step=STEP) for i in range(len(images))])
    apart = fields(model) - truth
    error = apart - np.nanmedian(apart, axis=0)
    one = apart - np.nanmedian(apart, axis=(0, 2, 3), keepdims=True)
    bent = truth - truth.mean(axis=(2, 3), keepdims=True)
    return Measured(
        rms(error),
        f"{len(images)} images, {len(model.lost)} lost; {rms(one):.3f} less one offset for all "
        f"pixels, as the reference is bent; the field itself {rms(bent):.2f}",
    )


def fields(model: RegistrationModel) -> np.ndarray:
    """The shifts at every so many pixels, (n, 2, rows, columns): linear between nodes."""
    down, across = (
        np.stack([np.interp(np.arange(0, n, STEP), nodes, row) for row in np.eye(len(nodes))], 1)
        for n, nodes in zip(model.dims, (model.rows, model.columns), strict=True)
    )
    grid = model.shifts.reshape(len(model.keys), len(model.rows), len(model.columns), 2)
    return np.einsum("xg,nghd,yh->ndxy", down, grid, across, optimize=True)


def volume_error(bench: Bench) -> Measured:
    recording, volumes = made(Parameters(bench.sizes.volume, bench.sizes.volumes, 5.0))
    model = bench.images(volumes).fitRegistration()
    error = differences(model.shifts, recording.shifts)
    each = ", ".join(f"{rms(axis):.3f}" for axis in error.T)
    return Measured(
        rms(error),
        f"{len(volumes)} volumes of {bench.sizes.volume}, {len(model.lost)} lost; along each axis "
        f"{each}; along the planes they move by {recording.shifts[:, 2].std():.2f}",
    )


# Times ------------------------------------------------------------------------------------


def core_seconds(work: Callable[[], object], repeats: int) -> float:
    """The fewest seconds that the cores worked, of some runs."""
    taken = []
    for _ in range(repeats):
        before = time.process_time()
        work()
        taken.append(time.process_time() - before)
    return min(taken)


def whole(images: Images, method: str, **options: object) -> None:
    """The whole job: find, move back, and have the result."""
    images.register(method=method, **options).cache()


def speed(bench: Bench, method: str, on_disk: bool) -> Measured:
    count, repeats = bench.sizes.timed, bench.sizes.repeats
    recording = Recording(Parameters(bench.sizes.dims, count, 5.0))
    if on_disk:
        path = bench.sizes.scratch / "moving.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, recording)
        images = bench.tsc.loadImages(str(path), nplanes=1)
    else:
        images = bench.images(made(recording.parameters)[1])
    try:
        reference = images.referenceImage()
        alone = core_seconds(lambda: whole(images, method, reference=reference), repeats)
        fit = core_seconds(lambda: images.fitRegistration(reference, method), 1)
        all_of_it = core_seconds(lambda: whole(images, method), 1)
    finally:
        if on_disk:
            path.unlink()
    return Measured(
        count / alone,
        f"{count} images, reference given; to find alone {count / fit:.0f}, and with the reference "
        f"made {count / all_of_it:.0f}",
    )


# Others -----------------------------------------------------------------------------------


def others_speed(bench: Bench) -> Measured:
    from scipy.ndimage import shift
    from skimage.registration import phase_cross_correlation

    array = bench.rigid(2.0)[1]
    some, images = array[: bench.sizes.others], bench.images(array)
    reference = bench.model(2.0).reference

    def other() -> None:
        for image in some:
            found, _, _ = phase_cross_correlation(reference, image, upsample_factor=10)
            shift(image, found)

    theirs = core_seconds(other, 1) / len(some)
    ours, cubic = (
        core_seconds(
            lambda order=order: whole(images, "rigid", reference=reference, order=order),
            bench.sizes.repeats,
        )
        / len(array)
        for order in ("linear", "cubic")
    )
    return Measured(
        theirs / ours,
        f"{1 / theirs:.1f} and {1 / ours:.0f} frames a second and core; cubic as theirs: "
        f"{theirs / cubic:.1f} times",
    )


def others_error(bench: Bench, photons: float) -> Measured:
    from skimage.registration import phase_cross_correlation

    recording, array = bench.rigid(photons)
    model = bench.model(photons)
    some = slice(0, bench.sizes.others)
    theirs = [
        -phase_cross_correlation(model.reference, image, upsample_factor=10)[0]
        for image in array[some]
    ]
    error, own = (
        differences(np.asarray(shifts), recording.shifts[some])
        for shifts in (theirs, model.shifts[some])
    )
    wrong = int((np.abs(error).max(axis=1) > WRONG).sum())
    return Measured(
        rms(error) / rms(own),
        f"{rms(error):.3f} and {rms(own):.3f} px, against the same reference; {wrong} of its "
        f"{len(error)} are off by > {WRONG:g} px",
    )


# Jobs -------------------------------------------------------------------------------------


# A job that says at its end what its system calls have read and written.
JOB = """
import atexit, json, runpy, sys
def tell():
    with open("/proc/self/io") as lines:
        io = dict(line.split(": ") for line in lines)
    print(json.dumps(int(io["rchar"]) + int(io["wchar"])), file=sys.stderr)
atexit.register(tell)
runpy.run_module("mpimages", run_name="__main__")
"""


def job(*arguments: str) -> tuple[int, float]:
    """The bytes that a command reads and writes, those of imports included, and its seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", JOB, *arguments], check=True, capture_output=True, text=True
    )
    return json.loads(done.stderr.splitlines()[-1]), time.perf_counter() - start


def process_bytes(bench: Bench, part: float) -> Measured:
    recording = Recording(Parameters(bench.sizes.dims, bench.sizes.job, 5.0))
    size = 2 * bench.sizes.job * bench.sizes.dims[0] * bench.sizes.dims[1]
    scratch = bench.sizes.scratch
    path, out = scratch / "moving.tif", scratch / "series"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        write(path, recording)
        given = (str(path), str(out), "--nplanes", "1", "--memory", str(int(size * part)))
        series, alone = job("to-series", *given)
        shutil.rmtree(out)
        both, whole_job = job("process", *given, "--register", "rigid")
    finally:
        shutil.rmtree(scratch)
    return Measured(
        both / series,
        f"{bench.sizes.job} images, {size / 1e6:.0f} MB; {both / 1e6:.0f} and {series / 1e6:.0f} "
        f"MB, {whole_job:.0f} and {alone:.0f} s on one rank",
    )


# The table --------------------------------------------------------------------------------


ROWS: dict[str, Callable[[Bench], Measured]] = {
    **{
        f"rigid, {photons:g} photons a pixel: rms error, px": (
            lambda bench, p=photons: rigid_error(bench, p)
        )
        for photons in PHOTONS
    },
    "rigid, 2 photons a pixel: images off by > 1 px, not lost": wrong_images,
    "piecewise, field of 1.5 px, 5 photons: rms error, px": piecewise_error,
    "volumes of 32 planes, 5 photons: rms error, voxels": volume_error,
    **{
        f"{method}, {where}: frames a second and core": (
            lambda bench, m=method, on_disk=on_disk: speed(bench, m, on_disk)
        )
        for method in ("rigid", "piecewise")
        for where, on_disk in (("in memory", False), ("from a TIFF", True))
    },
    "scikit-image and SciPy: times as fast": others_speed,
    **{
        f"scikit-image, {photons:g} photons: times its error": (
            lambda bench, p=photons: others_error(bench, p)
        )
        for photons in PHOTONS
    },
    "process: bytes of to-series' where shares fit": lambda bench: process_bytes(bench, 2.0),
    "process: bytes of to-series', an eighth fits": lambda bench: process_bytes(bench, 0.125),
}


def lines(bench: Bench, only: str) -> Iterator[str]:
    """The table, line by line, as it is measured."""
    yield f"{'':57} {'measured':>8} {'target':>7} {'aim':>6}"
    for target in TARGETS:
        if only in target.row:
            measured = ROWS[target.row](bench)
            yield line(target, measured)
            yield f"    {measured.told}"


def line(target: Target, measured: Measured) -> str:
    """One figure beside its target."""
    value = measured.value
    least, aim = ("" if t is None else f"{t:g}" for t in (target.least, target.aim))
    if value is None:
        return f"{target.row:57} {'-':>8} {least:>7} {aim:>6}"
    is_met = value >= target.least if target.more else value <= target.least
    shown = f"{value:8.0f}" if value == round(value) or value >= 100 else f"{value:8.3f}"
    return f"{target.row:57} {shown} {least:>7} {aim:>6}  {'met' if is_met else 'MISSED'}"


def warm_up(tsc: ThunderContext) -> float:
    """Import what is imported on first use; the seconds that it takes."""
    start = time.perf_counter()
    few = Recording(Parameters((64, 64), 4, 20.0))
    images = tsc.loadImagesFromArray(np.stack([few.image(i) for i in range(4)]))
    for method in ("rigid", "piecewise"):
        whole(images, method, reference=few.scene)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name has it")
    parser.add_argument("--quick", action="store_true", help="fewer images: a look, no record")
    parser.add_argument("--minutes", type=float, help="for the row of 10,000 images")
    parser.add_argument("--scratch", default="build/bench", help="where a TIFF is written")
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes()
    changes = {"scratch": Path(options.scratch)}
    if options.minutes is not None:
        changes["minutes"] = options.minutes
    with ThunderContext(memory="4GB") as tsc:
        print(f"imports and first calls took {warm_up(tsc):.1f} s, which are in no figure")
        for text in lines(Bench(tsc, replace(sizes, **changes)), options.only):
            print(text, flush=True)


if __name__ == "__main__":
    main()
