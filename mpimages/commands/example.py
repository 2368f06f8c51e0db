"""``mpimages example``: a recording to try things on."""

from __future__ import annotations

import click

from .options import out_of, overwrite_option, refuse_file_name
from .running import Run, pass_run


@click.command("example")
@out_of
@click.option(
    "--name",
    type=click.Choice(["fish-images", "mouse-images", "moving-images"]),
    default="fish-images",
    show_default=True,
)
@overwrite_option
@pass_run
def command(run: Run, out: str, name: str, overwrite: bool) -> None:
    """Write a simulated recording as TIFFs.

    Example: mpimages example recording/
    """
    refuse_file_name(out)
    with run.context() as context:
        images = context.loadExample(name)
        images.saveAsTifs(out, filePrefix="image", overwrite=overwrite)
        shape = " x ".join(map(str, images.dims.count))
        run.say(f"{out}: {images.count()} simulated images of {shape}, {images.dtype}")
