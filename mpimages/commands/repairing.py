"""Options of repairs: a detector's calibration, a constant to subtract, a line phase, bins."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

import click

from ..core.json_types import JsonObject
from .options import dims_of, files, load, named
from .running import Command, Run

if TYPE_CHECKING:
    import numpy as np

    from ..context import ThunderContext
    from ..images import Images

__all__ = [
    "binned",
    "calibration",
    "calibration_of",
    "file_option",
    "load_repaired",
    "repaired",
    "repairs",
    "said_of",
]


def _number(_: click.Context, parameter: click.Parameter, text: str | None) -> int | float | None:
    """``100`` as an integer, ``0.5`` as a float."""
    if text is None:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise click.BadParameter(f"{text!r} is not a number")


def _phase(_: click.Context, parameter: click.Parameter, text: str | None) -> float | str | None:
    """``auto``, or a number of pixels."""
    try:
        return text if text is None or text == AUTO else float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither {AUTO} nor a number of pixels") from None


def _path(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    return None if text is None else named(text, parameter.opts[-1])


def file_option(name: str, help_text: str) -> Callable[[Command], Command]:
    """An option that names a file, with ~ expanded."""
    return click.option(
        f"--{name}", metavar="FILE", callback=_path, shell_complete=files, help=help_text
    )


AUTO = "auto"
_REPAIRS = (
    file_option("dark", "Subtract this image without light; of several, or of a movie, the mean."),
    file_option("flat", "Divide by this evenly lit image, minus the dark one, over its mean."),
    file_option(
        "bad", "Replace pixels that are not 0 in this image by the mean of their neighbours."
    ),
    click.option(
        "--subtract", callback=_number, metavar="V", help="Subtract this number from each pixel."
    ),
    click.option(
        "--line-phase",
        callback=_phase,
        metavar="auto|PIXELS",
        help="Move odd rows, which lie so many pixels to the right, back; auto finds how many.",
    ),
    click.option(
        "--bin",
        type=click.IntRange(min=1),
        metavar="N",
        help="Make one image of N successive ones, their mean.",
    ),
    click.option(
        "--remainder",
        type=click.Choice(["drop"]),
        help="Leave out images at the end that do not fill a bin.",
    ),
)
_DETECTOR = ("dark", "flat", "bad")
_REPAIR_NAMES = (*_DETECTOR, "subtract", "line_phase", "bin", "remainder")


def repairs(function: Command) -> Command:
    """Gives a command the options of repairs, as one dict `repairing` of those that are given."""

    @wraps(function)
    def collecting(*args: object, **given: object) -> object:
        taken = {name: given.pop(name) for name in _REPAIR_NAMES}
        repairing = {name: value for name, value in taken.items() if value is not None}
        if "remainder" in repairing and "bin" not in repairing:
            raise click.UsageError("--remainder is of --bin N: give both.")
        return function(*args, repairing=repairing, **given)

    wrapped: Command = collecting
    for option in reversed(_REPAIRS):
        wrapped = option(wrapped)
    return wrapped


def repaired(context: ThunderContext, images: Images, repairing: JsonObject) -> Images:
    """The images after the detector's correction, `--subtract` and `--line-phase`. Collective.

    The calibration is read; of the images only those in which a line phase is to be found. It then
    takes the place of `AUTO` in `repairing`.
    """
    given = {name: repairing[name] for name in _DETECTOR if name in repairing}
    if given:
        values = {name: calibration(context, images, name, path) for name, path in given.items()}
        if "bad" in values:
            values["bad"] = values["bad"] != 0
        images = images.correctDetector(**values)
    if "subtract" in repairing:
        images = images.subtract(repairing["subtract"])
    if "line_phase" not in repairing:
        return images
    if repairing["line_phase"] == AUTO:
        found = images.fitLinePhase()
        click.get_current_context().ensure_object(Run).warn(str(found))
        repairing["line_phase"] = found.shift
    return images.correctLinePhase(repairing["line_phase"])


def binned(images: Images, repairing: JsonObject) -> Images:
    """The images' bins, where `--bin` is given. Collective; lazy."""
    if "bin" not in repairing:
        return images
    return images.timeBin(repairing["bin"], remainder=repairing.get("remainder"))


def calibration(context: ThunderContext, images: Images, name: str, path: str) -> np.ndarray:
    """The mean of the images at `path`, for these images. Collective.

    Raises
    ------
    click.UsageError
        Where they are of other dims, or something would have to be chosen to read them.
    """
    wanted = dims_of(images)
    try:
        found = context.loadImages(path)
        if len(wanted) == 2 and len(dims_of(found)) == 3:  # its pages are images, too
            found = context.loadImages(path, nplanes=1)
    except ValueError as error:
        raise click.UsageError(
            f"--{name} {path}: {error}. Write what is meant as one image first: the mean.tif of "
            "`mpimages stats`, which has options for that."
        ) from None
    dims = dims_of(found)
    if dims not in (wanted, wanted[:2]):
        shape, needed = (" x ".join(map(str, one)) for one in (dims, wanted))
        raise click.UsageError(
            f"--{name} {path}: its images are {shape}, those of the recording are {needed}."
        )
    return found.mean()


def said_of(repairing: JsonObject) -> JsonObject:
    """The repairs as fields of an answer for programs; empty where there are none."""
    return {"repairs": repairing} if repairing else {}


def calibration_of(repairing: JsonObject) -> list[str]:
    """The paths of the calibration. Local."""
    return [repairing[name] for name in _DETECTOR if name in repairing]


def load_repaired(
    context: ThunderContext, path: str, reading: JsonObject, repairing: JsonObject
) -> Images:
    """The recording, repaired and binned; see `load`. Collective."""
    images = load(context, path, reading)
    return binned(repaired(context, images, repairing), repairing)
