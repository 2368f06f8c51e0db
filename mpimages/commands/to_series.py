"""``mpimages to-series``: the main job, from images to time series on disk."""

from __future__ import annotations

import time

import click

from ..core.json_types import JsonObject
from .formats import SERIES
from .options import (
    json_option,
    memory_option,
    overwrite_option,
    path_and_out,
    reads,
    refuse_inputs,
)
from .repairing import calibration_of, load_repaired, repairs, said_of
from .running import Run, computes, pass_run
from .saving import describe_output, output_of, saves, summary_line


@click.command("to-series")
@path_and_out
@memory_option
@overwrite_option
@saves(SERIES, file_size="--block-size")
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
    saving: JsonObject,
    memory: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the time series of every pixel of a recording.

    To one HDF5 file where OUT ends in .h5 or .hdf5, to Zarr where it ends in .zarr, else to a
    directory with a binary series. OUT is complete or absent; its bytes do not depend on the
    number of ranks. For images, and for other formats: `mpimages convert`.

    \b
    Examples:
      mpiexec -n 4 mpimages to-series recording/ series/
      mpimages to-series 'movies/*.tif' series.h5 --nplanes 1 --compression gzip
      srun -n 64 mpimages to-series recording/ -o series.h5 --memory 4GB --resume
    """
    output = output_of(out, SERIES, saving, overwrite, layout="series")
    began = time.monotonic()
    with run.context(memory) as context:
        images = load_repaired(context, path, reading, repairing)
        refuse_inputs(images, path, out, calibration_of(repairing))
        output.save(images)
        found = describe_output(images, output, time.monotonic() - began)
    if as_json:
        run.answer({**found, **said_of(repairing)})
    else:
        run.say(summary_line(found))
