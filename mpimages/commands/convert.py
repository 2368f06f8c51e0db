"""``mpimages convert``: a recording, or series, in another format."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from ..core.json_types import JsonObject
from .formats import CONVERSIONS, NWB
from .nwb_facts import FACT, facts_of
from .options import (
    json_option,
    memory_option,
    overwrite_option,
    path_and_out,
    reads,
    refuse_inputs,
)
from .repairing import calibration_of, load_repaired, repairs, said_of
from .running import Run, computes, options_of, pass_run
from .saving import describe_output, output_of, saves, summary_line
from .stored_series import is_series, load_series

if TYPE_CHECKING:
    from ..context import ThunderContext
    from ..images import Images
    from ..series import Series


@click.command("convert")
@path_and_out
@click.option(
    "--to",
    type=click.Choice([one.name for one in CONVERSIONS if not one.endings]),
    help="The format of OUT, where its name does not say it.",
)
@memory_option
@overwrite_option
@saves(CONVERSIONS, "Image after image, or all times of a pixel together. Default: as of PATH.")
@repairs
@reads
@json_option
@computes
@pass_run
def command(
    run: Run,
    path: str,
    out: str,
    to: str | None,
    saving: JsonObject,
    reading: JsonObject,
    repairing: JsonObject,
    memory: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a recording, or series, in another format.

    The name of OUT says which: .zarr (of images OME-Zarr), .h5 or .hdf5, .nwb, .mat, .tif or .tiff
    (one file). Another name becomes a directory: a binary series, or what --to says. Images stay
    images, and series stay series, where the format has both and --layout does not say otherwise.
    OUT is complete or absent; its bytes do not depend on the number of ranks.

    \b
    Examples:
      mpiexec -n 4 mpimages convert recording/ recording.ome.zarr --levels 3
      mpimages convert 'movies/*.tif' movie.h5 --nplanes 1 --compression gzip
      mpimages convert recording/ session.nwb --nwb-file facts.json --nwb identifier=fish-1
      mpimages convert recording/ suite2p --to suite2p --fs 30
    """
    output = output_of(out, CONVERSIONS, saving, overwrite, to)
    began = time.monotonic()
    with run.context(memory) as context:
        collection = _load(context, path, reading, repairing)
        if output.format is NWB:
            run.options |= dict.fromkeys(facts_of(type(collection).saveAsNWB), FACT)
        refuse_inputs(collection, path, out, calibration_of(repairing))
        output.save(collection)
        found = describe_output(collection, output, time.monotonic() - began)
        layout = output.layout_of(collection)
    if as_json:
        run.answer({**found, "layout": layout, **said_of(repairing)})
    else:
        run.say(summary_line(found, layout))


def _load(
    context: ThunderContext, path: str, reading: JsonObject, repairing: JsonObject
) -> Images | Series:
    """The recording, repaired, or the Series on the disk. Collective."""
    if not is_series(context, path):
        return load_repaired(context, path, reading, repairing)
    options = options_of(click.get_current_context().command)
    for name in repairing:
        raise click.UsageError(f"{options[name]} is of images, but {path} holds a series.")
    return load_series(context, path, reading)
