"""What the commands have in common: PATH, OUT, and how a recording is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..context import ThunderContext
    from ..images import Images

__all__ = ["ints", "json_option", "load", "memory_option", "out_of", "overwrite_option",
           "path_and_maybe_out", "path_and_out", "path_of",
           "reads", "refuse_file_name", "refuse_inputs", "sizes"]

Command = Callable[..., Any]


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
        from ..budget import parse_size

        try:
            parse_size(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return text


def _dtypes(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None:
        from ..readers.options import checked_dtype

        try:
            checked_dtype(text, "dtype")
        except (TypeError, ValueError) as error:
            raise click.BadParameter(str(error)) from None
    return text


_READING = (
    click.option("--format", "inputFormat",
                 type=click.Choice(["tif", "png", "stack", "hdf5", "npy"]),
                 help="Of the files; default: told by their names."),
    click.option("--nplanes", type=click.IntRange(min=1), metavar="N",
                 help="Cut each file into images of N planes (a movie in one file: 1)."),
    click.option("--channel", type=click.IntRange(min=0), metavar="C",
                 help="Which channel, from 0, of files with several."),
    click.option("--start", "startIdx", type=int, metavar="I", help="The first image, from 0."),
    click.option("--stop", "stopIdx", type=int, metavar="I",
                 help="The image before which to stop."),
    click.option("--recursive", is_flag=True, help="Search the directories below PATH as well."),
    click.option("--dims", callback=ints, metavar="R,C[,P]",
                 help="Rows, columns[, pages] of flat binary files without a conf.json."),
    click.option("--dtype", callback=_dtypes, metavar="TYPE",
                 help="Of flat binary files without a conf.json, such as uint16."),
    click.option("--dataset", metavar="NAME", help="Which dataset of HDF5 files."),
    click.option("--axes", metavar="AXES", help="Order of the axes of HDF5 and NPY, as TZYX."),
)
_NAMES = ("inputFormat", "nplanes", "channel", "startIdx", "stopIdx", "recursive", "dims",
          "dtype", "dataset", "axes")


def reads(function: Command) -> Command:
    """Gives a command the options of reading, as one dict `reading`."""

    @wraps(function)
    def collecting(*args: Any, **given: Any) -> Any:
        reading = {name: given.pop(name) for name in _NAMES}
        return function(*args, reading=reading, **given)

    wrapped: Command = collecting
    for option in reversed(_READING):
        wrapped = option(wrapped)
    return wrapped


def load(context: ThunderContext, path: str, reading: dict[str, Any]) -> Images:
    """The recording. Collective."""
    return context.loadImages(path, **reading)


# -- PATH and OUT --------------------------------------------------------------------------


def path_and_out(function: Command) -> Command:
    """PATH OUT, or PATH -o OUT, as arguments `path` and `out`."""
    return _path_and(None, "PATH OUT", function)


def path_and_maybe_out(default: str) -> Callable[[Command], Command]:
    """As `path_and_out`, where OUT may be left out."""
    return partial(_path_and, default, "PATH [OUT]")


def _path_and(default: str | None, shown: str, function: Command) -> Command:
    @wraps(function)
    def splitting(*args: Any, paths: tuple[str, ...], out: str | None, **given: Any) -> Any:
        if out is None and len(paths) == 1:
            out = default
        path, out = _split(paths, out)
        return function(*args, path=path, out=out, **given)

    given = click.option("-o", "--out", metavar="OUT", help="The output, in place of OUT.")
    return click.argument("paths", nargs=-1, metavar=shown)(given(splitting))


def _split(paths: tuple[str, ...], out: str | None) -> tuple[str, str]:
    wanted = 1 if out is not None else 2
    if len(paths) > wanted:
        raise _several(paths)
    if not paths:
        raise click.UsageError("Missing argument 'PATH'.")
    if len(paths) < wanted:
        raise click.UsageError("Missing argument 'OUT'.")
    if out is None and _are_alike(*paths):
        raise _several(paths)
    return _named(paths[0], "PATH"), _named(paths[1] if out is None else out, "OUT")


def _are_alike(path: str, out: str) -> bool:
    """Whether OUT is a file like PATH, of a kind that is never an OUT: a pattern has given both."""
    ending = os.path.splitext(path)[1].lower()
    return ending == os.path.splitext(out)[1].lower() and os.path.isfile(out) \
        and ending in (".tif", ".tiff", ".png", ".npy", ".bin", ".raw", ".lsm")


def path_of(function: Command) -> Command:
    """PATH alone, as argument `path`."""

    @wraps(function)
    def checking(*args: Any, paths: tuple[str, ...], **given: Any) -> Any:
        if len(paths) > 1:
            raise _several(paths)
        if not paths:
            raise click.UsageError("Missing argument 'PATH'.")
        return function(*args, path=_named(paths[0], "PATH"), **given)

    return click.argument("paths", nargs=-1, metavar="PATH")(checking)


def out_of(function: Command) -> Command:
    """OUT alone, or -o OUT, as argument `out`."""

    @wraps(function)
    def checking(*args: Any, outs: tuple[str, ...], out: str | None, **given: Any) -> Any:
        found = [*outs, *([] if out is None else [out])]
        if len(found) != 1:
            raise click.UsageError("Missing argument 'OUT'." if not found else
                                   f"Give one OUT, not {' and '.join(found[:3])}.")
        return function(*args, out=_named(found[0], "OUT"), **given)

    given = click.option("-o", "--out", metavar="OUT", help="The output, in place of OUT.")
    return click.argument("outs", nargs=-1, metavar="OUT")(given(checking))


def _named(path: str, name: str) -> str:
    if not path or "\0" in path:
        raise click.UsageError(f"{name} is empty.")
    return os.path.expanduser(path)


def _several(paths: Sequence[str]) -> click.UsageError:
    shown = f"{paths[0]} {paths[1]} …"
    ending = os.path.splitext(paths[0])[1]
    pattern = os.path.join(os.path.dirname(paths[0]), f"*{ending}")
    return click.UsageError(
        f"Got {len(paths)} paths ({shown}). If the shell has made them of a pattern, quote the "
        f"pattern: '{pattern}'"
    )


def refuse_file_name(out: str) -> None:
    """Refuse an OUT that looks like a picture's name, where it becomes a directory. Local."""
    ending = os.path.splitext(out)[1].lower()
    if ending in (".tif", ".tiff", ".png"):
        raise click.UsageError(f"OUT becomes a directory of pictures: give it a name without "
                               f"{ending}.")


def refuse_inputs(images: Images, path: str, out: str) -> None:
    """Refuse an OUT that is, or holds, one of the files that are read. Collective."""
    from ..collective import from_rank
    from ..sources import FileSource

    source = images._chain.source

    def check() -> str | None:
        assert isinstance(source, FileSource)
        target = os.path.realpath(out)
        if target == os.path.realpath(path):
            return f"{out} is the input itself"
        there = os.stat(target) if os.path.isfile(target) else None
        directories: set[str] = set()
        for i in range(len(source.paths)):
            directories.add(os.path.dirname(source.paths[i]))
            if there is not None and os.path.samestat(there, os.stat(source.paths[i])):
                return f"{out} is one of the inputs"
        real = (os.path.realpath(directory) for directory in directories)
        held = any(os.path.commonpath([target, directory]) == target for directory in real)
        return f"{out} holds the inputs" if held else None

    problem = from_rank(images._session.comm, 0, "mpimages", check)
    if problem is not None:
        raise click.UsageError(f"{problem}: choose another OUT.")


# -- others --------------------------------------------------------------------------------


def json_option(function: Command) -> Command:
    """--json, as argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True,
                        help="Print JSON, for programs.")(function)


def memory_option(function: Command) -> Command:
    """--memory, checked."""
    return click.option("--memory", callback=sizes, metavar="SIZE",
                        help="What each rank may take, such as 4GB; default: its share of what "
                        "is free.")(function)


def overwrite_option(function: Command) -> Command:
    """--overwrite."""
    return click.option("--overwrite", is_flag=True,
                        help="Replace what mpimages itself wrote at OUT.")(function)
