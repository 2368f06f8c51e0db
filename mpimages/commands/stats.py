"""``mpimages stats``: mean, stdev, max and min over the images, as pictures."""

from __future__ import annotations

import click

from ..core.json_types import JsonObject
from .options import (
    json_option,
    overwrite_option,
    path_and_out,
    reads,
    refuse_file_name,
    refuse_inputs,
)
from .repairing import calibration_of, load_repaired, repairs, said_of
from .running import Run, computes, pass_run


@click.command("stats")
@path_and_out
@overwrite_option
@repairs
@reads
@json_option
@computes
@pass_run
def command(
    run: Run,
    path: str,
    out: str,
    overwrite: bool,
    reading: JsonObject,
    repairing: JsonObject,
    as_json: bool,
) -> None:
    """Mean, stdev, max and min over the images: TIFFs, and PNGs to look at.

    OUT is a directory with mean.tif and stdev.tif (float32), max.tif and min.tif (in the data's
    dtype), a PNG of each (of volumes all pages in one), and stats.json.

    Example: mpiexec -n 4 mpimages stats recording/ statistics/
    """
    refuse_file_name(out)
    with run.context() as context:
        from ..core.timers import phase
        from ..spmd.agreement import from_rank
        from ..statistics.passes import statistics
        from ..writers.output.staging import staged
        from .summary import NAMES, Summary

        images = load_repaired(context, path, reading, repairing)
        refuse_inputs(images, path, out, calibration_of(repairing))
        action, comm = "mpimages stats", context.comm
        with (
            context.session.action(action),
            staged(comm, out, "stats", overwrite, action) as directory,
        ):
            # Not the sum: it may be more than 64 bits hold.
            found = statistics(*images.records.begin("stats", least=1), NAMES)
            summary = Summary.of(found.fields(NAMES), images.metadata)
            with phase("write"):
                from_rank(comm, 0, action, summary.save, directory)
    if as_json:
        run.answer({**summary.fields(), **said_of(repairing)})
        return
    for name, value in summary.fields()["values"].items():
        run.say(f"{name:12} {'no finite value' if value is None else f'{value:g}'}")
    if summary.partly_nan:
        run.say(
            f"{'left out':12} {summary.partly_nan:,} pixels, which are NaN, infinite or beyond "
            "the range of float32 in some image"
        )
    images_of = f"{summary.count:,} image{'' if summary.count == 1 else 's'}"
    run.say(f"{out}: mean, stdev, max, min of {images_of}, as TIFF and PNG")
