"""``mpimages project``: volumes to images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import load, overwrite_option, path_and_out, reads, refuse_file_name, refuse_inputs
from .running import Run, computes, pass_run

if TYPE_CHECKING:
    from ..images import Images

KINDS = ("max", "min", "mean", "sum", "stdev")


@click.command("project")
@path_and_out
@click.option("--kind", type=click.Choice(KINDS), default="max", show_default=True)
@click.option("--axis", type=click.IntRange(0, 2), default=2, show_default=True,
              help="0: rows, 1: columns, 2: pages.")
@click.option("--png", is_flag=True, help="Write PNGs to look at, all on one scale.")
@overwrite_option
@reads
@computes
@pass_run
def command(
    run: Run, path: str, out: str, kind: str, axis: int, png: bool, overwrite: bool,
    reading: dict[str, Any],
) -> None:
    """Project each volume along an axis: a directory of TIFFs, or of PNGs.

    Maximum and minimum keep the data's dtype, mean and stdev are float32.

    Example: mpiexec -n 4 mpimages project recording/ projections/ --kind max
    """
    refuse_file_name(out)
    with run.context() as context:
        images = load(context, path, reading)
        refuse_inputs(images, path, out)
        projected = _projected(images, kind, axis)
        if png:
            projected.saveAsPngs(out, overwrite=overwrite)
        else:
            projected.saveAsTifs(out, overwrite=overwrite)
        count = projected.count()
        assert projected.dims is not None
        shape = " x ".join(map(str, projected.dims.count))
        run.say(f"{out}: {count:,} {'PNGs' if png else 'TIFFs'} of {shape}, {kind} of axis {axis}")


def _projected(images: Images, kind: str, axis: int) -> Images:
    """The projection, in a dtype that ImageJ opens where it is a mean or stdev. Lazy."""
    import numpy as np

    assert images.dims is not None
    if axis >= len(images.dims.count):
        raise ValueError(
            f"images of dims {images.dims.count} have no axis {axis} to project along"
            + ("; --axis 0 or 1" if axis == 2 else "")
        )
    projected: Images = getattr(images, f"{kind}Projection")(axis)
    if kind in ("mean", "stdev"):
        assert projected.dims is not None
        dims = projected.dims.count
        return projected.apply(lambda image: image.astype(np.float32), dims, np.float32)
    return projected
