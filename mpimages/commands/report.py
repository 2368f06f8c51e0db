"""``mpimages report``: a page that tells whether a recording is good."""

from __future__ import annotations

import click

from ..core.json_types import JsonObject
from .options import (
    json_option,
    memory_option,
    overwrite_option,
    path_and_maybe_out,
    reads,
    refuse_inputs,
)
from .repairing import calibration_of, file_option, load_repaired, repairs, said_of
from .running import Run, computes, pass_run

DEFAULT = "report.html"


interval_option = click.option(
    "--interval",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="For the report: from image to image, before --bin, in place of what the files say. "
    "Times are in seconds then.",
)


@click.command("report")
@path_and_maybe_out
@overwrite_option
@interval_option
@file_option("model", "Tell what this registration, of register or process, does to the images.")
@memory_option
@repairs
@reads
@json_option
@computes
@pass_run
def command(
    run: Run,
    path: str,
    out: str | None,
    overwrite: bool,
    interval: float | None,
    model: str | None,
    memory: str | None,
    reading: JsonObject,
    repairing: JsonObject,
    as_json: bool,
) -> None:
    """Is the recording good? One HTML page that tells, report.html unless OUT is given.

    It names what is conspicuous: saturation, bleaching, motion, line noise, blank, repeated and
    missing frames, and their files. It shows mean, maximum, stdev, local correlation, noise and
    SNR, the histogram, intensity, differences and shifts over time, and dF/F of the most active
    pixels. The page needs nothing else.

    With --model it also compares the recording before and after motion correction.

    \b
    Examples:
      mpiexec -n 4 mpimages report recording/ -o report.html
      mpimages report recording/ -o motion.html --model series.h5.registration.npz
    """
    if model is not None and "bin" in repairing:
        raise click.UsageError("--model is of the images before --bin: give one of them.")
    out = DEFAULT if out is None else out
    with run.context(memory) as context:
        images = load_repaired(context, path, reading, repairing)
        read = [*calibration_of(repairing), *([] if model is None else [model])]
        refuse_inputs(images, path, out, read)
        if interval is not None:
            interval *= repairing.get("bin", 1)
        registration = None
        if model is not None:
            from ..registration.model import RegistrationModel
            from ..spmd.agreement import from_rank

            registration = from_rank(
                context.comm, 0, "mpimages report", RegistrationModel.load, model
            )
        found = images.report(out, overwrite, interval, registration)
    if as_json:
        run.answer({**found, **said_of(repairing)})
        return
    for finding in found["findings"]:
        run.say(f"{finding['level']:8} {finding['text']}")
    if not found["findings"]:
        run.say("Nothing conspicuous.")
    count = found["recording"]["images"]
    run.say(f"{out}: the report of {count:,} image{'' if count == 1 else 's'}")
