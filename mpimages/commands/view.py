"""``mpimages view``: an image, or the time series of a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..core.json_types import JsonObject
from .options import (
    dims_of,
    ints,
    json_option,
    load,
    overwrite_option,
    path_and_maybe_out,
    reads,
    refuse_inputs,
)
from .running import Run, pass_run
from .stored_series import is_series, load_series

if TYPE_CHECKING:
    from ..context import ThunderContext
    from ..images import Images
    from ..series import Series
    from .view_output import Curve, Picture


@click.command("view")
@path_and_maybe_out
@click.option("--image", type=int, metavar="K", help="Which image, from 0; -1 is the last one.")
@click.option(
    "--pixel",
    callback=ints,
    metavar="R,C[,P]",
    help="The time series of this pixel; of traces K, that of this number.",
)
@click.option(
    "--plane",
    type=click.IntRange(min=0),
    metavar="P",
    help="Of a volume; default: all, side by side.",
)
@overwrite_option
@reads
@json_option
@pass_run
def command(
    run: Run,
    path: str,
    out: str | None,
    image: int | None,
    pixel: tuple[int, ...] | None,
    plane: int | None,
    overwrite: bool,
    reading: JsonObject,
    as_json: bool,
) -> None:
    """Show an image, or the time series of a pixel: as numbers, or as OUT.png.

    PATH is a recording, or a series as binary series, HDF5 or Zarr. The greys of an image span the
    percentiles 1 to 99.5 of its values; in a PNG it has one pixel for each of its. Without OUT
    the range of an image's values is printed, of a pixel each label and value.

    \b
    Examples:
      mpimages view recording/ --image 0
      mpimages view recording/ --image -1 --plane 1 -o last.png
      mpimages view recording/ --pixel 30,40,1
      mpimages view series.h5 --pixel 30,40,1 curve.png
    """
    _check(out, image, pixel, plane, as_json)
    with run.context() as context:
        given = _Input(context, path, reading)
        if out is not None:
            given.prepare(out, overwrite)
        shown: Picture | Curve = (
            given.curve(pixel or ()) if image is None else given.image(image, plane)
        )
        if as_json:
            run.answer({"path": path, **shown.fields()}, indent=None)
            return
        if out is not None:
            given.save(out, shown, overwrite)
            run.say(f"{out}: {shown.title()}")
        else:
            run.say(shown.text())


def _check(
    out: str | None,
    image: int | None,
    pixel: tuple[int, ...] | None,
    plane: int | None,
    as_json: bool,
) -> None:
    """What can be refused before anything is read. Local."""
    if (image is None) == (pixel is None):
        raise click.UsageError("Give --image K, or --pixel R,C[,P]: one of the two.")
    if plane is not None and image is None:
        raise click.UsageError("--plane is of an --image; of a pixel give R,C,P.")
    if pixel is not None and len(pixel) > 3:
        raise click.UsageError("A pixel is R,C, or R,C,P in a volume, or K of series by number.")
    if out is not None and not out.lower().endswith(".png"):
        raise click.UsageError("OUT is a PNG: give it a name that ends in .png.")
    if out is not None and as_json:
        raise click.UsageError("--json prints the values, OUT is a picture: give one.")


class _Input:
    """A recording, or a Series on the disk. Every method is collective."""

    def __init__(self, context: ThunderContext, path: str, reading: JsonObject) -> None:
        self.comm = context.comm
        self.path = path
        self.records: Images | Series = (
            load_series(context, path, reading)
            if is_series(context, path)
            else load(context, path, reading)
        )
        self.dims = dims_of(self.records)

    def prepare(self, out: str, overwrite: bool) -> None:
        """Make sure that `out` can be written."""
        from ..images import Images
        from ..spmd.agreement import from_rank
        from .view_output import check_png

        if isinstance(self.records, Images):
            refuse_inputs(self.records, self.path, out)
        from_rank(self.comm, 0, "mpimages view", check_png, out, overwrite)

    def save(self, out: str, shown: Picture | Curve, overwrite: bool) -> None:
        """Write the picture."""
        from ..spmd.agreement import from_rank
        from .view_output import save_png

        def save() -> None:
            save_png(out, shown.png(), overwrite)

        from_rank(self.comm, 0, "mpimages view", save)

    def image(self, number: int, plane: int | None) -> Picture:
        """One image, or of a Series the values of all pixels at one place of its index."""
        import numpy as np

        from ..images import Images
        from .view_output import Picture

        records = self.records
        if len(self.dims) == 1:
            raise ValueError(
                f"{self.path}: its {self.dims[0]} series are no pixels of images; --pixel K shows "
                "one"
            )
        index = range(records.count()) if isinstance(records, Images) else np.asarray(records.index)
        count = len(index)
        if not -count <= number < count:
            raise ValueError(
                f"{self.path}: there is no image {number}: there are 0 to "
                f"{count - 1}, and -1 is the last one"
            )
        number %= count
        if plane is not None and (len(self.dims) != 3 or plane >= self.dims[2]):
            there = f"planes 0 to {self.dims[2] - 1}" if len(self.dims) == 3 else "no planes"
            raise ValueError(f"{self.path}: there is no plane {plane}: its images have {there}")
        values = (
            records[number]
            if isinstance(records, Images)
            else records.select(index[number]).toArray().reshape(self.dims)
        )
        return Picture(number, count, plane, values)

    def curve(self, pixel: tuple[int, ...]) -> Curve:
        """The series of one pixel."""
        import numpy as np

        from ..images import Images
        from .pixels import pixel_of
        from .view_output import Curve

        if len(pixel) != len(self.dims) or any(
            i >= n for i, n in zip(pixel, self.dims, strict=False)
        ):
            shape, last = (" x ".join(map(str, self.dims)), ",".join(str(n - 1) for n in self.dims))
            raise ValueError(
                f"{self.path}: there is no pixel {','.join(map(str, pixel))}: its "
                f"images are {shape}, the last pixel is {last}"
            )
        if not isinstance(self.records, Images):
            return Curve(pixel, np.asarray(self.records.index), self.records[pixel])
        values = pixel_of(self.records, pixel)
        return Curve(pixel, np.arange(len(values)), values)
