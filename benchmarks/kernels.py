"""How fast each kernel is, beside what the memory allows and what NumPy does.

Reads and copies are measured in the same process, between the kernels. A rate counts the bytes
that must move: those read for a reduction, those read and written once for a transposition (as for
a copy: the size of one of the two arrays per second).

    python benchmarks/kernels.py [--quick] [--only TEXT] [--level NAME] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import limits
import numpy as np
from scipy import ndimage

from mpimages.kernels import boxes, isa, moments, projection, series, warp
from mpimages.kernels.correlate import correlate
from mpimages.kernels.transpose import transpose

IMAGE = 512 * 512


@dataclass
class Case:
    """One kernel at work: what it is held against, and the NumPy of it."""

    name: str
    bytes: int
    limit: str
    run: Callable[[], object]
    numpy: Callable[[], object] | None
    values: int = 0


@dataclass
class Result:
    """Rates in GB/s; `fraction` of the limit, `ratio` to NumPy, `each` in ns a value."""

    name: str
    rate: float
    limit: str
    fraction: float
    ratio: float | None
    each: float | None = None


def best_time(work: Callable[[], object], repeats: int) -> float:
    """The shortest of some runs, in seconds: the others were disturbed."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def records(dtype: str, k: int) -> np.ndarray:
    """A batch of k images."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 100, (k, IMAGE), np.uint8).astype(dtype)


def moment_cases() -> Iterator[Case]:
    """Statistics over records in memory."""
    for dtype in ("uint8", "uint16", "int16", "int32", "int64"):
        batch = records(dtype, 64 if dtype in ("uint8", "uint16", "int16") else 32)
        nsum, nsquare = moments.integer_limbs(dtype)
        sums = np.zeros((nsum, IMAGE), np.uint64)
        squares = np.zeros((nsquare, IMAGE), np.uint64)
        yield Case(
            f"sums + squares {dtype}", batch.nbytes, "read",
            lambda b=batch, s=sums, q=squares: moments.accumulate(b, s, q),
            lambda b=batch: b.std(axis=0),
        )  # fmt: skip
        yield Case(
            f"sums {dtype}", batch.nbytes, "read",
            lambda b=batch, s=sums: moments.accumulate(b, s),
            lambda b=batch: b.sum(axis=0),
        )  # fmt: skip
    for dtype in ("uint8", "uint16", "int32", "float32", "float64"):
        batch = records(dtype, 64 if dtype in ("uint8", "uint16") else 32)
        maxima = batch[0].copy()
        yield Case(
            f"max {dtype}", batch.nbytes, "read",
            lambda b=batch, x=maxima: moments.accumulate_extrema(b, x),
            lambda b=batch: b.max(axis=0),
        )  # fmt: skip
    for dtype in ("float32", "float64"):
        batch = records(dtype, 32)
        for parts, what in ((3, "mean + stdev"), (2, "mean")):
            left, right = np.zeros((7, parts, IMAGE)), np.zeros((7, parts, IMAGE))
            twin = np.std if parts == 3 else np.mean
            yield Case(
                f"{what} {dtype}", batch.nbytes, "read",
                lambda b=batch, x=left, y=right: moments.push_floats(b, 32, 0, x, y),
                lambda b=batch, f=twin: f(b, axis=0),
            )  # fmt: skip


def projection_cases() -> Iterator[Case]:
    """Volumes of (512, 512, 32), along each axis."""
    shapes = {0: (1, 512, 512 * 32), 1: (512, 512, 32), 2: (IMAGE, 32, 1)}
    twins = {"max": np.max, "mean": np.mean, "stdev": np.std}
    for dtype in ("uint8", "uint16", "float32"):
        volume = records(dtype, 32).reshape(512, 512, 32)
        for kind in ("max", "mean", "stdev"):
            for axis, shape in shapes.items():
                array = volume.reshape(shape)
                dtype_out = projection.result_dtype(kind, array.dtype)
                out = np.zeros((shape[0], shape[2]), dtype_out)
                yield Case(
                    f"{kind} axis {axis} {dtype}", volume.nbytes, "read",
                    lambda kind=kind, a=array, o=out: projection.project(kind, a, o),
                    lambda kind=kind, v=volume, x=axis: twins[kind](v, axis=x),
                )  # fmt: skip


def correlate_cases() -> Iterator[Case]:
    """Images of 512 x 512 along each axis, with a Gaussian's 17 weights; beside SciPy."""
    weights = np.exp(-(np.arange(-8, 9) ** 2) / 8)
    for dtype in ("uint8", "uint16", "float32"):
        images = records(dtype, 9)
        for axis, shape in ((0, (9, 512, 512)), (1, (9 * 512, 512, 1))):
            array = images.reshape(shape)
            out = np.zeros(shape, np.float32)
            yield Case(
                f"correlate (17) axis {axis} {dtype}", images.nbytes, "copy",
                lambda a=array, o=out: correlate(a, weights, o),
                lambda a=array, o=out: ndimage.correlate1d(a, weights, 1, output=o),
            )  # fmt: skip


def transpose_cases() -> Iterator[Case]:
    """Images to series, of odd and of power-of-two strides."""
    for itemsize in (1, 2, 4, 8):
        pixels = IMAGE * 2 // max(2, itemsize)
        for n in (1000, 1024, 250):
            src = np.ones((n, pixels), f"u{itemsize}")
            dst = np.ones((pixels, n), f"u{itemsize}")
            yield Case(
                f"transpose {itemsize} B {n} x {pixels}", src.nbytes, "copy",
                lambda a=src, b=dst: transpose(a, b),
                lambda a=src, b=dst: np.copyto(b, a.T),
            )  # fmt: skip
    src = np.ones((1000, IMAGE), np.uint16)
    dst = np.ones((8192, 1000), np.uint16)
    band = src[:, 8192:16384]
    for what, a, b in (("band of 8192 pixels", band, dst),
                       ("band into half of the columns", band[:500], dst[:, 500:])):  # fmt: skip
        yield Case(
            f"transpose 2 B {what}", a.nbytes, "copy",
            lambda a=a, b=b: transpose(a, b),
            lambda a=a, b=b: np.copyto(b, a.T),
        )  # fmt: skip


def series_cases() -> Iterator[Case]:
    """Time series of 1000 samples."""
    rng = np.random.default_rng(0)
    for dtype in ("uint8", "uint16", "float32", "float64"):
        block = rng.integers(0, 250, (4000, 1000)).astype(dtype)
        if dtype != "uint8":
            block += rng.integers(0, 2000, block.shape).astype(dtype)
        out, base, real = np.zeros((4000, 1)), np.ones(4000), np.zeros(block.shape)
        yield Case(
            f"percentile {dtype}", block.nbytes, "read",
            lambda b=block, o=out: series.percentile_rows(b, 20, o),
            lambda b=block: np.percentile(b, 20, axis=1),
        )  # fmt: skip
        yield Case(
            f"normalize {dtype}", block.nbytes, "read",
            lambda b=block, p=base, o=real: series.normalize_rows(b, p, 0.1, o),
            lambda b=block, p=base: (b - p[:, None]) / (p[:, None] + 0.1),
        )  # fmt: skip


def convolution_cases() -> Iterator[Case]:
    """Time series of 1000 samples, convolved with few taps and many."""
    block = np.random.default_rng(0).normal(0, 1, (1000, 1000))
    for taps in (7, 101):
        weights, out = np.ones(taps), np.zeros((len(block), 1001 - taps))
        yield Case(
            f"convolve {taps} taps", block.nbytes, "read",
            lambda w=weights, o=out: series.convolve_rows(block, w, o),
            lambda w=weights: [np.convolve(row, w, "valid") for row in block],
        )  # fmt: skip


def running_cases() -> Iterator[Case]:
    """Running percentiles: the values of a camera, all values of a dtype, and floats.

    The target is 12 ns a value for integers of at most 16 bits, whatever the window.
    """
    rng = np.random.default_rng(0)
    kinds = (("uint8", 0, 250), ("uint16", 1000, 3000), ("uint16", 0, 65535),
             ("float32", 0, 1 << 23), ("float64", 0, 1 << 40))  # fmt: skip
    for dtype, low, high in kinds:
        for length in (1000, 10_000):
            block = rng.integers(low, high, (400_000 // length, length)).astype(dtype)
            out = np.zeros(block.shape)
            for window in (31, 301):
                yield Case(
                    f"running {window} of {length} {dtype} {high - low}", block.nbytes, "read",
                    lambda b=block, o=out, w=window: series.running_percentile_rows(b, w, 20, o),
                    None, block.size,
                )  # fmt: skip


def box_cases() -> Iterator[Case]:
    """Exact sums of images, of boxes of 5 x 5 pixels and of their products."""
    for dtype in ("uint8", "uint16", "int16"):
        batch = records(dtype, 64)
        sums = np.zeros((5, IMAGE), np.uint64)
        yield Case(
            f"boxes 5 x 5 {dtype}", batch.nbytes, "read",
            lambda b=batch, s=sums: boxes.add(b, (512, 512), (2, 2), 0, s),
            lambda b=batch: [
                (x * x, x * y, y * y)
                for x in b.reshape(-1, 512, 512).astype(np.float64)
                for y in [ndimage.uniform_filter(x, 5)]
            ],
        )  # fmt: skip


def warp_cases() -> Iterator[Case]:
    """Images of 512 x 512 and volumes of 9 pages, moved by parts of a pixel."""
    for dtype, pages in (("uint8", 1), ("uint16", 1), ("float32", 1), ("uint16", 9)):
        frames = records(dtype, 9).reshape((9, 512, 512) if pages == 1 else (1, 512, 512, 9))
        out = np.zeros_like(frames)
        by = np.full((len(frames), frames.ndim - 1), 1.3)
        for order, what in ((1, "linear"), (3, "cubic")):
            yield Case(
                f"shift {what} {dtype}{' volume' if pages > 1 else ''}", frames.nbytes, "copy",
                lambda f=frames, b=by, o=out, n=order: warp.shift(f, b, o, n, None),
                lambda f=frames, o=out, n=order: [
                    ndimage.shift(a, -1.3, b, n, mode="nearest", prefilter=False)
                    for a, b in zip(f, o, strict=True)
                ],
            )  # fmt: skip
    rng, centers = np.random.default_rng(0), np.linspace(36, 476, 7)
    for dtype in ("uint8", "uint16", "float32"):
        frames = records(dtype, 9).reshape(9, 512, 512)
        field, out = rng.normal(0, 1, (9, 7, 7, 2)), np.zeros_like(frames)
        for order, what in ((1, "linear"), (3, "cubic")):
            yield Case(
                f"warp {what} {dtype}", frames.nbytes, "copy",
                lambda f=frames, d=field, o=out, n=order: warp.warp(
                    f, d, centers, centers, o, n, None
                ), None,
            )  # fmt: skip


def limit_rates(repeats: int) -> dict[str, float]:
    """GB/s of reading and of copying 256 MB."""
    src, dst = np.ones(1 << 28, np.uint8), np.ones(1 << 28, np.uint8)
    return {
        "read": src.nbytes / best_time(lambda: limits.read_all(src), repeats) / 1e9,
        "copy": src.nbytes / best_time(lambda: limits.copy_all(src, dst), repeats) / 1e9,
    }


def measure(case: Case, rates: dict[str, float], repeats: int, quick: bool) -> Result:
    """Time one case, and its NumPy twin once unless `quick`."""
    seconds = best_time(case.run, repeats)
    rate = case.bytes / seconds / 1e9
    ratio = None
    if case.numpy is not None and not quick:
        ratio = best_time(case.numpy, 1) / seconds
    each = seconds / case.values * 1e9 if case.values else None
    return Result(case.name, rate, case.limit, rate / rates[case.limit], ratio, each)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats and no NumPy")
    parser.add_argument("--only", default="", help="only cases whose name holds this text")
    parser.add_argument("--level", choices=isa.available(), help="force a level of the processor's")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    options = parser.parse_args()
    isa.force(options.level)
    repeats = 3 if options.quick else 7
    rates = limit_rates(repeats)
    print(f"level {isa.level()}; read {rates['read']:.1f} GB/s, copy {rates['copy']:.1f} GB/s")
    print(f"{'kernel':38} {'GB/s':>7} {'of':>5} {'limit':>5} {'x NumPy':>8}")
    results = []
    for cases in (
        moment_cases, box_cases, projection_cases, correlate_cases, transpose_cases, series_cases,
        convolution_cases, running_cases, warp_cases,
    ):  # fmt: skip
        for case in cases():
            if options.only not in case.name:
                continue
            result = measure(case, rates, repeats, options.quick)
            ratio = "" if result.ratio is None else f"{result.ratio:8.1f}"
            if result.each is not None:
                ratio = f"{result.each:5.1f} ns a value"
            print(f"{result.name:38} {result.rate:7.2f} {result.fraction:5.2f} "
                  f"{result.limit:>5} {ratio:>8}", flush=True)  # fmt: skip
            results.append(asdict(result))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"level": isa.level(), "limits": rates, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
