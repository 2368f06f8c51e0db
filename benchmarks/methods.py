"""How fast methods are that do more than a statistic, beside what a user would do instead.

As benchmarks/jobs.py, started on one and on two ranks by `make bench`.

    mpiexec -n 2 python benchmarks/methods.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import limits
import numpy as np
from jobs import IMAGE, Bench, own_images
from scipy import ndimage

from mpimages import PCA, ThunderContext


def filter_jobs(bench: Bench) -> None:
    """Filters of images in memory, beside SciPy image by image."""
    tsc, count = bench.tsc, 64
    own = own_images(tsc, count, "uint16")
    images = tsc.loadImagesFromArray(own, local=True)
    out = np.empty(IMAGE, np.float32)
    filtered: dict[str, tuple[Callable[[], object], Callable[[np.ndarray], object]]] = {
        "gaussianFilter(2)": (
            lambda: images.gaussianFilter(2).max(),
            lambda image: ndimage.gaussian_filter(image, 2, output=out),
        ),
        "uniformFilter(5)": (
            lambda: images.uniformFilter(5).max(),
            lambda image: ndimage.uniform_filter(image, 5, output=out),
        ),
        "medianFilter(3)": (
            lambda: images.medianFilter(3).max(),
            lambda image: ndimage.median_filter(image, 3),
        ),
    }
    for name, (job, alone) in filtered.items():
        others = {"scipy": lambda f=alone: [f(image) for image in own]}
        bench.report(
            f"{name}, uint16",
            job,
            own.nbytes * tsc.size,
            ("read", lambda: limits.read_all(own)),
            others if tsc.size == 1 else {},
            3,
        )


def correlation_jobs(bench: Bench) -> None:
    """Correlation with a box of neighbours, and components, of images in memory."""
    tsc = bench.tsc
    own = own_images(tsc, 512, "uint16")
    images = tsc.loadImagesFromArray(own, local=True)
    for name, job in (
        ("localCorr()", lambda: images.localCorr()),
        ("PCA(5), power 0,", lambda: PCA(5, power=0, seed=1).fit(images)),
    ):
        bench.report(
            f"{name} uint16", job, own.nbytes * tsc.size,
            ("read", lambda: limits.read_all(own)), {}, 3,
        )  # fmt: skip


def series_jobs(bench: Bench) -> None:
    """Functions of users on batches of series, and the way back to images."""
    tsc = bench.tsc
    for length in (20, 100, 240, 1000):
        rows = np.random.default_rng(tsc.rank).integers(0, 4000, (400_000 // length, length))
        rows = rows.astype(np.uint16)
        series = tsc.loadSeriesFromArray(rows, local=True)
        bench.report(
            f"applyBatch of {length} values",
            lambda s=series: s.applyBatch(lambda x: x - x.mean(axis=-1, keepdims=True)).max(),
            rows.nbytes * tsc.size,
            ("read", lambda r=rows: limits.read_all(r)),
            {"apply": lambda s=series: s.apply(lambda x: x - x.mean()).max()},
            3,
        )
    own = own_images(tsc, 512, "uint16")
    target = np.empty_like(own)
    images = tsc.loadImagesFromArray(own, local=True)
    series = images.toSeries().cache()
    series.index = range(1, 513)  # otherwise they are the images at hand
    for name, job in (
        ("Series.toImages().cache()", lambda: series.toImages().cache()),
        ("toBlocks('10M').cache()", lambda: images.toBlocks("10M").cache()),
    ):
        bench.report(
            f"{name}, uint16", job, own.nbytes * tsc.size,
            ("copy", lambda: limits.copy_all(own, target)), {}, 3,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    options = parser.parse_args()
    with ThunderContext(memory="6GB") as tsc:
        bench = Bench(tsc)
        for jobs in (filter_jobs, correlation_jobs, series_jobs):
            jobs(bench)
        if tsc.rank == 0 and options.json:
            with open(options.json, "w") as file:
                json.dump(bench.rows, file, indent=1)


if __name__ == "__main__":
    main()
