"""``mpimages project``: volumes to images."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ..core.json_types import JsonObject
from .options import (
    dims_of,
    is_tif,
    json_option,
    overwrite_option,
    path_and_out,
    reads,
    refuse_file_name,
    refuse_inputs,
)
from .repairing import calibration_of, load_repaired, repairs, said_of
from .running import Run, computes, pass_run
from .saving import imagej_note

if TYPE_CHECKING:
    from ..images import Images

KINDS = ("max", "min", "mean", "sum", "stdev")


@click.command("project")
@path_and_out
@click.option("--kind", type=click.Choice(KINDS), default="max", show_default=True)
@click.option(
    "--axis",
    type=click.IntRange(0, 2),
    default=2,
    show_default=True,
    help="0: rows, 1: columns, 2: pages.",
)
@click.option("--png", is_flag=True, help="Write PNGs to look at, all on one scale.")
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
    kind: str,
    axis: int,
    png: bool,
    overwrite: bool,
    reading: JsonObject,
    repairing: JsonObject,
    as_json: bool,
) -> None:
    """Project each volume along an axis: a directory of TIFFs, or of PNGs, or one TIFF.

    Where OUT ends in .tif or .tiff, it becomes one TIFF with a page for each projection, which
    ImageJ opens as a stack (from 4 GiB on a BigTIFF, which it opens by Bio-Formats). Maximum and
    minimum keep the data's dtype, mean and stdev are float32.

    \b
    Examples:
      mpiexec -n 4 mpimages project recording/ projections/ --kind max
      mpimages project recording/ projections.tif --kind mean
      mpimages project recording/ pictures/ --png
    """
    one = is_tif(out)
    if one and png:
        raise click.UsageError(
            "--png writes a directory of PNGs, but OUT ends in "
            f"{os.path.splitext(out)[1]}: give one or the other."
        )
    if not one:
        refuse_file_name(out)
    with run.context() as context:
        images = load_repaired(context, path, reading, repairing)
        refuse_inputs(images, path, out, calibration_of(repairing))
        projected = _projected(images, kind, axis)
        if png:
            projected.saveAsPngs(out, overwrite=overwrite)
        elif one:
            projected.saveAsTif(out, overwrite=overwrite)
        else:
            projected.saveAsTifs(out, overwrite=overwrite)
        written = "PNGs" if png else "one TIFF" if one else "TIFFs"
        found = {
            "out": out,
            "what": written,
            "kind": kind,
            "axis": axis,
            "images": projected.count(),
            "dims": list(dims_of(projected)),
            "dtype": str(projected.dtype),
        }
    if as_json:
        run.answer({**found, **said_of(repairing)})
    else:
        run.say(_told(found))


def _told(found: JsonObject) -> str:
    shape = " x ".join(map(str, found["dims"]))
    what = f"{found['kind']} of axis {found['axis']}, {found['dtype']}"
    if found["what"] != "one TIFF":
        return f"{found['out']}: {found['images']:,} {found['what']} of {shape}, {what}"
    text = f"{found['out']}: {found['images']:,} pages of {shape}, {what}"
    return text + imagej_note(found["out"], found["dtype"])


def _projected(images: Images, kind: str, axis: int) -> Images:
    """The projection, in a dtype that ImageJ opens where it is a mean or stdev. Lazy."""
    import numpy as np

    dims = dims_of(images)
    if len(dims) != 3:
        shape = " x ".join(map(str, dims))
        raise ValueError(
            f"images of {shape} have no axis 2: only volumes can be projected to "
            "images; of a movie `mpimages stats` gives maximum, mean and stdev"
        )
    projected: Images = getattr(images, f"{kind}Projection")(axis)
    if kind in ("mean", "stdev"):
        return projected.apply(
            lambda image: image.astype(np.float32), dims_of(projected), np.float32
        )
    return projected
