"""One table of what was measured on one and on two ranks, beside what is aimed at.

    python benchmarks/table.py build/bench-jobs-1.json build/bench-jobs-2.json …

A scaling is the seconds on one rank over those on two, for the same recording. That of the limit
is printed with it: no job that waits for memory alone can have more.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What a figure of the jobs whose name begins with `job` is to reach.

    Attributes
    ----------
    figure : str
        ``'fraction'`` of the limit, ``'numpy'``, ``'dask'`` and others (how many times as fast), or
        ``'scaling'`` from one rank to two, or ``'allowance'``, how many times it fits into
        what it may take.
    ranks : int
        How many it is measured on; 2 for a scaling.
    """

    job: str
    figure: str
    ranks: int
    least: float
    aim: float | None = None


TARGETS = (
    Target("entry of an action", "allowance", 2, 1, 5),
    Target("stdev (and the mean in it), uint16", "fraction", 1, 0.45, 0.8),
    Target("stdev (and the mean in it), uint16", "numpy", 1, 12),
    Target("stdev (and the mean in it), uint8", "fraction", 1, 0.3, 0.6),
    Target("stdev (and the mean in it), float32", "fraction", 1, 0.4, 0.6),
    Target("max, ", "fraction", 1, 0.8, 0.95),
    Target("maxProjection(", "fraction", 1, 0.6, 0.9),
    Target("maxProjection(", "numpy", 1, 1),
    Target("toSeries().cache()", "fraction", 2, 0.2, 0.4),
    Target("toSeries().cache()", "numpy", 2, 5),
    Target("stdev over 512 TIFFs, plain", "fraction", 2, 0.4, 0.7),
    Target("stdev over 512 TIFFs, plain", "dask", 2, 30),
    Target("stdev over 96 TIFFs, lzw", "scaling", 2, 1.7, 1.95),
    Target("stdev (and the mean in it), uint8", "scaling", 2, 1.7, 1.95),
    Target("normalize() of a cached Series", "scaling", 2, 1.7, 1.95),
    Target("gaussianFilter(2)", "scipy", 1, 1, 3),
    Target("gaussianFilter(2)", "scaling", 2, 1.8, 1.95),
    Target("uniformFilter(5)", "scipy", 1, 1, 3),
    Target("uniformFilter(5)", "scaling", 2, 1.8, 1.95),
    Target("medianFilter(3)", "scipy", 1, 1, 3),
    Target("medianFilter(3)", "scaling", 2, 1.8, 1.95),
    Target("localCorr()", "fraction", 1, 0.25),
    Target("applyBatch of", "apply", 1, 30, 50),
    Target("Series.toImages().cache()", "scaling", 2, 1),
    Target("toBlocks('10M').cache()", "scaling", 2, 1),
    Target("TIFFs to binary series, 8 budgets", "fraction", 2, 0.4, 0.8),
    Target("TIFFs to binary series, 8 budgets", "dask", 2, 4),
    Target("TIFFs to binary series, 64 budgets", "fraction", 2, 0.3, 0.8),
    Target("TIFFs to HDF5, contiguous", "fraction", 2, 0.9, 1),
    Target("TIFFs to HDF5, chunked", "fraction", 2, 0.9, 1),
    Target("TIFFs to HDF5, mpio", "fraction", 2, 0.8, 1.2),
    Target("TIFFs to HDF5, gzip", "scaling", 2, 1.7, 1.95),
    Target("LZW TIFFs to binary series, that fit", "fraction", 2, 0.8, 0.95),
    Target("LZW TIFFs to binary series, in 8 rounds", "fraction", 2, 0.5, 0.95),
    Target("TIFFs to Zarr, plain", "fraction", 1, 0.9, 1),
    Target("TIFFs to Zarr, plain", "fraction", 2, 0.9, 1),
    Target("TIFFs to Zarr, zstd", "fraction", 1, 0.9, 1),
    Target("TIFFs to Zarr, zstd", "fraction", 2, 0.9, 1),
    Target("max over Zarr, zstd", "fraction", 1, 0.9, 1),
    Target("max over Zarr, zstd", "fraction", 2, 0.9, 1),
    Target("TIFFs to NWB, plain", "fraction", 1, 0.9, 1),
    Target("TIFFs to NWB, plain", "fraction", 2, 0.9, 1),
    Target("open('.h5')", "fraction", 1, 0.2, 1),
    Target("open('.zarr')", "fraction", 1, 0.7, 1),
)


def scalings(rows: list[dict]) -> None:
    """Give the rows of two ranks their scaling, and that of their limit."""
    alone = {row["job"]: row for row in rows if row["ranks"] == 1}
    for row in rows:
        one = alone.get(row["job"])
        if row["ranks"] == 2 and one is not None:
            row["scaling"] = one["seconds"] / row["seconds"]
            limits = [r["fraction"] * r["seconds"] for r in (one, row)]
            row["limit_scaling"] = limits[0] / limits[1]


def lines(rows: list[dict]) -> Iterator[str]:
    """The table, line by line."""
    yield f"{'job':44} {'ranks':>5}  {'':26} {'measured':>8} {'at least':>8} {'aim':>5}"
    for target in TARGETS:
        for row in rows:
            chosen = row["job"].startswith(target.job) and row["ranks"] == target.ranks
            if chosen and target.figure in row:
                yield line(row, target)


def line(row: dict, target: Target) -> str:
    """One figure beside its target."""
    value = row[target.figure]
    named = {
        "fraction": f"of {row['limit']}",
        "allowance": f"times in {row['limit']}",
        "scaling": f"1 → 2 ranks ({row['limit']}: {row.get('limit_scaling', 0):.2f})",
    }.get(target.figure, f"× {target.figure}")
    aim = "" if target.aim is None else f"{target.aim:g}"
    met = "met" if value >= target.least else "missed"
    return (
        f"{row['job']:44} {row['ranks']:5}  {named:26} {value:8.2f} {target.least:8g} "
        f"{aim:>5}  {met}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE", help="what --json wrote")
    rows: list[dict] = []
    for name in parser.parse_args().files:
        with open(name) as file:
            rows += json.load(file)
    scalings(rows)
    print("\n".join(lines(rows)))


if __name__ == "__main__":
    main()
