"""``mpimages to-series``: the main job, from images to time series on disk."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ..core.json_types import JsonObject
from .options import (
    dims_of,
    ints,
    json_option,
    memory_option,
    overwrite_option,
    path_and_out,
    reads,
    refuse_file_name,
    refuse_inputs,
    sizes,
)
from .repairing import calibration_of, load_repaired, repairs, said_of
from .running import Command, Run, computes, pass_run

if TYPE_CHECKING:
    from ..images import Images

HDF5_ENDINGS = (".h5", ".hdf5")


def _chunks(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    return text if text == "auto" else ints(ctx, parameter, text)


def _compression(_: click.Context, parameter: click.Parameter, text: str | None) -> object:
    """``gzip``, ``gzip:4``, ``lzf``; checked where that needs no data."""
    if text is None:
        return None
    from ..writers.hdf5.filters import parse_compression

    name, _colon, level = text.partition(":")
    if level and not level.isdecimal():
        raise click.BadParameter(f"{text!r}: the level is a number, as in gzip:4")
    wanted: object = (name, int(level)) if level else name
    try:
        parse_compression(wanted)
    except (TypeError, ValueError) as error:
        raise click.BadParameter(str(error)) from None
    return wanted


chunks_option = click.option(
    "--chunks",
    callback=_chunks,
    metavar="R,C[,P],T|auto",
    help="HDF5: shape of a chunk; default: contiguous.",
)
compression_option = click.option(
    "--compression",
    callback=_compression,
    metavar="FILTER[:LEVEL]",
    help="HDF5: gzip, gzip:4, lzf.",
)


resume_option = click.option(
    "--resume", is_flag=True, help="Go on with what an interrupted job has left."
)
layout_option = click.option(
    "--layout",
    type=click.Choice(["series", "images"]),
    help="HDF5: dims + (T,), or frame-major, (T,) + dims. Default: series.",
)


def refuse_both(resume: bool, overwrite: bool) -> None:
    """Refuse --resume with --overwrite. Local."""
    if resume and overwrite:
        raise click.UsageError(
            "--resume goes on with an output, --overwrite begins it anew: give one."
        )


def file_size_option(flag: str) -> Callable[[Command], Command]:
    """The option of the size of a binary series' files, as argument `file_size`."""
    return click.option(
        flag,
        "file_size",
        callback=sizes,
        metavar="SIZE",
        help="Binary series: of each file, at most. Default: 150MB.",
    )


@click.command("to-series")
@path_and_out
@memory_option
@resume_option
@overwrite_option
@layout_option
@chunks_option
@compression_option
@file_size_option("--block-size")
@repairs
@reads
@json_option
@computes
@pass_run
def command(
    run: Run,
    path: str,
    out: str,
    reading: JsonObject,
    repairing: JsonObject,
    memory: str | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **layout: object,
) -> None:
    """Write the time series of every pixel of a recording.

    To one HDF5 file where OUT ends in .h5 or .hdf5, else to a directory with a binary series.
    OUT is complete or absent; its bytes do not depend on the number of ranks.

    \b
    Examples:
      mpiexec -n 4 mpimages to-series recording/ series/
      mpimages to-series 'movies/*.tif' series.h5 --nplanes 1 --compression gzip
      srun -n 64 mpimages to-series recording/ -o series.h5 --memory 4GB --resume
    """
    refuse_both(resume, overwrite)
    options = options_of_saving(out, "--block-size", layout)
    given = {"overwrite": overwrite, "resume": resume, "memory": memory, **options}
    began = time.monotonic()
    with run.context() as context:
        images = load_repaired(context, path, reading, repairing)
        refuse_inputs(images, path, out, calibration_of(repairing))
        save_series(images, out, given)
        found = found_series(images, out, time.monotonic() - began)
    if as_json:
        run.answer({**found, **said_of(repairing)})
    else:
        run.say(told_of_series(found))


def is_hdf5(out: str) -> bool:
    """Whether OUT has the name of an HDF5 file. Local."""
    return out.lower().endswith(HDF5_ENDINGS)


def options_of_saving(out: str, flag: str, layout: JsonObject) -> JsonObject:
    """The arguments of the method that writes OUT; refuses those of the other.

    `flag` gives the size of files.
    """
    file_size = layout.pop("file_size")
    if not is_hdf5(out):
        refuse_file_name(out, "with a binary series, unless it ends in .h5")
    if is_hdf5(out):
        if file_size is not None:
            raise click.UsageError(f"{flag} is of a binary series, but OUT is HDF5.")
        return {**layout, "layout": layout["layout"] or "series"}
    for name, value in layout.items():
        if value is not None:
            raise click.UsageError(f"--{name} is of HDF5, but OUT does not end in .h5.")
    return {} if file_size is None else {"blockSize": file_size}


def save_series(images: Images, out: str, given: JsonObject) -> None:
    """Write the series of all pixels, as the name of OUT says. Collective."""
    if is_hdf5(out):
        images.saveAsHDF5(out, **given)
    else:
        images.saveAsBinarySeries(out, **given)


def found_series(images: Images, out: str, seconds: float) -> JsonObject:
    """What was written, as fields of an answer. Collective."""
    import numpy as np

    dims, count = dims_of(images), images.count()
    pixels, dtype = math.prod(dims), np.dtype(images.dtype)
    return {
        "out": out,
        "format": "hdf5" if is_hdf5(out) else "binary series",
        "series": pixels,
        "values": count,
        "dims": list(dims),
        "dtype": str(dtype),
        "bytes": pixels * count * dtype.itemsize,
        "seconds": round(seconds, 3),
    }


def told_of_series(found: JsonObject) -> str:
    """The same as a line."""
    from ..core.sizes import size_text

    return (
        f"{found['out']}: {found['series']:,} series of {found['values']:,} "
        f"value{'' if found['values'] == 1 else 's'}, {found['dtype']}, "
        f"{size_text(found['bytes'])} in {found['seconds']:.1f} s"
    )
