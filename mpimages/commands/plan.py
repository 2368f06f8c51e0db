"""``mpimages plan``: what a conversion will take."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import asdict

import click

from ..core.json_types import JsonObject
from .options import json_option, load, memory_option, path_of, reads
from .registering import Registering, as_if_registered, method_option, plan_with_fit
from .repairing import binned, repaired, repairs, said_of
from .running import Run, pass_run
from .saving import check_compression, chunks_option, compression_option


@click.command("plan")
@path_of
@click.option(
    "--ranks",
    type=click.IntRange(min=1),
    metavar="N",
    help="For so many ranks; default: those there are.",
)
@memory_option
@chunks_option
@compression_option
@method_option("--register", None)
@repairs
@reads
@json_option
@pass_run
def command(
    run: Run,
    path: str,
    ranks: int | None,
    memory: str | None,
    chunks: object,
    compression: object,
    method: str | None,
    reading: JsonObject,
    repairing: JsonObject,
    as_json: bool,
) -> None:
    """Say what to-series would take: rounds, memory, bytes read and written.

    With --register, what process would take without a report. No pixels are read, but those of a
    calibration, and of up to 100 images for --line-phase auto. Ends with 1 where the conversion
    would be refused.

    Example: mpimages plan recording/ --ranks 64 --memory 4GB
    """
    check_compression(compression)
    with run.context() as context:
        images = repaired(context, load(context, path, reading), repairing)
        registering = Registering({"method": method}, None)
        result = images if method is None else as_if_registered(images, registering)
        with redirect_stdout(io.StringIO()):  # it prints for people
            plan = binned(result, repairing).plan(ranks, memory, chunks, compression)
        if method is not None:
            plan = plan_with_fit(images, registering, plan)
    if as_json:
        run.answer({**asdict(plan), **said_of(repairing)})
    else:
        run.say(plan)
