"""``mpimages plan``: what a conversion will take."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import asdict

import click

from ..core.json_types import JsonObject
from .options import json_option, memory_option, path_of, reads
from .repairing import load_repaired, repairs, said_of
from .running import Run, pass_run
from .to_series import chunks_option, compression_option


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
    reading: JsonObject,
    repairing: JsonObject,
    as_json: bool,
) -> None:
    """Say what to-series would take: rounds, memory, bytes read and written.

    No pixels are read, but those of a calibration, and of up to 100 images for --line-phase auto.
    Ends with 1 where the conversion would be refused.

    Example: mpimages plan recording/ --ranks 64 --memory 4GB
    """
    with run.context() as context:
        images = load_repaired(context, path, reading, repairing)
        with redirect_stdout(io.StringIO()):  # it prints for people
            plan = images.plan(ranks, memory, chunks, compression)
    if as_json:
        run.answer({**asdict(plan), **said_of(repairing)})
    else:
        run.say(plan)
