"""``mpimages process``: from a raw recording to corrected series, and a report."""

from __future__ import annotations

import time

import click

from ..core.json_types import JsonObject
from .formats import SERIES
from .options import json_option, memory_option, overwrite_option, path_and_out, reads
from .registering import (
    Registering,
    load_registered,
    refuse_twice,
    registers,
    said_of_model,
    told_of_model,
)
from .repairing import binned, file_option, repairs, said_of
from .report import interval_option
from .running import Run, computes, pass_run
from .saving import describe_output, output_of, saves, summary_line


@click.command("process")
@path_and_out
@registers("--register", None)
@file_option("report", "Write a quality page there: the recording, and what its registration does.")
@interval_option
@memory_option
@overwrite_option
@saves(SERIES)
@repairs
@reads
@json_option
@computes
@pass_run
def command(
    run: Run,
    path: str,
    out: str,
    registering: Registering,
    report: str | None,
    interval: float | None,
    reading: JsonObject,
    repairing: JsonObject,
    saving: JsonObject,
    memory: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """From a raw recording to corrected series: repair, register, bin, transpose, report.

    OUT is as of to-series, and the shifts are stored beside it. Each output is complete or absent;
    its bytes do not depend on the number of ranks. A job that resumes does not fit again what is
    stored.

    \b
    Examples:
      mpiexec -n 4 mpimages process recording/ series.h5 --register rigid --report report.html
      srun -n 64 mpimages process recording/ series --register piecewise --dark dark.tif --resume
    """
    output = output_of(out, SERIES, saving, overwrite, layout="series")
    resume = bool(saving["resume"])
    if interval is not None and report is None:
        raise click.UsageError("--interval is of --report FILE: give both.")
    refuse_twice({"OUT": out, "--model": registering.model_of(out), "--report": report})
    began = time.monotonic()
    outputs = {out: output.format.kind}
    if report is not None:
        outputs[report] = "report"
    with run.context(memory) as context:
        registered, model, unmoved = load_registered(
            context, path, reading, repairing, registering, outputs, overwrite, resume
        )
        images = binned(registered, repairing)
        output.save(images)
        if report is not None:
            replaces = overwrite or resume
            if "scale" in registering.given:  # the model is one of images of other dims
                registered.report(report, replaces, interval)
            else:
                unmoved.report(report, replaces, interval, model)
        found = describe_output(images, output, time.monotonic() - began)
        found |= said_of_model(model, registering.stored(out))
    if report is not None:
        found["report"] = report
    if as_json:
        run.answer({**found, **said_of(repairing)})
        return
    run.say(summary_line(found))
    run.say(told_of_model(found))
    if report is not None:
        run.say(f"{report}: the report of {model.keys.size:,} images and their registration")
