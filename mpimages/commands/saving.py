"""OUT: its format, the options that this format takes, and what a command says of it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING

import click

from ..core.json_types import JsonObject
from .formats import BINARY, IMAGES, NWB, OME_ZARR, SERIES_LAYOUT, Format
from .nwb_facts import nwb_arguments, nwb_file_option, nwb_option
from .options import dims_of, ints, refuse_file_name, sizes
from .running import Command

if TYPE_CHECKING:
    from ..images import Images
    from ..series import Series

__all__ = [
    "Output",
    "check_compression",
    "chunks_option",
    "compression_option",
    "describe_output",
    "imagej_note",
    "output_of",
    "saves",
    "summary_line",
]

IMAGEJ_DTYPES = ("uint8", "uint16", "int16", "float32")


# -- options -------------------------------------------------------------------------------


def _chunks(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    return text if text == "auto" else ints(ctx, parameter, text)


def _shards(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    return text if text == "none" else sizes(ctx, parameter, text)


def _compression(_: click.Context, parameter: click.Parameter, text: str | None) -> object:
    """``gzip`` as it is, ``gzip:4`` as a pair; what there is, the format says."""
    if text is None:
        return None
    name, _colon, level = text.partition(":")
    if level and not level.isdecimal():
        raise click.BadParameter(f"{text!r}: the level is a number, as in gzip:4")
    return (name, int(level)) if level else name


chunks_option = click.option(
    "--chunks",
    callback=_chunks,
    metavar="N,N,...|auto",
    help="Shape of a chunk, in the order of the output's axes. HDF5's default: contiguous.",
)
compression_option = click.option(
    "--compression",
    callback=_compression,
    metavar="FILTER[:LEVEL]",
    help="HDF5: gzip, gzip:4, lzf; default: none. Zarr: zstd, blosc, gzip, none; default: zstd.",
)
_OPTIONS: dict[str, Callable[[Command], Command]] = {
    "resume": click.option(
        "--resume", is_flag=True, help="Go on with what an interrupted job has left."
    ),
    "chunks": chunks_option,
    "compression": compression_option,
    "shards": click.option(
        "--shards",
        callback=_shards,
        metavar="SIZE|none",
        help="Zarr: values in a file, at most; none: a file for each chunk. Default: 1GB.",
    ),
    "levels": click.option(
        "--levels",
        type=click.IntRange(min=0),
        metavar="N",
        help="Zarr: further, smaller images, each of half the rows and columns. Default: 0.",
    ),
    "version": click.option(
        "--zarr-version",
        "version",
        type=click.Choice(["2", "3"]),
        help="Zarr 3 with OME-Zarr 0.5, or Zarr 2 with 0.4. Default: 3.",
    ),
    "nwb": nwb_option,
    "nwb_file": nwb_file_option,
    "fs": click.option(
        "--fs",
        type=float,
        metavar="HZ",
        help="suite2p: images a second. Default: as the recording tells.",
    ),
    "tau": click.option(
        "--tau", type=float, metavar="S", help="suite2p: the decay time of the indicator."
    ),
}


def _layout_option(help_text: str) -> Callable[[Command], Command]:
    return click.option("--layout", type=click.Choice([IMAGES, SERIES_LAYOUT]), help=help_text)


def _file_size_option(flag: str) -> Callable[[Command], Command]:
    return click.option(
        flag,
        "file_size",
        callback=sizes,
        metavar="SIZE",
        help="Binary series: of each file, at most. Default: 150MB.",
    )


def saves(
    formats: tuple[Format, ...],
    layout: str = "dims + (T,), or frame-major, (T,) + dims. Default: series.",
    file_size: str = "--file-size",
) -> Callable[[Command], Command]:
    """Gives a command the options of these formats, as one dict `saving`.

    Parameters
    ----------
    formats : tuple of Format
    layout : str
        What `--help` says of `--layout`.
    file_size : str
        The option of the size of a binary series' files.
    """
    known = {
        "layout": _layout_option(layout),
        **_OPTIONS,
        "file_size": _file_size_option(file_size),
    }
    taken = frozenset[str]().union(*(one.takes for one in formats))
    names = [name for name in known if name in taken]

    def decorate(function: Command) -> Command:
        @wraps(function)
        def collecting(*args: object, **given: object) -> object:
            saving = {name: given.pop(name) for name in names}
            return function(*args, saving=saving, **given)

        wrapped: Command = collecting
        for name in reversed(names):
            wrapped = known[name](wrapped)
        return wrapped

    return decorate


# -- an output -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Output:
    """OUT, and how it is written.

    Attributes
    ----------
    path : str
    format : Format
    layout : str or None
        None: as what is written has it.
    given : dict
        Other arguments of the method.
    """

    path: str
    format: Format
    layout: str | None
    given: JsonObject = field(default_factory=dict)

    def layout_of(self, collection: Images | Series) -> str:
        """How the values lie in the output. Local."""
        own = IMAGES if _is_images(collection) else SERIES_LAYOUT
        layouts = self.format.layouts
        return self.layout or self.format.usual or (own if own in layouts else next(iter(layouts)))

    def save(self, collection: Images | Series) -> None:
        """Write it. Collective."""
        given = {**self.given, **self.format.layouts[self.layout_of(collection)]}
        if not self.format.of_series and not _is_images(collection):
            collection = collection.toImages()  # type: ignore[union-attr]
        method = getattr(collection, self.format.method)
        if self.format is NWB:
            given = nwb_arguments(method, given)
        method(self.path, **given)


def _is_images(collection: Images | Series) -> bool:
    from ..images import Images

    return isinstance(collection, Images)


def output_of(
    out: str,
    formats: tuple[Format, ...],
    saving: JsonObject,
    overwrite: bool,
    to: str | None = None,
    layout: str | None = None,
) -> Output:
    """What OUT is to be; refuses options that mean nothing for it. Local.

    Parameters
    ----------
    formats : tuple of Format
        Which there are; the last is that of names that say nothing.
    saving : dict
        As of `saves`.
    to : str, optional
        The name of the format, where it is given.
    layout : {'series', 'images'}, optional
        By default.
    """
    chosen = _find_format(out, formats, to)
    # 0 is a value, though it equals False.
    given = {
        name: value
        for name, value in saving.items()
        if not (value is None or value is False or value == ())
    }
    command = click.get_current_context().command
    flags = {one.name: one.opts[-1] for one in command.params}
    for name in given:
        if name not in chosen.takes:
            of = " and ".join(dict.fromkeys(one.words for one in formats if name in one.takes))
            raise click.UsageError(f"{flags[name]} is of {of}, but OUT is {chosen.words}.")
    if "resume" in given and overwrite:
        raise click.UsageError(
            "--resume goes on with an output, --overwrite begins it anew: give one."
        )
    wanted = given.pop("layout", layout if len(chosen.layouts) > 1 else None)
    return Output(out, chosen, wanted, {**_arguments(chosen, given), "overwrite": overwrite})


def _arguments(chosen: Format, given: JsonObject) -> JsonObject:
    """The arguments of the format's method that options stand for. Local."""
    if "file_size" in given:
        given["blockSize"] = given.pop("file_size")
    if "compression" in given:
        check_compression(given["compression"], chosen)
        if given["compression"] == "none":
            given["compression"] = None
    if given.get("shards") == "none":
        given["shards"] = False
    if "version" in given:
        given["version"] = int(given["version"])
    return given


def _find_format(out: str, formats: tuple[Format, ...], to: str | None) -> Format:
    """The format that OUT has by its name, or `to`."""
    named = [one for one in formats if one.is_named(out)]
    if OME_ZARR not in formats and OME_ZARR.is_named(out):
        raise click.UsageError(
            "OME-Zarr is of images: give OUT a name without .ome, or see `mpimages convert`."
        )
    if to is None:
        chosen = named[0] if named else formats[-1]
    else:
        (chosen,) = (one for one in formats if one.name == to)
        if named and chosen is not named[0]:
            ending = os.path.splitext(out.rstrip("/"))[1]
            raise click.UsageError(
                f"OUT ends in {ending}, which is {named[0].words}, but --to says {to}: give it "
                "another name, or leave out --to."
            )
    if not named and not chosen.is_file:
        refuse_file_name(out, f"with {chosen.words}{_unless(formats) if to is None else ''}")
    return chosen


def _unless(formats: tuple[Format, ...]) -> str:
    endings = [one.endings[0] for one in formats if one.endings]
    listed = " or ".join([", ".join(endings[:-1])] * (len(endings) > 1) + endings[-1:])
    return f", unless it ends in {listed}"


def check_compression(wanted: object, chosen: Format | None = None) -> None:
    """Refuse a compression that the format, by default HDF5, does not have. Local."""
    try:
        if chosen is not None and chosen.method == "saveAsZarr":
            import numpy as np

            from ..formats.zarr.codecs import parse_compression as parse_zarr

            parse_zarr(None if wanted == "none" else wanted, np.dtype("u1"))
        else:
            from ..writers.hdf5.filters import parse_compression

            parse_compression(None if wanted == "none" else wanted)
    except (TypeError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="'--compression'") from None


# -- what is said of it --------------------------------------------------------------------


def describe_output(collection: Images | Series, output: Output, seconds: float) -> JsonObject:
    """What was written, as fields of an answer. Collective."""
    import numpy as np

    dims, count = dims_of(collection), _times(collection)
    pixels, dtype = math.prod(dims), np.dtype(output.format.dtype or collection.dtype)
    return {
        "out": output.path,
        "format": "binary series" if output.format is BINARY else output.format.name,
        "series": pixels,
        "values": count,
        "dims": list(dims),
        "dtype": str(dtype),
        "bytes": pixels * count * dtype.itemsize,
        "seconds": round(seconds, 3),
    }


def _times(collection: Images | Series) -> int:
    """The images, or the values of each series. Collective."""
    from ..images import Images

    if isinstance(collection, Images):
        return collection.count()
    if collection.shape is None:
        raise TypeError("a command knows what it reads")
    return collection.shape[-1]


def summary_line(found: JsonObject, layout: str | None = None) -> str:
    """The same as a line; in the words of its layout, by default of series. Local."""
    from ..core.sizes import size_text

    if layout == IMAGES:
        shape = " x ".join(map(str, found["dims"]))
        what = f"{found['values']:,} image{'' if found['values'] == 1 else 's'} of {shape}"
    else:
        many = "" if found["values"] == 1 else "s"
        what = f"{found['series']:,} series of {found['values']:,} value{many}"
    text = (
        f"{found['out']}: {what}, {found['dtype']}, {size_text(found['bytes'])} "
        f"in {found['seconds']:.1f} s"
    )
    return text + imagej_note(found["out"], found["dtype"]) if found["format"] == "tif" else text


def imagej_note(path: str, dtype: str) -> str:
    """What ImageJ needs to open a TIFF, as the end of a line; empty where it opens it. Local."""
    text = ""
    if dtype not in IMAGEJ_DTYPES:
        text = f"; ImageJ opens TIFFs of {dtype} by Bio-Formats alone"
    with open(path, "rb") as file:
        big = file.read(4) == b"II+\0"
    return f"{text}; a BigTIFF, which ImageJ opens by Bio-Formats" if big else text
