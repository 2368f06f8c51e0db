"""What the commands have in common: PATH, OUT, and how a recording is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from glob import glob, has_magic
from typing import TYPE_CHECKING

import click

from ..core.json_types import JsonObject
from .running import Command, Run

if TYPE_CHECKING:
    from ..context import ThunderContext
    from ..engine.sources import FileSource
    from ..images import Images
    from ..series import Series

__all__ = [
    "ask_movie",
    "dims_of",
    "files",
    "files_of",
    "ints",
    "is_tif",
    "json_option",
    "load",
    "memory_option",
    "named",
    "out_of",
    "overwrite_option",
    "path_and_maybe_out",
    "path_and_out",
    "path_of",
    "reads",
    "refuse_file_name",
    "refuse_inputs",
    "sizes",
]

TIF_ENDINGS = (".tif", ".tiff")
# From so many pages on volumes without a header may be movies.
PAGES_OF_MOVIE = 100
# Of names of other files, and of Zarr.
OTHER_ENDINGS = (
    ".png", ".npy", ".h5", ".hdf5", ".hdf", ".nwb", ".nxs", ".ims", ".mat", ".mmap", ".zarr"
)  # fmt: skip
TIF_INPUTS = (*TIF_ENDINGS, ".btf", ".tf2", ".tf8", ".stk", ".lsm")


def ints(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """``76,87,2`` or ``76x87x2`` as numbers."""
    if text is None:
        return None
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 76,87,2")
    return tuple(int(part) for part in parts)


def sizes(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """A size such as ``4GB``, checked."""
    if text is not None:
        from ..core.sizes import parse_size

        try:
            parse_size(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return text


def _dtypes(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None:
        from ..core.arguments import check_dtype

        try:
            check_dtype(text, "dtype")
        except (TypeError, ValueError) as error:
            raise click.BadParameter(str(error)) from None
    return text


def _nplanes(_: click.Context, parameter: click.Parameter, text: str | None) -> int | str | None:
    if text is None or text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is neither a number from 1 on, nor all")
    return int(text)


def _order(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and sorted(text.upper()) != ["C", "T", "Z"]:
        raise click.BadParameter(f"{text!r} does not name C, Z and T once")
    return text


def _flyback(
    _: click.Context, parameter: click.Parameter, text: str | None
) -> int | tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r} is neither a number nor a list of them such as 3,7")
    planes = tuple(int(part) for part in parts)
    return planes if "," in text else planes[0]


if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # older versions of click have no parameter there


class _Format(_Choice):
    """A format of our own, or one that another package has added."""

    def convert(
        self, value: str, parameter: click.Parameter | None, context: click.Context | None
    ) -> str:
        if value not in self.choices:
            from ..readers.registry import names

            # Only the name: where a rank cannot import the reader, all hear of it together.
            if value not in names():
                raise click.BadParameter(f"{value!r} is not one of {', '.join(names())}.")
        return value


_READING = (
    click.option(
        "--format",
        "inputFormat",
        type=_Format(["tif", "png", "stack", "hdf5", "zarr", "npy", "mmap", "nd2", "czi", "lif"]),
        help="Of the files; default: told by their names.",
    ),
    click.option(
        "--nplanes",
        callback=_nplanes,
        metavar="N|all",
        help="Cut each file into images of N planes (a movie in one file: 1; one volume: "
        "all), whatever its header says.",
    ),
    click.option(
        "--nchannels",
        type=click.IntRange(min=1),
        metavar="N",
        help="The pages are of N channels, whatever the header says.",
    ),
    click.option(
        "--order",
        callback=_order,
        metavar="CZT",
        help="How the pages run, the fastest axis first; default: CZT, one of each channel in "
        "turn.",
    ),
    click.option(
        "--flyback",
        callback=_flyback,
        metavar="N|I,J",
        help="Leave out the last N planes of each volume, or those with the numbers I,J (one: I,).",
    ),
    click.option(
        "--channel",
        type=click.IntRange(min=0),
        metavar="C",
        help="Which channel, from 0, of files with several.",
    ),
    click.option(
        "--pattern",
        metavar="NAMES",
        help="What the names below PATH say: t{t}/z{z}.tif, *_z{z}_c{c}_t{t}.tif.",
    ),
    click.option("--start", "startIdx", type=int, metavar="I", help="The first image, from 0."),
    click.option(
        "--stop", "stopIdx", type=int, metavar="I", help="The image before which to stop."
    ),
    click.option(
        "--incomplete",
        type=click.Choice(["drop"]),
        help="Leave out images that are not whole at the end of TIFF, NPY and flat binary "
        "files, and say so.",
    ),
    click.option("--recursive", is_flag=True, help="Search the directories below PATH as well."),
    click.option(
        "--dims",
        callback=ints,
        metavar="R,C[,P]",
        help="Rows, columns[, pages] of flat binary files without a conf.json: "
        "column-major, rows fastest.",
    ),
    click.option(
        "--shape",
        callback=ints,
        metavar="R,C[,P]",
        help="The same of row-major ones, where the last axis is the fastest.",
    ),
    click.option(
        "--dtype",
        callback=_dtypes,
        metavar="TYPE",
        help="Of flat binary files without a conf.json, such as uint16.",
    ),
    click.option(
        "--dataset", metavar="NAME", help="Which dataset of HDF5 files, or array of Zarr."
    ),
    click.option(
        "--follow",
        type=click.Choice(["directory"]),
        help="Read what HDF5 files lead to below their own directory.",
    ),
    click.option(
        "--axes",
        metavar="AXES",
        help="Order of the axes of HDF5 and NPY, slowest first, as TZYX; with channels C.",
    ),
    click.option(
        "--ext",
        metavar="EXT",
        help="Only files that end so, with --format whatever that format's usual endings are.",
    ),
)
_NAMES = (
    "inputFormat",
    "nplanes",
    "nchannels",
    "order",
    "flyback",
    "channel",
    "pattern",
    "startIdx",
    "stopIdx",
    "incomplete",
    "recursive",
    "dims",
    "shape",
    "dtype",
    "dataset",
    "follow",
    "axes",
    "ext",
)


def reads(function: Command) -> Command:
    """Gives a command the options of reading, as one dict `reading`."""

    @wraps(function)
    def collecting(*args: object, **given: object) -> object:
        reading = {name: given.pop(name) for name in _NAMES}
        return function(*args, reading=reading, **given)

    wrapped: Command = collecting
    for option in reversed(_READING):
        wrapped = option(wrapped)
    return wrapped


def load(context: ThunderContext, path: str, reading: JsonObject, asks: bool = True) -> Images:
    """The recording; says what it may be instead where that is likely. Collective.

    Raises
    ------
    click.UsageError
        Where it is so likely a movie that the command `asks` what it is.
    """
    images = context.loadImages(path, **reading)
    asked = ask_movie(images, path, reading)
    if asks and asked is not None:
        raise asked
    source, dims = files_of(images), images.dims
    if reading["nplanes"] is not None or dims is None or len(dims.count) < 3:
        return images
    pages, number = dims.count[2], images.nrecords or 0
    if number == 1 or (pages >= PAGES_OF_MOVIE and source.header.layout.get("kind") == "plain"):
        volumes = "one volume" if number == 1 else f"{number:,} volumes"
        click.get_current_context().ensure_object(Run).warn(
            f"{path} is taken for {volumes} of {pages} pages. If a file is a movie, "
            "give --nplanes 1"
        )
    return images


def ask_movie(images: Images, path: str, reading: JsonObject) -> click.UsageError | None:
    """The question what images of very many pages are; None where it is clear. Local."""
    from ..readers.tif.reader import LIKELY_MOVIE

    dims = images.dims
    if reading["nplanes"] is not None or dims is None or len(dims.count) < 3:
        return None
    if dims.count[2] <= LIKELY_MOVIE or files_of(images).header.layout.get("kind") != "plain":
        return None
    return click.UsageError(
        f"{path}: a file of {dims.count[2]:,} pages may be a movie or a volume: give --nplanes 1 "
        "for a movie, --nplanes N for volumes of N planes, --nplanes all for one volume."
    )


# -- PATH and OUT --------------------------------------------------------------------------


def files(_: click.Context, parameter: click.Parameter, incomplete: str) -> list[object]:
    """Lets the shell complete a path."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _argument(name: str, shown: str) -> Callable[[Command], Command]:
    return click.argument(name, nargs=-1, metavar=shown, shell_complete=files)


_out_option = click.option(
    "-o", "--out", metavar="OUT", shell_complete=files, help="The output, in place of OUT."
)


def path_and_out(function: Command) -> Command:
    """PATH OUT, or PATH -o OUT, as arguments `path` and `out`."""

    @wraps(function)
    def splitting(
        *args: object, paths: tuple[str, ...], out: str | None, **given: object
    ) -> object:
        path, out = _split(paths, out)
        return function(*args, path=path, out=out, **given)

    return _argument("paths", "PATH OUT")(_out_option(splitting))


def path_and_maybe_out(function: Command) -> Command:
    """PATH, PATH OUT, or PATH -o OUT, as arguments `path` and `out`, which may be None."""

    @wraps(function)
    def splitting(
        *args: object, paths: tuple[str, ...], out: str | None, **given: object
    ) -> object:
        if len(paths) == 1 and out is None:
            return function(*args, path=named(paths[0], "PATH"), out=None, **given)
        if not paths:
            raise click.UsageError("Missing argument 'PATH'.")
        path, found = _split(paths, out)
        return function(*args, path=path, out=found, **given)

    return _argument("paths", "PATH [OUT]")(_out_option(splitting))


def _split(paths: tuple[str, ...], out: str | None) -> tuple[str, str]:
    wanted = 1 if out is not None else 2
    if len(paths) == 2 and out is not None and not _is_of_a_pattern(paths):
        raise click.UsageError(f"Got OUT twice, {paths[1]} and {out}: give one.")
    if len(paths) > wanted:
        raise _several(paths)
    if not paths:
        raise click.UsageError("Missing argument 'PATH'.")
    if len(paths) < wanted:
        raise click.UsageError("Missing argument 'OUT'.")
    if out is None and _are_alike(*paths):
        raise _several(paths)
    return named(paths[0], "PATH"), named(paths[1] if out is None else out, "OUT")


def _are_alike(path: str, out: str) -> bool:
    """Whether OUT is a file like PATH, and not of mpimages' making: a pattern has given both."""
    if has_magic(path) and not os.path.lexists(path):
        return False  # the pattern was quoted
    ending = os.path.splitext(path)[1].lower()
    return (
        ending == os.path.splitext(out)[1].lower()
        and os.path.isfile(out)
        and ending in (*TIF_INPUTS, ".png", ".npy", ".bin", ".raw")
        and not _is_ours(out)
    )


def _is_ours(path: str) -> bool:
    from ..formats.output_names import is_view
    from ..formats.tif_checksums import read_mark

    try:
        with open(path, "rb") as file:
            return read_mark(file) is not None or is_view(path)
    except OSError:
        return False


def path_of(function: Command) -> Command:
    """PATH alone, as argument `path`."""

    @wraps(function)
    def checking(*args: object, paths: tuple[str, ...], **given: object) -> object:
        if len(paths) > 1:
            raise _several(paths)
        if not paths:
            raise click.UsageError("Missing argument 'PATH'.")
        return function(*args, path=named(paths[0], "PATH"), **given)

    return _argument("paths", "PATH")(checking)


def out_of(function: Command) -> Command:
    """OUT alone, or -o OUT, as argument `out`."""

    @wraps(function)
    def checking(*args: object, outs: tuple[str, ...], out: str | None, **given: object) -> object:
        found = [*outs, *([] if out is None else [out])]
        if len(found) != 1:
            raise click.UsageError(
                "Missing argument 'OUT'."
                if not found
                else f"Give one OUT, not {' and '.join(found[:3])}."
            )
        return function(*args, out=named(found[0], "OUT"), **given)

    return _argument("outs", "OUT")(_out_option(checking))


def named(path: str, name: str) -> str:
    """`path`, which the user calls `name`, with ~ expanded. Local.

    Raises
    ------
    click.UsageError
        Where it is empty, or nobody's home.
    """
    if not path or "\0" in path:
        raise click.UsageError(f"{name} is empty.")
    from ..core.text import expand_user

    try:
        return expand_user(path)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _several(paths: Sequence[str]) -> click.UsageError:
    shown = " ".join(paths[:2]) + (" …" if len(paths) > 2 else "")
    problem = f"Got {len(paths)} paths ({shown})"
    if not _is_of_a_pattern(paths):
        return click.UsageError(f"{problem}: give one, or quote the pattern that they come from.")
    ending = os.path.splitext(paths[0])[1]
    pattern = os.path.join(os.path.dirname(paths[0]), f"*{ending}")
    return click.UsageError(
        f"{problem}. If the shell has made them of a pattern, quote the pattern: '{pattern}'"
    )


def _is_of_a_pattern(paths: Sequence[str]) -> bool:
    """Whether the first two paths look as if the shell had made them of one pattern."""
    (base, ending), (other, its) = (os.path.splitext(path) for path in paths[:2])
    return (
        ending != ""
        and ending.lower() == its.lower()
        and os.path.dirname(base) == os.path.dirname(other)
    )


def is_tif(path: str) -> bool:
    """Whether a path has the name of a TIFF. Local."""
    return path.lower().endswith(TIF_ENDINGS)


def files_of(images: Images) -> FileSource:
    """Where a command's images are from. Local."""
    from ..engine.sources import FileSource

    source = images.records.chain.source
    if not isinstance(source, FileSource):
        raise TypeError("a command reads files")
    return source


def dims_of(collection: Images | Series) -> tuple[int, ...]:
    """The dims of what a command reads. Local."""
    if collection.dims is None:
        raise TypeError("a command knows what it reads")
    return collection.dims.count


def refuse_file_name(out: str, what: str = "of pictures") -> None:
    """Refuse an OUT that looks like a file's name, where it becomes a directory. Local."""
    ending = os.path.splitext(out.rstrip("/"))[1].lower()
    if ending in (*TIF_INPUTS, *OTHER_ENDINGS):
        raise click.UsageError(f"OUT becomes a directory {what}: give it a name without {ending}.")


def refuse_inputs(images: Images | Series, path: str, out: str, others: Sequence[str] = ()) -> None:
    """Refuse an OUT that is, or holds, one of the files that are read. Collective.

    `others` are paths, or patterns, of what is read besides.
    """
    from ..spmd.agreement import from_rank
    from ..writers.output.ownership import holds_files

    inputs = images.records.chain.source.inputs

    def check() -> str | None:
        target = os.path.realpath(out)
        if target == os.path.realpath(path):
            return f"{out} is the input itself"
        if target.startswith(os.path.realpath(path) + os.sep) and _is_an_output(path):
            return f"{out} lies in the input, which mpimages wrote and would no more be whole"
        read = [[one] if os.path.lexists(one) else glob(one) for one in others]
        if not any(holds_files(out, each) for each in (inputs, *read) if len(each)):
            return None
        return f"{out} {'is one of' if os.path.isfile(target) else 'holds'} the inputs"

    problem = from_rank(images.session.comm, 0, "mpimages", check)
    if problem is not None:
        raise click.UsageError(f"{problem}: choose another OUT.")


def _is_an_output(path: str) -> bool:
    """Whether there is an output of mpimages, and nothing else with it. Local."""
    from ..writers.output.ownership import check_ours

    try:
        check_ours(path)
    except OSError:
        return False
    return True


# -- others --------------------------------------------------------------------------------


def json_option(function: Command) -> Command:
    """--json, as argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(
        function
    )


def memory_option(function: Command) -> Command:
    """--memory, checked."""
    return click.option(
        "--memory",
        callback=sizes,
        metavar="SIZE",
        help="What each rank may take, such as 4GB; default: its share of what is free.",
    )(function)


def overwrite_option(function: Command) -> Command:
    """--overwrite."""
    return click.option(
        "--overwrite", is_flag=True, help="Replace what mpimages itself wrote at OUT."
    )(function)
